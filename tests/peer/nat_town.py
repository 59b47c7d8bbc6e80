"""Peers' channel tables on hosts of the in-memory internet: UDP and TCP through the same NATs, on one test clock.

The town's server introduces people as in `tests.peer.town`; it stands in the public internet, and beside it is a P2P
server that gives the real answers. What may be dialled and what datagrams may come in is for the NATs to say.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, TimeoutError
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from p2pim.core.interfaces import Interface
from p2pim.net.datagram import Address
from p2pim.peer.udp_paths import Ground
from p2pim.wire.demux import Batch, Kind, sort_batch
from tests.nat_kinds import place
from tests.network import Dialled, Endpoint, Host, Internet, Link, Nat
from tests.passing_time import QuickClock, pass_time
from tests.peer.memory_network import MemoryNetwork, MemoryReactor, MemoryTransport
from tests.peer.town import Resident, Splices, Town
from tests.stun_world import SERVER as P2P_SERVER
from tests.stun_world import StunWorld

SERVER: Endpoint = (P2P_SERVER[0], 4530)
LINK = Link(0.02)


class HostSocket:
    """A peer's UDP socket on a host, as `p2pim.net.datagram.UdpSocket`."""

    full = False

    def __init__(self, host: Host) -> None:
        self.host = host
        self.under = host.bind(0, self.arrived)
        self.address: Address = self.under.address
        self.on_stun: Callable[[bytes, Address], None] | None = None
        self.on_quic: Callable[[Batch, Address], None] | None = None
        self.on_read: Callable[[], None] | None = None
        self.on_room: Callable[[], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self.closed = False
        self.delay_stun = 0.0
        """Seconds for which STUN is held back here before it leaves."""
        self.sent: list[tuple[float, int, Address]] = []
        """When, how long and where to."""

    def start(self) -> None:
        """It reads from the beginning."""

    def send(self, datagrams: Sequence[bytes], address: Address) -> None:
        for datagram in datagrams if not self.closed else ():
            self.sent.append((self.host.world.clock.seconds(), len(datagram), address))
            late = self.delay_stun if datagram[0] <= 3 else 0.0
            self.host.world.clock.callLater(late, self.under.send, bytes(datagram), (address[0], address[1]))

    def close(self) -> None:
        self.closed = True
        self.under.close()

    def arrived(self, data: bytes, source: Endpoint) -> None:
        for batch in sort_batch(data, len(data)):
            if batch.kind is Kind.QUIC and self.on_quic is not None:
                self.on_quic(batch, source)
            elif batch.kind is Kind.STUN and self.on_stun is not None:
                self.on_stun(data, source)
        if self.on_read is not None and not self.closed:
            self.on_read()


class HostReactor(MemoryReactor):
    """The machine that is a host of the in-memory internet (and, with IPv6, a second one)."""

    network: NatNetwork

    def __init__(self, network: NatNetwork, node: Host, node6: Host | None = None) -> None:
        super().__init__(network, node.address)
        self.node, self.node6 = node, node6
        self.sockets: list[HostSocket] = []
        self.further: list[str] = []
        """Addresses of interfaces that lead nowhere."""
        network.at[node] = self

    def listenTCP(self, port: Any, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        listening = super().listenTCP(port, factory, backlog, interface)
        number = listening.getHost().port
        self.node.listening.add(number)
        stop = listening.stopListening

        def stop_listening() -> None:
            stop()
            self.node.listening.discard(number)

        listening.stopListening = stop_listening
        return listening

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> Any:
        self.dialled.append((host, port))
        factory.doStart()
        call = _Call(self, (host, port), factory, timeout)
        factory.startedConnecting(call)
        return call

    @property
    def ground(self) -> Ground:
        """Where this machine's UDP stands."""
        return Ground(self._open, self._interfaces)

    def _interfaces(self) -> list[Interface]:
        hosts = [node.address for node in (self.node, self.node6) if node is not None] + self.further
        return [Interface("eth0", host) for host in hosts]

    def _open(self, reactor: object, host: str) -> HostSocket:
        node = self.node6 if ":" in host else self.node
        if node is None:
            raise OSError("no such address family")
        self.sockets.append(HostSocket(node))
        return self.sockets[-1]


class _Call:
    """A connection being made (Twisted's connector)."""

    def __init__(self, machine: HostReactor, target: Endpoint, factory: Any, timeout: float) -> None:
        self.machine, self.target, self.factory = machine, target, factory
        self.over = False
        self.late = machine.callLater(timeout, self.fail, TimeoutError())
        machine.node.connect(target, self.answered)

    def stopConnecting(self) -> None:
        self.fail(ConnectionAborted())

    disconnect = stopConnecting

    def getDestination(self) -> IPv4Address:
        return IPv4Address("TCP", *self.target)

    def fail(self, reason: Exception) -> None:
        if not self.over:
            self.over = True
            if self.late.active():
                self.late.cancel()
            self.factory.clientConnectionFailed(self, Failure(reason))

    def answered(self, there: Dialled) -> None:
        network = self.machine.network
        machine = network.at.get(there.host)
        port = machine.ports.get((there.host.address, there.port)) if machine is not None else None
        if self.over:
            return
        if not there.taken or machine is None or port is None:
            self.fail(RefusedError())
            return
        self.over = True
        self.late.cancel()
        here = IPv4Address("TCP", self.machine.host, self.machine.free_port())
        one = MemoryTransport(network, here, IPv4Address("TCP", *self.target), there.delay)
        other = MemoryTransport(network, port.address, IPv4Address("TCP", *there.seen), there.delay)
        network.make(one, other, machine, port, self.factory)


class NatNetwork(MemoryNetwork):
    """TCP between hosts of the in-memory internet."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, 0.01)
        self.at: dict[Host, HostReactor] = {}


class NatTown(Town):
    """A town whose people live behind NATs.

    :param link: between each NAT, or public host, and the internet.
    """

    server_address = SERVER
    network: NatNetwork

    def __init__(self, seed: int = 1, link: Link = LINK) -> None:
        self.world = Internet(QuickClock(), random.Random(seed))
        self.clock = self.world.clock
        self.clock.advance(1000.0)
        self.stun = StunWorld(self.world)
        self.link = link
        self.network = NatNetwork(self.clock)
        self.residents: dict[bytes, Resident] = {}
        self.delay = 0.02
        self.splices = Splices()
        node = self.world.public.nodes[SERVER[0]]
        assert isinstance(node, Host)
        self.server = HostReactor(self.network, node)
        self.server.listenTCP(SERVER[1], self.splices)
        self._tickets = 0

    def settle_in(self, name: str, kind: str, **options: Any) -> NatResident:
        """Somebody in a place of their own, of a kind of `tests.nat_kinds`."""
        return self.settle_at(name, place(self.world, kind, len(self.residents), self.link), **options)

    def settle_at(
        self,
        name: str,
        node: Host,
        *,
        node6: Host | None = None,
        p2p: Sequence[Endpoint] = (P2P_SERVER,),
        **options: Any,
    ) -> NatResident:
        """Somebody on this host, signed in; ``p2p`` are the P2P servers that they know."""
        machine = HostReactor(self.network, node, node6)
        device = bytes([len(self.residents) + 1]) * 16
        resident = NatResident(self, name, machine, device, ground=machine.ground, **options)
        self.residents[device] = resident
        resident.sign_in()
        if p2p:
            resident.table.use_p2p(p2p)
        return resident

    def run(self, seconds: float = 1.0) -> None:
        pass_time(self.clock, seconds)


class NatResident(Resident):
    """A resident of a `NatTown`."""

    machine: HostReactor
    server_address = SERVER

    @property
    def datagrams(self) -> list[tuple[float, int, Address]]:
        """What this peer has sent by UDP: when, how long, and where to."""
        return [each for socket in self.machine.sockets for each in socket.sent]

    @property
    def nat(self) -> Nat:
        """The NAT that this peer is directly behind."""
        assert self.machine.node.network.gateway is not None
        return self.machine.node.network.gateway
