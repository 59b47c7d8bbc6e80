"""Seals on real databases: keys published and claimed, signals sealed and opened, and sessions healed."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from p2pim.core.limits import ASKED_AGAIN, ONE_TIME_KEYS_PUBLISHED
from p2pim.errors import BadKeys, CannotOpen, NoKeys, NoSession, Replayed, StorageError
from p2pim.peer.events import DeviceAdded, IdentityChanged
from p2pim.wire.keys import ClaimKeys, PublishKeys
from p2pim.wire.signals import Query, Receipt, Sealed, Typing, decode_signal
from tests.peer.key_server import KeyServer, SealingPeer

ID = b"i" * 16


class SealsCase(TestCase):
    """Alice and bob, and a server that is a dictionary."""

    async def asyncSetUp(self) -> None:
        self.server = KeyServer()
        self.peers: list[SealingPeer] = []
        self.alice = await self.peer("alice", 1)
        self.bob = await self.peer("bob", 2)
        for each in (self.alice, self.bob):
            each.sign_in()
        await self.until(lambda: len(self.server.fallbacks) == 2)
        await self.settle()

    def setUp(self):  # type: ignore[no-untyped-def]
        from twisted.internet.defer import Deferred

        return Deferred.fromCoroutine(self.asyncSetUp())

    async def peer(self, user: str, number: int) -> SealingPeer:
        peer = SealingPeer(self.server, user, number, Path(self.mktemp()))
        await peer.open()
        self.peers.append(peer)
        self.addCleanup(peer.close)
        return peer

    async def until(self, there: Callable[[], object]) -> None:
        for _ in range(2000):
            if there():
                return
            await deferLater(reactor, 0.005, lambda: None)
        self.fail("it did not happen in ten seconds")

    async def settle(self) -> None:
        """All that was written is committed, and what follows of it too."""
        for _ in range(5):
            await gatherResults([p.database.write(lambda db: None) for p in self.peers])
            await deferLater(reactor, 0.0, lambda: None)

    def asked(self, kind: type) -> int:
        return sum(isinstance(each, kind) for each in self.server.asked)


class SignalTests(SealsCase):
    """Signals through the server."""

    async def test_the_first_signal_makes_the_session_it_needs(self) -> None:
        """Nobody has to get ready; what is sent meanwhile waits and keeps its order."""
        for n in range(5):
            self.alice.send(self.bob, Query(n, "t", b"x"))
        await self.until(lambda: len(self.bob.got) == 5)
        self.assertEqual([q.number for q in self.bob.got if isinstance(q, Query)], list(range(5)))

    async def test_the_next_ones_ask_the_server_nothing(self) -> None:
        """With a session there is no round trip but the signal's own."""
        await self.alice.seals.ready("bob")
        asked = len(self.server.asked)
        self.alice.send(self.bob, Typing())
        await self.until(lambda: self.bob.got)
        self.bob.send(self.alice, Typing())
        await self.until(lambda: self.alice.got)
        self.assertEqual(len(self.server.asked), asked)

    async def test_nothing_readable_is_forwarded(self) -> None:
        """Every payload is a Sealed, and what was said is not in it."""
        self.alice.send(self.bob, Query(1, "planted topic", b"planted body"))
        await self.until(lambda: self.bob.got)
        for _, _, payload in self.server.forwarded:
            self.assertIsInstance(decode_signal(payload), Sealed)
            self.assertNotIn(b"planted", payload)

    async def test_contacts_are_made_ready_at_sign_in(self) -> None:
        """So that the first message has no further round trip."""
        self.alice.sign_out()
        self.alice.sign_in("bob")
        await self.until(lambda: self.asked(ClaimKeys) == 1)
        await self.settle()
        asked = len(self.server.asked)
        self.alice.send(self.bob, Typing())
        await self.until(lambda: self.bob.got)
        self.assertEqual(len(self.server.asked), asked)

    async def test_a_device_without_keys_is_told_of(self) -> None:
        """Whoever wants to write hears that nothing can be sealed."""
        self.server.known("carol", b"c" * 16)
        await self.assertFailure(self.alice.seals_ready("carol"), NoKeys)
        failed: list[Exception] = []
        self.alice.seals.send("carol", b"c" * 16, Typing(), failed.append)
        await self.until(lambda: failed)
        self.assertIsInstance(failed[0], NoKeys)

    async def test_a_signal_that_comes_twice_is_delivered_once(self) -> None:
        """As a signal and as mail."""
        self.server.tamper = lambda origin, to, payload: [payload, payload]
        self.alice.send(self.bob, Receipt([ID], "read"), ID)
        self.alice.send(self.bob, Typing())
        await self.until(lambda: len(self.bob.got) >= 2)
        await self.settle()
        self.assertEqual(len(self.bob.got), 2)

    async def test_sealed_in_sealed_is_refused(self) -> None:
        """Nobody makes a device recurse."""
        self.alice.send(self.bob, Sealed(0, b"x"))
        await self.until(lambda: any("sealed once more" in line for line in self.bob.log))
        self.assertEqual(self.bob.got, [])


class KeyTests(SealsCase):
    """The keys at the server, and those of others."""

    async def test_keys_are_published_at_first_sign_in(self) -> None:
        """Identity, one-time keys and a fallback, all signed (the server checks)."""
        self.assertEqual(len(self.server.one_time[self.alice.device]), ONE_TIME_KEYS_PUBLISHED)
        self.assertEqual(self.asked(PublishKeys), 2)

    async def test_they_are_topped_up_when_they_run_low(self) -> None:
        """Only the missing ones are made, and the fallback stays while none has run out."""
        keys, fallback = self.server.one_time[self.alice.device], self.server.fallbacks[self.alice.device]
        del keys[5:]
        self.alice.seals.keys_left(5)
        await self.until(lambda: len(keys) == ONE_TIME_KEYS_PUBLISHED)
        self.assertEqual(len({key.id for key in keys}), ONE_TIME_KEYS_PUBLISHED)
        self.assertIs(self.server.fallbacks[self.alice.device], fallback)
        asked = len(self.server.asked)
        self.alice.seals.keys_left(ONE_TIME_KEYS_PUBLISHED)
        await self.settle()
        self.assertEqual(len(self.server.asked), asked)

    async def test_a_fallback_that_may_have_been_used_or_is_old_is_replaced(self) -> None:
        """When the one-time keys ran out, and after a week."""
        for change in (lambda: self.server.one_time[self.alice.device].clear(), lambda: None):
            before = self.server.fallbacks[self.alice.device]
            change()
            self.alice.seals.keys_left(len(self.server.one_time[self.alice.device]))
            await self.until(lambda before=before: self.server.fallbacks[self.alice.device] != before)  # type: ignore[misc]
            await self.settle()
            self.alice.now += 8 * 86_400

    async def test_exhausted_keys_still_let_everyone_in(self) -> None:
        """By the fallback key, several times."""
        self.server.one_time[self.bob.device].clear()
        carol = await self.peer("carol", 3)
        carol.sign_in()
        for each in (self.alice, carol):
            each.send(self.bob, Typing())
        await self.until(lambda: len(self.bob.got) == 2)

    async def test_other_keys_for_a_known_device_are_refused_and_told(self) -> None:
        """The old ones stay; nothing is sent to whoever has the new ones."""
        await self.alice.seals.ready("bob")
        impostor = await self.peer("bob", 9)
        self.server.identities["bob", self.bob.device] = impostor.seals.sealer._identity
        self.server.tell_devices("bob")
        await self.until(lambda: any(isinstance(e, IdentityChanged) for e in self.alice.events))
        del self.server.identities["bob", impostor.device]
        self.server.tell_devices("bob")
        await self.assertFailure(self.alice.seals_ready("bob"), BadKeys)

    async def test_a_further_device_is_announced(self) -> None:
        """To contacts, and to my own other devices; and it can be written to."""
        await self.alice.seals.ready("bob")
        phone = await self.peer("bob", 3)
        phone.sign_in()
        await self.until(lambda: phone.device in self.server.fallbacks)
        self.server.tell_devices("bob")
        for peer in (self.alice, self.bob):
            await self.until(lambda peer=peer: any(isinstance(e, DeviceAdded) for e in peer.events))  # type: ignore[misc]
        self.assertEqual(sorted(await self.alice.seals.ready("bob")), [self.bob.device, phone.device])
        self.assertFalse(self.alice.seals.blocked_by_change("bob"))

    async def test_a_further_device_of_a_verified_user_stops_messages(self) -> None:
        """Until a person has accepted it."""
        await self.alice.seals.ready("bob")
        await self.alice.seals.directory.judge("bob", [self.bob.device], verified=True)
        phone = await self.peer("bob", 3)
        phone.sign_in()
        phone.send(self.alice, Typing())
        await self.until(lambda: any(isinstance(e, IdentityChanged) for e in self.alice.events))
        self.assertTrue(self.alice.seals.blocked_by_change("bob"))
        await self.alice.seals.directory.judge("bob", [phone.device], verified=False)
        self.assertFalse(self.alice.seals.blocked_by_change("bob"))

    async def test_keys_with_the_wrong_pickle_key_are_explained(self) -> None:
        """A home put together from two backups says so."""
        await self.alice.database.write(lambda db: db.execute("UPDATE sealing_account SET pickle = 'x'"))
        await self.assertFailure(self.alice.seals_load(), StorageError)


class CrashTests(SealsCase):
    """No state of a ratchet is used twice, whatever stops in the middle."""

    async def test_a_transaction_that_fails_leaves_the_ratchet_where_it_was(self) -> None:
        """What was sealed in it never went out, so its key may be used: once."""
        await self.alice.seals.ready("bob")
        sealed: list[bytes] = []

        def dies(db: sqlite3.Connection) -> None:
            sealed.append(self.alice.seals.seal_in(db, "bob", self.bob.device, Typing(), ID))
            raise RuntimeError("killed between sealing and storing")

        await self.assertFailure(self.alice.database.write(dies), RuntimeError)
        kept = await self.alice.database.write(
            lambda db: self.alice.seals.seal_in(db, "bob", self.bob.device, Typing(), ID)
        )
        self.alice.server.forward(self.alice, self.bob.device, kept, None)
        await self.until(lambda: self.bob.got)

    async def test_what_was_opened_and_not_stored_can_be_opened_again(self) -> None:
        """The receiver dies between opening and committing: the message comes again, and is opened then."""
        await self.alice.seals.ready("bob")
        for _ in range(2):
            payload = await self.alice.database.write(
                lambda db: self.alice.seals.seal_in(db, "bob", self.bob.device, Typing(), ID)
            )
            sealed = decode_signal(payload)
            assert isinstance(sealed, Sealed)

            def dies(db: sqlite3.Connection, sealed: Sealed = sealed) -> None:
                self.bob.seals.open_in(db, "alice", self.alice.device, sealed)
                raise RuntimeError("killed between opening and storing")

            def lives(db: sqlite3.Connection, sealed: Sealed = sealed) -> object:
                return self.bob.seals.open_in(db, "alice", self.alice.device, sealed)

            await self.assertFailure(self.bob.database.write(dies), RuntimeError)
            self.assertEqual(await self.bob.database.write(lives), Typing())
            await self.assertFailure(self.bob.database.write(lives), Replayed)

    async def test_a_process_that_ends_loses_nothing(self) -> None:
        """The next one goes on in the same session with the same keys."""
        self.alice.send(self.bob, Typing())
        await self.until(lambda: self.bob.got)
        asked = self.asked(ClaimKeys) + self.asked(PublishKeys)
        for peer in (self.alice, self.bob):
            await peer.close()
            await peer.open()
            peer.sign_in()
        self.bob.send(self.alice, Typing())
        self.alice.send(self.bob, Typing())
        await self.until(lambda: len(self.bob.got) == 2 and self.alice.got)
        self.assertEqual(self.asked(ClaimKeys) + self.asked(PublishKeys), asked)


class HealingTests(SealsCase):
    """What cannot be opened is asked for again, in a new session."""

    async def restore(self, peer: SealingPeer, backup: str) -> None:
        await peer.close()
        for suffix in ("-wal", "-shm"):
            peer.path.with_name(peer.path.name + suffix).unlink(missing_ok=True)
        shutil.copy(backup, peer.path)
        await peer.open()
        peer.sign_in()

    async def backup(self, peer: SealingPeer) -> str:
        copy = self.mktemp()
        await peer.database.write(lambda db: None)
        target = sqlite3.connect(copy)
        source = sqlite3.connect(peer.path)
        source.backup(target)
        source.close()
        target.close()
        return str(copy)

    async def talk(self, times: int = 3) -> None:
        for n in range(times):
            for one, other in ((self.alice, self.bob), (self.bob, self.alice)):
                before = len(other.got)
                one.send(other, Query(n, "", b""), os.urandom(16) if n % 2 else b"")
                await self.until(lambda other=other, before=before: len(other.got) > before)  # type: ignore[misc]

    async def test_a_sender_restored_from_an_old_backup_is_asked_again(self) -> None:
        """Its old ratchet is refused as repeated; it seals the message again in the session in which it is asked."""
        await self.talk()
        self.alice.send(self.bob, Typing(), b"0" * 16)
        await self.settle()
        backup = await self.backup(self.alice)
        self.alice.send(self.bob, Typing(), b"1" * 16)
        await self.settle()
        await self.restore(self.alice, backup)
        self.bob.got.clear()
        self.alice.send(self.bob, Typing(), b"2" * 16)
        await self.until(lambda: self.alice.again)
        self.assertEqual(self.alice.again, [[b"2" * 16]])
        self.assertTrue(any("opened before" in line for line in self.bob.log))
        self.alice.send(self.bob, Typing(), b"2" * 16)
        await self.until(lambda: self.bob.got)
        self.assertEqual(
            await self.bob.database.read(lambda db: db.execute("SELECT 1 FROM sealing_asks").fetchall()), []
        )

    async def test_a_sender_restored_from_before_many_turns_is_asked_again(self) -> None:
        """The same when the ratchet went on without it."""
        await self.talk()
        backup = await self.backup(self.alice)
        await self.talk()
        await self.restore(self.alice, backup)
        self.alice.send(self.bob, Typing(), b"2" * 16)
        await self.until(lambda: self.alice.again)
        self.bob.got.clear()
        self.alice.send(self.bob, Typing(), b"2" * 16)
        await self.until(lambda: self.bob.got)

    async def test_a_receiver_restored_from_before_the_session_asks_again(self) -> None:
        """It knows neither the session nor the one-time key any more."""
        backup = await self.backup(self.bob)
        await self.talk()
        await self.restore(self.bob, backup)
        self.alice.send(self.bob, Typing(), b"3" * 16)
        await self.until(lambda: self.alice.again)
        self.bob.got.clear()
        self.alice.send(self.bob, Typing(), b"3" * 16)
        await self.until(lambda: self.bob.got)

    async def test_signals_heal_without_being_asked_for(self) -> None:
        """The one is lost, as signals may be; the next one arrives."""
        backup = await self.backup(self.bob)
        await self.talk()
        await self.restore(self.bob, backup)
        self.bob.got.clear()
        self.alice.send(self.bob, Typing())
        await self.until(lambda: any("could not open" in line for line in self.alice.log))
        self.alice.send(self.bob, Typing())
        await self.until(lambda: self.bob.got)

    async def test_garbage_costs_one_key_a_minute(self) -> None:
        """And what is asked for again is asked for a few times only."""
        await self.talk()
        claims = self.asked(ClaimKeys)
        flip = lambda payload: payload[:90] + bytes([payload[90] ^ 1]) + payload[91:]  # noqa: E731
        to_bob = self.bob.device
        self.server.tamper = lambda origin, to, payload: [flip(payload) if to == to_bob else payload]
        for _ in range(10):
            self.alice.send(self.bob, Typing(), b"4" * 16)
            await self.settle()
        await self.until(lambda: len(self.alice.again) == ASKED_AGAIN)
        await self.settle()
        self.assertEqual(self.asked(ClaimKeys) - claims, 1)
        self.assertEqual(len(self.alice.again), ASKED_AGAIN)

    async def test_a_hostile_asker_gets_each_message_a_few_times(self) -> None:
        """Nobody makes a sender seal for ever."""
        from p2pim.wire.signals import AskAgain

        for _ in range(10):
            self.bob.send(self.alice, AskAgain([b"5" * 16]))
        await self.until(lambda: len(self.alice.again) == ASKED_AGAIN)
        await self.settle()
        self.assertEqual(len(self.alice.again), ASKED_AGAIN)

    async def test_what_waits_to_be_asked_for_outlives_the_process(self) -> None:
        """It was acknowledged when it was noted, so it must not be forgotten."""
        await self.talk()
        bad = decode_signal(
            await self.alice.database.write(
                lambda db: self.alice.seals.seal_in(db, "bob", self.bob.device, Typing(), b"6" * 16)
            )
        )
        assert isinstance(bad, Sealed)
        self.bob.sign_out()
        damaged = msgspec.structs.replace(bad, body=bad.body[:-1])
        await self.bob.seals.cannot_open("alice", self.alice.device, damaged, CannotOpen())
        await self.bob.close()
        await self.bob.open()
        self.bob.sign_in()
        await self.until(lambda: self.alice.again)
        self.assertEqual(self.alice.again, [[b"6" * 16]])

    async def test_without_a_session_sealing_says_so(self) -> None:
        """Whoever seals within a transaction gets ready first."""
        work = lambda db: self.alice.seals.seal_in(db, "bob", self.bob.device, Typing(), ID)  # noqa: E731
        await self.assertFailure(self.alice.database.write(work), NoSession)
