"""Everything that matters, without a pointer."""

from __future__ import annotations

from tests.browser.chromium import expect
from tests.browser.people import BrowserCase, ChatPage

FOCUSED = "() => document.activeElement?.closest('[data-testid]')?.dataset.testid ?? ''"
RINGED = """() => [document.activeElement, document.activeElement.parentElement].some((one) => {
  const style = getComputedStyle(one);
  return style.outlineStyle !== "none" || style.boxShadow !== "none";
})"""


class KeyboardTests(BrowserCase):
    def focused(self, chat: ChatPage) -> str:
        name: str = chat.page.evaluate(FOCUSED)
        return name

    def press(self, chat: ChatPage, *keys: str) -> None:
        for key in keys:
            chat.page.keyboard.press(key)

    def test_a_conversation_from_beginning_to_end(self) -> None:
        """Find somebody, write, read, copy what was said, look at the details, go elsewhere."""
        alice, bob, _ = self.people("alice", "bob", "carol")
        bob.ask("msg", user="alice", text="a first word")
        a = alice.open()
        expect(a.contact("bob")).to_be_visible()
        self.press(a, "Control+k")
        expect(a.by("switcher")).to_be_focused()
        a.page.keyboard.type("bo")
        self.press(a, "Enter")
        expect(a.by("composer")).to_be_focused()
        a.page.keyboard.type("two lines")
        self.press(a, "Shift+Enter")
        a.page.keyboard.type("in one")
        self.press(a, "Enter")
        expect(a.message("two lines")).to_have_attribute("data-state", "delivered")
        bob.until("message", text="two lines\nin one")
        self.press(a, "Escape")
        expect(a.contact("bob")).to_be_focused()
        self.press(a, "ArrowDown")
        expect(a.contact("carol")).to_be_focused()
        self.press(a, "Enter")
        expect(a.title).to_contain_text("carol")
        self.press(a, "Alt+ArrowUp")
        expect(a.title).to_contain_text("bob")
        expect(a.by("composer")).to_be_focused()

    def test_messages_are_walked_through_and_have_a_menu(self) -> None:
        """Up from where one writes; Escape leads back."""
        alice, bob = self.people("alice", "bob")
        for text in ("one", "two", "three"):
            bob.ask("msg", user="alice", text=text)
        a = alice.open()
        a.open("bob")
        expect(a.message("three")).to_be_visible()
        a.by("messages").focus()
        self.press(a, "ArrowUp", "ArrowUp")
        expect(a.message("two")).to_be_focused()
        self.press(a, "Enter")
        expect(a.by("copy")).to_be_focused()
        self.press(a, "ArrowDown", "Enter")
        expect(a.by("info-dialog")).to_be_visible()
        self.press(a, "Escape")
        expect(a.by("info-dialog")).to_have_count(0)
        self.press(a, "Escape")
        expect(a.by("composer")).to_be_focused()

    def test_dialogs_keep_the_focus_and_give_it_back(self) -> None:
        """Tab goes round inside; Escape closes; what was focused before is again."""
        (alice,) = self.people("alice")
        a = alice.open()
        a.by("new-conversation").focus()
        self.press(a, "Enter")
        expect(a.by("new-name")).to_be_focused()
        for _ in range(8):
            self.press(a, "Tab")
            inside = a.page.evaluate(
                "() => !!document.activeElement.closest('dialog') || document.activeElement === document.body"
            )
            self.assertTrue(inside)
        self.press(a, "Escape")
        expect(a.by("new-dialog")).to_have_count(0)
        expect(a.by("new-conversation")).to_be_focused()

    def test_one_sees_where_one_is_and_gets_everywhere(self) -> None:
        """All that can be pressed is reached by Tab, or by the arrows of its list, and shows that it has the focus."""
        alice, bob = self.people("alice", "bob")
        bob.ask("msg", user="alice", text="hello")
        a = alice.open()
        a.open("bob")
        expect(a.message("hello")).to_be_visible()
        a.page.evaluate("() => document.activeElement.blur()")
        reached = set()
        for _ in range(40):
            self.press(a, "Tab")
            reached.add(self.focused(a))
            if not a.page.evaluate("() => document.activeElement === document.body"):
                self.assertTrue(a.page.evaluate(RINGED), self.focused(a))
        wanted = {"new-conversation", "search", "contact", "open-settings", "open-network", "open-transfers", "theme"}
        wanted |= {"language", "route", "open-verify", "search-here", "open-details", "messages", "attach", "composer"}
        self.assertEqual(wanted - reached, set())
