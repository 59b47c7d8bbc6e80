"""Sessions and channels over real sockets, with the real server in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from zope.interface import implementer

from p2pim.core.limits import PIECE
from p2pim.peer.channels import ChannelTable
from p2pim.peer.interfaces import IChannel, IChannelUser, ISessionUser
from p2pim.peer.session import ServerAddress, Session, Trust
from p2pim.wire.groups import GroupChanged
from p2pim.wire.keys import DeviceList
from p2pim.wire.messages import SIGNAL, Device, Found, Incoming, LookUp, Person, Welcome
from p2pim.wire.signals import AnySignal, Receipt, Signal, Typing, decode_signal, encode_signal
from tests.integration.neighbours import ServerCase

LONG = 20.0


@implementer(ISessionUser, IChannelUser)
class Peer:
    """A session and a channel table on real sockets."""

    def __init__(self, name: str, port: int, fingerprint: bytes, **options: Any) -> None:
        self.name = name
        self.device = os.urandom(16)
        self.signals: list[tuple[AnySignal, IChannel | None]] = []
        self.opened: list[IChannel] = []
        self.closed: list[tuple[IChannel, str]] = []
        self.session_events: list[str] = []
        self.log: list[str] = []
        self.received = 0
        self.ends: list[int] = []
        self.session = Session(
            reactor,
            server=ServerAddress("127.0.0.1", port),
            trust=Trust(fingerprint=fingerprint),
            device=self.device,
            device_name="test",
            rng=Random(),
            user=self,
        )
        self.table = ChannelTable(
            reactor,
            user=self,
            session=self.session,
            send=self.send_signal,
            my_device=self.device,
            devices_of=self.devices_of,
            journal=lambda kind, user, text: self.log.append(text),
            rng=Random(),
            wall=time.time,
            **options,
        )

    async def devices_of(self, user: str) -> list[Device]:
        found = await self.session.request(lambda number: LookUp(number, [user]))
        assert isinstance(found, Found)
        return found.people[0].devices

    def send_signal(self, user: str, device: bytes, signal: Signal, on_failed: Any = None) -> None:
        self.session.send_envelope(user, device, SIGNAL, encode_signal(signal), on_failed)

    async def come(self) -> None:
        await self.session.register(self.name, "a good password")
        self.session.start()

    async def leave(self) -> None:
        self.table.stop()
        await self.session.stop()

    def signed_in(self, welcome: Welcome) -> None:
        self.session_events.append("signed-in")
        self.table.signed_in(welcome, self.session.local_address)

    def interrupted(self, reason: str) -> None:
        self.session_events.append("interrupted")
        self.table.interrupted()

    def reconnecting(self, reason: str) -> None: ...

    def signed_out(self, reason: str, message: str) -> None:
        self.session_events.append(reason)

    def envelope_received(self, envelope: Incoming) -> None:
        signal = decode_signal(envelope.payload)
        self.signals.append((signal, None))
        self.table.envelope(envelope.sender, envelope.device, signal)

    def mail_waiting(self, count: int) -> None: ...

    def keys_left(self, left: int) -> None: ...

    def devices_changed(self, devices: DeviceList) -> None: ...
    def group_changed(self, change: GroupChanged) -> None: ...

    def stored_ended(self, file: bytes, outcome: str) -> None: ...

    def guests_told(self, message: object) -> None:
        """Nobody meets guests here."""

    def presence_changed(self, person: Person) -> None:
        self.table.presence_changed(person)

    def p2p_server_changed(self, told: str | None) -> None: ...

    def channel_opened(self, channel: IChannel) -> None:
        self.opened.append(channel)

    def channel_closed(self, channel: IChannel, reason: str) -> None:
        self.closed.append((channel, reason))

    def signal_received(self, user: str, device: bytes, signal: AnySignal, channel: IChannel | None) -> None:
        self.signals.append((signal, channel))

    def bulk_received(self, channel: IChannel, stream: int, data: bytes) -> None:
        self.received += len(data)

    def bulk_ended(self, channel: IChannel, stream: int, digest: bytes) -> None:
        self.ends.append(stream)


class LinkTests(ServerCase):
    timeout = 60

    def setUp(self) -> Any:
        self.peers: list[Peer] = []
        super().setUp()
        self.addCleanup(self.all_leave)

    async def all_leave(self) -> None:
        for peer in self.peers:
            await peer.leave()
        await self.stop_server()

    async def peer(self, name: str, **options: Any) -> Peer:
        peer = Peer(name, self.port, self.fingerprint, **options)
        self.peers.append(peer)
        await peer.come()
        return peer

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for ``condition``, which comes about by what happens on the sockets."""
        end = time.monotonic() + LONG
        while not condition():
            self.assertLess(time.monotonic(), end, [peer.log for peer in self.peers])
            await deferLater(reactor, 0.005)

    def test_listening_on_the_very_address_of_the_server_connection(self) -> Deferred[None]:
        """C1: both sockets hold one local address and port, and a peer that calls it gets a channel."""

        async def run() -> None:
            alice, bob = await self.peer("alice"), await self.peer("bob")
            host, port = alice.session.local_address
            self.assertEqual(alice.table.listening, f"{host}:{port}")
            channel = await alice.table.connect("bob")
            await self.until(lambda: bob.opened)
            self.assertTrue(channel.same_lan)
            numbers = {f"127.0.0.1:{peer.session.local_address[1]}" for peer in (alice, bob)}
            self.assertTrue({channel.address, channel.local_address} & numbers)
            self.assertTrue(alice.session.connected)

        return ensureDeferred(run())

    def test_a_free_port_when_that_one_is_taken(self) -> Deferred[None]:
        """C1: by somebody who does not share it."""

        async def run() -> None:
            alice, bob = await self.peer("alice"), await self.peer("bob")
            taken: Any = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")  # type: ignore[arg-type]
            self.addCleanup(taken.stopListening)
            welcome = alice.session.welcome
            assert welcome is not None
            alice.table.signed_in(welcome, ("127.0.0.1", taken.getHost().port))
            self.assertNotEqual(alice.table.listening, f"127.0.0.1:{taken.getHost().port}")
            await bob.table.connect("alice")

        return ensureDeferred(run())

    def test_bulk_and_control_go_over_the_direct_channel(self) -> Deferred[None]:
        """Everything arrives, and control does not wait for the bulk before it."""

        async def run() -> None:
            alice, bob = await self.peer("alice"), await self.peer("bob")
            channel = await alice.table.connect("bob")
            ranges = [channel.send_bulk(1, [bytes(PIECE)], b"d" * 32) for _ in range(32)]
            channel.send(Typing())
            await self.until(lambda: any(isinstance(signal, Typing) for signal, _ in bob.signals))
            self.assertLess(bob.received, 32 * PIECE)
            for each in ranges:
                await each
            await self.until(lambda: len(bob.ends) == 32)
            self.assertEqual(bob.received, 32 * PIECE)

        return ensureDeferred(run())

    def test_a_relayed_channel_through_the_real_splice(self) -> Deferred[None]:
        """The same bytes on the server's own port."""

        async def run() -> None:
            alice, bob = await self.peer("alice"), await self.peer("bob")
            channel = await alice.table.open_relay("bob", bob.device)
            self.assertEqual((channel.kind, channel.address), ("relay", f"127.0.0.1:{self.port}"))
            await channel.send_bulk(1, [bytes(PIECE)] * 4, b"d" * 32)
            self.assertGreater(await channel.ping(), 0)
            await self.until(lambda: bob.ends)
            self.assertEqual(bob.received, 4 * PIECE)

        return ensureDeferred(run())

    def test_both_calling_at_once(self) -> Deferred[None]:
        """One channel, held by both."""

        async def run() -> None:
            alice, bob = await self.peer("alice"), await self.peer("bob")
            one, other = (ensureDeferred(a.table.connect(b)) for a, b in ((alice, "bob"), (bob, "alice")))
            mine, theirs = await one, await other
            self.assertEqual(mine.address, theirs.local_address)
            self.assertEqual((len(alice.opened), len(bob.opened)), (1, 1))

        return ensureDeferred(run())

    def test_the_server_stops_and_the_channel_goes_on(self) -> Deferred[None]:
        """Bulk under way does not notice; later both come back to the server by themselves."""

        async def run() -> None:
            alice, bob = await self.peer("alice"), await self.peer("bob")
            channel = await alice.table.connect("bob")
            await channel.send_bulk(1, [bytes(PIECE)] * 4, b"d" * 32)
            await self.stop_server()
            await self.until(lambda: "interrupted" in alice.session_events and "interrupted" in bob.session_events)
            await channel.send_bulk(1, [bytes(PIECE)] * 4, b"d" * 32)
            channel.send(Receipt([], "read"))
            await self.until(lambda: any(isinstance(signal, Receipt) for signal, _ in bob.signals))
            self.assertEqual(bob.received, 8 * PIECE)
            self.start_server()
            await self.until(lambda: alice.session.connected and bob.session.connected)
            self.assertEqual((alice.closed, bob.closed), ([], []))
            self.assertIs(await alice.table.connect("bob"), channel)

        return ensureDeferred(run())

    def test_whoever_leaves_is_gone_from_the_others_table(self) -> Deferred[None]:
        """C2: with a reason."""

        async def run() -> None:
            alice, bob = await self.peer("alice"), await self.peer("bob")
            await alice.table.connect("bob")
            await self.until(lambda: bob.opened)
            await bob.leave()
            await self.until(lambda: alice.closed)
            self.assertEqual(alice.table.all(), [])
            self.assertIn("closed by the other side", alice.closed[0][1])

        return ensureDeferred(run())

    def test_signing_in_a_second_time_on_one_device_replaces_the_first(self) -> Deferred[None]:
        """A11: the first is told and stays away."""

        async def run() -> None:
            alice = await self.peer("alice")
            again = Peer("alice", self.port, self.fingerprint)
            again.device = alice.device
            again.session._device = alice.device
            self.peers.append(again)
            await again.session.sign_in("alice", password="a good password")
            await self.until(lambda: "replaced" in alice.session_events)
            self.assertTrue(again.session.connected)

        return ensureDeferred(run())
