"""Datagrams in memory: sockets at addresses, delay, loss, duplication and reordering, all on a test clock."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence

from twisted.internet.task import Clock

from p2pim.net.datagram import Address
from p2pim.net.quic_factory import UdpChannelFactory
from p2pim.wire.demux import Kind, sort_batch


class MemorySocket:
    """A socket at ``address``; what arrives goes to ``factory``."""

    def __init__(self, world: DatagramWorld, address: Address) -> None:
        self._world = world
        self.address = address
        self.full = False
        self.factory: UdpChannelFactory | None = None
        self.seen: list[tuple[bytes, Address]] = []

    def send(self, datagrams: Sequence[bytes], address: Address) -> None:
        """As `p2pim.net.datagram.UdpSocket.send`."""
        for datagram in datagrams:
            self._world.carry(self.address, bytes(datagram), address)

    def arrive(self, datagram: bytes, sender: Address) -> None:
        """One datagram is here."""
        self.seen.append((datagram, sender))
        for batch in sort_batch(datagram, len(datagram)):
            if self.factory is not None and batch.kind is Kind.QUIC:
                self.factory.quic_received(self, batch, sender)


class DatagramWorld:
    """Where memory sockets live."""

    def __init__(self, seed: int = 1, *, delay: float = 0.01, loss: float = 0.0, jitter: float = 0.0) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.random = random.Random(seed)
        self.delay, self.loss, self.jitter = delay, loss, jitter
        self.duplicates = 0.0
        self.rate = 0.0
        """Bytes per second that the link takes in each direction, with 28 more per datagram; 0 for any."""
        self.queue = 0.05
        """Seconds of waiting before the link; what would wait longer is dropped."""
        self._free_at: dict[Address, float] = {}
        self.cut = False
        self.mute: set[Address] = set()
        """Sockets from which nothing gets out."""
        self.mtu = 1500 - 28
        self.translate: Callable[[Address], Address] = lambda address: address
        """What the sender's address looks like from outside."""
        self.carried = 0
        self._flying: list[tuple[float, int, bytes, Address, Address]] = []
        self._order = 0
        self.sockets: dict[Address, MemorySocket] = {}

    def socket(self, host: str, port: int = 1000) -> MemorySocket:
        """A new socket."""
        made = self.sockets[(host, port)] = MemorySocket(self, (host, port))
        return made

    def carry(self, sender: Address, datagram: bytes, to: Address) -> None:
        """A datagram is sent."""
        self.carried += 1
        if self.cut or sender in self.mute or len(datagram) > self.mtu:
            return
        copies = 1 + (self.random.random() < self.duplicates)
        for _ in range(copies):
            if self.random.random() >= self.loss:
                self._fly(sender, datagram, to)

    def _fly(self, sender: Address, datagram: bytes, to: Address) -> None:
        at = self.clock.seconds()
        if self.rate:
            begin = max(at, self._free_at.get(to, at))
            if begin - at > self.queue:
                return
            at = self._free_at[to] = begin + (len(datagram) + 28) / self.rate
        self._order += 1
        at += self.delay + self.random.random() * self.jitter
        heapq.heappush(self._flying, (at, self._order, datagram, self.translate(sender), to))

    def _deliver(self, now: float) -> None:
        """Whatever has arrived by ``now``."""
        awake: dict[Address, MemorySocket] = {}
        while self._flying and self._flying[0][0] <= now:
            _, _, datagram, sender, to = heapq.heappop(self._flying)
            socket = self.sockets.get(to)
            if socket is not None and not self.cut:
                socket.arrive(datagram, sender)
                awake[to] = socket
        for socket in awake.values():
            if socket.factory is not None:
                socket.factory.read_ended()

    def advance(self, seconds: float) -> None:
        """Let time pass, event by event: a clock's own `advance` would let them all happen at the end."""
        clock = self.clock
        until = clock.seconds() + seconds
        while (at := self._next_event()) <= until:
            clock.advance(max(at - clock.seconds(), 0.0))
            self._deliver(clock.seconds())
        clock.advance(max(until - clock.seconds(), 0.0))

    def _next_event(self) -> float:
        times = [call.getTime() for call in self.clock.getDelayedCalls()]
        if self._flying:
            times.append(self._flying[0][0])
        return min(times, default=float("inf"))
