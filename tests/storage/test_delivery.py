"""Outbox and inbox on a real file: what is written together, what survives a restart, and what is in an index."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from p2pim.core.delivery import Outgoing
from p2pim.errors import CannotOpen
from p2pim.storage.database import Database, _steps
from p2pim.storage.inbox import Envelope, InboxStore, Taken
from p2pim.storage.outbox import Copy, OutboxStore
from p2pim.wire.signals import ChatMessage, Sealed, decode_signal
from tests.inline_database import OpenSeals, inside, no_groups

A, B = ("bob", b"a" * 16), ("bob", b"b" * 16)


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def explain(query: str, connection: sqlite3.Connection) -> list[sqlite3.Row]:
    return connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()


class DeliveryStoreTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.path = Path(self.mktemp())
        self.seals = OpenSeals()
        self.open()
        self.addCleanup(lambda: self.database.close())

    def open(self) -> None:
        self.database = Database(reactor, self.path, "peer")
        self.outbox = OutboxStore(self.database, self.seals.seal_in, "alice")
        self.inbox = InboxStore(self.database, self.seals.open_in, "alice", no_groups("alice"))

    async def reopen(self) -> None:
        await self.database.close()
        self.open()

    async def put(self, number: int, user: str = "bob", *targets: tuple[str, bytes]) -> list[Copy]:
        message = Outgoing(id_of(number), 0, f"text {number}", 1000 + number)
        return await self.outbox.enqueue(message, user, targets or [A])

    async def take(self, number: int, *, sealed: Sealed | None = None, oldest: int = 1) -> Taken:
        if sealed is None:
            chat = ChatMessage(id_of(number), number, f"text {number}", 1000, oldest)
            opened = decode_signal(self.seals.seal_in(None, "", b"", chat, chat.id))  # type: ignore[arg-type]
            assert isinstance(opened, Sealed)
            sealed = opened
        envelope = Envelope("bob", B[1], sealed, id_of(number), "tcp", "192.0.2.1:5", 2000)
        (taken,) = await self.inbox.take([envelope], 0.0)
        return taken

    async def test_messages_are_numbered_for_each_user_from_one(self) -> None:
        """And the numbers go on after a restart."""
        numbers = [(await self.put(1))[0].message.seq, (await self.put(2, "carol", ("carol", B[1])))[0].message.seq]
        await self.reopen()
        numbers.append((await self.put(3))[0].message.seq)
        self.assertEqual(numbers, [1, 1, 2])

    async def test_what_is_not_confirmed_survives_a_restart_in_order_and_as_it_was_sealed(self) -> None:
        """With what is known of each copy."""
        copies = [copy for number in (1, 2, 3) for copy in await self.put(number, "bob", A, B)]
        await self.outbox.confirm("bob", A, [(id_of(2), "tcp", "")], 3000)
        await self.outbox.stored("bob", [(A, 3), (B, 3)], [id_of(3)], "server")
        await self.reopen()
        left = await self.outbox.unsettled()
        self.assertEqual(
            [(each.message.seq, each.state) for each in left], [(1, "waiting"), (2, "delivered"), (3, "stored")]
        )
        self.assertEqual(
            [each.copies for each in left],
            [{A: "waiting", B: "waiting"}, {B: "waiting"}, {A: "stored", B: "stored"}],
        )
        again = await self.outbox.sealed("bob", [(A, 1), (B, 2), (A, 2)])
        self.assertEqual(again, {(A, 1): copies[0].sealed, (B, 2): copies[3].sealed})

    async def test_a_copy_tells_the_oldest_that_its_device_has_not_confirmed(self) -> None:
        """Each device its own."""
        for number in (1, 2):
            await self.put(number, "bob", A, B)
        await self.outbox.confirm("bob", A, [(id_of(1), "tcp", "")], 3000)
        told = {copy.target: inside(copy.sealed) for copy in await self.put(3, "bob", A, B)}
        self.assertEqual({t: c.oldest for t, c in told.items() if isinstance(c, ChatMessage)}, {A: 2, B: 1})

    async def test_without_a_session_there_is_a_number_and_no_copy(self) -> None:
        """Until one can be sealed."""
        self.seals.without.add(A[1])
        (none,) = await self.put(1)
        self.assertEqual((none.target, none.message.seq, none.sealed), (("", b""), 1, b""))
        self.seals.without.clear()
        (copy,) = await self.outbox.seal_more("bob", [(A, id_of(1)), (A, id_of(9))])
        self.assertEqual((copy.target, copy.message.text), (A, "text 1"))

    async def test_a_receipt_of_somebody_else_changes_nothing(self) -> None:
        """Only the recipient can confirm."""
        await self.put(1)
        for target in (("mallory", A[1]), ("alice", A[1])):
            (confirmed,) = await self.outbox.confirm("bob", target, [(id_of(1), "tcp", "")], 3000)
            self.assertFalse(confirmed.news)
        self.assertEqual(await self.outbox.confirm_read("mallory", [id_of(1)], 3000), [])
        self.assertEqual(len(await self.outbox.unsettled()), 1)

    async def test_read_comes_after_delivered_and_once(self) -> None:
        """A second read receipt is no news."""
        await self.put(1)
        await self.outbox.confirm("bob", A, [(id_of(1), "tcp", "")], 3000)
        self.assertEqual(await self.outbox.confirm_read("bob", [id_of(1)], 4000), [(id_of(1), "tcp")])
        self.assertEqual(await self.outbox.confirm_read("bob", [id_of(1)], 5000), [])

    async def test_what_is_given_up_or_has_lost_its_device_is_forgotten(self) -> None:
        """Nothing of it is sent again."""
        await self.put(1, "bob", A, B)
        await self.outbox.drop_copies("bob", A)
        (left,) = await self.outbox.unsettled()
        self.assertEqual(list(left.copies), [B])
        await self.outbox.fail("bob", [id_of(1)])
        self.assertEqual(await self.outbox.unsettled(), [])

    async def test_what_came_is_known_after_a_restart_and_so_is_the_order(self) -> None:
        """The next number, the early ones and the ids."""
        await self.take(1)
        self.assertEqual((await self.take(3)).shown, [])
        await self.reopen()
        self.assertTrue(await self.inbox.begin(0.0))
        self.assertTrue((await self.take(1)).known)
        self.assertTrue((await self.take(3)).known)
        self.assertEqual([message.seq for message in (await self.take(2)).shown], [2, 3])
        self.assertFalse(await self.inbox.begin(0.0))

    async def test_one_that_cannot_be_opened_undoes_nothing_of_the_others(self) -> None:
        """Nor does one that breaks what opens it."""

        def broken(*arguments: object) -> None:
            raise ZeroDivisionError

        await self.take(1)
        bad = Sealed(1, b"bad", message=id_of(2))
        self.seals.lost.add(b"bad")
        self.assertIsInstance((await self.take(2, sealed=bad)).error, CannotOpen)
        self.patch(self.inbox, "_open", broken)
        self.assertIsInstance((await self.take(3)).error, CannotOpen)
        (count,) = await self.database.read(lambda db: db.execute("SELECT count(*) FROM messages").fetchone())
        self.assertEqual(count, 1)

    async def test_marking_as_read_tells_what_is_new(self) -> None:
        """With the device that wants to hear it."""
        await self.take(1)
        self.assertEqual(await self.inbox.mark_read("bob", 5000), [(B[1], id_of(1))])
        self.assertEqual(await self.inbox.mark_read("bob", 6000), [])

    async def test_an_outbox_of_an_earlier_version_is_taken_over(self) -> None:
        """Its messages wait to be sealed, and its order goes on."""
        path = Path(self.mktemp())
        with sqlite3.connect(path) as old:
            for number, sql in _steps("peer")[:2]:
                old.executescript(f"{sql}; PRAGMA user_version = {number};")
            old.execute(
                "INSERT INTO messages VALUES (1, ?, 'bob', x'', 7, 'old', 1, NULL, NULL, 'auto', '', 'waiting')",
                (id_of(7),),
            )
            old.execute("INSERT INTO arrivals VALUES ('bob', ?, 5)", (B[1],))
        old.close()
        await self.database.close()
        self.path = path
        self.open()
        (left,) = await self.outbox.unsettled()
        self.assertEqual((left.message.seq, left.copies), (7, {}))
        self.assertEqual([message.seq for message in (await self.take(5)).shown], [5])

    async def test_what_is_asked_for_often_has_an_index(self) -> None:
        """A history of years does not slow a message down."""
        queries = [
            "SELECT min(seq) FROM copies WHERE conversation = 'bob' AND user = 'bob' AND device = x'00'",
            "DELETE FROM copies WHERE conversation = 'bob' AND message = x'00' AND user = 'bob' AND device = x'00'",
            "SELECT conversation FROM copies WHERE user = 'bob' AND device = x'00' AND message = x'00'",
            "UPDATE messages SET state = 'read' WHERE user = 'bob' AND state = 'received' AND number <= 5",
        ]
        for query in queries:
            rows = await self.database.read(partial(explain, query))
            self.assertIn("USING", rows[0][3], query)
