"""Two people and more talk through the real server and past it."""

from __future__ import annotations

from blake3 import blake3

from p2pim.errors import (
    Blocked,
    HomeLocked,
    NobodyAnswers,
    NoDirectPath,
    NoRoute,
    NoSuchUser,
    NotSignedIn,
    PeerRefused,
    TimedOut,
    Usage,
    WrongPassword,
)  # fmt: skip
from p2pim.net.trust import Trust
from p2pim.peer import (
    ChannelClosed,
    ChannelOpened,
    ConnectFailed,
    ContactAccepted,
    ContactRequested,
    MessageReceived,
    PresenceChanged,
    ReceiptReceived,
    SessionInterrupted,
    SignedIn,
    SignedOut,
    TransferCompleted,
    TransferOffered,
    Typing,
)
from tests.integration.neighbours import LONG, PASSWORD, NeighboursCase


class ConversationTests(NeighboursCase):
    async def test_the_first_message_goes_through_the_server_and_the_next_directly(self) -> None:
        """A1 and A5: the conversation does not wait for the channel, which is made in the background."""
        alice, bob = await self.join("alice"), await self.join("bob")
        first = await alice.peer.send_message("bob", "hello")
        self.assertEqual((first.state, first.route), ("delivered", "relay"))
        await self.until(lambda: alice.had(ChannelOpened) and bob.had(ChannelOpened))
        second = await alice.peer.send_message("bob", "hello again")
        self.assertEqual((second.state, second.route), ("delivered", "tcp"))
        answer = await bob.peer.send_message("alice", "hello yourself")
        self.assertEqual(answer.route, "tcp")
        self.assertEqual(
            [(m.text, m.route) for m in bob.had(MessageReceived)], [("hello", "relay"), ("hello again", "tcp")]
        )
        self.assertEqual([m.id for m in bob.had(MessageReceived)], [first.id, second.id])
        self.assertEqual([r.state for r in alice.had(ReceiptReceived)], ["delivered", "delivered"])

    async def test_many_at_once_arrive_once_and_in_order_while_the_route_changes(self) -> None:
        """The channel opens in their midst."""
        alice, bob = await self.join("alice"), await self.join("bob")
        waiting = [alice.peer.send_message("bob", str(n), wait=False) for n in range(300)]
        for each in waiting:
            await each
        await self.until(lambda: len(bob.had(MessageReceived)) >= 300)
        self.assertEqual([m.text for m in bob.had(MessageReceived)], [str(n) for n in range(300)])
        self.assertEqual({m.route for m in bob.had(MessageReceived)}, {"relay", "tcp"})
        await self.until(lambda: len(alice.had(ReceiptReceived)) == 300)

    async def test_routes_can_be_demanded(self) -> None:
        """A5: direct only, and relay only although a channel stands."""
        alice, bob = await self.join("alice"), await self.join("bob")
        direct = await alice.peer.send_message("bob", "one", route="direct")
        self.assertEqual(direct.route, "tcp")
        relayed = await alice.peer.send_message("bob", "two", route="relay")
        self.assertEqual(relayed.route, "relay")
        self.assertEqual([m.route for m in bob.had(MessageReceived)], ["tcp", "relay"])

    async def test_direct_only_is_refused_where_there_is_no_channel(self) -> None:
        """With the reasons, and nothing is left in the outbox."""
        alice, bob = await self.join("alice", channel="none"), await self.join("bob")
        with self.assertRaises(NoDirectPath) as caught:
            await alice.peer.send_message("bob", "one", route="direct")
        self.assertTrue(caught.exception.reasons)
        self.assertEqual(len(alice.had(ConnectFailed)), 1)
        self.assertEqual(await alice.peer.history("bob"), [])
        self.assertEqual((await alice.peer.send_message("bob", "two")).route, "relay")
        self.assertEqual(len(bob.had(MessageReceived)), 1)

    async def test_a_message_to_someone_who_is_offline_is_stored_and_comes_when_they_do(self) -> None:
        """Though the sender has gone meanwhile, who hears of it when they are back; and order is kept."""
        alice, bob = await self.join("alice"), await self.join("bob")
        await self.leave(bob)
        first = await alice.peer.send_message("bob", "one")
        self.assertEqual((first.state, first.route, first.queued), ("stored", "mailbox", False))
        await alice.peer.send_message("bob", "two")
        self.assertEqual([r.state for r in alice.had(ReceiptReceived)], ["stored", "stored"])
        await self.leave(alice)
        bob = await self.come_back("bob")
        await self.until(lambda: len(bob.had(MessageReceived)) == 2)
        self.assertEqual(
            [(m.text, m.route) for m in bob.had(MessageReceived)], [("one", "mailbox"), ("two", "mailbox")]
        )
        alice = await self.come_back("alice")
        await self.until(lambda: len(alice.had(ReceiptReceived)) == 2)
        receipts = [(r.id, r.state, r.route) for r in alice.had(ReceiptReceived)]
        self.assertEqual(receipts[0], (first.id, "delivered", "mailbox"))

    async def test_nothing_is_lost_when_the_server_goes_away_and_comes_back(self) -> None:
        """Sent while it was away, delivered after; both come back by themselves."""
        alice, bob = await self.join("alice", connect="never"), await self.join("bob")
        await alice.peer.send_message("bob", "before")
        await self.stop_server()
        await self.until(lambda: alice.had(SessionInterrupted) and bob.had(SessionInterrupted))
        during = await alice.peer.send_message("bob", "during")
        self.assertTrue(during.queued)
        self.start_server()
        await self.until(lambda: len(bob.had(MessageReceived)) == 2)
        await alice.peer.send_message("bob", "after")
        self.assertEqual([m.text for m in bob.had(MessageReceived)], ["before", "during", "after"])

    async def test_the_channel_carries_on_without_the_server(self) -> None:
        """It introduced them, and then got out of the way."""
        alice, bob = await self.join("alice"), await self.join("bob")
        await alice.peer.connect("bob")
        await self.stop_server()
        await self.until(lambda: alice.had(SessionInterrupted) and bob.had(SessionInterrupted))
        sent = await alice.peer.send_message("bob", "still here")
        self.assertEqual((sent.state, sent.route), ("delivered", "tcp"))

    async def test_every_device_of_a_user_gets_the_message(self) -> None:
        """And the first that confirms it makes it delivered."""
        alice, bob = await self.join("alice"), await self.join("bob")
        tablet = self.make("tablet")
        await tablet.peer.login(self.address("bob"), PASSWORD, trust=Trust(fingerprint=self.fingerprint))
        sent = await alice.peer.send_message("bob", "hello both")
        self.assertEqual(sent.state, "delivered")
        await self.until(lambda: bob.had(MessageReceived) and tablet.had(MessageReceived))
        self.assertEqual(len(alice.had(ReceiptReceived)), 1)

    async def test_typing_and_read_receipts(self) -> None:
        """A13: small signals, never counted."""
        alice, bob = await self.join("alice"), await self.join("bob")
        await alice.peer.send_message("bob", "hello")
        bob.peer.typing("alice")
        await self.until(lambda: alice.had(Typing))
        self.assertEqual(await bob.peer.mark_read("alice"), 1)
        self.assertEqual(await bob.peer.mark_read("alice"), 0)
        await self.until(lambda: [r.state for r in alice.had(ReceiptReceived)] == ["delivered", "read"])
        (entry,) = await alice.peer.history("bob")
        self.assertEqual(entry.state, "read")

    async def test_a_name_that_nobody_has_is_refused_at_once(self) -> None:
        """Nothing of it stays in the outbox."""
        alice = await self.join("alice")
        with self.assertRaises(NoSuchUser):
            await alice.peer.send_message("nobody", "hello")
        self.assertEqual(await alice.peer.history("nobody"), [])

    async def test_history_tells_direction_route_and_state(self) -> None:
        """Newest last, searchable, in pages."""
        alice, bob = await self.join("alice"), await self.join("bob")
        for text in ("one", "two", "three"):
            await alice.peer.send_message("bob", text)
        await bob.peer.send_message("alice", "100% _four_")
        entries = await alice.peer.history("bob")
        self.assertEqual([e.text for e in entries], ["one", "two", "three", "100% _four_"])
        self.assertEqual([e.direction for e in entries], ["out", "out", "out", "in"])
        self.assertEqual(entries[0].state, "delivered")
        self.assertEqual([e.text for e in await alice.peer.history("bob", search="T")], ["two", "three"])
        self.assertEqual([e.text for e in await alice.peer.history("bob", search="% _")], ["100% _four_"])
        self.assertEqual([e.text for e in await alice.peer.history("bob", limit=2)], ["three", "100% _four_"])

    async def test_the_readable_log_tells_routes_but_no_texts(self) -> None:
        """C5, and what people write is theirs."""
        alice, bob = await self.join("alice"), await self.join("bob")
        await alice.peer.send_message("bob", "a very private text")
        await self.until(lambda: alice.had(ChannelOpened))
        await alice.peer.send_message("bob", "a very private text")
        for neighbour in (alice, bob):
            self.assertNotIn("private", neighbour.log())
            self.assertIn("by relay", neighbour.log())
            self.assertIn("by tcp", neighbour.log())
            self.assertNotIn(PASSWORD, neighbour.log())


class ContactsTests(NeighboursCase):
    async def test_contacts_see_each_other_come_and_go(self) -> None:
        """Presence comes to those who have agreed to be contacts."""
        alice, bob = await self.join("alice"), await self.join("bob")
        self.assertEqual((await alice.peer.add("bob")).relation, "requested")
        await self.until(lambda: bob.had(ContactRequested))
        person = await bob.peer.add("alice")
        self.assertEqual((person.relation, person.status), ("contact", "online"))
        await self.until(lambda: alice.had(ContactAccepted))
        self.assertTrue(await alice.peer.is_online("bob"))
        bob.peer.set_status("busy")
        await self.until(lambda: [p.status for p in alice.had(PresenceChanged)][-1:] == ["busy"])
        await self.leave(bob)
        await self.until(lambda: [p.status for p in alice.had(PresenceChanged)][-1:] == ["offline"])
        (listed,) = await alice.peer.who()
        self.assertEqual((listed.user, listed.status), ("bob", "offline"))

    async def test_who_all_shows_everyone_i_may_see(self) -> None:
        """With their relation to me."""
        alice, _ = await self.join("alice"), await self.join("bob")
        await alice.peer.add("bob")
        with self.assertRaises(PeerRefused):
            await alice.peer.is_online("bob")
        self.assertIn("bob", [person.user for person in await alice.peer.who(all=True)])

    async def test_someone_blocked_gets_through_by_no_way(self) -> None:
        """Not by the server, and a channel that stood is closed."""
        alice, bob = await self.join("alice"), await self.join("bob")
        await bob.peer.connect("alice")
        await self.until(lambda: alice.had(ChannelOpened))
        await alice.peer.block("bob")
        await self.until(lambda: bob.had(ChannelClosed))
        with self.assertRaises(Blocked):
            await bob.peer.send_message("alice", "hello?")
        self.assertEqual(alice.had(MessageReceived), [])


class QueryTests(NeighboursCase):
    async def test_programs_at_two_peers_ask_each_other_by_the_server_and_by_a_channel(self) -> None:
        """A14: query and answer, by whichever route there is."""
        alice, bob = await self.join("alice"), await self.join("bob")
        bob.peer.answer("greeting", lambda user, body: b"hello " + user.encode() + body)
        self.assertEqual(await alice.peer.query("bob", "greeting", b"!", LONG), b"hello alice!")
        with self.assertRaises(NobodyAnswers):
            await alice.peer.query("bob", "weather", timeout=LONG)
        with self.assertRaises(NoRoute):
            await alice.peer.ping_channel("bob")
        await alice.peer.connect("bob")
        self.assertEqual(await alice.peer.query("bob", "greeting", b"?", LONG), b"hello alice?")
        self.assertEqual((await alice.peer.ping_channel("bob"))[1], "tcp")
        self.assertTrue(alice.peer.my_address().startswith("127.0.0.1:"))


class ChannelTests(NeighboursCase):
    async def test_the_state_of_a_channel_can_be_asked_for(self) -> None:
        """A4: nothing when there is none; else kind, address, bytes, round-trip time and since when."""
        alice, _ = await self.join("alice"), await self.join("bob")
        self.assertIsNone(alice.peer.channel_state("bob"))
        state = await alice.peer.connect("bob")
        self.assertEqual((state.kind, state.user, state.same_lan), ("tcp", "bob", True))
        self.assertEqual(alice.peer.channel_state("bob").address, state.address)  # type: ignore[union-attr]
        self.assertIn("bob — direct TCP 127.0.0.1:", state.title)
        self.assertEqual(len(alice.peer.channels()), 1)
        alice.peer.disconnect("bob")
        await self.until(lambda: alice.had(ChannelClosed))
        self.assertIsNone(alice.peer.channel_state("bob"))

    async def test_pings_take_the_route_asked_for(self) -> None:
        """Direct over the channel, relay through the server's splice."""
        alice, _ = await self.join("alice"), await self.join("bob")
        seconds, route = await alice.peer.ping("bob", "relay")
        self.assertEqual(route, "relay")
        self.assertGreater(seconds, 0)
        self.assertEqual((await alice.peer.ping("bob", "direct"))[1], "tcp")
        self.assertGreater(await alice.peer.ping_server(), 0)

    async def test_everyone_in_the_lan_is_connected_to_when_that_is_wanted(self) -> None:
        """C2: without a word being said."""
        bob, alice = await self.join("bob"), await self.join("alice")
        await alice.peer.add("bob")
        await bob.peer.add("alice")
        await self.leave(alice)
        alice = await self.come_back("alice", connect="lan")
        await self.until(lambda: alice.had(ChannelOpened))
        self.assertEqual(alice.had(ChannelOpened)[0].user, "bob")


class FileTests(NeighboursCase):
    def a_file(self, size: int) -> bytes:
        content = blake3(b"content").digest(size)
        (self.root / "report.bin").write_bytes(content)
        return content

    async def sent_and_accepted(self, route: str, **settings: str) -> str:
        alice = await self.join("alice", **settings)
        bob = await self.join("bob", accept="always")
        content = self.a_file(3_000_000)
        transfer = await alice.peer.send_file("bob", self.root / "report.bin", "as promised", route)
        status = await transfer.end()
        self.assertEqual((status.state, status.bytes), ("completed", len(content)))
        await self.until(lambda: bob.had(TransferCompleted))
        (offer,), (done,) = bob.had(TransferOffered), bob.had(TransferCompleted)
        self.assertEqual((offer.user, offer.name, offer.comment), ("alice", "report.bin", "as promised"))
        self.assertEqual((self.root / "bob" / "downloads" / "report.bin").read_bytes(), content)
        self.assertEqual(done.blake3, blake3(content).hexdigest())
        return done.route

    async def test_a_file_goes_directly(self) -> None:
        """Whole, verified, by a channel that is made for it."""
        self.assertEqual(await self.sent_and_accepted("auto"), "tcp")

    async def test_a_file_goes_through_the_relay_where_there_is_no_other_way(self) -> None:
        """And arrives just the same."""
        self.assertEqual(await self.sent_and_accepted("auto", channel="none"), "relay")

    async def test_a_file_goes_through_the_relay_on_demand(self) -> None:
        """Although a channel could be had."""
        self.assertEqual(await self.sent_and_accepted("relay"), "relay")


class AccountTests(NeighboursCase):
    async def test_the_home_keeps_a_token_and_no_password(self) -> None:
        """0600 in 0700, and signing in again needs nothing else."""
        alice = await self.join("alice")
        home = alice.peer.home.path
        await self.leave(alice)
        for file in home.iterdir():
            if file.is_file():
                self.assertNotIn(PASSWORD.encode(), file.read_bytes())
        self.assertEqual(home.stat().st_mode & 0o777, 0o700)
        for name in ("credentials.json", "home.db", "log.txt"):
            self.assertEqual((home / name).stat().st_mode & 0o777, 0o600)
        alice = await self.come_back("alice")
        self.assertEqual(len(alice.had(SignedIn)), 1)

    async def test_a_wrong_password_leaves_nothing_behind(self) -> None:
        """And the right one works after it, in the same process."""
        await self.join("alice")
        other = self.make("other")
        trust = Trust(fingerprint=self.fingerprint)
        with self.assertRaises(WrongPassword):
            await other.peer.login(self.address("alice"), "a bad password", trust=trust)
        with self.assertRaises(NotSignedIn):
            await other.peer.start()
        await other.peer.login(self.address("alice"), PASSWORD, trust=trust)
        self.assertTrue(other.peer.connected)

    async def test_a_home_belongs_to_one_process_at_a_time(self) -> None:
        """The second is told so."""
        await self.join("alice")
        with self.assertRaises(HomeLocked):
            self.make("alice")

    async def test_the_first_certificate_seen_is_pinned(self) -> None:
        """On first use, like SSH; a changed one later stops the sign-in."""
        alice = self.make("alice")
        await alice.peer.register(self.address("alice"), PASSWORD, trust=Trust(first_use=True))
        self.assertTrue(alice.peer.identity()["fingerprint"].startswith("SHA256:"))
        await self.leave(alice)
        alice = await self.come_back("alice")
        self.assertTrue(alice.peer.connected)

    async def test_logging_out_ends_the_token_but_not_the_history(self) -> None:
        """The device stays the same for the next sign-in."""
        alice, _ = await self.join("alice"), await self.join("bob")
        await alice.peer.send_message("bob", "hello")
        device = alice.peer.identity()["device"]
        await alice.peer.logout()
        self.assertEqual([s.reason for s in alice.had(SignedOut)], ["logout"])
        with self.assertRaises(NotSignedIn):
            await alice.peer.start()
        self.assertEqual(len(await alice.peer.history("bob")), 1)
        await alice.peer.login(self.address("alice"), PASSWORD, trust=Trust(fingerprint=self.fingerprint))
        self.assertEqual(alice.peer.identity()["device"], device)

    async def test_another_account_in_the_same_home_begins_with_its_own_history(self) -> None:
        """Once the first has logged out; and each finds its own again."""
        alice, _ = await self.join("alice"), await self.join("bob")
        await alice.peer.send_message("bob", "hello")
        with self.assertRaises(Usage):
            await alice.peer.login(self.address("carol"), PASSWORD)
        await alice.peer.logout()
        trust = Trust(fingerprint=self.fingerprint)
        await alice.peer.register(self.address("carol"), PASSWORD, trust=trust)
        self.assertEqual(await alice.peer.history("bob"), [])
        await alice.peer.logout()
        await alice.peer.login(self.address("alice"), PASSWORD, trust=trust)
        self.assertEqual(len(await alice.peer.history("bob")), 1)

    async def test_signing_in_a_second_time_on_one_device_ends_the_first(self) -> None:
        """A11: the replaced one is told so and does not come back."""
        alice = await self.join("alice")
        copy = self.root / "copy"
        copy.mkdir(mode=0o700)
        credentials = (self.root / "alice" / "credentials.json").read_bytes()
        (copy / "credentials.json").write_bytes(credentials)
        await self.come_back("copy")
        await self.until(lambda: alice.had(SignedOut))
        self.assertEqual(alice.had(SignedOut)[0].reason, "replaced")

    async def test_no_receipt_in_time_is_an_error_and_the_message_stays(self) -> None:
        """It is in the outbox, and the error says so."""
        alice, bob = await self.join("alice", connect="never"), await self.join("bob")
        bob.peer._account.inbox.live = lambda *arguments: None  # type: ignore[union-attr,method-assign]
        with self.assertRaises(TimedOut):
            await alice.peer.send_message("bob", "hello", timeout=0.3)
        (entry,) = await alice.peer.history("bob")
        self.assertEqual(entry.state, "waiting")
