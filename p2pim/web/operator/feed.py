"""What watchers of the operator's page are told: everything once, then what has changed, once a second, all the same.

A watcher takes a `Feed.snapshot`, and watches what comes after its id. One computation serves every watcher, and none
is made while nobody watches. When the last one has gone the numbering ends: who comes back later is told to begin anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.core.limits import OPERATOR_LEASE, OPERATOR_LOOK, OPERATOR_TICK
from p2pim.errors import DatabaseDown
from p2pim.server.live import LiveTable
from p2pim.web.answers import encode
from p2pim.web.operator.view import Json, View
from p2pim.web.sse import EventLog, Write

_log = Logger()


class Feed:
    """See the module.

    :param new_epoch: a text that no earlier numbering had.
    :ivar ticks: computations made so far.
    """

    def __init__(self, clock: Any, live: LiveTable, view: View, new_epoch: Callable[[], str]) -> None:
        self._clock = clock
        self._live = live
        self._view = view
        self._new_epoch = new_epoch
        self._lock = DeferredLock()
        self._holders = 0
        self._log = EventLog(new_epoch())
        self._told: dict[str, Any] = {}
        self._refusal = 0
        self._looked: float | None = None
        self._call: Any = None
        self._lease: Any = None
        self._cached = ("", b"")
        self.ticks = 0
        self.watchers = 0

    # --- for watchers

    def watch(self, write: Write, after: str = "") -> Callable[[], None]:
        """As `p2pim.web.sse.EventLog.watch`."""
        self._hold()
        self.watchers += 1
        unwatch = self._log.watch(write, after)

        def end() -> None:
            unwatch()
            self.watchers -= 1
            self._release()

        return end

    async def snapshot(self) -> bytes:
        """All that there is to show, in JSON, with the ``id`` after which to watch.

        :raises DatabaseDown: nothing can be shown while the database does not answer.
        """
        self._begin_lease()
        if not self._told or self._live.pending:
            await self._lock.run(lambda: Deferred.fromCoroutine(self._catch_up()))
        if self._cached[0] != self._log.last_id:
            self._cached = self._log.last_id, encode(self._everything())
        return self._cached[1]

    def soon(self) -> None:
        """Something was changed here: ask the database at the next tick."""
        self._looked = None

    def stop(self) -> None:
        """Tell nobody anything any more."""
        for call in (self._call, self._lease):
            if call is not None and call.active():
                call.cancel()
        self._call = self._lease = None

    # --- while somebody watches

    def _hold(self) -> None:
        self._holders += 1
        if self._holders == 1:
            self._log = EventLog(self._new_epoch())
            self._told, self._cached, self._looked = {}, ("", b""), None
            self._live.begin()
            self._call = self._clock.callLater(OPERATOR_TICK, self._tick)

    def _release(self) -> None:
        self._holders -= 1
        if self._holders == 0:
            self._live.end()
            call, self._call = self._call, None
            if call is not None and call.active():
                call.cancel()

    def _begin_lease(self) -> None:
        """Whoever has taken a snapshot has some seconds to begin to watch."""
        if self._lease is not None and self._lease.active():
            self._lease.reset(OPERATOR_LEASE)
            return
        self._hold()
        self._lease = self._clock.callLater(OPERATOR_LEASE, self._release)

    def _tick(self) -> None:
        self._call = None
        done = self._lock.run(lambda: Deferred.fromCoroutine(self._compute()))
        done.addErrback(self._failed)
        done.addBoth(self._after)

    def _after(self, _: object) -> None:
        if self._holders and self._call is None:
            self._call = self._clock.callLater(OPERATOR_TICK, self._tick)

    def _failed(self, failure: Failure) -> None:
        if failure.check(DatabaseDown):
            _log.error("the operator's page is out of date: {reason}", reason=failure.getErrorMessage())
        else:
            _log.failure("a tick of the operator's page failed", failure)

    async def _catch_up(self) -> None:
        while not self._told or self._live.pending:
            await self._compute()

    async def _compute(self) -> None:
        """Tell what has changed. Nothing is awaited between the changes of the table and the event that tells them, so
        that a snapshot is never between two ids."""
        if not self._holders:
            return
        self.ticks += 1
        await self._look_now_and_then()
        changes = await self._live.changes()
        event: Json = self._parts_changed()
        if changes.rows:
            event["rows"] = changes.rows
        if changes.gone:
            event["gone"] = changes.gone
        if event:
            self._log.add(event)

    async def _look_now_and_then(self) -> None:
        now = self._clock.seconds()
        if self._looked is None or now - self._looked >= OPERATOR_LOOK:
            self._looked = now
            await self._view.look()

    def _parts_changed(self) -> Json:
        parts = self._parts() | {"points": self._view.newest_points()}
        changed = {name: part for name, part in parts.items() if name not in self._told or self._told[name] != part}
        self._told.update(changed)
        refusals = self._view.refusals(self._refusal)
        if refusals:
            self._refusal = refusals[0]["number"]
            changed["refusals"] = refusals
        return changed

    def _parts(self) -> Json:
        stored = self._view.stored
        return {"overview": self._view.overview(), "mailboxes": stored.mailboxes, "disabled": stored.disabled}

    def _everything(self) -> Json:
        told = {name: part for name, part in self._told.items() if name != "points"}
        return {
            "id": self._log.last_id, **told, "rows": list(self._live.rows.values()),
            "series": self._view.series(), "refusals": self._view.refusals(),
        }  # fmt: skip
