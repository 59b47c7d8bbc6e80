"""Pictures of every page and dialog, of a server and people who run while they are taken.

``python -m tests.browser.screenshots DIR [NAME,…]`` writes ``LOOK/NAME.png`` for each look (light, dark, narrow,
Chinese), of everything or of these. The server has a minute of traffic first, for the operator's plots.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

from twisted.trial.reporter import TestResult

from tests.browser.case import in_browser
from tests.browser.chromium import why_not
from tests.browser.people import BrowserCase, ChatPage
from tests.browser.showroom import Showroom
from tests.browser.views import CHAT, LOOKS, OPERATOR, View

FOLDER = "P2PIM_SCREENSHOTS"
ONLY = "P2PIM_SCREENSHOTS_ONLY"


class Photographer(BrowserCase):
    """Takes them; a test in nothing but that it starts and ends what it needs."""

    timeout = 1800

    def runTest(self) -> None:
        """Never asked for."""

    @in_browser
    def take(self) -> None:
        """Of everything, in all looks."""
        self.folder = Path(os.environ[FOLDER])
        self.only = os.environ.get(ONLY, "")
        self.watch.expect("")
        room = Showroom(self)
        if not self.only or "operator" in self.only:
            room.traffic(60.0)
        for look, options in LOOKS.items():
            (self.folder / look).mkdir(parents=True, exist_ok=True)
            self._chat(room, look, options)
            self._operator(room, look, options)
            self._strangers(room, look, options)

    def _chat(self, room: Showroom, look: str, options: dict[str, object]) -> None:
        chat = room.open(**options)
        address = chat.page.url
        for name, view in CHAT.items():
            chat.page.goto(address)
            chat.by("contact").first.wait_for()
            self._picture(chat, look, name, view)
        chat.page.goto(address)
        self._running(room, chat, look)
        chat.page.context.close()

    def _running(self, room: Showroom, chat: ChatPage, look: str) -> None:
        """A transfer on its way, in the conversation and in the list."""
        transfer = room.large_file()
        room.stop_bob()
        try:
            chat.open("bob")
            chat.by("transfer", id=transfer).first.wait_for()
            self._picture(chat, look, "transfer-running", lambda chat: None)
            chat.by("pause").last.click()
            if look != "narrow":
                self._picture(chat, look, "transfer-paused", lambda chat: chat.by("open-transfers").click())
        finally:
            room.stop_bob(signal.SIGCONT)
        room.alice.ask("cancel", id=transfer)

    def _operator(self, room: Showroom, look: str, options: dict[str, object]) -> None:
        page = self.context(f"operator-{look}", **options).new_page()
        page.goto(room.operator_link())
        chat = ChatPage(page)
        chat.by("row").first.wait_for()
        address = page.url
        for name, view in OPERATOR.items():
            page.goto(address)
            chat.by("row").first.wait_for()
            self._picture(chat, look, name, view)
        page.context.clear_cookies()
        page.goto(address)
        page.goto(f"{address}sign-in")
        self._picture(chat, look, "operator-sign-in", lambda chat: None)

    def _strangers(self, room: Showroom, look: str, options: dict[str, object]) -> None:
        page = self.context(f"stranger-{look}", **options).new_page()
        page.goto(room.alice.link())
        page.wait_for_load_state()
        address = page.url
        page.context.clear_cookies()
        page.goto(address)
        self._picture(ChatPage(page), look, "no-link", lambda chat: None)

    def _picture(self, chat: ChatPage, look: str, name: str, view: View) -> None:
        if self.only and name not in self.only.split(","):
            return
        try:
            view(chat)
            chat.page.evaluate("() => Promise.all(document.getAnimations().map((one) => one.finished.catch(() => 0)))")
        except Exception as error:  # noqa: BLE001 - the others are wanted all the same
            print(f"{look}/{name}: {str(error)[:300]}", file=sys.stderr)  # noqa: T201
        chat.page.screenshot(path=self.folder / look / f"{name}.png")


def main(folder: str, only: str = "") -> int:
    """Take them all; the exit status."""
    if reason := why_not():
        print(reason, file=sys.stderr)  # noqa: T201
        return 1
    os.environ[FOLDER], os.environ[ONLY] = str(Path(folder).absolute()), only
    result = TestResult()
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        Photographer("take").run(result)
    for _, problem in [*result.errors, *result.failures]:
        print(problem, file=sys.stderr)  # noqa: T201
    return int(not result.wasSuccessful())


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m tests.browser.screenshots DIR [NAME,…]")
    sys.exit(main(*sys.argv[1:]))
