"""Tests whose bodies drive a browser."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread
from twisted.trial.unittest import TestCase

from tests.browser.chromium import CHROMIUM, PATIENCE, why_not
from tests.browser.watching import Watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

T = TypeVar("T")

KEPT = "P2PIM_KEPT_PAGES"
"""Names a folder for pictures and traces of failed tests; else they are under trial's own."""


class BrowserTestCase(TestCase):
    """Its tests run in the browser's thread, written from top to bottom without ``await``.

    When one ends, no page may have had an error, and its contexts are closed. When one fails, what its pages looked
    like and a trace of what was done to them (``playwright show-trace FILE``) are kept.
    """

    timeout = 240
    skip = why_not()

    def __init__(self, methodName: str = "runTest") -> None:
        super().__init__(methodName)
        body = getattr(self, methodName)

        @wraps(body)
        def test() -> Deferred[None]:
            return self._in_browser(body)

        setattr(self, methodName, test)

    # For tests, in the browser's thread.

    def context(self, name: str, **options: Any) -> BrowserContext:
        """A browser of somebody's own: its cookies are nobody else's. ``name`` is for files about failures."""
        options.setdefault("locale", "en-US")
        options.setdefault("viewport", {"width": 1200, "height": 800})
        context = self.browser.new_context(**options)
        context.set_default_timeout(PATIENCE * 1000)
        context.tracing.start(snapshots=True)
        self.watch.over(context)
        self._contexts.append((name, context))
        return context

    def wait(self, coroutine: Coroutine[Any, Any, T], seconds: float = PATIENCE) -> T:
        """What ``coroutine``, run beside the reactor, comes to."""

        def begin() -> Deferred[Any]:
            return Deferred.fromCoroutine(coroutine).addTimeout(seconds, reactor)

        result: Any = blockingCallFromThread(reactor, begin)  # type: ignore[arg-type]
        return result

    def until(self, page: Page, condition: Callable[[], T], seconds: float = PATIENCE) -> T:
        """The first true value of ``condition``, asked again and again while ``page`` lives on."""
        end = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > end:
                self.fail(f"it did not come about in {seconds:.0f} s")
            page.wait_for_timeout(20)
        return value

    def no_errors(self) -> None:
        """Nothing went wrong unseen in any page until now."""
        for _, context in self._contexts:
            for page in context.pages:
                page.evaluate("() => new Promise((done) => setTimeout(done))")
        self.assertEqual(self.watch.errors, [])

    # Around them.

    def _in_browser(self, body: Callable[[], object]) -> Deferred[None]:
        told: Deferred[None] = Deferred()
        ended: Deferred[None] = Deferred()

        def over(result: Any) -> None:
            ended.callback(None)
            if not told.called:
                told.callback(result)

        def abandon() -> Deferred[None]:
            if not ended.called:
                CHROMIUM.kill()
            return ended

        # Trial gives up a test that takes too long by failing what it was given; the thread must be ended besides.
        self.addCleanup(abandon)
        CHROMIUM.run(lambda browser: self._perform(browser, body)).addBoth(over)
        return told

    def _perform(self, browser: Browser, body: Callable[[], object]) -> None:
        self.browser = browser
        self.watch = Watch()
        self._contexts: list[tuple[str, BrowserContext]] = []
        try:
            body()
            self.no_errors()
        except BaseException:
            self._keep()
            raise
        finally:
            for _, context in self._contexts:
                context.close()

    def _keep(self) -> None:
        folder = Path(os.environ.get(KEPT) or "failed-pages").absolute() / self.id().removeprefix("tests.browser.")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "errors.txt").write_text("\n".join(self.watch.found))
        for name, context in self._contexts:
            try:
                for number, page in enumerate(context.pages):
                    page.screenshot(path=folder / f"{name}-{number}.png", timeout=5000)
                context.tracing.stop(path=folder / f"{name}.zip")
            except Exception as error:  # noqa: BLE001 - what failed the test is told, not this
                (folder / f"{name}.txt").write_text(f"no picture: {error}")
