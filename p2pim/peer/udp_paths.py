"""The UDP half of a peer: its sockets, what the world sees them at, the checks of negotiations, and QUIC over what they
find.

There is one socket per address family, and everything shares it: questions to the P2P server, checks, and QUIC. It
exists only while there is a P2P server to use; without one no datagram is ever sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from p2pim.core import limits
from p2pim.core.addresses import format_address
from p2pim.core.candidates import UDP, Endpoint
from p2pim.core.gathering import Gatherer
from p2pim.core.interfaces import Interface, worth_telling
from p2pim.core.silent_hosts import SilentHosts
from p2pim.errors import NoRoute
from p2pim.net.datagram import DatagramSocket, UdpSocket, bind_udp
from p2pim.net.own_addresses import interfaces
from p2pim.net.peer_tls import PeerIdentity
from p2pim.net.quic import LinkOwner, QuicChannel
from p2pim.net.quic_connection import prepare
from p2pim.net.quic_factory import UdpChannelFactory
from p2pim.peer.check_run import CheckRun
from p2pim.wire.checks import check_username
from p2pim.wire.signals import Candidate

HOST_PRIORITY: Final = 126
REFLEXIVE_PRIORITY: Final = 100
"""RFC 8445, section 5.1.2.2: what leads there directly is better than what leads there through a NAT."""
ANY: Final = {4: "0.0.0.0", 6: "::"}  # noqa: S104 - a peer is to be reached at all its addresses


def _family(endpoint: Endpoint) -> int:
    return 6 if ":" in endpoint[0] else 4


def open_socket(reactor: Any, host: str) -> DatagramSocket:
    """A socket of the kernel's, at ``host``.

    :raises OSError: there is none to be had.
    """
    return UdpSocket(reactor, bind_udp(host))


@dataclass(frozen=True)
class Ground:
    """What UDP stands on: how a socket is opened at a host, and the addresses of this machine's interfaces."""

    open_socket: Callable[[Any, str], DatagramSocket] = open_socket
    interfaces: Callable[[], Iterable[Interface]] = interfaces


KERNEL: Final = Ground()


class UdpPaths:
    """See the module.

    :param reactor: clock and descriptors.
    :param identity: the peer's certificate, the same as for its TCP channels.
    :param changed: called when a candidate was found or lost, while negotiations may want to tell of it.
    :param ground: where the sockets come from.
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
        ground: Ground = KERNEL,
    ) -> None:
        self._reactor = reactor
        self._ground = ground
        self._rng = rng
        self._journal = journal
        self._changed = changed
        self._identity = identity
        self._wall = wall
        self._quic: UdpChannelFactory | None = None
        self._sockets: dict[int, DatagramSocket] = {}
        self._gatherers: dict[int, Gatherer] = {}
        self._runs: dict[str, CheckRun] = {}
        self._silent = SilentHosts()
        self._servers: dict[int, Endpoint] = {}
        self._local_host = ""
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
        self._servers = {_family(server): server for server in reversed(servers)}
        self._local_host = local_host
        self._look_around()
        prepare()  # while the answers are on their way

    def network_changed(self) -> None:
        """Interfaces came or went: ask again where we are seen."""
        if self._quic is not None:
            for gatherer in self._gatherers.values():
                gatherer.refresh(self._reactor.seconds())
            self._look_around()

    def _look_around(self) -> None:
        """Take the interfaces as they are now, with a socket for each family, and ask the servers."""
        hosts = worth_telling(self._ground.interfaces(), self._local_host)
        moved, self._hosts = hosts != self._hosts, hosts
        for family in sorted({*self._servers, *(_family((host, 0)) for host in hosts)}):
            self._open(family)
        self._gatherers = {
            family: self._gatherer(family, server)
            for family, server in self._servers.items()
            if family in self._sockets
        }
        self._turn()
        if moved:
            self._changed()

    def _gatherer(self, family: int, server: Endpoint) -> Gatherer:
        """Who asks ``server``: whoever does so already, unless this machine has other addresses now."""
        known, local = self._gatherers.get(family), frozenset(self._own(family))
        if known is not None and (known.server, known.local) == (server, local):
            return known
        return Gatherer(server, rng=self._rng, now=self._reactor.seconds(), local=local)

    def _open(self, family: int) -> None:
        if family in self._sockets:
            return
        try:
            socket = self._ground.open_socket(self._reactor, ANY[family])
        except OSError as error:
            self._journal("udp", "", f"no UDP socket for IPv{family}: {error.strerror or error}")
            return
        self._sockets[family] = socket
        self._factory().attach(socket)
        socket.on_stun = lambda data, address: self._stun(family, data, (address[0], address[1]))
        socket.on_lost = lambda: self._lost(family, socket)
        socket.start()

    def _lost(self, family: int, socket: DatagramSocket) -> None:
        """The kernel took the socket from us. Whatever went over it ends; soon there is another."""
        if self._sockets.get(family) is not socket:
            return
        del self._sockets[family]
        self._gatherers.pop(family, None)
        self._journal("udp", "", f"the UDP socket for IPv{family} broke; another will be opened")
        self._factory().detach(socket, "this machine's UDP socket broke")
        self._cancel()
        self._timer = self._reactor.callLater(limits.SOCKET_RETRY, self._look_around)

    def _own(self, family: int) -> list[Endpoint]:
        port = self._sockets[family].address[1]
        return [(host, port) for host in self._hosts if _family((host, 0)) == family]

    def stop(self) -> None:
        """Close the sockets, and with them every channel over them."""
        self._cancel()
        sockets, self._sockets = self._sockets, {}
        self._gatherers.clear()
        self._servers = {}
        self._hosts = []
        for run in list(self._runs.values()):
            run.end("UDP was switched off")
        quic, self._quic = self._quic, None
        if quic is not None:
            quic.stop()
        for socket in sockets.values():
            socket.close()

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

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
        return any(gatherer.gathering for gatherer in self._gatherers.values())

    @property
    def mapping(self) -> str:
        """How the NAT in front of this peer maps (IPv4's, where there is one)."""
        for family in sorted(self._gatherers):
            return self._gatherers[family].found.mapping
        return ""

    def addresses(self) -> frozenset[Endpoint]:
        """Addresses that are never to be sent checks: my own, as seen from near and far, and the P2P servers'."""
        avoided = {each for family in self._sockets for each in self._own(family)}.union(self._servers.values())
        for gatherer in self._gatherers.values():
            avoided.update(gatherer.asked)
            if gatherer.found.reflexive is not None:
                avoided.add(gatherer.found.reflexive)
        return frozenset(avoided)

    # --- checks

    def check(self, run: CheckRun) -> None:
        """Take datagrams for ``run``, and send what it wants to send."""
        while len(self._runs) >= limits.CHECK_RUNS:
            next(each for each in self._runs.values() if each.lingers).end("")
        self._runs[run.username] = run

    def checked(self, run: CheckRun) -> None:
        """No more of ``run``."""
        if self._runs.get(run.username) is run:
            del self._runs[run.username]

    def may_send(self, target: Endpoint, user: str) -> bool:
        """Whether ``target``, which ``user`` has named and which has not answered, may get one more datagram."""
        return self._silent.may_send(target[0], user, self._reactor.seconds())

    def send(self, data: bytes, target: Endpoint) -> None:
        """Send one datagram, if there is a socket of the target's family."""
        socket = self._sockets.get(_family(target))
        if socket is not None:
            socket.send([data], target)

    def dial(self, target: Endpoint, fingerprint: bytes, owner: LinkOwner) -> QuicChannel:
        """Open QUIC on a path that checks have proved.

        :raises NoRoute: its socket is closed by now.
        """
        socket = self._sockets.get(_family(target))
        if socket is None:
            raise NoRoute("this side's UDP socket is closed")
        return self._factory().dial(socket, target, fingerprint, owner)

    def expect(self, source: Endpoint, *, answered: bool) -> None:
        """A valid check came from ``source``: QUIC may come from there, and is heard once one has been ``answered``."""
        socket = self._sockets.get(_family(source))
        if socket is not None:
            self._factory().expect(socket, source, proved=answered)

    def unexpect(self, sources: Iterable[Endpoint]) -> None:
        """It is not expected any more, unless for another negotiation."""
        for source in sources:
            socket = self._sockets.get(_family(source))
            if socket is not None and not any(run.expects(source) for run in self._runs.values()):
                self._factory().unexpect(socket, source)

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
        if name is not None:
            runs = [self._runs[name]] if name in self._runs else []
        else:
            runs = [run for run in self._runs.values() if run.awaits(source)]
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
        self._cancel()
        at = min((gatherer.timer() for gatherer in self._gatherers.values()), default=None)
        if at is not None:
            self._timer = self._reactor.callLater(max(at - now, 0.001), self._turn)
        if changed:
            self._changed()
