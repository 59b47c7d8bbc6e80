"""Datagrams in memory: sockets at addresses, delay, loss, duplication and reordering, all on a test clock."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from twisted.internet.task import Clock

from p2pim.net.datagram import Address
from p2pim.net.quic_factory import UdpChannelFactory
from p2pim.wire.demux import Kind, sort_batch

STEP = 0.001


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
                self.factory.read_ended()


class DatagramWorld:
    """Where memory sockets live."""

    def __init__(self, seed: int = 1, *, delay: float = 0.01, loss: float = 0.0, jitter: float = 0.0) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.random = random.Random(seed)
        self.delay, self.loss, self.jitter = delay, loss, jitter
        self.duplicates = 0.0
        self.cut = False
        self.mtu = 1500 - 28
        self.translate: Callable[[Address], Address] = lambda address: address
        """What the sender's address looks like from outside."""
        self.carried = 0
        self.sockets: dict[Address, MemorySocket] = {}

    def socket(self, host: str, port: int = 1000) -> MemorySocket:
        """A new socket."""
        made = self.sockets[(host, port)] = MemorySocket(self, (host, port))
        return made

    def carry(self, sender: Address, datagram: bytes, to: Address) -> None:
        """A datagram is sent."""
        self.carried += 1
        if self.cut or len(datagram) > self.mtu:
            return
        copies = 1 + (self.random.random() < self.duplicates)
        for _ in range(copies):
            if self.random.random() >= self.loss:
                delay = self.delay + self.random.random() * self.jitter
                self.clock.callLater(delay, self._deliver, datagram, self.translate(sender), to)

    def _deliver(self, datagram: bytes, sender: Address, to: Address) -> None:
        socket = self.sockets.get(to)
        if socket is not None and not self.cut:
            socket.arrive(datagram, sender)

    def advance(self, seconds: float) -> None:
        """Let time pass, event by event: a clock's own `advance` would let them all happen at the end."""
        clock = self.clock
        until = clock.seconds() + seconds
        while True:
            calls = clock.getDelayedCalls()
            at = min((call.getTime() for call in calls), default=until)
            if at > until:
                break
            clock.advance(max(at - clock.seconds(), 0.0))
            if not clock.getDelayedCalls() and at >= until:
                break
        clock.advance(max(until - clock.seconds(), 0.0))
