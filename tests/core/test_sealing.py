"""Sealing: what two devices can read, and what nobody else can make them read."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase
from vodozemac import PickleException

from p2pim.core.limits import CHAINS_KEPT, MESSAGE_KEYS_KEPT, SESSIONS_PER_LANE
from p2pim.core.sealing import MAIL, SIGNALS, DeviceRef, Sealer
from p2pim.errors import BadKeys, CannotOpen, NoSession, NotMeant, Replayed
from p2pim.storage.sealing import SealingRows
from p2pim.wire.keys import ClaimedKey, Identity, OneTimeKey
from p2pim.wire.signals import Inner, Sealed, encode_signal
from tests.core.sealing_world import SealingDevice, pair

ID = b"m" * 16


class SealingTests(SynchronousTestCase):
    """Between devices that mean well."""

    def test_a_signal_is_opened_by_the_device_it_was_sealed_for(self) -> None:
        """What one seals the other reads, in both directions, and the first message needs no other knowledge."""
        alice, bob = pair()
        self.assertEqual(bob.open(alice, alice.seal(bob, b"hello")), b"hello")
        self.assertEqual(alice.open(bob, bob.seal(alice, b"hello yourself")), b"hello yourself")
        self.assertEqual(bob.rows.identity(alice.ref), alice.identity)

    def test_nothing_of_a_signal_is_on_the_outside(self) -> None:
        """The server sees neither text nor names in what it forwards."""
        alice, bob = pair()
        outside = encode_signal(alice.seal(bob, b"planted text", ID))
        self.assertNotIn(b"planted", outside)
        self.assertNotIn(b"alice", outside)

    def test_without_a_session_nothing_is_sealed(self) -> None:
        """There is an error to get ready upon."""
        alice, bob = SealingDevice("alice", 1), SealingDevice("bob", 2)
        self.assertRaises(NoSession, alice.seal, bob, b"x")

    def test_sessions_that_both_began_at_once_both_work(self) -> None:
        """Nobody's first message is lost when both write first."""
        alice, bob = pair()
        bob.start(alice)
        one, two = alice.seal(bob, b"from alice", ID), bob.seal(alice, b"from bob", ID)
        self.assertEqual(bob.open(alice, one), b"from alice")
        self.assertEqual(alice.open(bob, two), b"from bob")
        for _ in range(3):
            self.assertEqual(bob.open(alice, alice.seal(bob, b"a", ID)), b"a")
            self.assertEqual(alice.open(bob, bob.seal(alice, b"b", ID)), b"b")

    def test_reordered_messages_are_opened(self) -> None:
        """As far as vodozemac keeps their keys."""
        alice, bob = pair()
        sealed = [alice.seal(bob, b"%d" % n, ID) for n in range(MESSAGE_KEYS_KEPT)]
        self.assertEqual([bob.open(alice, each) for each in reversed(sealed)], [b"%d" % n for n in range(39, -1, -1)])

    def test_signals_may_be_lost_by_the_hundred(self) -> None:
        """Signals sealed for a device that was away never come, and the next one is opened all the same."""
        alice, bob = pair()
        for _ in range(500):
            last = alice.seal(bob, b"typing")
        self.assertEqual(bob.open(alice, last), b"typing")

    def test_signals_do_not_make_mail_unreadable(self) -> None:
        """Mail that waits is opened after any number of signals and turns that overtook it."""
        alice, bob = pair()
        mail = [alice.seal(bob, b"%d" % n, ID) for n in range(200)]
        for _ in range(3 * CHAINS_KEPT):
            bob.open(alice, alice.seal(bob, b"offer"))
            alice.open(bob, bob.seal(alice, b"answer"))
        self.assertEqual([bob.open(alice, each) for each in mail], [b"%d" % n for n in range(200)])

    def test_mail_that_overtook_too_much_does_not_take_the_keys_of_the_rest(self) -> None:
        """It is refused, to be asked for again, and all before it can still be opened; so in a new session and an old
        one."""
        alice, bob = pair()
        for _ in range(2):
            mail = [alice.seal(bob, b"%d" % n, ID) for n in range(100)]
            self.assertRaises(CannotOpen, bob.open, alice, mail[-1])
            self.assertEqual([bob.open(alice, each) for each in mail], [b"%d" % n for n in range(100)])

    def test_one_time_keys_that_ran_out_are_followed_by_the_fallback(self) -> None:
        """A device whose keys are used up can still be written to, by anybody."""
        bob = SealingDevice("bob", 2)
        bob.publish(1)
        bob.one_time.clear()
        for number in range(3, 6):
            other = SealingDevice(f"user{number}", number)
            other.start(bob)
            self.assertEqual(bob.open(other, other.seal(bob, b"x", ID)), b"x")

    def test_a_used_one_time_key_is_gone(self) -> None:
        """Its first message cannot be opened again by whoever takes the device later."""
        alice, bob = pair()
        first = alice.seal(bob, b"secret", ID)
        bob.open(alice, first)
        bob.db.execute("DELETE FROM sealing_sessions")
        self.assertRaises(CannotOpen, bob.open, alice, first)

    def test_old_sessions_are_dropped_and_stay_dropped(self) -> None:
        """The number kept is bounded, the last used one stays, and a first message does not bring a dropped one back,
        not even one that was begun with the fallback key."""
        alice, bob = pair()
        bob.one_time.clear()
        first = alice.seal(bob, b"first", ID)
        bob.open(alice, first)
        for _ in range(SESSIONS_PER_LANE + 2):
            alice.start(bob)
            last = alice.seal(bob, b"again", ID)
            bob.open(alice, last)
        self.assertEqual(len(bob.rows.sessions(alice.ref)), SESSIONS_PER_LANE)
        self.assertRaises(Replayed, bob.open, alice, first)
        self.assertEqual(bob.open(alice, alice.seal(bob, b"still", ID)), b"still")

    def test_keys_made_and_not_published_are_not_made_again(self) -> None:
        """A crash between making keys and publishing them wastes none and publishes the same ones."""
        alice = SealingDevice("alice")
        once, fallback = alice.sealer.keys_to_publish(alice.rows, 5, fallback=True)
        again, same = alice.sealer.keys_to_publish(alice.rows, 5, fallback=True)
        self.assertEqual({k.id: k.key for k in once}, {k.id: k.key for k in again})
        self.assertEqual(fallback, same)


class HostileTests(SynchronousTestCase):
    """Against servers and devices that do not."""

    def test_a_repeated_message_is_refused_as_one(self) -> None:
        """Each opens once, in a new session and in an old one."""
        alice, bob = pair()
        first, second = alice.seal(bob, b"1", ID), alice.seal(bob, b"2", ID)
        for sealed in (first, second):
            bob.open(alice, sealed)
        for sealed in (first, second):
            self.assertRaises(Replayed, bob.open, alice, sealed)

    def test_a_truncated_or_changed_message_is_refused_and_harms_nothing(self) -> None:
        """Whatever is done to it, the whole one can be opened afterwards."""
        alice, bob = pair()
        for _ in range(2):
            sealed = alice.seal(bob, b"text", ID)
            for cut in range(0, len(sealed.body), 7):
                damaged = msgspec.structs.replace(sealed, body=sealed.body[:cut])
                self.assertRaises(CannotOpen, bob.open, alice, damaged)
                changed = sealed.body[:cut] + bytes([sealed.body[cut] ^ 1]) + sealed.body[cut + 1 :]
                try:
                    bob.open(alice, msgspec.structs.replace(sealed, body=changed))
                except CannotOpen:
                    continue
                self.fail(f"a message with byte {cut} changed was opened")
            self.assertEqual(bob.open(alice, sealed), b"text")
            bob.open(alice, alice.seal(bob, b"next", ID))
            alice.open(bob, bob.seal(alice, b"turn", ID))

    def test_a_message_passed_on_under_another_name_is_refused(self) -> None:
        """Mallory cannot show alice's message to bob as her own: not with alice's key, and not with hers."""
        alice, bob = pair()
        mallory = SealingDevice("mallory", 9)
        sealed = alice.seal(bob, b"hello", ID)
        self.assertRaises(CannotOpen, bob.open, mallory, sealed)
        relabelled = msgspec.structs.replace(sealed, sender_key=mallory.identity.curve25519)
        self.assertRaises(CannotOpen, bob.open, mallory, relabelled)

    def test_a_message_for_another_device_with_the_same_keys_claimed_is_refused(self) -> None:
        """A server that shows bob's keys as mallory's gets bob no message that was meant for mallory."""
        alice, bob = pair()
        bobs = bob.claim()
        signed_by_bob = ClaimedKey("mallory", b"\x09" * 16, bobs.identity, bobs.key)
        self.assertRaises(BadKeys, alice.sealer.start, alice.rows, signed_by_bob, MAIL)

    def test_a_message_that_names_another_recipient_is_refused(self) -> None:
        """Unknown key share: alice, deceived into taking bob's Curve25519 key for mallory's, writes to mallory; bob,
        to whom it is passed, sees that it is not for him."""
        alice, bob = pair()
        mallory = SealingDevice("mallory", 9)
        lie = Identity(mallory.identity.ed25519, bob.identity.curve25519, b"s" * 64)
        alice.rows.pin(mallory.ref, lie)
        kept = alice.rows.sessions(bob.ref)[0]
        alice.rows.keep(mallory.ref, kept, used=True)
        message = ID if kept.lane == MAIL else b""
        sealed = alice.sealer.seal(alice.rows, mallory.ref, b"dear mallory", message)
        self.assertRaises(NotMeant, bob.open, alice, sealed)
        self.assertIsNone(bob.rows.identity(alice.ref))

    def test_a_device_cannot_claim_anothers_identity(self) -> None:
        """Mallory signs bob's Curve25519 key as hers, or shows his identity: neither is believed for her device."""
        bob, mallory, alice = SealingDevice("bob", 2), SealingDevice("mallory", 9), SealingDevice("alice", 1)
        self.assertRaises(BadKeys, alice.sealer.check_identity, alice.rows, mallory.ref, bob.identity)
        self.assertRaises(
            BadKeys, alice.sealer.check_identity, alice.rows, DeviceRef("mallory", bob.ref.device), bob.identity
        )

    def test_a_pinned_identity_does_not_change(self) -> None:
        """Other keys for a known device are refused: listed, claimed, and in a first message."""
        alice, bob = pair()
        bob.open(alice, alice.seal(bob, b"x"))
        impostor = SealingDevice("alice", 1)
        impostor.publish()
        self.assertRaises(BadKeys, bob.sealer.check_identity, bob.rows, alice.ref, impostor.identity)
        self.assertRaises(BadKeys, bob.sealer.start, bob.rows, impostor.claim(), MAIL)
        impostor.start(bob)
        self.assertRaises(CannotOpen, bob.open, alice, impostor.seal(bob, b"it is me"))
        self.assertEqual(bob.rows.identity(alice.ref), alice.identity)

    def test_a_one_time_key_signed_by_another_is_refused(self) -> None:
        """A server cannot slip in a key of its own."""
        alice, bob = pair()
        claimed, own = bob.claim(), SealingDevice("bob", 2)
        own.publish()
        forged = ClaimedKey("bob", bob.ref.device, claimed.identity, own.one_time[0])
        self.assertRaises(BadKeys, alice.sealer.start, alice.rows, forged, MAIL)
        assert claimed.key is not None
        as_fallback = OneTimeKey(claimed.key.id, claimed.key.key, claimed.key.signature, True)
        wrong_kind = ClaimedKey("bob", bob.ref.device, claimed.identity, as_fallback)
        self.assertRaises(BadKeys, alice.sealer.start, alice.rows, wrong_kind, MAIL)

    def test_a_first_message_without_a_signature_is_refused(self) -> None:
        """Whoever is not known must sign that these are their keys."""
        alice, bob = pair()
        kept = next(each for each in alice.rows.sessions(bob.ref) if each.lane == SIGNALS)
        alice.db.execute("UPDATE sealing_sessions SET answered = 1 WHERE id = ?", (kept.id,))
        self.assertRaises(NotMeant, bob.open, alice, alice.seal(bob, b"x"))

    def test_what_is_no_inner_is_refused(self) -> None:
        """A session may hold anything; only what says who and for whom is believed."""
        alice, bob = pair()
        self.assertRaises(NotMeant, bob.sealer._inner, bob.rows, alice.ref, None, b"\x93garbage")
        self.assertRaises(NotMeant, bob.sealer._inner, bob.rows, alice.ref, None, encode_signal(Sealed(0, b"")))

    def test_each_name_device_and_key_inside_counts(self) -> None:
        """One that differs is enough."""
        alice, bob = pair()
        a, b = alice.ref, bob.ref
        good = Inner(a.user, a.device, alice.identity.ed25519, b.user, b.device, bob.identity.ed25519, b"x")
        bob.sealer._inner(bob.rows, a, alice.identity, encode_signal(good))
        for field, value in (
            ("sender", "carol"), ("sender_device", b"z" * 16), ("sender_key", b"z" * 32),
            ("recipient", "carol"), ("recipient_device", b"z" * 16), ("recipient_key", b"z" * 32),
        ):  # fmt: skip
            bad = encode_signal(msgspec.structs.replace(good, **{field: value}))
            self.assertRaises(NotMeant, bob.sealer._inner, bob.rows, a, alice.identity, bad)

    def test_what_is_stored_is_encrypted(self) -> None:
        """With another key the pickles are of no use."""
        alice, bob = pair()
        other = Sealer(alice.ref, b"o" * 32)
        self.assertRaises(PickleException, other.identity, SealingRows(alice.db))
        other.remember(alice.identity)
        self.assertRaises(PickleException, other.seal, SealingRows(alice.db), bob.ref, b"x")
