"""The picture of my network, and what helpers of the blind make of these pages."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import expect

from tests.browser.people import BrowserCase, ChatPage


class NetworkTests(BrowserCase):
    """Live."""

    def clean(self, page: ChatPage, what: str) -> None:
        """Axe finds nothing."""
        found = Axe().run(page.page).response["violations"]
        self.assertEqual([(each["id"], each["nodes"][0]["html"][:200]) for each in found], [], what)

    def test_it_shows_who_is_there_and_by_which_way_as_that_changes(self) -> None:
        """Without moving those who stay; and every dialog of ours is fit for a screen reader, also dark and narrow."""
        alice, bob = self.people("alice", "bob")
        a = alice.open()
        a.open("bob")
        a.by("open-network").click()
        alice.run("connect", "bob")
        peer = a.by("network-peer", user="bob", kind="tcp")
        expect(peer).to_contain_text("direct TCP")
        expect(peer).to_contain_text("127.0.0.1:")
        drawn = a.by("network-drawing").locator('[data-user="bob"]')
        expect(drawn).to_have_attribute("data-kind", "tcp")
        expect(a.by("network-drawing").locator('.net-line[data-kind="tcp"] text')).to_contain_text("TCP")
        self.clean(a, "network")
        place = drawn.evaluate("(node) => { node.marked = true; return node.style.transform; }")
        bob.end()
        expect(drawn).to_have_attribute("data-status", "offline")
        self.assertTrue(drawn.evaluate("(node, place) => node.marked && node.style.transform === place", place))
        a.page.keyboard.press("Escape")
        for look in ({"color_scheme": "dark"}, {"viewport": {"width": 360, "height": 740}}):
            self.look_at_everything(alice.open(**look))

    def look_at_everything(self, page: ChatPage) -> None:
        page.open("bob")
        for what in ("open-verify", "open-settings", "open-network", "open-transfers"):
            if not page.by(what).is_visible():
                page.page.get_by_test_id("back").click()
            page.by(what).click()
            page.page.wait_for_function("() => !document.body.innerText.includes('Loading…')")
            self.clean(page, what)
            width = page.page.evaluate(
                "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            self.assertLessEqual(width, 0, what)
            page.page.keyboard.press("Escape")
