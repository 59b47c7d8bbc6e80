"""The history: pages both ways, search that finds what is there and nothing else, and deletion that leaves nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from p2pim.core.search import fold
from p2pim.storage import database as database_module
from p2pim.storage.database import Database, prepare_file
from p2pim.storage.history import Deleted, History, HistoryEntry, Window, _search

B = b"b" * 16


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def texts(entries: list[HistoryEntry]) -> list[str]:
    return [entry.text for entry in entries]


class HistoryCase(TestCase):
    """A home's database with messages in it."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.path = Path(self.mktemp())
        self.open()
        self.addCleanup(lambda: self.database.close())
        self.count = 0

    def open(self) -> None:
        self.database = Database(reactor, self.path, "peer")
        self.history = History(self.database)

    async def store(self, id: bytes, user: str, device: bytes, text: str, state: str) -> bool:
        """Put a message into the table as an outbox or inbox does; whether it was new."""
        values = (id, user, device, text, 1000 + self.count, None if state == "waiting" else 3000, state)
        row = await self.database.write(
            lambda connection: connection.execute(
                "INSERT INTO messages (id, user, device, seq, text, sent_at, received_at, route, address, state)"
                " VALUES (?, ?, ?, 1, ?, ?, ?, 'tcp', '192.0.2.1:5', ?) ON CONFLICT DO NOTHING RETURNING 1",
                values,
            ).fetchone()
        )
        return row is not None

    async def said(self, *given: str, user: str = "bob", device: bytes = B) -> list[bytes]:
        """``user`` said this; the ids."""
        ids = []
        for text in given:
            self.count += 1
            ids.append(id_of(self.count))
            self.assertTrue(await self.store(ids[-1], user, device, text, "received"))
        return ids

    async def sent(self, text: str, user: str = "bob", state: str = "delivered") -> bytes:
        """I said this."""
        self.count += 1
        await self.store(id_of(self.count), user, b"", text, state)
        return id_of(self.count)

    async def found(self, search: str, user: str | None = "bob", **more: Any) -> list[str]:
        return texts(await self.history.page(user, search=search, **more))


class PageTests(HistoryCase):
    """Pages of one conversation and of all."""

    async def test_both_directions_are_in_the_order_in_which_they_became_known(self) -> None:
        """With all that is known of each."""
        await self.said("hello")
        await self.sent("hi")
        await self.said("elsewhere", user="carol")
        theirs, mine = await self.history.page("bob")
        self.assertEqual((theirs.direction, theirs.text, theirs.state), ("in", "hello", "received"))
        self.assertEqual((mine.direction, mine.state, mine.route, mine.received_at), ("out", "delivered", "tcp", 3000))

    async def test_pages_go_back_and_forth(self) -> None:
        """Before one message, after one, from the beginning."""
        ids = await self.said(*"abcdefg")
        self.assertEqual(texts(await self.history.page("bob", limit=3)), ["e", "f", "g"])
        self.assertEqual(texts(await self.history.page("bob", limit=3, before=ids[4])), ["b", "c", "d"])
        self.assertEqual(texts(await self.history.page("bob", limit=3, after=ids[1])), ["c", "d", "e"])
        self.assertEqual(texts(await self.history.page("bob", limit=2, oldest=True)), ["a", "b"])
        self.assertEqual(texts(await self.history.page("bob", before=ids[4], after=ids[1])), ["c", "d"])

    async def test_a_message_that_is_not_there_is_no_place(self) -> None:
        """Also when it is in another conversation."""
        await self.said("a")
        (other,) = await self.said("b", user="carol")
        self.assertEqual(await self.history.page("bob", before=other), [])
        self.assertEqual(await self.history.page("bob", after=id_of(99)), [])

    async def test_pages_of_all_conversations_miss_nothing_when_an_id_is_used_twice(self) -> None:
        """Going on from a number, whoever chose the ids."""
        for user in ("bob", "carol", "dan"):
            self.count = 0
            await self.said("one", "two", user=user)
        page, seen = await self.history.page(None, limit=1, oldest=True), []
        while page:
            seen += page
            page = await self.history.page(None, limit=1, after=page[-1].number)
        self.assertEqual([e.user for e in seen], ["bob", "bob", "carol", "carol", "dan", "dan"])

    async def test_conversations_are_listed_newest_first_with_what_is_unread(self) -> None:
        """Groups among them."""
        await self.said("a", "b")
        await self.sent("to carol", user="carol")
        await self.said("in the group", user="#club")
        await self.database.write(
            lambda c: c.execute("UPDATE messages SET state = 'read' WHERE user = '#club'").rowcount
        )
        self.assertEqual(
            [(c.user, c.last.text, c.unread) for c in await self.history.conversations()],
            [("#club", "in the group", 0), ("carol", "to carol", 0), ("bob", "b", 2)],
        )

    async def test_no_conversations(self) -> None:
        """A new home has none."""
        self.assertEqual(await self.history.conversations(), [])


class SearchTests(HistoryCase):
    """What is searched for is text."""

    async def test_parts_of_words_are_found_whatever_their_case(self) -> None:
        """In one conversation, or in all."""
        await self.said("Good morning", "MORNINGS are hard", "evening")
        await self.said("this morning", user="carol")
        self.assertEqual(await self.found("ORNin"), ["Good morning", "MORNINGS are hard"])
        self.assertEqual(await self.found("morning", user=None), ["Good morning", "MORNINGS are hard", "this morning"])

    async def test_chinese_is_found_by_one_two_and_more_characters(self) -> None:
        """There are no spaces between its words."""
        await self.said("我们明天去北京", "北方很冷")
        for wanted, found in (("北", 2), ("北京", 1), ("去北京", 1), ("明天去北京", 1), ("南", 0), ("去南京", 0)):
            self.assertEqual(len(await self.found(wanted)), found, wanted)

    async def test_short_texts_are_found_whatever_their_case(self) -> None:
        """Beyond ASCII, too."""
        await self.said("ÄB", "äb", "ab", "100% _x_")
        self.assertEqual(await self.found("Äb"), ["ÄB", "äb"])
        self.assertEqual(await self.found("%"), ["100% _x_"])
        self.assertEqual(await self.found("_x"), ["100% _x_"])

    async def test_nothing_is_syntax(self) -> None:
        """Not to the index, and not to SQL."""
        hostile = [
            '"',
            '"" OR ""',
            "a AND b",
            "NEAR(a b)",
            "text:abc",
            "abc*",
            "^abc",
            "-abc",
            "'; DROP TABLE messages",
        ]
        hostile += ["abc + def", "(((((", "{a b}:c", "%%%", "___", "\\\\\\", "\ud800abc", "\ud800", "a\0b", "a\0bcd"]
        await self.said(*[text for text in hostile if "\ud800" not in text], "abc def a b NEAR")
        for text in hostile:
            expected = [text] if "\ud800" not in text else []
            self.assertEqual((await self.found(text))[:1], expected, repr(text))

    async def test_a_text_of_ten_thousand_characters_is_a_text(self) -> None:
        """It is found, and another is not."""
        long = "".join(chr(97 + (n * n + n // 7) % 26) for n in range(10_000))
        await self.said(f"<{long}>")
        self.assertEqual([len(await self.found(t)) for t in (long, long + "!", '"' * 10_000)], [1, 0, 0])

    async def test_text_behind_a_nul_is_found(self) -> None:
        """Nobody hides a message by one; pages and order hold."""
        await self.said("needle one", "x\0Needle two", "needle three")
        self.assertEqual(await self.found("needle"), ["needle one", "x\0Needle two", "needle three"])
        self.assertEqual(await self.found("needle", limit=2), ["x\0Needle two", "needle three"])
        self.assertEqual(await self.found("needle", limit=2, oldest=True), ["needle one", "x\0Needle two"])

    async def test_results_come_in_pages(self) -> None:
        """As without a search."""
        ids = await self.said("match 1", "other", "match 2", "match 3")
        self.assertEqual(await self.found("match", limit=2), ["match 2", "match 3"])
        self.assertEqual(await self.found("match", before=ids[2]), ["match 1"])
        self.assertEqual(await self.found("match", after=ids[0]), ["match 2", "match 3"])

    async def test_changed_text_is_found_as_it_is_now(self) -> None:
        """The index follows."""
        await self.said("before")
        await self.database.write(lambda c: c.execute("UPDATE messages SET text = 'after'").rowcount)
        self.assertEqual((await self.found("before"), await self.found("after")), ([], ["after"]))


class DeletionTests(HistoryCase):
    """What is deleted is gone."""

    async def test_a_message_is_deleted_and_no_other(self) -> None:
        """Neither read nor found."""
        ids = await self.said("stays one", "goes", "stays two")
        self.assertEqual(await self.history.delete("bob", [ids[1], id_of(99)]), Deleted(1, 0))
        self.assertEqual(texts(await self.history.page("bob")), ["stays one", "stays two"])
        self.assertEqual((await self.found("goes"), await self.found("go")), ([], []))

    async def test_a_conversation_is_deleted_and_no_other(self) -> None:
        """With what is unread in it."""
        await self.said("a", "b")
        await self.said("c", user="carol")
        self.assertEqual(await self.history.delete("bob"), Deleted(2, 0))
        self.assertEqual([c.user for c in await self.history.conversations()], ["carol"])

    async def test_what_is_on_its_way_stays(self) -> None:
        """Somebody is to get it."""
        await self.sent("gone", state="delivered")
        await self.sent("waits", state="waiting")
        self.assertEqual(await self.history.delete("bob"), Deleted(1, 1))
        self.assertEqual(texts(await self.history.page("bob")), ["waits"])

    async def test_a_deleted_message_that_comes_once_more_is_known(self) -> None:
        """It is not shown twice."""
        (id,) = await self.said("once")
        await self.history.delete("bob", [id])
        self.assertFalse(await self.store(id, "bob", B, "once", "received"))
        self.assertEqual(await self.history.page("bob"), [])

    async def test_nothing_of_it_is_left_on_the_disk(self) -> None:
        """Not in the file, its log, its index, or a copy made before an upgrade."""
        await self.history.open()
        filler = [f"message {number} of many" * 5 for number in range(100)]
        await self.said(*filler[:50])
        (id, *_) = await self.said("planted ΨΩѪ secret", *filler[50:])
        Path(f"{self.path}.before-5").write_text("planted ΨΩѪ secret")
        await self.history.delete("bob", [id])
        for file in self.path.parent.glob(f"{self.path.name}*"):
            self.assertNotIn("planted ΨΩѪ".encode(), file.read_bytes(), file)
        terms = await self.database.read(_terms)
        self.assertFalse([term for term in terms if set(term) & set("ψωѫ")])

    async def test_the_index_is_sound_after_it(self) -> None:
        """SQLite's own check of it against the messages passes."""
        ids = await self.said(*(f"text number {n}" for n in range(20)))
        await self.history.delete("bob", ids[3:9])
        check = "INSERT INTO messages_text (messages_text, rank) VALUES ('integrity-check', 1)"
        await self.database.write(lambda c: c.execute(check).rowcount)


def _terms(connection: sqlite3.Connection) -> list[str]:
    connection.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.terms USING fts5vocab(main, messages_text, row)")
    return [row[0] for row in connection.execute("SELECT term FROM terms")]


class MigrationTests(SynchronousTestCase):
    """Homes that were made before there was an index."""

    def test_messages_that_were_there_are_found(self) -> None:
        """The upgrade indexes them, and its copy is the owner's alone."""
        path = Path(self.mktemp())
        earlier = [step for step in database_module._steps("peer") if step[0] < 5]
        self.patch(database_module, "_steps", lambda schema: earlier)
        prepare_file(path, "peer")
        with sqlite3.connect(path) as connection:
            connection.execute(
                "INSERT INTO messages (id, user, device, seq, text, sent_at, route, state)"
                " VALUES (x'01', 'bob', x'02', 1, 'said long ago', 0, 'tcp', 'read')"
            )
        connection.close()
        self.patch(database_module, "_steps", _STEPS)
        prepare_file(path, "peer")
        with sqlite3.connect(path) as connection:
            self.assertEqual(texts(_search(connection, Window("bob", 10), "LONG")), ["said long ago"])
        connection.close()
        (copy,) = path.parent.glob(f"{path.name}.before-*")
        self.assertEqual(copy.stat().st_mode & 0o777, 0o600)


_STEPS = database_module._steps

ALPHABET = st.sampled_from("aAbBcC äÄßẞéÉжЖΣσς北京去\"'*%_^()-:+\\\n\t😀1 ")
TEXTS = st.lists(st.text(ALPHABET, max_size=20), max_size=12)


class SearchPropertyTests(SynchronousTestCase):
    """Search against going through everything."""

    def setUp(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.addCleanup(self.connection.close)
        for _, step in database_module._steps("peer"):
            self.connection.executescript(step)

    def fill(self, given: list[str]) -> None:
        """These are all the messages."""
        self.connection.execute("DELETE FROM messages")
        self.connection.executemany(
            "INSERT INTO messages (id, user, device, seq, text, sent_at, route, state)"
            " VALUES (?, 'bob', x'02', 1, ?, 0, 'tcp', 'read')",
            [(id_of(number), text) for number, text in enumerate(given)],
        )

    def found(self, wanted: str) -> list[str]:
        return texts(_search(self.connection, Window("bob", 1000, oldest=True), wanted))

    def test_search_finds_what_contains_it_and_nothing_else(self) -> None:
        """As a loop over all messages does, for short and long texts of mixed scripts and signs."""

        @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
        @given(TEXTS, st.text(ALPHABET, min_size=1, max_size=6), st.data())
        def check(given_texts: list[str], wanted: str, data: Any) -> None:
            self.fill(given_texts)
            if given_texts and data.draw(st.booleans()):
                text = data.draw(st.sampled_from(given_texts))
                start = data.draw(st.integers(0, len(text)))
                wanted = text[start : start + data.draw(st.integers(1, 8))].swapcase() or wanted
            self.assertEqual(self.found(wanted), [t for t in given_texts if fold(wanted) in fold(t)])

        check()

    def test_whatever_the_characters_what_is_there_is_found(self) -> None:
        """Every part of every text, in the case in which it stands there."""

        @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), st.data())
        def check(text: str, data: Any) -> None:
            self.fill([text])
            start = data.draw(st.integers(0, len(text) - 1))
            wanted = text[start : start + data.draw(st.integers(1, 10))]
            self.assertEqual(self.found(wanted), [text])

        check()
