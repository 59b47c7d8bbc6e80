"""A home's messages as a history: pages and search."""

from __future__ import annotations

from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from p2pim.storage.database import Database
from p2pim.storage.history import History


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


class HomeStoreTests(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.database = Database(reactor, Path(self.mktemp()), "peer")
        self.store = History(self.database)
        self.addCleanup(lambda: self.database.close())

    async def receive(self, number: int, text: str = "") -> None:
        await self.database.write(
            lambda db: db.execute(
                "INSERT INTO messages (id, user, device, seq, text, sent_at, route, state)"
                " VALUES (?, 'bob', ?, ?, ?, 1000, 'tcp', 'received')",
                (id_of(number), b"b" * 16, number, text or f"text {number}"),
            )
        )

    async def test_history_goes_back_page_by_page(self) -> None:
        """The newest page first, each in order."""
        for number in range(1, 8):
            await self.receive(number)
        newest = await self.store.page("bob", limit=3)
        self.assertEqual([e.text for e in newest], ["text 5", "text 6", "text 7"])
        older = await self.store.page("bob", limit=3, before=newest[0].id)
        self.assertEqual([e.text for e in older], ["text 2", "text 3", "text 4"])
        self.assertEqual(await self.store.page("bob", before=id_of(99)), [])

    async def test_a_search_takes_its_text_literally(self) -> None:
        """Percent signs, underscores and backslashes are nothing special."""
        for number, text in enumerate(["100% sure", "100 sure", "a_b", "aXb", "c\\d"], 1):
            await self.receive(number, text)
        for search, found in (("0%", "100% sure"), ("a_b", "a_b"), ("c\\d", "c\\d")):
            self.assertEqual([e.text for e in await self.store.page("bob", search=search)], [found])
