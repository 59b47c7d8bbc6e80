"""What went on in the last hour and the last day, in steps, for plots: rings that forget what is older.

A `Reading` is what the server's counters say at a moment. What was counted between two readings goes into the step in
which the second was taken, of every ring. A step begun before a restart goes on after it: sums are added, the number of
connections is the most there were. ``seconds`` says how much of a step was watched, so that rates are right where the
server was down for a part of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from p2pim.core.limits import SERIES_MOST


class Span(NamedTuple):
    """A ring's ``name``, the seconds of a ``step``, and how many steps it keeps."""

    name: str
    step: int
    steps: int


SPANS: Final = (Span("hour", 10, 360), Span("day", 300, 288))


class Point(NamedTuple):
    """One step, beginning at ``at`` (seconds since 1970): what was counted in the ``seconds`` that were watched."""

    at: int
    seconds: float
    connections: int
    messages: int
    relayed: int
    """Bytes that went through the server, as messages, channels and files left."""
    requests: int
    """Questions to the P2P server."""
    direct_messages: int
    direct: int
    """Bytes that peers report to have sent directly."""

    def plus(self, other: Point) -> Point:
        """The same step with what ``other`` counted in it."""
        return Point(
            self.at,
            min(self.seconds + other.seconds, 86_400.0),
            max(self.connections, other.connections),
            *(min(a + b, SERIES_MOST) for a, b in zip(self[3:], other[3:], strict=True)),
        )


class Reading(NamedTuple):
    """What the counters say: ``connections`` now, everything else since the server started."""

    connections: int
    messages: int
    relayed: int
    requests: int
    direct_messages: int
    direct: int


def between(before: Reading, now: Reading, at: float, seconds: float) -> Point:
    """What was counted between two readings; a counter that fell has begun anew, and nothing is negative."""
    rises = [min(max(new - old, 0), SERIES_MOST) for old, new in zip(before[1:], now[1:], strict=True)]
    return Point(int(at), max(seconds, 0.0), now.connections, *rises)


class Ring:
    """The steps of one span, oldest first; without those in which nobody watched."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.points: deque[Point] = deque(maxlen=span.steps)
        self._unwritten: set[int] = set()

    def load(self, points: Iterable[Point], now: float) -> None:
        """Take up what was written earlier, unless it is too old, or of a time that has not come yet."""
        oldest = self._begin(now) - self.span.step * (self.span.steps - 1)
        self.points = deque(sorted(p for p in points if oldest <= p.at <= now), self.span.steps)

    def add(self, increase: Point) -> Point:
        """Count ``increase`` in the step in which it was taken; that step as it is now.

        When the clock was set back, what was counted in times to come is dropped.
        """
        at = self._begin(increase.at)
        while self.points and self.points[-1].at > at:
            self.points.pop()
        point = increase._replace(at=at)
        if self.points and self.points[-1].at == at:
            point = self.points.pop().plus(point)
        self.points.append(point)
        self._unwritten.add(at)
        return point

    def take_unwritten(self) -> list[Point]:
        """The steps that have changed since the last time."""
        unwritten, self._unwritten = self._unwritten, set()
        return [point for point in self.points if point.at in unwritten]

    def put_back(self, points: Iterable[Point]) -> None:
        """They could not be written: they are among the next."""
        self._unwritten.update(point.at for point in points)

    def since(self, now: float) -> list[Point]:
        """The steps of the span that ends now."""
        oldest = self._begin(now) - self.span.step * (self.span.steps - 1)
        return [point for point in self.points if point.at >= oldest]

    def _begin(self, at: float) -> int:
        return int(at) // self.span.step * self.span.step


class Share(NamedTuple):
    """What went directly and what went through the server, in bytes."""

    direct: int
    relayed: int

    @property
    def off(self) -> float | None:
        """The share that stays off the server, 0 … 1; None when there was nothing at all."""
        return self.direct / (self.direct + self.relayed) if self.direct + self.relayed else None


def share(points: Iterable[Point]) -> Share:
    """What went which way in these steps."""
    direct = relayed = 0
    for point in points:
        direct += point.direct
        relayed += point.relayed
    return Share(direct, relayed)
