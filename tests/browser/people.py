"""People with agents and their pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, gatherResults

from tests.browser.case import BrowserTestCase
from tests.browser.chromium import PATIENCE
from tests.integration.town import Person, Result, TownCase

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


class ChatPage:
    """The chat page of somebody, as it is used."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def by(self, name: str, **data: str) -> Locator:
        """Everything with this ``data-testid``, and these values of other ``data-`` attributes (``_`` for ``-``)."""
        if not data:
            return self.page.get_by_test_id(name)
        wanted = "".join(f'[data-{key.replace("_", "-")}="{value}"]' for key, value in data.items())
        return self.page.locator(f'[data-testid="{name}"]{wanted}')

    def contact(self, user: str) -> Locator:
        """The row of somebody, or of a ``#group``."""
        return self.by("contact", user=user)

    def open(self, user: str) -> None:
        """Turn to the conversation with somebody who has a row."""
        self.contact(user).click()

    def write(self, text: str) -> None:
        """Write into the conversation that is open, and send it."""
        self.by("composer").fill(text)
        self.by("composer").press("Enter")

    def message(self, text: str | re.Pattern[str]) -> Locator:
        """The messages that contain ``text``."""
        return self.by("message").filter(has_text=text)

    @property
    def title(self) -> Locator:
        """What stands above the conversation."""
        return self.by("title")

    @property
    def route(self) -> Locator:
        """By which way it goes."""
        return self.by("route")


class Resident:
    """Somebody with a home, an agent and a browser of their own."""

    def __init__(self, case: BrowserCase, person: Person) -> None:
        self.case = case
        self.person = person

    @property
    def name(self) -> str:
        return self.person.name

    @property
    def home(self) -> Path:
        return self.person.home

    @property
    def downloads(self) -> Path:
        return self.person.downloads

    def run(self, *arguments: str, status: int | None = 0, seconds: float = PATIENCE) -> Result:
        """Run a ``p2pim`` command with ``--json``, and check its exit status unless that is None."""
        return self.case.wait(self.person.run(*arguments, status=status), seconds)

    def up(self, *options: str) -> None:
        """Start the agent; it is signed in then."""
        self.case.wait(self.person.up(*options))

    def end(self) -> None:
        """End the agent."""
        self.case.wait(self.person.end())

    def until(self, kind: str, **values: Any) -> dict[str, Any]:
        """The agent's newest event of that kind with those values, as soon as there is one."""
        return self.case.wait(self.person.until(kind, **values))

    def link(self) -> str:
        """A fresh one-time link to the page."""
        url: str = self.run("web", "--no-open").object["url"]
        return url

    def open(self, **options: Any) -> ChatPage:
        """Open the page by a fresh link, in a browser with these ``options`` of a Playwright context."""
        page = self.case.context(self.name, **options).new_page()
        page.goto(self.link())
        chat = ChatPage(page)
        page.locator("#page").wait_for()
        return chat


class BrowserCase(BrowserTestCase, TownCase):
    """A test in a browser, with a server that listens already."""

    timeout = 240

    def people(self, *names: str, options: tuple[str, ...] = (), contacts: bool = True) -> list[Resident]:
        """Registered and ``up`` with these options; everybody the contact of everybody else if so wanted."""

        async def all_come() -> list[Person]:
            coming = [Deferred.fromCoroutine(self.person(name, *options)) for name in names]
            people: list[Person] = await gatherResults(coming, consumeErrors=True)
            if contacts:
                await gatherResults(
                    [Deferred.fromCoroutine(befriend(one, names)) for one in people], consumeErrors=True
                )
            return people

        return [Resident(self, person) for person in self.wait(all_come(), 2 * PATIENCE)]


async def befriend(person: Person, names: tuple[str, ...]) -> None:
    """Ask all the others, or agree with those who asked before."""
    for name in names:
        if name != person.name:
            await person.run("add", name)
