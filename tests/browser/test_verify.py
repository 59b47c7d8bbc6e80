"""Comparing keys by the pages."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.people import BrowserCase, ChatPage


class VerifyTests(BrowserCase):
    """Two people who want to know that nobody stands between them."""

    def open_verify(self, page: ChatPage, user: str) -> None:
        page.open(user)
        page.by("open-verify").click()
        expect(page.by("standing", state="unverified")).to_be_visible()

    def test_both_see_the_same_and_say_so_and_are_verified(self) -> None:
        """The number is the same; a comparison that somebody refuses verifies nobody, one that both confirm does."""
        alice, bob = self.people("alice", "bob")
        a, b = alice.open(), bob.open(locale="zh-CN")
        self.open_verify(a, "bob")
        self.open_verify(b, "alice")
        number = a.by("safety-number").inner_text()
        self.assertEqual(len(number.split()), 12)
        self.assertEqual(b.by("safety-number").inner_text(), number)
        b.page.keyboard.press("Escape")

        for same in (False, True):
            a.by("compare").click()
            b.by("take-up").click()
            seen = [page.by("sas").get_attribute("data-names") for page in (a, b)]
            self.assertEqual(seen[0], seen[1])
            self.assertEqual(len(str(seen[0]).split()), 7)
            a.by("sas-match").click()
            b.by("sas-match" if same else "sas-differ").click()
            if not same:
                for page in (a, b):
                    expect(page.by("compare-failed")).to_be_visible()
                    expect(page.by("standing", state="unverified")).to_be_visible()
                b.page.keyboard.press("Escape")
        for page in (a, b):
            expect(page.by("standing", state="verified")).to_be_visible()
        self.assertTrue(alice.run("verify", "bob").objects[0]["verified"])
