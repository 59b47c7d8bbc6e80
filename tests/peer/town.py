"""Peers' channel tables on machines in memory, introduced to each other by a server that is only a dictionary."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from p2pim.errors import NotSignedIn, Offline, P2pimError
from p2pim.peer.channels import ChannelTable
from p2pim.peer.interfaces import IChannel, IChannelUser
from p2pim.wire.channel import SPLICE_PREFACE_BYTES, SPLICE_READY
from p2pim.wire.messages import (
    Device,
    Found,
    Limits,
    LookUp,
    Message,
    OpenSplice,
    Person,
    SpliceTickets,
    Welcome,
    WhoIsOnline,
)
from p2pim.wire.signals import AnySignal, Signal, decode_signal, encode_signal
from tests.peer.memory_network import MemoryNetwork, MemoryReactor

SERVER = ("10.0.0.1", 4530)


class SpliceHalf(Protocol):
    """The server's end of a relayed connection."""

    def __init__(self, halves: dict[bytes, SpliceHalf | None]) -> None:
        self.halves = halves
        self.data = b""
        self.other: SpliceHalf | None = None

    def dataReceived(self, data: bytes) -> None:
        if self.other is not None:
            assert self.other.transport is not None
            self.other.transport.write(data)
            return
        self.data += data
        if len(self.data) >= SPLICE_PREFACE_BYTES:
            self.join(self.data[15:47])

    def join(self, ticket: bytes) -> None:
        assert self.transport is not None
        if ticket not in self.halves:
            self.transport.loseConnection()
            return
        pair = ticket[:31]
        waiting = self.halves.get(pair)
        if waiting is None:
            self.halves[pair] = self
            return
        self.other, waiting.other = waiting, self
        for half in (self, waiting):
            assert half.transport is not None
            half.transport.write(SPLICE_READY)

    def connectionLost(self, reason: Any = None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.loseConnection()


class Splices(Factory):
    """The server's relay: the keys of `halves` are the tickets that are good; two that differ in the last byte meet."""

    def __init__(self) -> None:
        self.halves: dict[bytes, SpliceHalf | None] = {}

    def buildProtocol(self, addr: IAddress | None) -> SpliceHalf:
        return SpliceHalf(self.halves)


@implementer(IChannelUser)
class Resident:
    """A peer: its table, a session that asks the town, and everything it was told."""

    def __init__(self, town: Town, name: str, machine: MemoryReactor, device: bytes, **options: Any) -> None:
        self.town, self.name, self.machine, self.device = town, name, machine, device
        self.online = False
        self.local = (machine.host if "local" not in options else options.pop("local"), machine.free_port())
        self.opened: list[IChannel] = []
        self.closed: list[tuple[IChannel, str]] = []
        self.signals: list[tuple[str, AnySignal, IChannel | None]] = []
        self.bulk: list[tuple[int, bytes]] = []
        self.ends: list[tuple[int, bytes]] = []
        self.log: list[tuple[str, str, str]] = []
        self.sent: list[AnySignal] = []
        self.asked: list[Message] = []
        self.tickets_delay = 0.0
        self.dropping: Callable[[AnySignal], bool] = lambda signal: False
        self.table = ChannelTable(
            machine,
            user=self,
            session=self,
            send=self.send_signal,
            my_device=device,
            devices_of=self.devices_of,
            journal=lambda kind, user, text: self.log.append((kind, user, text)),
            rng=Random(device),
            wall=lambda: 1_700_000_000.0 + machine.seconds(),
            **options,
        )

    # --- its session

    server_address = SERVER

    async def devices_of(self, user: str) -> list[Device]:
        if not self.online:
            raise NotSignedIn
        return self.town.person(user).devices

    async def request(self, message_factory: Callable[[int], Message]) -> Message:
        message = message_factory(1)
        self.asked.append(message)
        if not self.online:
            raise NotSignedIn
        if isinstance(message, WhoIsOnline):
            return Found(1, [self.town.person(name) for name in self.town.names()])
        if isinstance(message, LookUp):
            return Found(1, [self.town.person(name) for name in message.users])
        assert isinstance(message, OpenSplice)
        if self.tickets_delay:
            await deferLater(self.machine, self.tickets_delay)
            if not self.online:
                raise NotSignedIn
        return self.town.tickets(message)

    def send_signal(
        self, user: str, device: bytes, signal: Signal, on_failed: Callable[[P2pimError], None] | None = None
    ) -> None:
        signal = decode_signal(encode_signal(signal))
        self.sent.append(signal)
        other = self.town.residents.get(device)
        if not self.online or other is None or not other.online:
            if on_failed is not None:
                self.machine.callLater(0, on_failed, Offline() if self.online else NotSignedIn())
            return
        if not self.dropping(signal):
            self.machine.callLater(self.town.delay, other.deliver, self.name, self.device, signal)

    def deliver(self, user: str, device: bytes, signal: AnySignal) -> None:
        if self.online:
            self.table.envelope(user, device, signal)

    # --- what it is told

    def channel_opened(self, channel: IChannel) -> None:
        self.opened.append(channel)

    def channel_closed(self, channel: IChannel, reason: str) -> None:
        self.closed.append((channel, reason))

    def signal_received(self, user: str, device: bytes, signal: AnySignal, channel: IChannel | None) -> None:
        self.signals.append((user, signal, channel))

    def bulk_received(self, channel: IChannel, stream: int, data: bytes) -> None:
        self.bulk.append((stream, data))

    def bulk_ended(self, channel: IChannel, stream: int, digest: bytes) -> None:
        self.ends.append((stream, digest))

    # --- what it does

    def sign_in(self) -> None:
        self.online = True
        self.table.signed_in(welcome(self.name, f"{self.local[0]}:{self.local[1]}"), self.local)

    def interrupt(self) -> None:
        self.online = False
        self.table.interrupted()

    def connect(self, other: Resident) -> Deferred[IChannel]:
        return Deferred.fromCoroutine(self.table.connect(other.name))

    def relay(self, other: Resident) -> Deferred[IChannel]:
        return Deferred.fromCoroutine(self.table.open_relay(other.name, other.device))


class Town:
    """The network, the server, and those who live there."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.residents: dict[bytes, Resident] = {}
        self.delay = 0.01
        self.splices = Splices()
        self.server = self.network.machine(SERVER[0])
        self.server.listenTCP(SERVER[1], self.splices)
        self._tickets = 0

    def resident(self, name: str, host: str, *, signed_in: bool = True, **options: Any) -> Resident:
        machine = self.network.machines.get(host) or self.network.machine(host)
        device = bytes([len(self.residents) + 1]) * 16
        resident = self.residents[device] = Resident(self, name, machine, device, **options)
        if signed_in:
            resident.sign_in()
        return resident

    def names(self) -> list[str]:
        return sorted({resident.name for resident in self.residents.values() if resident.online})

    def person(self, name: str) -> Person:
        devices = [
            Device(each.device, each.name, f"{each.local[0]}:{each.local[1]}")
            for each in self.residents.values()
            if each.name == name and each.online
        ]
        return Person(name, "online" if devices else "offline", devices)

    def tickets(self, message: OpenSplice) -> SpliceTickets:
        self._tickets += 1
        mine, theirs = (bytes([self._tickets]) * 31 + bytes([side]) for side in (1, 2))
        self.splices.halves[mine] = self.splices.halves[theirs] = None
        return SpliceTickets(message.id, mine, theirs, 30.0)

    def run(self, seconds: float = 1.0) -> None:
        self.network.run(seconds)


def welcome(name: str, address: str) -> Welcome:
    return Welcome(b"s", name, address, None, 5.0, 30.0, Limits(131072, 98304, 1000), b"token", [], "test")


class Pair(SynchronousTestCase):
    """Alice and Bob in one LAN."""

    def setUp(self) -> None:
        self.town = Town()
        self.alice = self.town.resident("alice", "10.0.0.2")
        self.bob = self.town.resident("bob", "10.0.0.3")

    def connected(self, one: Resident | None = None, other: Resident | None = None) -> tuple[IChannel, IChannel]:
        """Both ends of a new direct channel."""
        one, other = one or self.alice, other or self.bob
        result = one.connect(other)
        self.town.run()
        here = self.successResultOf(result)
        there = other.table.channel_to(one.name, one.device)
        assert there is not None
        return here, there

    def relayed(self) -> tuple[IChannel, IChannel]:
        result = self.alice.relay(self.bob)
        self.town.run()
        here, there = self.successResultOf(result), self.bob.table.relay_channel_to(self.alice.device)
        assert there is not None
        return here, there
