"""Reads the server's counters every two seconds, and keeps the last hour and the last day of them for plots."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.series import SPANS, Point, Reading, Ring, Share, between, share
from p2pim.errors import DatabaseDown
from p2pim.server.store import Store
from p2pim.storage import series

_log = Logger()


class Meter:
    """The series.

    :param read: what the counters say now.
    :param wall: seconds since 1970.
    """

    def __init__(
        self, clock: IReactorTime, store: Store, read: Callable[[], Reading], wall: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._store = store
        self._read = read
        self._wall = wall
        self._last = read()
        self._last_at = clock.seconds()
        self.rings = {span.name: Ring(span) for span in SPANS}
        self.latest: dict[str, Point] = {}
        """By span, the step under way."""

    async def load(self) -> None:
        """Take up what was written before a restart. What was counted meanwhile is added to it.

        :raises DatabaseDown: the database does not answer.
        """
        stored = await self._store.read(lambda db: {span.name: series.load(db, span) for span in SPANS})
        for name, ring in self.rings.items():
            counted = list(ring.points)
            ring.load(stored[name], self._wall())
            for point in counted:
                ring.add(point)

    def sample(self) -> None:
        """Count what has come since the last time."""
        now, reading = self._clock.seconds(), self._read()
        increase = between(self._last, reading, self._wall(), now - self._last_at)
        # What the counters take back, since it could not be written, they count once more.
        messages, relayed = max(reading.messages, self._last.messages), max(reading.relayed, self._last.relayed)
        self._last, self._last_at = reading._replace(messages=messages, relayed=relayed), now
        for name, ring in self.rings.items():
            self.latest[name] = ring.add(increase)

    def write(self) -> Deferred[None]:
        """Commit the steps that have changed. Does not fail: what cannot be written is written later."""
        return Deferred.fromCoroutine(self._write())

    async def _write(self) -> None:
        for ring in self.rings.values():
            points = ring.take_unwritten()
            if not points:
                continue
            try:
                await self._store.write(partial(series.write, span=ring.span, points=points))
            except DatabaseDown as error:
                ring.put_back(points)
                _log.error("the operator's plots could not be written: {reason}", reason=error.message)

    def share(self, span: str) -> Share:
        """What went directly and what through the server in the last hour or day."""
        return share(self.rings[span].since(self._wall()))
