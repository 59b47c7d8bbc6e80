"""This device's keys at the server: published when it is new there, and topped up before they run out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.core.limits import FALLBACK_AGE, ONE_TIME_KEYS_PUBLISHED
from p2pim.core.sealing import Sealer
from p2pim.errors import BadMessage, KeysDiffer, P2pimError
from p2pim.peer.device_directory import AskingSession
from p2pim.storage.database import Database
from p2pim.storage.sealing import SealingRows
from p2pim.wire.keys import Identity, KeysLeft, OneTimeKey, PublishKeys

ENOUGH = ONE_TIME_KEYS_PUBLISHED * 3 // 5
"""While so many are left none are made."""


class KeyStock:
    """See the module.

    :param wall: seconds since 1970.
    """

    _log = Logger()

    def __init__(
        self,
        wall: Callable[[], float],
        database: Database,
        session: AskingSession,
        sealer: Sealer,
        journal: Callable[[str, str, str], None],
    ) -> None:
        self._wall = wall
        self._database = database
        self._session = session
        self._sealer = sealer
        self._journal = journal
        self._busy = False
        self._left: int | None = None
        self._settled: list[Deferred[None]] = []
        self.differ: Callable[[], None] = lambda: None
        """Called when the server knows this device by other keys: what others seal for it cannot be opened here."""

    def left(self, count: int) -> None:
        """The server says how many one-time keys it has."""
        self._left = count
        if not self._busy:
            self._busy = True
            done = Deferred.fromCoroutine(self._top_up())
            done.addBoth(self._topped_up)

    def settled(self) -> Deferred[None]:
        """Fires when no keys are being published (any more), whether that went well or not."""
        waiting: Deferred[None] = Deferred()
        if self._busy:
            self._settled.append(waiting)
        else:
            waiting.callback(None)
        return waiting

    def _topped_up(self, result: Failure | None) -> None:
        self._busy = False
        settled, self._settled = self._settled, []
        for waiting in settled:
            waiting.callback(None)
        if not isinstance(result, Failure):
            return
        if result.check(P2pimError) is None:
            self._log.failure("keys cannot be published", result)
            return
        assert isinstance(result.value, P2pimError)
        if isinstance(result.value, KeysDiffer):
            self.differ()
        self._journal("keys", "", f"keys were not published: {result.value.message}")

    async def _top_up(self) -> None:
        while self._left is not None:
            left, self._left = self._left, None
            fallback = await self._fallback_due(left)
            if left >= ENOUGH and not fallback:
                continue
            identity, one_time, further = await self._database.write(
                lambda db, left=left, fallback=fallback: self._make(db, left, fallback)  # type: ignore[misc]
            )
            request = lambda number: PublishKeys(number, identity, one_time, further)  # noqa: B023, E731
            answer = await self._session.request(request)
            if not isinstance(answer, KeysLeft):
                raise BadMessage("The server answered the publishing of keys with something else.")
            await self._database.write(lambda db, fallback=fallback: self._done(db, fallback))  # type: ignore[misc]

    async def _fallback_due(self, left: int) -> bool:
        """Whether the fallback key is missing, may have been used, or is old."""
        made = await self._database.read(lambda db: SealingRows(db).fallback_at())
        return left <= 0 or not 0 <= self._wall() - made < FALLBACK_AGE

    def _make(
        self, db: sqlite3.Connection, left: int, fallback: bool
    ) -> tuple[Identity, list[OneTimeKey], OneTimeKey | None]:
        rows = SealingRows(db)
        one_time, further = self._sealer.keys_to_publish(
            rows, ONE_TIME_KEYS_PUBLISHED - max(left, 0), fallback=fallback
        )
        return self._sealer.identity(rows), one_time, further

    def _done(self, db: sqlite3.Connection, fallback: bool) -> None:
        rows = SealingRows(db)
        self._sealer.published(rows)
        if fallback:
            rows.set_fallback_at(self._wall())
