"""Who is signed in, with what went up and down, as rows that can be watched.

While somebody watches, whoever comes, goes, changes status, or has something counted is noted, and `LiveTable.changes`
gives what is different since the last time: it costs what has changed, not how many are there. Nothing is noted while
nobody watches.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from p2pim.core.counters import Increase
from p2pim.core.limits import OPERATOR_PEOPLE
from p2pim.server.sessions import Directory, Session

Key = tuple[str, str]
"""A user and their device, in hexadecimal."""


StoredTotals = tuple[int, float | None, int, float | None]
"""As `Totals`."""


class Row(NamedTuple):
    """A session, as the table shows it. Times are in seconds since 1970; None: never."""

    user: str
    device: str
    device_name: str
    status: str
    address: str
    since: float
    uploads: int
    last_up: float | None
    downloads: int
    last_down: float | None

    @property
    def key(self) -> Key:
        """What tells it from all others."""
        return self.user, self.device


class Totals(NamedTuple):
    """What a user sent and received through the server, ever."""

    uploads: int = 0
    last_up: float | None = None
    downloads: int = 0
    last_down: float | None = None

    def plus(self, increase: Increase) -> Totals:
        """With what has been counted since."""
        return Totals(
            self.uploads + increase.uploads,
            increase.at if increase.uploads else self.last_up,
            self.downloads + increase.downloads,
            increase.at if increase.downloads else self.last_down,
        )


class Changes(NamedTuple):
    """Rows that are new or different, and the keys of those that have gone."""

    rows: list[Row]
    gone: list[Key]


class Watched(Protocol):
    """What is watched: it tells whoever comes, goes or changes, and what was counted."""

    directory: Directory

    def watch(
        self, touched: Callable[[str], None] | None, counted: Callable[[Iterable[Increase]], None] | None
    ) -> None:
        """Tell these two, and nobody else, from now on."""

    def read_totals(self, names: list[str], use: Callable[[Mapping[str, StoredTotals]], None]) -> Awaitable[None]:
        """Hand the stored totals of these users to ``use``, in a moment in which all that was counted is stored, and
        before anything else is."""


class LiveTable:
    """The rows, for as long as somebody watches."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._touched: dict[str, None] = {}
        self._totals: dict[str, Totals] = {}
        self.rows: dict[Key, Row] = {}
        """As of the last `changes`."""
        self._keys: dict[str, set[Key]] = {}
        self._watching = 0

    @property
    def watching(self) -> bool:
        """Whether somebody watches."""
        return self._watching > 0

    @property
    def pending(self) -> bool:
        """Whether there is something that `changes` would look at."""
        return bool(self._touched)

    def begin(self) -> None:
        """One more watches."""
        self._watching += 1
        if self._watching > 1:
            return
        self._watched.watch(self._touch, self._count)
        self._touched = dict.fromkeys(self._watched.directory.users)

    def end(self) -> None:
        """One watches no more."""
        self._watching -= 1
        if self._watching == 0:
            self._watched.watch(None, None)
            self._touched, self._totals, self.rows, self._keys = {}, {}, {}, {}

    def _touch(self, user: str) -> None:
        self._touched[user] = None

    def _count(self, increases: Iterable[Increase]) -> None:
        for increase in increases:
            known = self._totals.get(increase.user)
            if known is not None:
                self._totals[increase.user] = known.plus(increase)
                self._touched[increase.user] = None

    async def changes(self, most: int = OPERATOR_PEOPLE) -> Changes:
        """What is different since the last time, of ``most`` users at once; the others are for the next time.

        :raises DatabaseDown: the totals of somebody who came cannot be read; nothing is lost.
        """
        users = list(self._touched)[:most]
        users_online = self._watched.directory.users
        unknown = [user for user in users if user in users_online and user not in self._totals]
        if unknown:
            await self._watched.read_totals(unknown, self._learn)
        rows: list[Row] = []
        gone: list[Key] = []
        for user in users:
            self._touched.pop(user, None)
            self._compare(user, rows, gone)
        return Changes(rows, gone)

    def _learn(self, totals: Mapping[str, StoredTotals]) -> None:
        self._totals.update((user, Totals(*stored)) for user, stored in totals.items())

    def _compare(self, user: str, rows: list[Row], gone: list[Key]) -> None:
        before = self._keys.pop(user, set())
        totals = self._totals.get(user, Totals())
        present = {row.key: row for row in (_row(s, totals) for s in self._watched.directory.of(user))}
        for key in before - present.keys():
            gone.append(key)
            del self.rows[key]
        for key, row in present.items():
            if self.rows.get(key) != row:
                self.rows[key] = row
                rows.append(row)
        if present:
            self._keys[user] = set(present)
        else:
            self._totals.pop(user, None)


def _row(session: Session, totals: Totals) -> Row:
    return Row(
        session.user.name, session.device.hex(), session.device_name, session.status, session.address,
        round(session.since, 3), *totals,
    )  # fmt: skip
