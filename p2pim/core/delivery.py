"""Delivery: once and only once, in order, over ways that come and go. No I/O here, and ``now`` is an argument.

`Sending` is the sender's side towards one user. Each message waits in it until a receipt comes, and is sent to every
**lane** (a device of that user that can be reached). A lane has up to two **ways**: "direct", a channel, and "relay",
the server. Each way is known by a token; when the token changes (another channel, another session), what went by the
old one may be lost, and goes again in order. Nothing is sent twice only because a better way has appeared. What is not
confirmed in time is sent again with growing waits, which covers whatever else may go wrong.

`Arrivals` is the receiver's side for one device of a sender. It puts what arrives over several ways back in order: a
message that is early is held, for `REORDER_WAIT` at most. Each message says which is the oldest that its sender still
waits to see confirmed, so nobody waits for one that another device has confirmed. A message that comes later than that
is let through out of order rather than lost; dropping duplicates is for the store, which knows the ids.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Generic, TypeVar

from p2pim.core.limits import BUSY_WAIT, REORDER_MESSAGES, REORDER_WAIT, RESEND, RESEND_MAX, UNACKNOWLEDGED

T = TypeVar("T")

DIRECT = "direct"
RELAY = "relay"
AUTO = "auto"
ROUTES = (AUTO, DIRECT, RELAY)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message on its way: ``route`` is "auto", "direct" or "relay", and ``sent_at`` in milliseconds since 1970."""

    id: bytes
    seq: int
    text: str
    sent_at: int
    route: str = AUTO


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Send ``message`` to ``device`` by ``way`` ("direct" or "relay") now; ``again`` when it was sent before."""

    device: bytes
    message: Outgoing
    way: str
    oldest: int
    again: bool


@dataclass(slots=True)
class _Try:
    """A message that is out on a lane: by which way, and when it is due again."""

    way: str
    token: Hashable
    due: float
    wait: float


@dataclass(slots=True)
class _Lane:
    """One device that can be reached."""

    ways: dict[str, Hashable] = field(default_factory=dict)
    waiting: list[int] = field(default_factory=list)
    """Sequence numbers to be sent, a heap."""
    tries: dict[int, _Try] = field(default_factory=dict)
    waits: dict[int, float] = field(default_factory=dict)
    """For what was sent to this device at any time: how long the next wait for its receipt is."""
    next_due: float = float("inf")

    def way_for(self, route: str) -> str | None:
        """How a message that demands ``route`` goes now."""
        if route != RELAY and DIRECT in self.ways:
            return DIRECT
        return RELAY if route != DIRECT and RELAY in self.ways else None


class Sending:
    """What one user has not confirmed yet, and to which of their devices it must go now."""

    def __init__(self) -> None:
        self._messages: OrderedDict[int, Outgoing] = OrderedDict()
        self._by_id: dict[bytes, int] = {}
        self._lanes: dict[bytes, _Lane] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, message: object) -> bool:
        return message in self._by_id

    def __iter__(self) -> Iterator[Outgoing]:
        return iter(list(self._messages.values()))

    @property
    def lanes(self) -> int:
        """How many devices can be reached."""
        return len(self._lanes)

    def add(self, message: Outgoing) -> None:
        """A new message, its ``seq`` greater than all before it."""
        self._messages[message.seq] = message
        self._by_id[message.id] = message.seq
        for lane in self._lanes.values():
            heappush(lane.waiting, message.seq)

    def remove(self, message: bytes) -> Outgoing | None:
        """The message of this id has been confirmed or given up; None when it is not (or no longer) here."""
        seq = self._by_id.pop(message, None)
        if seq is None:
            return None
        for lane in self._lanes.values():
            lane.tries.pop(seq, None)
            lane.waits.pop(seq, None)
        return self._messages.pop(seq)

    def set_ways(self, device: bytes, ways: dict[str, Hashable]) -> None:
        """``device`` can be reached by these ways now, each with its token; by none when ``ways`` is empty."""
        if not ways:
            self._lanes.pop(device, None)
            return
        lane = self._lanes.get(device)
        if lane is not None and lane.ways == ways:
            return
        if lane is None:
            lane = self._lanes[device] = _Lane()
        lane.ways = dict(ways)
        for seq in [seq for seq, attempt in lane.tries.items() if ways.get(attempt.way) != attempt.token]:
            del lane.tries[seq]
            lane.waits[seq] = RESEND
        lane.waiting = [seq for seq in self._messages if seq not in lane.tries]

    def devices(self) -> list[bytes]:
        """The devices that can be reached."""
        return list(self._lanes)

    def way_of(self, device: bytes, message: bytes) -> str | None:
        """By which way this message went to ``device`` last."""
        lane, seq = self._lanes.get(device), self._by_id.get(message)
        if lane is None or seq is None or seq not in lane.tries:
            return None
        return lane.tries[seq].way

    def busy(self, device: bytes, message: bytes, retry_after: float, now: float) -> None:
        """The server could not take this message for ``device`` now: try again soon."""
        lane, seq = self._lanes.get(device), self._by_id.get(message)
        if lane is not None and seq is not None and seq in lane.tries:
            lane.tries[seq].due = now + max(retry_after, BUSY_WAIT)
            lane.next_due = min(lane.next_due, lane.tries[seq].due)

    def to_send(self, now: float) -> list[Dispatch]:
        """What must be sent now, per device in order; it counts as sent from here on."""
        dispatches: list[Dispatch] = []
        for device, lane in self._lanes.items():
            if lane.next_due <= now:
                self._take_back_overdue(lane, now)
            while lane.waiting and len(lane.tries) < UNACKNOWLEDGED:
                seq = heappop(lane.waiting)
                dispatch = self._dispatch(device, lane, seq, now)
                if dispatch is not None:
                    dispatches.append(dispatch)
        return dispatches

    def next_due(self) -> float | None:
        """When `to_send` has something to repeat, or None."""
        due = min((lane.next_due for lane in self._lanes.values() if lane.tries), default=float("inf"))
        return None if due == float("inf") else due

    @staticmethod
    def _take_back_overdue(lane: _Lane, now: float) -> None:
        for seq in [seq for seq, attempt in lane.tries.items() if attempt.due <= now]:
            lane.waits[seq] = min(lane.tries.pop(seq).wait * 2, RESEND_MAX)
            heappush(lane.waiting, seq)
        lane.next_due = min((attempt.due for attempt in lane.tries.values()), default=float("inf"))

    def _dispatch(self, device: bytes, lane: _Lane, seq: int, now: float) -> Dispatch | None:
        message = self._messages.get(seq)
        way = None if message is None else lane.way_for(message.route)
        if message is None or way is None:
            return None
        again, wait = seq in lane.waits, lane.waits.get(seq, RESEND)
        lane.tries[seq] = _Try(way, lane.ways[way], now + wait, wait)
        lane.waits[seq] = wait
        lane.next_due = min(lane.next_due, now + wait)
        return Dispatch(device, message, way, next(iter(self._messages)), again)


class Arrivals(Generic[T]):
    """The order of one device's messages; ``T`` is whatever the caller keeps of a message.

    :param expected: the sequence number that comes next.
    """

    def __init__(self, expected: int = 1) -> None:
        self.expected = expected
        self._held: dict[int, tuple[float, T]] = {}

    def arrived(self, seq: int, oldest: int, message: T, now: float) -> list[T]:
        """``message`` came: what is to be stored now, in order (perhaps nothing, perhaps more than this one)."""
        if not self._held and seq == self.expected:
            self.expected += 1
            return [message]
        ready = self._release(oldest)
        if seq < self.expected:
            return [*ready, message]
        if seq not in self._held and (seq == self.expected or len(self._held) < REORDER_MESSAGES):
            self._held[seq] = (now + REORDER_WAIT, message)
        return ready + self._release(self.expected)

    def due(self) -> float | None:
        """When `expire` has something to let through, or None."""
        return min((until for until, _ in self._held.values()), default=None)

    def expire(self, now: float) -> list[T]:
        """What has been held for long enough, with all before it and what follows on."""
        old = [seq for seq, (until, _) in self._held.items() if until <= now]
        return self._release(max(old) + 1) if old else []

    def _release(self, before: int) -> list[T]:
        """All that is held below ``before``, and what follows without a gap."""
        ready = [self._held.pop(seq)[1] for seq in sorted(seq for seq in self._held if seq < before)]
        self.expected = max(self.expected, before)
        while self.expected in self._held:
            ready.append(self._held.pop(self.expected)[1])
            self.expected += 1
        return ready
