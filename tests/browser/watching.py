"""What went wrong in a page without anybody seeing it: errors on the console, exceptions, refusals by the policy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, WebError

TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => console.error(
  `policy: ${event.violatedDirective} refused ${event.blockedURI} in ${event.sourceFile}:${event.lineNumber}`));
"""


class Watch:
    """Collects them from all pages of the contexts that were given to it."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._expected: list[re.Pattern[str]] = []

    def over(self, context: BrowserContext) -> None:
        """Begin before the context has a page."""
        context.add_init_script(TELL_VIOLATIONS)
        context.on("console", self._console)
        context.on("weberror", self._exception)

    def expect(self, pattern: str) -> None:
        """What matches is no error in this test: it brings it about."""
        self._expected.append(re.compile(pattern))

    @property
    def errors(self) -> list[str]:
        """All but the expected."""
        return [one for one in self.found if not any(pattern.search(one) for pattern in self._expected)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            place = message.location
            self.found.append(f"{message.type}: {message.text} ({place['url']}:{place['lineNumber']})")

    def _exception(self, error: WebError) -> None:
        self.found.append(f"exception: {error.error.stack or error.error.message}")
