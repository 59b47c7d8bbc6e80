"""The same page on a telephone, in the dark, in Chinese."""

from __future__ import annotations

from tests.browser.chromium import expect
from tests.browser.people import BrowserCase, ChatPage
from tests.browser.views import LOOKS

SIDEWAYS = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
SMALL = """() => [...document.querySelectorAll("button, select, input, textarea, summary")]
  .filter((one) => !["radio", "checkbox"].includes(one.type))
  .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest("h1, p, .text, .trouble"))
  .map((one) => [one, one.getBoundingClientRect()])
  .filter(([, box]) => box.width > 1 && (box.width < 44 || box.height < 44))
  .map(([one, box]) => `${one.dataset.testid ?? one.className}: ${box.width}x${box.height}`)"""


class LooksTests(BrowserCase):
    def fits(self, chat: ChatPage) -> None:
        """Nothing is scrolled sideways, and a finger hits everything."""
        self.assertEqual(chat.page.evaluate(SIDEWAYS), 0)
        self.assertEqual(chat.page.evaluate(SMALL), [])

    def test_on_a_telephone_there_is_one_pane_at_a_time(self) -> None:
        """The list, a conversation, and back; all within reach of a finger."""
        alice, bob = self.people("alice", "bob")
        bob.ask("msg", user="alice", text="hello from a very long way off, over hills and rivers")
        a = alice.open(**LOOKS["narrow"])
        expect(a.contact("bob")).to_be_visible()
        expect(a.by("composer")).to_be_hidden()
        self.fits(a)
        a.contact("bob").tap()
        expect(a.message("hello from")).to_be_visible()
        expect(a.contact("bob")).to_be_hidden()
        self.fits(a)
        a.by("composer").fill("an answer")
        a.by("send").tap()
        expect(a.message("an answer")).to_have_attribute("data-state", "delivered")
        a.by("open-details").tap()
        expect(a.by("details")).to_be_visible()
        self.fits(a)
        a.page.get_by_role("button", name="Close").tap()
        a.by("back").tap()
        expect(a.contact("bob")).to_be_visible()
        a.by("open-settings").tap()
        expect(a.by("settings")).to_be_visible()
        self.fits(a)

    def test_it_speaks_the_browser_s_language_and_another_if_asked(self) -> None:
        """Chinese by itself; English once chosen, and from then on."""
        (alice,) = self.people("alice")
        a = alice.open(**LOOKS["chinese"])
        language = a.page.locator("html")
        expect(language).to_have_attribute("lang", "zh-Hans")
        expect(a.by("search")).to_have_attribute("placeholder", "搜索")
        a.by("language").first.select_option("en")
        expect(language).to_have_attribute("lang", "en")
        expect(a.by("search")).to_have_attribute("placeholder", "Search")
        a.page.goto(a.page.url.partition("?")[0])
        expect(language).to_have_attribute("lang", "en")

    def test_it_is_dark_when_the_system_is_and_when_one_wants_it(self) -> None:
        """The choice is kept."""
        (alice,) = self.people("alice")
        dark = alice.open(color_scheme="dark")
        background = "() => getComputedStyle(document.body).backgroundColor"
        night = dark.page.evaluate(background)
        light = alice.open()
        day = light.page.evaluate(background)
        self.assertNotEqual(night, day)
        for _ in range(2):
            light.by("theme").first.click()
        self.assertEqual(light.page.evaluate(background), night)
        light.page.reload()
        expect(light.by("new-conversation")).to_be_visible()
        self.assertEqual(light.page.evaluate(background), night)
