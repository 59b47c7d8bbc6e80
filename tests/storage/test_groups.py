"""Messages to groups in homes: sealed and stored in one step, waiting for keys, confirmed by every member."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.delivery import Outgoing, Target
from p2pim.core.groups import GroupSealer
from p2pim.core.limits import GROUP_KEY_ASKS, GROUP_KEYS_KEPT, GROUP_WAITING_PER_DEVICE
from p2pim.core.sealing import DeviceRef
from p2pim.errors import DatabaseDown, NotMeant
from p2pim.storage.database import Database
from p2pim.storage.group_inbox import GroupInbox
from p2pim.storage.group_keys import GroupKeyRows, KeyLetter
from p2pim.storage.group_outbox import GroupOutboxStore, Parcel
from p2pim.storage.inbox import Envelope, GroupReceipt, InboxStore, Taken
from p2pim.storage.sealing import SealingRows
from p2pim.wire.keys import Identity
from p2pim.wire.signals import ChatMessage, Receipt, Sealed, decode_signal
from tests.inline_database import InlineDatabase, OpenSeals

ALICE, BOB, CAROL = [DeviceRef(name, name[:1].encode() * 16) for name in ("alice", "bob", "carol")]
PHONE = DeviceRef("alice", b"p" * 16)
MEMBERS = ["alice", "bob", "carol"]


def identity_of(ref: DeviceRef) -> Identity:
    return Identity(ref.device * 2, ref.device * 2, bytes(64))


def target_of(ref: DeviceRef) -> Target:
    return ref.user, ref.device


class Home:
    """One device's stores. Between devices nothing is sealed; that is tested elsewhere."""

    def __init__(self, ref: DeviceRef) -> None:
        self.ref = ref
        self.database = InlineDatabase()
        self.seals = OpenSeals()
        self.fellows = set(MEMBERS)
        self.ids = 0
        sealer = GroupSealer(ref, bytes(32), lambda: identity_of(ref))
        database = cast(Database, self.database)
        self.groups = GroupInbox(sealer, ref.user, lambda user: user in self.fellows)
        self.inbox = InboxStore(database, self.seals.open_in, ref.user, self.groups)
        self.outbox = GroupOutboxStore(database, sealer, self.seals.seal_in, ref, self.new_id)
        for other in (ALICE, BOB, CAROL, PHONE):
            SealingRows(self.database.connection, 0.0).pin(other, identity_of(other))

    def new_id(self) -> bytes:
        self.ids += 1
        return b"k" + self.ids.to_bytes(15, "big")

    def count(self, table: str) -> int:
        (count,) = self.database.connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)


class GroupStoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.alice, self.bob, self.carol, self.phone = Home(ALICE), Home(BOB), Home(CAROL), Home(PHONE)

    def done(self, work: Deferred[Any]) -> Any:
        return self.successResultOf(work)

    def say(self, number: int, targets: Sequence[DeviceRef] = (BOB, CAROL), version: int = 1) -> Parcel:
        message = Outgoing(number.to_bytes(16, "big"), 0, f"text {number}", 1000)
        to = [target_of(ref) for ref in targets]
        parcel: Parcel = self.done(self.alice.outbox.enqueue(message, "team", version, MEMBERS, to, 0.0))
        return parcel

    def take(self, home: Home, body: bytes, message: bytes, sender: DeviceRef = ALICE) -> Taken:
        sealed = decode_signal(body)
        assert isinstance(sealed, Sealed)
        envelope = Envelope(sender.user, sender.device, sealed, message, "relay", "", 5000)
        (taken,) = self.done(home.inbox.take([envelope], 0.0))
        return cast(Taken, taken)

    def take_key(self, home: Home, letters: Sequence[KeyLetter]) -> Taken:
        (letter,) = [letter for letter in letters if letter.ref == home.ref]
        return self.take(home, letter.sealed, letter.message)

    def read(self, home: Home, parcel: Parcel) -> Taken:
        return self.take(home, parcel.sealed, parcel.message.id)

    def confirm(self, ref: DeviceRef, parcel: Parcel, state: str = "delivered") -> list[GroupReceipt]:
        found: list[GroupReceipt] = self.done(self.alice.outbox.confirm(ref, [parcel.message.id], state, 6000))
        return found

    def state(self) -> str:
        (state,) = self.alice.database.connection.execute("SELECT state FROM messages").fetchone()
        return str(state)

    def test_a_message_and_its_keys_are_stored_with_the_state_that_sealed_them(self) -> None:
        """What was not committed has used no place of the session: nothing is ever sealed twice at one."""
        self.say(1)
        (before,) = self.alice.database.connection.execute("SELECT pickle FROM group_sessions").fetchone()
        self.alice.database.broken = True
        work = self.alice.outbox.enqueue(Outgoing(b"x" * 16, 0, "lost", 0), "team", 1, MEMBERS, [target_of(BOB)], 0.0)
        self.failureResultOf(work, DatabaseDown)
        self.alice.database.broken = False
        (after,) = self.alice.database.connection.execute("SELECT pickle FROM group_sessions").fetchone()
        self.assertEqual(before, after)
        self.assertEqual(self.alice.count("group_letters"), 2)

    def test_it_is_shown_with_its_author_in_the_groups_conversation(self) -> None:
        """And known when it comes once more."""
        parcel = self.say(1)
        self.take_key(self.bob, parcel.letters)
        taken = self.read(self.bob, parcel)
        self.assertEqual([(m.sender, m.conversation, m.text) for m in taken.shown], [("alice", "#team", "text 1")])
        self.assertTrue(self.read(self.bob, parcel).known)
        row = self.bob.database.connection.execute("SELECT user, author, state FROM messages").fetchone()
        self.assertEqual(tuple(row), ("#team", "alice", "received"))

    def test_my_other_device_has_it_as_mine(self) -> None:
        """Whoever wrote it is I."""
        parcel = self.say(1, [PHONE, BOB])
        self.take_key(self.phone, parcel.letters)
        self.read(self.phone, parcel)
        row = self.phone.database.connection.execute("SELECT user, device, state FROM messages").fetchone()
        self.assertEqual(tuple(row), ("#team", b"", "sent"))

    def test_messages_wait_for_their_key_and_are_shown_in_order_with_it(self) -> None:
        """They are not confirmed before, and not stored twice when they come again meanwhile."""
        first, second = self.say(1), self.say(2)
        for parcel in (first, second, first):
            taken = self.read(self.bob, parcel)
            self.assertEqual((taken.chat, taken.shown), (False, []))
            self.assertTrue(taken.waits)
        self.assertEqual(self.bob.count("group_waiting"), 2)
        taken = self.take_key(self.bob, first.letters)
        self.assertEqual([m.text for _, later in taken.later for m in later.shown], ["text 1", "text 2"])
        self.assertEqual([later.chat for _, later in taken.later], [True, True])
        self.assertEqual(self.bob.count("group_waiting"), 0)

    def test_what_waits_for_a_key_is_bounded_per_device(self) -> None:
        """The oldest go first."""
        parcels = [self.say(number) for number in range(1, GROUP_WAITING_PER_DEVICE + 3)]
        for parcel in parcels:
            self.read(self.bob, parcel)
        self.assertEqual(self.bob.count("group_waiting"), GROUP_WAITING_PER_DEVICE)

    def test_nothing_waits_for_the_key_of_somebody_who_is_in_no_group_with_me(self) -> None:
        """Strangers fill nothing here."""
        self.bob.fellows = {"bob"}
        taken = self.read(self.bob, self.say(1))
        self.assertIsInstance(taken.error, NotMeant)
        self.assertEqual(self.bob.count("group_waiting"), 0)

    def test_a_message_for_one_person_cannot_pose_as_one_to_a_group(self) -> None:
        """Only what is sealed for the group is shown there."""
        fake = self.alice.seals.seal_in(
            self.alice.database.connection, "bob", BOB.device, _chat("#team"), (9).to_bytes(16, "big")
        )
        self.assertIsInstance(self.take(self.bob, fake, (9).to_bytes(16, "big")).error, NotMeant)

    def test_a_key_is_asked_for_so_often_and_no_more(self) -> None:
        """Until it comes."""
        rows = GroupKeyRows(self.bob.database.connection)
        self.assertEqual([rows.asked(ALICE, "s") for _ in range(GROUP_KEY_ASKS + 1)], [True] * GROUP_KEY_ASKS + [False])
        rows.came(ALICE, "s")
        self.assertTrue(rows.asked(ALICE, "s"))

    def test_a_message_is_what_all_members_have_reached(self) -> None:
        """Stored when all have it or will, delivered when all have it, read when all have read it."""
        parcel = self.say(1)
        news, reached = self.done(
            self.alice.outbox.stored("team", parcel.message.id, [target_of(BOB), target_of(CAROL)], 5, "server")
        )
        self.assertEqual((news, reached, self.state()), (["bob", "carol"], "stored", "stored"))
        (receipt,) = self.confirm(BOB, parcel)
        self.assertEqual((receipt.news, receipt.all, self.state()), (True, "stored", "stored"))
        (again,) = self.confirm(BOB, parcel)
        self.assertFalse(again.news)
        self.confirm(CAROL, parcel)
        self.assertEqual(self.state(), "delivered")
        self.confirm(BOB, parcel, "read")
        (last,) = self.confirm(CAROL, parcel, "read")
        self.assertEqual((last.all, self.state()), ("read", "read"))
        self.assertEqual(self.alice.count("group_envelopes"), 0)
        self.assertEqual(self.confirm(DeviceRef("mallory", b"m" * 16), parcel)[0].news, False)

    def test_a_key_goes_again_until_its_device_has_it(self) -> None:
        """It has when it has confirmed a message that was sealed with it."""
        parcel = self.say(1)
        self.confirm(BOB, parcel)
        self.assertEqual([letter.ref for letter in self.done(self.alice.outbox.letters())], [CAROL])
        self.done(self.alice.outbox.letter_safe(parcel.letters[1]))
        self.assertEqual(self.done(self.alice.outbox.letters()), [])

    def test_sealed_anew_it_is_for_who_has_not_got_it_and_for_nobody_who_left(self) -> None:
        """With another key, and nobody waits for them any more."""
        parcel = self.say(1)
        (again,) = self.done(
            self.alice.outbox.seal_again("team", 2, [parcel.message.id], ["alice", "bob"], [target_of(BOB)], 0.0)
        )
        first, second = decode_signal(parcel.sealed), decode_signal(again.sealed)
        assert isinstance(first, Sealed)
        assert isinstance(second, Sealed)
        self.assertNotEqual(first.session, second.session)
        self.assertEqual([letter.ref for letter in again.letters], [BOB])
        rows = self.done(self.alice.outbox.members("team", parcel.message.id))
        self.assertEqual([user for user, _, _ in rows], ["bob"])
        self.take_key(self.bob, again.letters)
        self.take_key(self.bob, parcel.letters)
        self.assertEqual([m.text for m in self.read(self.bob, again).shown], ["text 1"])
        self.assertEqual(self.read(self.bob, parcel).shown, [])

    def test_who_comes_new_waits_for_nothing_that_was_before(self) -> None:
        """The key says with which number they begin."""
        for number in range(1, 5):
            self.say(number, [BOB])
        parcel = self.say(5)
        self.take_key(self.carol, parcel.letters)
        self.assertEqual([m.text for m in self.read(self.carol, parcel).shown], ["text 5"])

    def test_old_keys_of_mine_are_dropped_in_the_end(self) -> None:
        """With everything that belongs to them."""
        for number in range(1, GROUP_KEYS_KEPT + 5):
            self.say(number, [BOB] if number % 2 else [CAROL])
        self.assertEqual(self.alice.count("group_sessions"), GROUP_KEYS_KEPT)
        self.assertEqual(self.alice.count("group_shares"), GROUP_KEYS_KEPT)

    def test_what_an_earlier_run_left_is_found_again(self) -> None:
        """For whom it is, and how far it is with them."""
        parcel = self.say(1)
        self.confirm(BOB, parcel)
        (left,) = self.done(self.alice.outbox.unsettled())
        self.assertEqual(left.copies, {target_of(BOB): "delivered", target_of(CAROL): "waiting"})
        found = self.done(self.alice.outbox.envelopes("team", [parcel.message.id]))
        self.assertEqual(found, {parcel.message.id: (1, parcel.sealed)})

    def test_receipts_by_mail_are_noted_with_their_opening(self) -> None:
        """As those of other messages are."""
        parcel = self.say(1)
        receipt = self.bob.seals.seal_in(
            self.bob.database.connection, "alice", ALICE.device, Receipt([parcel.message.id], "delivered"), b"r" * 16
        )
        taken = self.take(self.alice, receipt, b"r" * 16, BOB)
        (noted,) = taken.groups
        self.assertEqual((noted.group, noted.user, noted.state, noted.news), ("team", "bob", "delivered", True))


def _chat(conversation: str) -> ChatMessage:
    return ChatMessage((9).to_bytes(16, "big"), 1, "fake", 0, 1, conversation)
