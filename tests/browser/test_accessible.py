"""What tools for the disabled make of every page and dialog: axe-core finds nothing wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tests.browser.chromium import Axe
from tests.browser.people import BrowserCase, ChatPage
from tests.browser.showroom import Showroom
from tests.browser.views import CHAT, LOOKS, OPERATOR, View

if TYPE_CHECKING:
    from playwright.sync_api import Page

IN_CHINESE = ("conversation", "group-details", "verify", "network", "transfers", "settings-connection")
"""Other words in the same elements: some of them."""


class AccessibleTests(BrowserCase):
    timeout = 600

    def check(self, page: Page, what: str) -> None:
        """Axe finds no violation in what ``page`` shows."""
        page.evaluate("() => Promise.all(document.getAnimations().map((one) => one.finished.catch(() => 0)))")
        for violation in Axe().run(page).response["violations"]:
            for node in violation["nodes"]:
                self.found.append(f"{what}: {violation['id']}: {node['html'][:160]}")

    def views(self, chat: ChatPage, look: str, views: Mapping[str, View], ready: Callable[[], object]) -> None:
        address = chat.page.url
        for name, view in views.items():
            chat.page.goto(address)
            ready()
            view(chat)
            self.check(chat.page, f"{look} {name}")

    def test_axe_finds_nothing_on_any_page_in_any_look(self) -> None:
        """Light, dark and narrow, and Chinese: the chat page, the operator's page, and what strangers see."""
        self.found: list[str] = []
        self.watch.expect("status of 401")
        room = Showroom(self)
        link = room.alice.link()
        looks = {look: options for look, options in LOOKS.items() if look != "dark"}
        looks["narrow"] = {**LOOKS["dark"], **LOOKS["narrow"], "color_scheme": "dark"}  # both at once: half of the time
        for look, options in looks.items():
            chat = room.open(**options)
            views = {name: CHAT[name] for name in CHAT if look != "chinese" or name in IN_CHINESE}
            self.views(chat, look, views, chat.by("contact").first.wait_for)
            stranger = self.context(f"stranger-{look}", **options).new_page()
            stranger.goto(link.partition("/enter")[0])
            self.check(stranger, f"{look} no link")
            operator = ChatPage(self.context(f"operator-{look}", **options).new_page())
            operator.page.goto(room.operator_link())
            self.views(operator, look, OPERATOR, operator.by("row").first.wait_for)
            operator.page.goto(operator.page.url.rstrip("/") + "/sign-in")
            self.check(operator.page, f"{look} sign in")
        if self.found:
            self.fail("\n".join(self.found))
