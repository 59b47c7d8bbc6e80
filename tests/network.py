"""An internet in memory: hosts, LANs and NATs on a test clock.

NATs behave as RFC 4787 describes them: how they *map* an inside endpoint to an outside port, whom they let back in
(*filtering*), whether inside hosts reach each other by outside addresses (*hairpin*), how long an idle binding lives.
Links have delay, jitter (which reorders), loss and duplication. Nothing waits: `twisted.internet.task.Clock` carries
the packets, so a minute of networking takes milliseconds, and a seeded random source makes every run the same.

    world = Internet(clock, random.Random(1))
    server = world.host("198.51.100.10")
    home = world.nat("198.51.100.20", mapping=Dependence.ENDPOINT, filtering=Dependence.PORT)
    alice = home.host("192.168.1.2", Link(delay=0.02))
    socket = alice.bind(5000, received)        # received(data, (host, port))
    socket.send(b"hello", ("198.51.100.10", 3478))
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from twisted.internet.task import Clock

Endpoint = tuple[str, int]
Received = Callable[[bytes, Endpoint], None]

EPHEMERAL: Final = (20_000, 60_000)


class Dependence(enum.IntEnum):
    """What a mapping or a filter depends on (RFC 4787, sections 4.1 and 5)."""

    ENDPOINT = 0
    """Nothing about the outside: endpoint-independent."""
    ADDRESS = 1
    """The outside address."""
    PORT = 2
    """The outside address and port."""

    def key(self, outside: Endpoint) -> tuple[str, int]:
        """The part of ``outside`` that counts."""
        if self is Dependence.ENDPOINT:
            return ("", 0)
        return (outside[0], outside[1] if self is Dependence.PORT else 0)


@dataclass(frozen=True)
class Link:
    """What a packet meets on its way between a node and its network. Seconds and probabilities."""

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0


@dataclass(frozen=True)
class Packet:
    source: Endpoint
    target: Endpoint
    data: bytes
    transport: str = "udp"
    hops: int = 8


class Network:
    """A segment: the public internet, or a LAN behind a NAT. ``gateway`` takes what nobody here answers to."""

    def __init__(self, world: Internet) -> None:
        self.world = world
        self.nodes: dict[str, Node] = {}
        self.gateway: Nat | None = None

    def carry(self, packet: Packet) -> None:
        """Bring ``packet`` to its target on this segment, or to the way out of it."""
        node = self.nodes.get(packet.target[0])
        if packet.hops <= 0 or (node is None and self.gateway is None):
            self.world.lost += 1
        elif node is not None:
            self.world.travel(replace(packet, hops=packet.hops - 1), node.link, node.arrive)
        elif self.gateway is not None:
            self.gateway.leave(replace(packet, hops=packet.hops - 1))


class Node:
    """Something with an address on a network."""

    def __init__(self, network: Network, address: str, link: Link) -> None:
        self.network, self.address, self.link = network, address, link
        self.world = network.world
        if address in network.nodes:
            raise ValueError(f"{address} is taken")
        network.nodes[address] = self

    def arrive(self, packet: Packet) -> None:
        """A packet for this node's address, from its network."""
        raise NotImplementedError


@dataclass(frozen=True)
class Dialled:
    """What became of a SYN that arrived at ``host``: whether somebody listens on ``port`` there, as whom they see the
    dialler, and how many seconds it took."""

    host: Host
    port: int
    taken: bool
    seen: Endpoint
    delay: float


class UdpSocket:
    """A bound UDP socket of a `Host`."""

    def __init__(self, host: Host, port: int, received: Received) -> None:
        self.host, self.port, self.received = host, port, received
        self.sent = 0

    @property
    def address(self) -> Endpoint:
        return (self.host.address, self.port)

    def send(self, data: bytes, target: Endpoint) -> None:
        """Send one datagram; what becomes of it is the network's affair."""
        self.sent += 1
        self.host.emit(Packet(self.address, target, data))

    def close(self) -> None:
        self.host.sockets.pop(self.port, None)


class Host(Node):
    """A machine. It may hold several UDP sockets and listen on TCP ports."""

    def __init__(self, network: Network, address: str, link: Link) -> None:
        super().__init__(network, address, link)
        self.sockets: dict[int, UdpSocket] = {}
        self.listening: set[int] = set()

    def bind(self, port: int, received: Received) -> UdpSocket:
        """A socket on ``port`` (0: any free one)."""
        while port == 0 or port in self.sockets:
            port = self.world.random.randrange(*EPHEMERAL)
        self.sockets[port] = UdpSocket(self, port, received)
        return self.sockets[port]

    def emit(self, packet: Packet) -> None:
        """Put a packet on the wire."""
        self.world.sent += 1
        self.world.travel(packet, self.link, self.network.carry)

    def arrive(self, packet: Packet) -> None:
        if packet.transport == "tcp":
            self.world.dialled(packet, self)
            return
        socket = self.sockets.get(packet.target[1])
        if socket is None:
            self.world.lost += 1
        else:
            self.world.delivered += 1
            socket.received(packet.data, packet.source)

    def connect(self, target: Endpoint, outcome: Callable[[Dialled], None]) -> None:
        """Try TCP to ``target``: ``outcome`` is called when the answer is here, and never when the SYN gets lost."""
        self.world.connect(self, target, outcome)


@dataclass
class _Binding:
    inside: Endpoint
    outside_port: int
    used: float
    permitted: dict[tuple[str, int], float] = field(default_factory=dict)


class Nat(Node):
    """A translating box between ``inside``, a LAN of its own, and the network it stands on."""

    def __init__(
        self,
        network: Network,
        address: str,
        link: Link,
        *,
        mapping: Dependence = Dependence.ENDPOINT,
        filtering: Dependence = Dependence.PORT,
        hairpin: bool = False,
        lifetime: float = 30.0,
        udp: bool = True,
    ) -> None:
        super().__init__(network, address, link)
        self.mapping, self.filtering, self.hairpin = mapping, filtering, hairpin
        self.lifetime, self.udp = lifetime, udp
        self.outward = True
        """Whether UDP still gets out; what comes in is not affected."""
        self.inside = Network(network.world)
        self.inside.gateway = self
        self._by_inside: dict[tuple[str, Endpoint, tuple[str, int]], _Binding] = {}
        self._by_port: dict[tuple[str, int], _Binding] = {}

    def host(self, address: str, link: Link = Link()) -> Host:
        """A host on the LAN behind this NAT."""
        return Host(self.inside, address, link)

    def nat(self, address: str, link: Link = Link(), **behaviour: object) -> Nat:
        """Another NAT behind this one (double NAT)."""
        return Nat(self.inside, address, link, **behaviour)  # type: ignore[arg-type]

    def forget(self) -> None:
        """Lose all bindings, as a router does that restarts."""
        self._by_inside.clear()
        self._by_port.clear()

    def leave(self, packet: Packet) -> None:
        """Out: find or make the binding, note whom it may hear from."""
        if packet.transport == "udp" and not (self.udp and self.outward):
            self.world.lost += 1
            return
        if packet.target[0] == self.address and not self.hairpin:
            self.world.lost += 1
            return
        binding = self._bind(packet)
        now = self.world.clock.seconds()
        binding.used = now
        binding.permitted[self.filtering.key(packet.target)] = now
        translated = replace(packet, source=(self.address, binding.outside_port))
        if packet.target[0] == self.address:
            self.arrive(translated)
        else:
            self.world.travel(translated, self.link, self.network.carry)

    def arrive(self, packet: Packet) -> None:
        """In: only through a live binding whose filter lets the sender pass."""
        binding = self._by_port.get((packet.transport, packet.target[1]))
        now = self.world.clock.seconds()
        if packet.transport == "udp" and not self.udp:
            binding = None
        if binding is None or now - binding.used > self.lifetime or not self._permits(binding, packet.source, now):
            self.world.lost += 1
            return
        self.inside.carry(replace(packet, target=binding.inside))

    def _permits(self, binding: _Binding, source: Endpoint, now: float) -> bool:
        permitted = binding.permitted.get(self.filtering.key(source))
        return permitted is not None and now - permitted <= self.lifetime

    def _bind(self, packet: Packet) -> _Binding:
        key = (packet.transport, packet.source, self.mapping.key(packet.target))
        binding = self._by_inside.get(key)
        now = self.world.clock.seconds()
        if binding is not None and now - binding.used <= self.lifetime:
            return binding
        port = packet.source[1] if self.mapping is Dependence.ENDPOINT else 0
        while port == 0 or (packet.transport, port) in self._by_port:
            port = self.world.random.randrange(*EPHEMERAL)
        binding = _Binding(packet.source, port, now)
        self._by_inside[key] = self._by_port[packet.transport, port] = binding
        return binding


class Internet:
    """The public network and everything attached to it."""

    def __init__(self, clock: Clock, rng: random.Random) -> None:
        self.clock, self.random = clock, rng
        self.public = Network(self)
        self.sent = self.delivered = self.lost = 0
        self._dials: dict[bytes, tuple[float, Callable[[Dialled], None]]] = {}

    def host(self, address: str, link: Link = Link()) -> Host:
        """A host with a public address."""
        return Host(self.public, address, link)

    def nat(
        self,
        address: str,
        link: Link = Link(),
        *,
        mapping: Dependence = Dependence.ENDPOINT,
        filtering: Dependence = Dependence.PORT,
        hairpin: bool = False,
        lifetime: float = 30.0,
        udp: bool = True,
    ) -> Nat:
        """A NAT with a public address."""
        return Nat(
            self.public,
            address,
            link,
            mapping=mapping,
            filtering=filtering,
            hairpin=hairpin,
            lifetime=lifetime,
            udp=udp,
        )

    def firewalled(self, address: str, link: Link = Link()) -> Host:
        """A host with a public address behind a stateful firewall: a NAT that translates nothing."""
        wall = _Firewall(self.public, address, link)
        return Host(wall.inside, address, Link())

    def travel(self, packet: Packet, link: Link, arrive: Callable[[Packet], None]) -> None:
        """Carry ``packet`` over ``link``; TCP's own retransmissions are modelled as no loss."""
        if packet.transport == "udp" and self.random.random() < link.loss:
            self.lost += 1
            return
        copies = 2 if packet.transport == "udp" and self.random.random() < link.duplicate else 1
        for _ in range(copies):
            self.clock.callLater(link.delay + self.random.random() * link.jitter, arrive, packet)

    def connect(self, host: Host, target: Endpoint, outcome: Callable[[Dialled], None]) -> None:
        """See `Host.connect`: a SYN that may find its way, and as long a way back."""
        mark = self.random.randbytes(8)
        self._dials[mark] = (self.clock.seconds(), outcome)
        host.emit(Packet((host.address, self.random.randrange(*EPHEMERAL)), target, mark, "tcp"))

    def dialled(self, syn: Packet, host: Host) -> None:
        """A SYN has arrived: the dialler learns of it after the way back."""
        begun, outcome = self._dials.pop(syn.data, (0.0, None))
        if outcome is not None:
            delay = self.clock.seconds() - begun
            taken = syn.target[1] in host.listening
            self.clock.callLater(delay, outcome, Dialled(host, syn.target[1], taken, syn.source, delay))


class _Firewall(Nat):
    """Lets out everything and in only what answers it; addresses and ports stay as they are."""

    def __init__(self, network: Network, address: str, link: Link) -> None:
        super().__init__(network, address, link, mapping=Dependence.ENDPOINT, filtering=Dependence.PORT, hairpin=False)
