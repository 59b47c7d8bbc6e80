"""A home's messages: what is in the outbox, what is in the history, and that nothing is in either twice."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from unittest import mock

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from p2pim.errors import TooMany
from p2pim.storage.database import Database
from p2pim.storage.history import History
from p2pim.storage.home import Arrived, HomeStore

A, B = b"a" * 16, b"b" * 16


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def arrived(number: int, user: str = "bob", device: bytes = B, text: str = "") -> Arrived:
    return Arrived(id_of(number), user, device, number, text or f"text {number}", 1000, 2000, "tcp", "192.0.2.1:5")


def explain(query: str, connection: sqlite3.Connection) -> list[sqlite3.Row]:
    return connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()


class HomeStoreTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.path = Path(self.mktemp())
        self.open()
        self.addCleanup(lambda: self.database.close())

    def open(self) -> None:
        self.database = Database(reactor, self.path, "peer")
        self.store = HomeStore(self.database)
        self.history = History(self.database)

    async def put(self, number: int, user: str = "bob") -> None:
        await self.store.enqueue(user, id_of(number), f"text {number}", 1000 + number, "auto")

    async def test_messages_are_numbered_for_each_user_from_one(self) -> None:
        """And the numbers go on after a restart."""
        first = await self.store.enqueue("bob", id_of(1), "hello", 1000, "auto")
        other = await self.store.enqueue("carol", id_of(2), "hello", 1000, "auto")
        await self.database.close()
        self.open()
        second = await self.store.enqueue("bob", id_of(3), "hello", 1000, "direct")
        self.assertEqual([(m.seq, m.route) for m in (first, other, second)], [(1, "auto"), (1, "auto"), (2, "direct")])

    async def test_what_waits_survives_a_restart_in_order(self) -> None:
        """It is on disk before anybody hears of it."""
        for number in (1, 2, 3):
            await self.put(number)
        await self.store.settle("bob", [id_of(2)], "delivered", "tcp", "address", 3000)
        await self.database.close()
        self.open()
        waiting = await self.store.waiting()
        self.assertEqual([(user, m.id, m.seq) for user, m in waiting], [("bob", id_of(1), 1), ("bob", id_of(3), 3)])

    async def test_a_receipt_of_somebody_else_changes_nothing(self) -> None:
        """Only the recipient can confirm."""
        await self.put(1)
        await self.store.settle("mallory", [id_of(1)], "delivered", "tcp", "", 3000)
        self.assertEqual(await self.store.confirm_read("mallory", [id_of(1)], 3000), [])
        self.assertEqual(len(await self.store.waiting()), 1)

    async def test_read_comes_after_delivered_and_once(self) -> None:
        """A second read receipt is no news."""
        await self.put(1)
        await self.store.settle("bob", [id_of(1)], "delivered", "tcp", "", 3000)
        self.assertEqual(await self.store.confirm_read("bob", [id_of(1)], 4000), [(id_of(1), "tcp")])
        self.assertEqual(await self.store.confirm_read("bob", [id_of(1)], 5000), [])
        (entry,) = await self.history.page("bob")
        self.assertEqual((entry.state, entry.received_at, entry.read_at), ("read", 3000, 4000))

    async def test_the_outbox_of_one_user_is_bounded(self) -> None:
        """And says so before anything is lost."""
        with mock.patch("p2pim.storage.home.OUTBOX", 2):
            await self.put(1)
            await self.put(2)
            await self.put(3, "carol")
            with self.assertRaises(TooMany):
                await self.put(4)

    async def test_a_message_is_new_once(self) -> None:
        """By sender, sending device and id."""
        self.assertTrue(await self.store.receive(arrived(1), 2))
        self.assertFalse(await self.store.receive(arrived(1), 2))
        self.assertTrue(await self.store.receive(arrived(1, device=A), 2))
        self.assertTrue(await self.store.receive(arrived(1, user="carol"), 2))

    async def test_the_next_number_is_kept_with_the_message(self) -> None:
        """So that a restart holds nothing back, and it never goes down."""
        await self.store.receive(arrived(1), 2)
        await self.store.receive(arrived(5), 6)
        await self.store.receive(arrived(3), 4)
        self.assertEqual(await self.store.expected(), {("bob", B): 6})

    async def test_marking_as_read_tells_what_is_new(self) -> None:
        """With the device that wants to hear it."""
        await self.store.receive(arrived(1), 2)
        self.assertEqual(await self.store.mark_read("bob", 5000), [(B, id_of(1))])
        self.assertEqual(await self.store.mark_read("bob", 6000), [])

    async def test_history_goes_back_page_by_page(self) -> None:
        """The newest page first, each in order."""
        for number in range(1, 8):
            await self.store.receive(arrived(number), number + 1)
        newest = await self.history.page("bob", limit=3)
        self.assertEqual([e.text for e in newest], ["text 5", "text 6", "text 7"])
        older = await self.history.page("bob", limit=3, before=newest[0].id)
        self.assertEqual([e.text for e in older], ["text 2", "text 3", "text 4"])
        self.assertEqual(await self.history.page("bob", before=id_of(99)), [])

    async def test_a_search_takes_its_text_literally(self) -> None:
        """Percent signs, underscores and backslashes are nothing special."""
        for number, text in enumerate(["100% sure", "100 sure", "a_b", "aXb", "c\\d"], 1):
            await self.store.receive(arrived(number, text=text), number + 1)
        for search, found in (("0%", "100% sure"), ("a_b", "a_b"), ("c\\d", "c\\d")):
            self.assertEqual([e.text for e in await self.history.page("bob", search=search)], [found])

    async def test_paging_and_the_outbox_have_an_index(self) -> None:
        """A history of years does not slow a page down."""
        queries = [
            "SELECT * FROM messages WHERE user = 'bob' ORDER BY number DESC LIMIT 10",
            "SELECT count(*) FROM messages WHERE state = 'waiting' AND user = 'bob'",
            "UPDATE messages SET state = 'read' WHERE user = 'bob' AND state = 'received'",
        ]
        for query in queries:
            rows = await self.database.read(partial(explain, query))
            plan = rows[0][3]
            self.assertIn("USING", plan)
            self.assertNotIn("TEMP B-TREE", plan)
