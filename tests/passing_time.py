"""Letting the time of a test clock pass as it does outside of tests: event by event."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.task import Clock


class QuickClock(Clock):
    """A `Clock` for worlds with many events: it keeps a heap where `Clock` sorts a list at every call."""

    def __init__(self) -> None:
        super().__init__()
        self._heap: list[tuple[float, int, DelayedCall]] = []
        self._count = 0

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> Any:
        call = DelayedCall(self.rightNow + delay, callable, args, kw, lambda call: None, self._push, self.seconds)
        self._push(call)
        return call

    def _push(self, call: DelayedCall) -> None:
        self._count += 1
        heapq.heappush(self._heap, (call.getTime(), self._count, call))

    def getDelayedCalls(self) -> list[DelayedCall]:
        live = {id(call): call for at, _, call in self._heap if call.active() and call.getTime() == at}
        return sorted(live.values(), key=DelayedCall.getTime)

    def advance(self, amount: float) -> None:
        """Let ``amount`` pass; unlike in a `Clock` each event sees its own time."""
        until, heap = self.rightNow + amount, self._heap
        while heap and heap[0][0] <= until:
            at, _, call = heapq.heappop(heap)
            if call.active() and call.getTime() == at:
                self.rightNow = max(self.rightNow, at)
                call.called = 1
                call.func(*call.args, **call.kw)
        self.rightNow = max(self.rightNow, until)


def pass_time(clock: Clock, seconds: float) -> None:
    """Let ``seconds`` pass, event by event: a clock's own `advance` would let them all happen at the end."""
    if isinstance(clock, QuickClock):
        clock.advance(seconds)
        return
    until = clock.seconds() + seconds
    while (at := min((call.getTime() for call in clock.getDelayedCalls()), default=until + 1.0)) <= until:
        clock.advance(max(at - clock.seconds(), 0.0))
    clock.advance(max(until - clock.seconds(), 0.0))
