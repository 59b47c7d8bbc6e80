"""Files for somebody who is not there, or not looking."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.chromium import expect
from tests.browser.people import BrowserCase, ChatPage

if TYPE_CHECKING:
    from playwright.sync_api import Locator


class AwayTests(BrowserCase):
    """Alice sends by her page; bob comes later."""

    def card(self, page: ChatPage, name: str, state: str) -> Locator:
        """The one transfer of that name, in the conversation, once it stands so."""
        card = page.by("messages").locator(f'[data-testid=transfer][data-state="{state}"]').filter(has_text=name)
        expect(card).to_have_count(1)
        return card

    def send(self, page: ChatPage, path: Path) -> None:
        """By the page."""
        path.write_text(f"this is {path.name}")
        page.by("attach-input").set_input_files(path)
        page.by("send-files").click()

    def test_a_file_is_left_at_the_server_and_fetched_by_who_comes_and_another_one_is_told_of_elsewhere(self) -> None:
        """The sender sees that it is at the server, later that it was taken; what is offered while no conversation is
        open is told in a notice that leads there."""
        alice, bob = self.people("alice", "bob")
        a = alice.open()
        a.open("bob")
        bob.end()
        alice.until("presence", user="bob", status="offline")
        self.send(a, alice.home.parent / "left.txt")
        expect(self.card(a, "left.txt", "stored")).to_contain_text("At the server, sealed, until bob takes it")

        bob.up()
        bob.until("offer", name="left.txt")
        b = bob.open()
        b.open("alice")
        self.card(b, "left.txt", "offered").get_by_test_id("accept").click()
        expect(self.card(b, "left.txt", "completed")).to_be_visible()
        self.card(a, "left.txt", "completed")
        self.assertEqual((bob.downloads / "left.txt").read_text(), "this is left.txt")

        elsewhere = bob.open()
        self.send(a, alice.home.parent / "now.txt")
        notice = elsewhere.page.locator(".toast").filter(has_text="alice offers you now.txt")
        notice.get_by_role("button", name="Open").click()
        expect(elsewhere.title).to_contain_text("alice")
        self.card(elsewhere, "now.txt", "offered").get_by_test_id("accept").click()
        for page in (elsewhere, b, a):
            self.card(page, "now.txt", "completed")
        expect(b.page.locator(".toast")).to_have_count(0)
