"""Two people talk by their pages."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.people import BrowserCase


class TalkingTests(BrowserCase):
    def test_two_people_sign_in_by_their_links_and_talk_both_ways(self) -> None:
        """Each sees what the other wrote, and the ticks of what they wrote."""
        alice, bob = self.people("alice", "bob")
        a, b = alice.open(), bob.open()
        a.page.screenshot(path="/tmp/a.png")
        a.open("bob")
        a.write("hello bob")
        b.open("alice")
        expect(b.message("hello bob")).to_be_visible()
        b.write("hello alice")
        expect(a.message("hello alice")).to_be_visible()
        a.page.screenshot(path="/tmp/b.png")
