"""The server's way to its database: what fails for the database's own reasons is a `DatabaseDown`."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

from p2pim.core.limits import LIST_REVISIONS
from p2pim.errors import DatabaseDown

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class IDatabase(Protocol):
    """As `p2pim.storage.database.Database`."""

    def read(self, work: Work[T]) -> Deferred[T]:
        """What ``work`` returns."""

    def write(self, work: Work[T]) -> Deferred[T]:
        """What ``work`` returns, once committed."""


class Store:
    """Reads and writes of the server.

    :ivar revocations: how often an account was deleted, disabled, or given another password. What was read before such
        a change must not be acted upon after it.
    """

    def __init__(self, database: IDatabase) -> None:
        self._database = database
        self.revocations = 0
        self.failing = False
        """Whether the last attempt at a commit failed."""
        self._revisions = [0] * LIST_REVISIONS

    def lists_changed(self, *names: str) -> None:
        """The lists of these users have been changed, and what is known of those online after it."""
        for name in names:
            self._revisions[hash(name) % LIST_REVISIONS] += 1

    def revision(self, name: str) -> tuple[int, int]:
        """Is another after a change of the account of ``name`` or of their lists: whoever read before reads again."""
        return self.revocations, self._revisions[hash(name) % LIST_REVISIONS]

    async def read(self, work: Work[T]) -> T:
        """What ``work`` returns.

        :raises DatabaseDown: the database does not answer.
        """
        try:
            return await self._database.read(work)
        except sqlite3.Error as error:
            raise DatabaseDown(f"The server's database does not answer: {error}") from error

    async def write(self, work: Work[T]) -> T:
        """What ``work`` returns, once it is committed.

        :raises DatabaseDown: nothing of it was kept.
        """
        try:
            result = await self._database.write(work)
        except DatabaseDown:
            self.failing = True
            raise
        except sqlite3.Error as error:
            self.failing = True
            raise DatabaseDown(f"The server's database could not commit: {error}") from error
        self.failing = False
        return result
