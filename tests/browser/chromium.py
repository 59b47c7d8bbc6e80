"""Chromium, driven by Playwright from a thread of its own.

The tests run beside Twisted's reactor, which runs the programs they talk to. Playwright's synchronous API reads best,
but belongs to the one thread that started it and waits there. So each test's body runs in that thread, and calls into
the reactor for everything that is not a page; the reactor's thread waits for nothing and can always put an end to it.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable
from importlib.util import find_spec
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

T = TypeVar("T")

NAMES = ("chromium", "chromium-browser")
PATIENCE = 40.0
"""Seconds in which what a page was to show is there, however busy the machine."""


def program() -> str | None:
    """Where the system's Chromium is."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def why_not() -> str | None:
    """What is missing for tests in a browser, or None."""
    if find_spec("playwright") is None:
        return "needs Playwright: pip install -e '.[test]'"
    if program() is None:
        return "needs Chromium: apt-get install chromium"
    return None


class Chromium:
    """One browser for all tests of this process; started when first needed, and again should it have crashed."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._pid = 0

    def run(self, work: Callable[[Browser], T]) -> Deferred[T]:
        """The result of ``work`` with the browser, in the browser's thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="browser", daemon=True)
            self._thread.start()
            reactor.addSystemEventTrigger("before", "shutdown", self._end)
        return self._queue(lambda: work(self._started()))

    def kill(self) -> None:
        """End the browser at once: whatever waits for one of its pages fails."""
        if self._pid:
            os.killpg(self._pid, signal.SIGKILL)
            self._pid = 0

    def _queue(self, work: Callable[[], T]) -> Deferred[T]:
        done: Deferred[T] = Deferred()

        def perform() -> None:
            try:
                result: Any = work()
            except BaseException:  # noqa: BLE001 - told to whoever waits for it
                result = Failure()
            reactor.callFromThread(done.callback, result)  # type: ignore[attr-defined]

        self._work.put(perform)
        return done

    def _live(self) -> None:
        while True:
            self._work.get()()

    def _started(self) -> Browser:
        from playwright.sync_api import expect, sync_playwright

        if self._playwright is None:
            self._playwright = sync_playwright().start()
            self._playwright.selectors.set_test_id_attribute("data-testid")
            expect.set_options(timeout=PATIENCE * 1000)
        if self._browser is None or not self._browser.is_connected():
            self._browser = self._playwright.chromium.launch(
                executable_path=program(), chromium_sandbox=os.geteuid() != 0
            )
            self._pid = self._process()
        return self._browser

    def _process(self) -> int:
        """The number of Chromium's first process, which leads the group of all of them."""
        assert self._browser is not None
        session = self._browser.new_browser_cdp_session()
        processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
        session.detach()
        return next(int(process["id"]) for process in processes if process["type"] == "browser")

    def _end(self) -> None:
        """End both; waited for here, since trial has no ear for what ends later."""
        over = threading.Event()

        def close() -> None:
            try:
                if self._browser is not None:
                    self._browser.close()
                if self._playwright is not None:
                    self._playwright.stop()
            finally:
                over.set()

        self._work.put(close)
        over.wait(PATIENCE)


CHROMIUM = Chromium()
