"""The UDP half of a peer: its sockets, what the world sees them at, the checks of negotiations, and QUIC over what they
find.

There is one socket per address family, and everything shares it: questions to the P2P server, checks, and QUIC. It
exists only while there is a P2P server to use; without one no datagram is ever sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from p2pim.core import limits
from p2pim.core.addresses import format_address
from p2pim.core.candidates import UDP, Endpoint
from p2pim.core.connectivity import CheckList, ChecksFailed, PairSucceeded
from p2pim.core.gathering import UNKNOWN, Gatherer
from p2pim.core.interfaces import worth_telling
from p2pim.net.datagram import UdpSocket, bind_udp
from p2pim.net.own_addresses import interfaces
from p2pim.net.peer_tls import PeerIdentity
from p2pim.net.quic import LinkOwner, QuicChannel
from p2pim.net.quic_connection import prepare
from p2pim.net.quic_factory import UdpChannelFactory
from p2pim.wire.checks import check_username
from p2pim.wire.signals import Candidate

HOST_PRIORITY: Final = 126
REFLEXIVE_PRIORITY: Final = 100
"""RFC 8445, section 5.1.2.2: what leads there directly is better than what leads there through a NAT."""
ANY: Final = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - a peer is to be reached at all its addresses


def _family(endpoint: Endpoint) -> int:
    return 6 if ":" in endpoint[0] else 4


class UdpPaths:
    """See the module.

    :param reactor: clock and descriptors.
    :param identity: the peer's certificate, the same as for its TCP channels.
    :param changed: called when a candidate was found or lost, while negotiations may want to tell of it.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        *,
        identity: PeerIdentity,
        rng: Random,
        wall: Callable[[], float],
        journal: Callable[[str, str, str], None],
        changed: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._rng = rng
        self._journal = journal
        self._changed = changed
        self._identity = identity
        self._wall = wall
        self._quic: UdpChannelFactory | None = None
        self._sockets: dict[int, UdpSocket] = {}
        self._gatherers: dict[int, Gatherer] = {}
        self._runs: dict[str, CheckRun] = {}
        self._servers: tuple[Endpoint, ...] = ()
        self._hosts: list[str] = []
        self._timer: IDelayedCall | None = None

    # --- being there

    @property
    def open(self) -> bool:
        """Whether there are sockets, and so a way to be found."""
        return bool(self._sockets)

    def use(self, servers: Sequence[Endpoint], local_host: str, callers: LinkOwner) -> None:
        """Ask these P2P servers from now on (the first of each family); none: close everything.

        :param local_host: the address that the connection to the server has.
        :param callers: decides about QUIC links that come in.
        """
        if not servers:
            self.stop()
            return
        if self._quic is None:
            self._quic = UdpChannelFactory(self._reactor, self._identity.pem, callers, self._rng, self._wall)
        first = {_family(server): server for server in reversed(servers)}
        self._hosts = worth_telling(interfaces(), local_host)
        for family, server in first.items():
            if self._open(family):
                self._ask(family, server)
        for family in {_family((host, 0)) for host in self._hosts}:
            self._open(family)
        self._servers = tuple(first.values())
        self._turn()
        prepare()  # while the answers are on their way

    def _open(self, family: int) -> bool:
        if family in self._sockets:
            return True
        try:
            socket = UdpSocket(self._reactor, bind_udp(ANY[family]))
        except OSError as error:
            self._journal("udp", "", f"no UDP socket for IPv{family}: {error.strerror or error}")
            return False
        self._sockets[family] = socket
        self._factory().attach(socket)
        socket.on_stun = lambda data, address: self._stun(family, data, (address[0], address[1]))
        socket.start()
        return True

    def _ask(self, family: int, server: Endpoint) -> None:
        if server not in self._servers or family not in self._gatherers:
            now = self._reactor.seconds()
            local = frozenset(self._own(family))
            self._gatherers[family] = Gatherer(server, rng=self._rng, now=now, local=local)

    def _own(self, family: int) -> list[Endpoint]:
        port = self._sockets[family].address[1]
        return [(host, port) for host in self._hosts if _family((host, 0)) == family]

    def network_changed(self) -> None:
        """Interfaces came or went: ask again where we are seen."""
        for gatherer in self._gatherers.values():
            gatherer.refresh(self._reactor.seconds())
        self._turn()

    def stop(self) -> None:
        """Close the sockets, and with them every channel over them."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        for run in list(self._runs.values()):
            run.end()
        if self._quic is not None:
            self._quic.stop()
            self._quic = None
        for socket in self._sockets.values():
            socket.close()
        self._sockets.clear()
        self._gatherers.clear()
        self._servers = ()

    # --- what to tell others

    def candidates(self) -> list[Candidate]:
        """Where this peer may be reached by UDP, as far as it is known now."""
        found = [
            Candidate("host", UDP, host, port, HOST_PRIORITY)
            for family in self._sockets
            for host, port in self._own(family)
        ]
        for gatherer in self._gatherers.values():
            seen = gatherer.found.reflexive
            if seen is not None and all((each.host, each.port) != seen for each in found):
                found.append(Candidate("reflexive", UDP, *seen, REFLEXIVE_PRIORITY))
        return found

    @property
    def gathering(self) -> bool:
        """Whether more candidates may still turn up."""
        return any(gatherer.found.mapping == UNKNOWN and not gatherer.late for gatherer in self._gatherers.values())

    @property
    def mapping(self) -> str:
        """How the NAT in front of this peer maps (IPv4's, where there is one)."""
        for family in sorted(self._gatherers):
            return self._gatherers[family].found.mapping
        return ""

    def addresses(self) -> frozenset[Endpoint]:
        """Addresses that are never to be sent checks: my own and the P2P server's."""
        own = [each for family in self._sockets for each in self._own(family)]
        return frozenset([*own, *self._servers])

    # --- checks

    def check(self, run: CheckRun) -> None:
        """Take datagrams for ``run``, and send what it wants to send."""
        self._runs[run.username] = run

    def checked(self, run: CheckRun) -> None:
        """No more of ``run``."""
        if self._runs.get(run.username) is run:
            del self._runs[run.username]

    def send(self, data: bytes, target: Endpoint) -> None:
        """Send one datagram, if there is a socket of the target's family."""
        socket = self._sockets.get(_family(target))
        if socket is not None:
            socket.send([data], target)

    def dial(self, target: Endpoint, fingerprint: bytes, owner: LinkOwner) -> QuicChannel:
        """Open QUIC on a path that checks have proved."""
        return self._factory().dial(self._sockets[_family(target)], target, fingerprint, owner)

    def expect(self, source: Endpoint) -> None:
        """A valid check came from ``source``: QUIC may come from there."""
        self._factory().expect(self._sockets[_family(source)], source)

    def unexpect(self, sources: Iterable[Endpoint]) -> None:
        """It is not expected any more."""
        for source in sources:
            if _family(source) in self._sockets:
                self._factory().unexpect(self._sockets[_family(source)], source)

    # --- inside

    def _factory(self) -> UdpChannelFactory:
        assert self._quic is not None, "there are sockets only while there is a factory"
        return self._quic

    def _stun(self, family: int, data: bytes, source: Endpoint) -> None:
        now = self._reactor.seconds()
        gatherer = self._gatherers.get(family)
        if gatherer is not None and gatherer.receive(data, source, now):
            self._turn()
            return
        name = check_username(data)
        runs = list(self._runs.values()) if name is None else [self._runs[name]] if name in self._runs else []
        for run in runs:
            if run.received(data, source):
                return

    def _turn(self) -> None:
        """Send what gatherers want to send, tell what they found, and come back when they want it."""
        now = self._reactor.seconds()
        changed = False
        for family, gatherer in self._gatherers.items():
            gatherer.handle_timer(now)
            for data, target in gatherer.to_send():
                self._sockets[family].send([data], target)
            while (found := gatherer.next_change()) is not None:
                changed = True
                where = format_address(*found.reflexive) if found.reflexive else "nowhere"
                self._journal("udp", "", f"seen by the P2P server at {where}; mapping: {found.mapping}")
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        at = min((gatherer.timer() for gatherer in self._gatherers.values()), default=None)
        self._timer = None if at is None else self._reactor.callLater(max(at - now, 0.001), self._turn)
        if changed:
            self._changed()


class CheckRun:
    """The checks of one negotiation, over a peer's sockets.

    It answers the other side's checks from the beginning, sends its own once it is given remotes, and lingers a while
    after it was stopped, since the other side may still be asking.

    :param found: called with each path that proved itself, and its round-trip time in seconds.
    :param failed: called once, with the reason, when none can.
    """

    def __init__(
        self,
        paths: UdpPaths,
        clock: Any,
        *,
        username: str,
        key: bytes,
        controlling: bool,
        tie_breaker: int,
        rng: Random,
        found: Callable[[Candidate, float], None],
        failed: Callable[[str], None],
    ) -> None:
        self.username = username
        self._paths = paths
        self._clock = clock
        self._controlling = controlling
        self._found = found
        self._failed = failed
        self._checks = CheckList(
            username=username,
            key=key,
            controlling=controlling,
            tie_breaker=tie_breaker,
            rng=rng,
            now=clock.seconds(),
        )
        self._timer: IDelayedCall | None = None
        self._stopped = False
        paths.check(self)

    def add(self, candidates: Iterable[Candidate], *, complete: bool) -> None:
        """Remotes to check; ``complete``: there will be no more."""
        now = self._clock.seconds()
        self._checks.add_remote((((each.host, each.port), each.kind, each.priority) for each in candidates), now)
        if complete:
            self._checks.no_more_remotes()
        for pair in self._checks.pairs.values():
            if pair.rtt is not None:
                self._tell(PairSucceeded(pair.remote, pair.kind, pair.rtt))
        self._turn()

    def received(self, data: bytes, source: Endpoint) -> bool:
        """A datagram that may be ours; whether it was."""
        ours = self._checks.receive(data, source, self._clock.seconds())
        if ours and not self._stopped and not self._controlling and self._checks.proved(source):
            self._paths.expect(source)
        self._pump()
        self._set_timer()
        return ours

    def stop(self) -> None:
        """Send no more checks of our own, and after a while answer none either."""
        if self._stopped:
            return
        self._stopped = True
        self._checks.stop()
        self._cancel()
        self._paths.unexpect(self._checks.pairs)
        self._timer = self._clock.callLater(limits.CHECKS_LINGER, self._paths.checked, self)

    def end(self) -> None:
        """Answer nothing any more, at once."""
        self._stopped = True
        self._cancel()
        self._paths.checked(self)

    # --- inside

    def _turn(self) -> None:
        self._timer = None
        self._checks.handle_timer(self._clock.seconds())
        self._pump()
        self._set_timer()

    def _pump(self) -> None:
        for data, target in self._checks.to_send():
            self._paths.send(data, target)
        while (event := self._checks.next_event()) is not None:
            if self._stopped:
                continue
            if isinstance(event, ChecksFailed):
                self._failed(event.reason)
            else:
                self._tell(event)

    def _tell(self, event: PairSucceeded) -> None:
        self._found(Candidate(event.kind, UDP, *event.remote), event.rtt)

    def _set_timer(self) -> None:
        if self._stopped:
            return
        self._cancel()
        at = self._checks.timer()
        if at is not None:
            self._timer = self._clock.callLater(max(at - self._clock.seconds(), 0.001), self._turn)

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
