"""A long history in the chat page."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from tests.browser.chromium import expect
from tests.browser.people import BrowserCase, ChatPage, Resident

MANY = 1_000
NEEDLE = 321
START = 1_700_000_000_000


def fill(home: Path, unread: int = 0) -> None:
    """Write ``MANY`` messages with bob into the history, the last ones of them unread."""
    rows = []
    for number in range(MANY):
        at = START + number * 60_000
        mine = number % 3 == 0 and number < MANY - unread
        state = "delivered" if mine else "received" if number >= MANY - unread else "read"
        text = f"message {number}" + (" with the needle" if number == NEEDLE else "") + " and more" * (number % 7 * 4)
        id = at.to_bytes(6, "big") + b"\x70\x00\x80" + os.urandom(7)
        rows.append((id, "bob", b"" if mine else bytes(16), number + 1, text, "tcp", state, at, None if mine else at))
    database = sqlite3.connect(home / "home.db")
    with database:
        database.executemany(
            "INSERT INTO messages (id, user, device, seq, text, route, state, sent_at, received_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
    database.close()


class HistoryTests(BrowserCase):
    def alice(self, unread: int = 0) -> Resident:
        """Alone, with a long history."""
        alice = Resident(self, self.wait(self.person("alice", up=False)))
        fill(alice.home, unread)
        alice.up()
        return alice

    def numbers(self, page: ChatPage) -> list[int]:
        """Which messages are in the page, in their order."""
        script = "all => all.map((one) => Number(/message (\\d+)/.exec(one.textContent)[1]))"
        found: list[int] = page.by("message").evaluate_all(script)
        return found

    def top(self, page: ChatPage) -> str:
        """The message at the upper edge, and how far from it."""
        text: str = page.page.evaluate(
            """() => {
              const list = document.getElementById("messages"), edge = list.getBoundingClientRect().top;
              const all = [...list.querySelectorAll(".message")];
              const first = all.find((one) => one.getBoundingClientRect().bottom > edge);
              return `${first.dataset.id} ${Math.round(first.getBoundingClientRect().top - edge)}`; }"""
        )
        return text

    def test_it_loads_as_one_scrolls_and_stays_where_one_looks(self) -> None:
        """To the very first message and back, with a bounded part of it in the page at any time."""
        a = self.alice().open()
        a.open("bob")
        expect(a.message(f"message {MANY - 1}")).to_be_visible()
        messages = a.by("messages")
        messages.evaluate("list => { list.scrollTop = 400; }")
        before = self.top(a)
        self.until(a.page, lambda: self.numbers(a)[0] < MANY - 100)
        self.assertEqual(self.top(a), before)

        def first() -> bool:
            messages.evaluate("list => { list.scrollTop = Math.max(0, list.scrollTop - 2000); }")
            held = self.numbers(a)
            self.assertEqual(held, list(range(held[0], held[-1] + 1)))
            self.assertLessEqual(len(held), 300)
            return held[0] == 0

        self.until(a.page, first)
        a.by("jump").click()
        expect(a.message(f"message {MANY - 1}")).to_be_visible()
        expect(a.by("jump")).to_be_hidden()

    def test_a_hit_is_shown_where_it_was_said(self) -> None:
        """With what was said before and after it, and the way back to the newest."""
        a = self.alice().open()
        a.by("search").fill("NEEDLE")
        a.by("hit").click()
        expect(a.message("with the needle")).to_be_visible()
        expect(a.message("with the needle")).to_be_focused()
        held = self.numbers(a)
        self.assertTrue({NEEDLE - 5, NEEDLE + 5} <= set(held), held)
        self.assertNotIn(MANY - 1, held)
        a.by("search").fill("")
        a.by("jump").click()
        expect(a.message(f"message {MANY - 1}")).to_be_visible()

    def test_one_begins_with_what_is_unread(self) -> None:
        """Before it a line; it is read when the end is seen, not before."""
        a = self.alice(unread=100).open()
        expect(a.contact("bob")).to_have_attribute("data-unread", "100")
        self.assertTrue(a.page.title().startswith("(100)"))
        a.open("bob")
        expect(a.by("unread-line")).to_be_in_viewport()
        expect(a.message(f"message {MANY - 100}")).to_be_in_viewport()
        expect(a.contact("bob")).to_have_attribute("data-unread", "100")
        a.by("jump").click()
        expect(a.contact("bob")).to_have_attribute("data-unread", "0")

    def test_what_was_begun_is_still_there(self) -> None:
        """A draft outlives other conversations and the page; while a word is being composed, Enter sends nothing."""
        alice, _bob, _carol = self.people("alice", "bob", "carol")
        a = alice.open()
        a.open("bob")
        a.by("composer").fill("begun")
        a.open("carol")
        expect(a.by("composer")).to_have_value("")
        expect(a.contact("bob")).to_contain_text("begun")
        a.page.reload()
        a.open("bob")
        expect(a.by("composer")).to_have_value("begun")
        a.by("composer").dispatch_event("keydown", {"key": "Enter", "isComposing": True})
        expect(a.by("composer")).to_have_value("begun")
        a.by("composer").press("Shift+Enter")
        a.by("composer").press_sequentially("and ended")
        a.by("composer").press("Enter")
        expect(a.message("begun\nand ended")).to_have_count(1)
        expect(a.by("composer")).to_have_value("")
