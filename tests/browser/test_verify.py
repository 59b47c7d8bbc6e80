"""Comparing keys by the pages."""

from __future__ import annotations

from tests.browser.chromium import expect
from tests.browser.people import BrowserCase, ChatPage, Resident
from tests.integration.town import Person


class VerifyTests(BrowserCase):
    """Two people who want to know that nobody stands between them."""

    def open_verify(self, page: ChatPage, user: str) -> None:
        page.open(user)
        page.by("open-verify").click()
        expect(page.by("standing", state="unverified")).to_be_visible()

    def test_both_see_the_same_and_say_so_and_are_verified(self) -> None:
        """The number is the same; a comparison that somebody leaves or refuses verifies nobody, one that both confirm
        does; and keys that change afterwards are shown until somebody accepts them."""
        alice, bob = self.people("alice", "bob")
        a, b = alice.open(), bob.open(locale="zh-CN")
        self.open_verify(a, "bob")
        self.open_verify(b, "alice")
        number = a.by("safety-number").inner_text()
        self.assertEqual(len(number.split()), 12)
        self.assertEqual(b.by("safety-number").inner_text(), number)
        b.page.keyboard.press("Escape")

        a.by("compare").click()
        b.by("take-up").click()
        a.by("sas").wait_for()
        a.page.keyboard.press("Escape")
        expect(b.by("compare-failed")).to_be_visible()
        b.page.keyboard.press("Escape")
        self.open_verify(a, "bob")
        for same in (False, True):
            self.compare(a, b, same)
        for page in (a, b):
            expect(page.by("standing", state="verified")).to_be_visible()
        self.assertTrue(alice.run("verify", "bob").objects[0]["verified"])

        a.page.keyboard.press("Escape")
        self.wait(self.another_device(bob))
        expect(a.by("bar", about="changed")).to_be_visible()
        a.by("bar-verify").click()
        expect(a.by("standing", state="changed")).to_contain_text("Messages wait until you compare again, or accept")
        self.assertNotEqual(a.by("safety-number").inner_text(), number)
        a.by("accept-keys").click()
        a.by("confirm-yes").click()
        expect(a.by("standing", state="unverified")).to_be_visible()
        a.page.keyboard.press("Escape")
        expect(a.by("bar", about="changed")).to_have_count(0)

    def compare(self, a: ChatPage, b: ChatPage, same: bool) -> None:
        """Both see the same seven; she says so, and he, or that they differ."""
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

    async def another_device(self, resident: Resident) -> None:
        """A second one of theirs, which comes and goes."""
        laptop = Person(self.town, "laptop")
        account = f"{resident.name}@{self.town.address}"
        await laptop.run("login", account, "--fingerprint", self.town.fingerprint)
        await laptop.up()
