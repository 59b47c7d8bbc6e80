"""What others write and call themselves is text, whatever it looks like."""

from __future__ import annotations

from tests.browser.chromium import expect
from tests.browser.people import BrowserCase, ChatPage

SCRIPT = "<script>document.title = 'taken'</script>"
HANDLER = "<img src=x onerror=\"document.title = 'taken'\">"
TEMPLATE = "{{ 7 * 7 }} ${7 * 7} &lt;b&gt; %s <b>bold</b> javascript:alert(1)"
BACKWARDS = "\u202egnp.exe\u202c and \u2066left alone\u2069 \u200f"
ENDLESS = "x" * 10_000
LINES = "\n".join("line" for _ in range(200))
COMBINING = "Z" + "\u0301" * 2000 + "!"
LINK = "https://example.org/<script>alert(1)</script>?a='\"&b=1"
FOREIGN = """
() => document.querySelectorAll('#page script, #page img, #page b, #page a:not([href^="https:"])').length
"""


class HostileTests(BrowserCase):
    def intact(self, chat: ChatPage) -> None:
        """Nothing of what was written is part of the page."""
        self.assertNotEqual(chat.page.title(), "taken")
        found = chat.page.evaluate(FOREIGN)
        self.assertEqual(found, 0)
        wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        self.assertEqual(chat.page.evaluate(wide), 0)

    def test_hostile_messages_are_shown_as_they_were_written(self) -> None:
        """Markup, handlers, marks of direction, endless words: no element, no script, no page that is too wide."""
        alice, bob = self.people("alice", "bob")
        a, narrow = alice.open(), alice.open(viewport={"width": 360, "height": 740})
        a.open("bob")
        narrow.open("bob")
        for text in (SCRIPT, HANDLER, TEMPLATE, BACKWARDS, ENDLESS, LINES, COMBINING, LINK):
            bob.ask("msg", user="alice", text=text)
            for chat in (a, narrow):
                chat.page.wait_for_function(
                    "(text) => [...document.querySelectorAll('.message .text')].at(-1)?.textContent === text", arg=text
                )
                self.intact(chat)
        self.assertEqual(a.by("message").last.locator("a").get_attribute("rel"), "noopener noreferrer")

    def test_what_is_written_backwards_turns_nothing_around_it(self) -> None:
        """The time after it stays where it is."""
        alice, bob = self.people("alice", "bob")
        a = alice.open()
        a.open("bob")
        bob.ask("msg", user="alice", text="plain")
        bob.ask("msg", user="alice", text="\u202e" + "plain")
        expect(a.by("message")).to_have_count(2)
        places = a.page.evaluate(
            "() => [...document.querySelectorAll('[data-testid=message]')].map((one) => {"
            " const time = one.querySelector('time').getBoundingClientRect();"
            " const bubble = one.querySelector('.bubble').getBoundingClientRect();"
            " return Math.round(bubble.right - time.right); })"
        )
        self.assertEqual(places[0], places[1])

    def test_hostile_groups_topics_and_devices_are_shown_as_text(self) -> None:
        """In the list, in the title, among the details."""
        alice, bob = self.people("alice", "bob")
        alice.ask("group-create", group="#walkers", users=["bob"])
        bob.until("group-changed", group="#walkers")
        alice.ask("group-topic", group="#walkers", topic=HANDLER[:100] + BACKWARDS)
        bob.ask("msg", user="#walkers", text=HANDLER)
        a = alice.open()
        a.open("#walkers")
        expect(a.message(HANDLER)).to_be_visible()
        a.by("open-details").click()
        expect(a.by("topic")).to_have_value(HANDLER[:100] + BACKWARDS)
        self.intact(a)

    def test_a_name_with_markup_is_no_link_and_no_element(self) -> None:
        """It is sought as it was written, and refused as a name."""
        (alice,) = self.people("alice")
        self.watch.expect(r"status of 4\d\d")
        a = alice.open()
        a.by("new-conversation").click()
        a.by("new-name").fill(HANDLER)
        a.by("new-start").click()
        expect(a.by("new-dialog").get_by_role("alert")).not_to_be_empty()
        self.intact(a)
        a.page.goto(a.page.url.partition("#")[0].partition("?")[0] + f"?lang={SCRIPT}#{HANDLER}")
        expect(a.by("new-conversation")).to_be_visible()
        self.intact(a)
