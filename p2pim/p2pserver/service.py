"""The P2P server as a Twisted service: standalone, or inside the integrated server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim.core.address_rate import AddressRates
from p2pim.core.limits import STUN_BATCHES, STUN_RATE_TABLE
from p2pim.core.stun_answers import Answer, StunAnswers
from p2pim.core.stun_cookies import Cookies
from p2pim.p2pserver import ring
from p2pim.p2pserver.batch import Batches
from p2pim.p2pserver.counters import P2pCounters
from p2pim.p2pserver.sites import REMARK_BYTES
from p2pim.p2pserver.sockets import BoundSocket, OneByOne, P2pSettings, P2pSockets, open_sockets


@implementer(IReadDescriptor)
class StunReader:
    """Drains one socket whenever it has something."""

    def __init__(self, bound: BoundSocket, turn: Callable[[int, float], bool], seconds: Callable[[], float]) -> None:
        self._udp, self._turn, self._seconds = bound.udp, turn, seconds

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._udp.fileno()

    def doRead(self) -> None:
        """Answer what is there, a bounded number of batches at a time."""
        descriptor, turn, now = self._udp.fileno(), self._turn, self._seconds()
        for _ in range(STUN_BATCHES):
            if not turn(descriptor, now):
                return

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gave the socket up; a UDP socket has no such end."""

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "p2p"


class P2pService(Service):
    """Answers on all its sockets from `startService` to `stopService`.

    :param seconds: a clock that is never set back (`time.monotonic`), since allowances are times to come.
    :param random_bytes: gives so many unpredictable bytes (`os.urandom`).
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        settings: P2pSettings,
        seconds: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._reactor, self.settings, self._seconds = reactor, settings, seconds
        self.counters = P2pCounters()
        self._cookies = Cookies(random_bytes(32))
        self._secret = int.from_bytes(random_bytes(8), "big")
        self._readers: list[StunReader] = []
        self.sockets: P2pSockets | None = None
        self._configure(settings)

    def _configure(self, settings: P2pSettings) -> None:
        self._rates = AddressRates(settings.rate, settings.burst, STUN_RATE_TABLE, self._secret)
        self._answers = StunAnswers(self._cookies, self._rates, free_loopback=settings.free_loopback)

    @property
    def port(self) -> int:
        """The port that peers are told; 0 while nothing is open."""
        return self.sockets.port if self.sockets else 0

    def listening(self) -> list[str]:
        """Every address that is answered on."""
        return self.sockets.listening() if self.sockets else []

    def counted(self) -> dict[str, object]:
        """What was counted since the start."""
        return self.counters.as_dict()

    def open(self) -> None:
        """Bind the sockets, before the service runs and, where twistd changes its user, before it does that.

        :raises OSError: a port is taken or an address not of this host.
        """
        if self.sockets is None:
            self.sockets = open_sockets(self.settings)

    def privilegedStartService(self) -> None:
        """Bind while it is still allowed to."""
        self.open()
        Service.privilegedStartService(self)

    def startService(self) -> None:
        """Begin to answer."""
        self.open()
        self._read()
        Service.startService(self)

    def _read(self) -> None:
        assert self.sockets is not None
        rings: dict[tuple[int, bool], ring.Ring] = {}
        for bound in self.sockets.all:
            reader = StunReader(bound, self._turn_of(bound, rings), self._seconds)
            self._readers.append(reader)
            self._reactor.addReader(reader)

    def _turn_of(self, bound: BoundSocket, rings: dict[tuple[int, bool], ring.Ring]) -> Callable[[int, float], bool]:
        """Sockets of one kind share the memory of their batches."""
        assert self.sockets is not None
        if not ring.available:
            return OneByOne(bound, self.sockets, self._answers, self.counters).turn
        sites = bound.sites
        kind = sites.version, sites.wildcard
        if kind not in rings:
            rings[kind] = ring.Ring(sites.version, REMARK_BYTES[sites.version] if sites.wildcard else 0)
        return Batches(
            rings[kind],
            sites,
            self._answers,
            self._rates,
            self.counters,
            self._send,
            free_loopback=self.settings.free_loopback,
        ).turn

    def _send(self, answer: Answer) -> None:
        assert self.sockets is not None
        try:
            self.sockets.send(answer)
        except OSError:
            self.counters.unsent += 1

    def reload(self, settings: P2pSettings) -> None:
        """Take new settings; cookies stay good. Sockets are bound anew only where addresses or ports have changed.

        :raises OSError: the new addresses cannot be had; then the old ones are served on.
        """
        old, self.settings = self.settings, settings
        self._stop_reading()
        try:
            if _places(old) != _places(settings):
                self._move(old)
            for bound in self.sockets.all if self.sockets else ():
                bound.sites.forget()
            if (old.rate, old.burst, old.free_loopback) != (settings.rate, settings.burst, settings.free_loopback):
                self._configure(settings)
        finally:
            self._read()

    def _move(self, old: P2pSettings) -> None:
        assert self.sockets is not None
        self.sockets.close()
        port, companion = self.sockets.port, self.sockets.companion
        try:
            self.sockets = open_sockets(replace(self.settings, port=self.settings.port or port))
        except OSError:
            self.settings = old
            self.sockets = open_sockets(replace(old, port=port, alternate_port=companion))
            raise

    def _stop_reading(self) -> None:
        for reader in self._readers:
            self._reactor.removeReader(reader)
        self._readers.clear()

    def stopService(self) -> None:
        """Close everything."""
        self._stop_reading()
        if self.sockets is not None:
            self.sockets.close()
            self.sockets = None
        self.log.info("the P2P server answered {answers} of {requests} questions", **self.counters.as_dict())
        Service.stopService(self)


def _places(settings: P2pSettings) -> tuple[object, ...]:
    return settings.port, settings.interface, settings.alternate_port, settings.alternate_address
