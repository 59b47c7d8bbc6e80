"""What arrives is opened and stored in one step, confirmed, shown when it was new, and known when it comes again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import REORDER_WAIT, UNSTORED
from p2pim.errors import CannotOpen, DatabaseDown
from p2pim.peer.events import Event, MessageReceived, MessageSent
from p2pim.peer.inbox import RECEIPTS_AT_ONCE, Inbox, InboxWays
from p2pim.storage.database import Database
from p2pim.storage.inbox import GroupReceipt, InboxStore
from p2pim.storage.outbox import Confirmed
from p2pim.wire.mail import MailId
from p2pim.wire.signals import AnySignal, ChatMessage, ReadMark, Receipt, Sealed, Signal, Typing, decode_signal
from tests.inline_database import InlineDatabase, OpenSeals, no_groups

B, TABLET = b"b" * 16, b"t" * 16


def message(seq: int, oldest: int = 1, sent_at: int = 1_000, conversation: str = "") -> ChatMessage:
    return ChatMessage(seq.to_bytes(16, "big"), seq, f"text {seq}", sent_at, oldest, conversation)


class InboxCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.database = InlineDatabase()
        self.seals = OpenSeals()
        self.receipts: list[tuple[str, bytes, Receipt, bool]] = []
        self.acknowledged: list[MailId] = []
        self.unopened: list[bytes] = []
        self.heard: list[object] = []
        self.events: list[Event] = []
        self.lines: list[str] = []
        self.full: list[str] = []
        self.restart()

    def restart(self) -> None:
        ways = InboxWays(
            lambda *receipt: self.receipts.append(receipt), self.acknowledged.extend, self.cannot_open, self.full.append
        )
        self.inbox = Inbox(
            self.clock,
            lambda: 1_700_000_000.0,
            InboxStore(cast(Database, self.database), self.seals.open_in, "alice", no_groups("alice")),
            ways,
            self,
            self.events.append,
            lambda *line: self.lines.append(" ".join(line)),
            "alice",
        )
        self.successResultOf(Deferred.fromCoroutine(self.inbox.load()))

    async def cannot_open(self, user: str, device: bytes, sealed: Sealed, error: CannotOpen) -> None:
        self.unopened.append(sealed.message)

    def confirmed(self, user: str, device: bytes, receipts: Sequence[tuple[str, Confirmed]]) -> None:
        self.heard.append((user, receipts))

    def read(self, user: str, ids: Sequence[bytes], route: str) -> None:
        self.heard.append((user, ids))

    def group_signal(self, user: str, device: bytes, group: str, signal: AnySignal) -> None:
        self.heard.append((user, group, signal))

    def group_confirmed(self, receipts: Sequence[GroupReceipt], route: str) -> None:
        self.heard.append((route, receipts))

    def group_key_missing(self, user: str, device: bytes, session: str) -> None:
        self.heard.append((user, session))

    def signal(self, user: str, device: bytes, signal: AnySignal) -> None:
        self.heard.append((user, signal))

    def seal(self, signal: Signal, id: bytes) -> Sealed:
        sealed = decode_signal(self.seals.seal_in(self.database.connection, "alice", b"", signal, id))
        assert isinstance(sealed, Sealed)
        return sealed

    def arrive(self, seq: int, oldest: int = 1, route: str = "tcp") -> Sealed:
        chat = message(seq, oldest)
        sealed = self.seal(chat, chat.id)
        self.inbox.live("bob", B, sealed, chat.id if route == "relay" else b"", route, "192.0.2.1:5")
        return sealed

    def again(self, sealed: Sealed) -> None:
        self.inbox.live("bob", B, sealed, b"", "tcp", "192.0.2.1:5")

    def shown(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, MessageReceived)]

    def confirmations(self) -> list[int]:
        self.clock.advance(0)
        return [int.from_bytes(id, "big") for _, _, receipt, _ in self.receipts for id in receipt.ids]


class InboxTests(InboxCase):
    def test_receipts_of_one_turn_go_in_one_signal(self) -> None:
        """Not one for each message."""
        for seq in (1, 2, 3):
            self.arrive(seq)
        self.assertEqual(self.receipts, [])
        self.clock.advance(0)
        self.assertEqual(len(self.receipts), 1)
        self.assertEqual(self.confirmations(), [1, 2, 3])

    def test_more_than_one_signal_holds_go_in_several(self) -> None:
        """Each within its bound."""
        for seq in range(1, RECEIPTS_AT_ONCE + 2):
            self.arrive(seq)
        self.clock.advance(0)
        self.assertEqual([len(receipt.ids) for _, _, receipt, _ in self.receipts], [RECEIPTS_AT_ONCE, 1])

    def test_a_repeated_message_is_confirmed_again_though_it_cannot_be_opened_again(self) -> None:
        """The first receipt was lost, else it would not have come; and it is not shown again."""
        sealed = self.arrive(1)
        self.again(sealed)
        self.assertEqual(self.shown(), ["text 1"])
        self.assertEqual(self.confirmations(), [1, 1])
        self.assertEqual(self.unopened, [])

    def test_an_id_that_is_used_again_for_something_else_is_the_first_message(self) -> None:
        """A hostile sender cannot change what was said."""
        self.arrive(1)
        other = ChatMessage(message(1).id, 2, "something else", 1_000, 2)
        self.inbox.live("bob", B, self.seal(other, other.id), b"", "tcp", "")
        self.assertEqual(self.shown(), ["text 1"])

    def test_an_id_outside_that_is_not_the_one_inside_gets_no_receipt(self) -> None:
        """Nobody on the way can have another message confirmed by a message of their choice."""
        self.inbox.live("bob", B, self.seal(message(1), message(9).id), b"", "tcp", "")
        self.assertEqual((self.shown(), self.confirmations()), ([], []))

    def test_a_replayed_envelope_under_another_id_gets_no_receipt(self) -> None:
        """Nor can what was opened once be passed off as something new."""
        sealed = self.arrive(1, route="relay")
        self.inbox.live("bob", B, sealed, message(9).id, "relay", "")
        self.assertEqual(self.confirmations(), [1])
        self.assertEqual(self.shown(), ["text 1"])

    def test_nothing_is_confirmed_that_could_not_be_stored(self) -> None:
        """The sender keeps it and sends it again, and then it is opened and shown."""
        self.database.broken = True
        sealed = self.arrive(1)
        self.assertEqual((self.shown(), self.confirmations()), ([], []))
        self.assertIn("could not be stored", self.lines[0])
        self.database.broken = False
        self.inbox.resume()
        self.again(sealed)
        self.assertEqual((self.shown(), self.confirmations()), (["text 1"], [1]))

    def test_after_what_could_not_be_stored_nothing_is_taken_before_it_is_said_that_it_can(self) -> None:
        """What comes later would be shown before what comes again: it comes again as well, in its order."""
        self.database.broken = True
        first = self.arrive(1)
        self.database.broken = False
        later = [self.arrive(seq) for seq in range(2, 100)]
        self.assertEqual((self.shown(), self.confirmations(), len(self.full)), ([], [], 1))
        self.inbox.resume()
        for sealed in (first, *later):
            self.again(sealed)
        self.assertEqual(self.shown(), [f"text {seq}" for seq in range(1, 100)])

    def test_what_waits_behind_what_could_not_be_stored_is_dropped_with_it(self) -> None:
        """It had come already, but it would be shown too early all the same."""
        writes: list[Deferred[object]] = []

        def write(work: object) -> Deferred[object]:
            writes.append(Deferred())
            return writes[-1]

        self.patch(self.database, "write", write)
        first, second = self.arrive(1), self.arrive(2)
        taken = self.inbox.mail("bob", B, second, message(2).id, "")
        writes.pop().errback(DatabaseDown())
        self.assertEqual((self.successResultOf(taken), writes, len(self.full)), (False, [], 1))
        self.assertIs(self.successResultOf(self.inbox.mail("bob", B, first, message(1).id, "")), False)

    def test_more_than_can_wait_is_not_left_out_of_the_middle(self) -> None:
        """What is over the bound comes again, with all that follows it; what waits before it is kept."""
        writes: list[Deferred[object]] = []

        def write(work: object) -> Deferred[object]:
            writes.append(Deferred())
            return writes[-1]

        self.patch(self.database, "write", write)
        sealed = [self.arrive(seq) for seq in (1, 2)]
        for _ in range(UNSTORED):
            self.again(sealed[1])
        self.assertEqual(len(self.full), 1)
        self.again(sealed[0])
        self.assertEqual(len(self.full), 1)

    def test_what_is_early_is_shown_though_it_could_not_be_at_its_time(self) -> None:
        """It does not wait for the next one to come."""
        self.arrive(2)
        self.database.broken = True
        self.clock.advance(REORDER_WAIT)
        self.database.broken = False
        self.assertEqual((self.shown(), len(self.full)), ([], 1))
        self.inbox.resume()
        self.clock.advance(0)
        self.assertEqual(self.shown(), ["text 2"])

    def test_an_early_message_is_confirmed_and_waits_for_the_one_before_it(self) -> None:
        """It is on disk, and shown when its turn has come."""
        self.arrive(2)
        self.assertEqual((self.shown(), self.confirmations()), ([], [2]))
        self.arrive(1)
        self.assertEqual(self.shown(), ["text 1", "text 2"])

    def test_it_waits_no_longer_than_the_bound(self) -> None:
        """Then it is shown all the same, and the log says so."""
        self.arrive(2)
        self.clock.advance(REORDER_WAIT)
        self.assertEqual(self.shown(), ["text 2"])
        self.assertIn("earlier one", self.lines[0])

    def test_while_the_mailbox_is_emptied_it_waits_for_the_end_of_that(self) -> None:
        """What is missing may be in there."""
        self.inbox.emptying(True)
        self.arrive(2)
        self.clock.advance(10 * REORDER_WAIT)
        self.assertEqual(self.shown(), [])
        self.inbox.emptying(False)
        self.clock.advance(0)
        self.assertEqual(self.shown(), ["text 2"])

    def test_what_was_early_before_a_restart_is_shown_after_it(self) -> None:
        """Nothing that was confirmed is lost, and order is known."""
        self.arrive(1)
        self.arrive(3)
        self.inbox.stop()
        self.restart()
        self.arrive(2)
        self.assertEqual(self.shown(), ["text 1", "text 2", "text 3"])
        self.arrive(5)
        self.inbox.stop()
        self.restart()
        self.clock.advance(REORDER_WAIT + 1)
        self.clock.advance(REORDER_WAIT + 1)
        self.assertEqual(self.shown()[-1], "text 5")

    def test_nonsense_in_a_senders_clock_does_no_harm(self) -> None:
        """Neither before 1970 nor in a million years; a day ahead is believed."""
        for seq, sent_at in ((1, -(2**62)), (2, 2**62)):
            chat = message(seq, 1, sent_at)
            self.inbox.live("bob", B, self.seal(chat, chat.id), b"", "relay", "")
        times = [event.sent_at for event in self.events if isinstance(event, MessageReceived)]
        self.assertEqual(times, ["1970-01-01T00:00:00.000Z", "2023-11-15T22:13:20.000Z"])

    def test_what_cannot_be_opened_is_asked_for_and_then_acknowledged(self) -> None:
        """It is not confirmed to its sender, who seals it again."""
        chat = message(1)
        sealed = self.seal(chat, chat.id)
        self.seals.lost.add(sealed.body)
        taken = self.inbox.mail("bob", B, sealed, chat.id, "server")
        self.assertTrue(self.successResultOf(taken))
        self.assertEqual((self.unopened, self.confirmations(), self.shown()), ([chat.id], [], []))


class MailTests(InboxCase):
    def test_live_mail_is_acknowledged_to_the_server_and_confirmed_as_it_came(self) -> None:
        """Both once it is stored."""
        self.arrive(1, route="relay")
        self.assertEqual(self.confirmations(), [1])
        self.assertEqual(self.acknowledged, [MailId("bob", B, message(1).id)])
        self.assertEqual([by_mail for *_, by_mail in self.receipts], [False])

    def test_what_came_out_of_the_mailbox_is_confirmed_by_mail(self) -> None:
        """Its sender may be away."""
        chat = message(1)
        taken = self.inbox.mail("bob", B, self.seal(chat, chat.id), chat.id, "server")
        self.assertTrue(self.successResultOf(taken))
        self.clock.advance(0)
        self.assertEqual([by_mail for *_, by_mail in self.receipts], [True])
        self.assertEqual([e.route for e in self.events if isinstance(e, MessageReceived)], ["mailbox"])

    def test_mail_that_cannot_be_stored_is_not_acknowledged(self) -> None:
        """It stays in the mailbox."""
        self.database.broken = True
        chat = message(1)
        self.assertFalse(self.successResultOf(self.inbox.mail("bob", B, self.seal(chat, chat.id), chat.id, "server")))

    def test_receipts_by_mail_are_noted_with_their_opening(self) -> None:
        """And told afterwards."""
        self.database.connection.execute(
            "INSERT INTO messages (id, user, device, seq, text, sent_at, route, state)"
            " VALUES (?, 'bob', x'', 1, 'one', 1, 'mailbox', 'stored')",
            (message(1).id,),
        )
        for state, id in (("delivered", b"1" * 16), ("read", b"2" * 16)):
            self.inbox.mail("bob", B, self.seal(Receipt([message(1).id], state), id), id, "server")
        confirmed = Confirmed(message(1).id, True, "mailbox", "")
        self.assertEqual(self.heard, [("bob", [("bob", confirmed)]), ("bob", [message(1).id])])
        (state,) = self.database.connection.execute("SELECT state FROM messages").fetchone()
        self.assertEqual(state, "read")

    def test_other_signals_by_mail_are_handed_on_once(self) -> None:
        """A repeated one cannot be opened, and is dropped."""
        sealed = self.seal(Typing(), b"1" * 16)
        for _ in range(2):
            self.assertTrue(self.successResultOf(self.inbox.mail("bob", B, sealed, b"1" * 16, "server")))
        self.assertEqual(self.heard, [("bob", Typing())])


class OwnDevicesTests(InboxCase):
    def own(self, seq: int, conversation: str = "bob", user: str = "alice") -> None:
        chat = message(seq, 1, 1_000, conversation)
        self.inbox.live(user, TABLET, self.seal(chat, chat.id), chat.id, "relay", "server")

    def test_what_another_device_of_mine_sent_is_shown_as_mine(self) -> None:
        """In the conversation that it belongs to, once."""
        self.own(1)
        self.own(1)
        (event,) = self.events
        assert isinstance(event, MessageSent)
        self.assertEqual((event.user, event.text, event.device), ("bob", "text 1", TABLET.hex()))
        row = self.database.connection.execute("SELECT user, device, state FROM messages").fetchone()
        self.assertEqual(tuple(row), ("bob", b"", "sent"))

    def test_nobody_else_can_put_words_into_my_mouth(self) -> None:
        """A message that claims to be for another conversation is refused."""
        self.own(1, "carol", user="bob")
        self.assertEqual((self.events, self.confirmations()), ([], []))

    def test_each_conversation_of_a_device_has_its_own_numbers(self) -> None:
        """One does not wait for another."""
        self.own(1, "bob")
        chat = ChatMessage(b"x" * 16, 1, "to carol", 1_000, 1, "carol")
        self.inbox.live("alice", TABLET, self.seal(chat, chat.id), chat.id, "relay", "server")
        self.assertEqual([e.user for e in self.events if isinstance(e, MessageSent)], ["bob", "carol"])

    def test_what_was_read_on_one_device_is_read_on_the_others(self) -> None:
        """Up to the message named."""
        self.arrive(1)
        self.arrive(2)
        mark = self.seal(ReadMark("bob", message(1).id), b"r" * 16)
        self.inbox.mail("alice", TABLET, mark, b"r" * 16, "server")
        states = [row[0] for row in self.database.connection.execute("SELECT state FROM messages ORDER BY number")]
        self.assertEqual(states, ["read", "received"])
