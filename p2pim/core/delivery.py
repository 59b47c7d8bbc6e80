"""The sender's side of delivery: once and only once, in order, over ways that come and go. No I/O; ``now`` is given.

A message goes as **copies**, one for each device that shall have it: those of its recipient, whether they are online or
not, and my own others. `Sending` keeps what is not settled of one conversation. Each device is a **lane** with up to
two **ways**: "direct", a channel, and "relay", the server, which puts into a mailbox what it cannot forward. Each way
is known by a token; when the token changes (another channel, another session), what went by the old one may be lost,
and goes again in order. Nothing is sent twice only because a better way has appeared. What nobody has answered in time
is sent again with growing waits, which covers whatever else may go wrong.

A copy is settled by its own device, or by the server for it: others that have confirmed make no difference to it.
**Stored**: it is in the mailbox, and need not be sent again. **Delivered**: the device has it; then it is forgotten.

Copies are sealed, in order, by a ratchet of which the other side can skip a few steps only. So a lane does not let more
than `OVERTAKE` copies be overtaken by others that take a faster way, and lets none overtake what is in the mailbox
while the server can be reached: what follows goes there too, behind it. `p2pim.core.arrivals` sorts the rest out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

from p2pim.core.limits import BUSY_WAIT, OVERTAKE, RESEND, RESEND_MAX, UNACKNOWLEDGED

DIRECT: Final = "direct"
RELAY: Final = "relay"
AUTO: Final = "auto"
ROUTES: Final = (AUTO, DIRECT, RELAY)

SENT: Final = "sent"
STORED: Final = "stored"
DELIVERED: Final = "delivered"

Target = tuple[str, bytes]
"""A user and one of their devices."""


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
    """Send the copy of ``message`` for ``target`` by ``way`` ("direct" or "relay") now; ``again``: it went before."""

    target: Target
    message: Outgoing
    way: str
    again: bool


@dataclass(slots=True)
class _Try:
    """A copy that is out on a lane: by which way, and when it is due again."""

    way: str
    token: Hashable
    due: float
    wait: float


@dataclass(slots=True)
class _Lane:
    """One device, reachable or not. All numbers are ``seq`` of messages."""

    ways: dict[str, Hashable] = field(default_factory=dict)
    unsettled: set[int] = field(default_factory=set)
    """Whose copies neither the device nor the server has confirmed."""
    stored: set[int] = field(default_factory=set)
    """Whose copies are in the mailbox."""
    waiting: list[int] = field(default_factory=list)
    """To be sent: a heap, in which some may be settled meanwhile."""
    tries: dict[int, _Try] = field(default_factory=dict)
    waits: dict[int, float] = field(default_factory=dict)
    """For what was sent to this device at any time: how long the next wait for its receipt is."""
    next_due: float = float("inf")
    out: dict[str, int] = field(default_factory=lambda: {DIRECT: 0, RELAY: 0})
    """How many are out by each way."""

    def way_for(self, route: str) -> str | None:
        """How a copy that demands ``route`` goes now."""
        if route == DIRECT or DIRECT not in self.ways:
            wanted = DIRECT if route == DIRECT else RELAY
            return wanted if wanted in self.ways else None
        if RELAY not in self.ways:
            return DIRECT if route != RELAY else None
        return RELAY if route == RELAY or self.stored else DIRECT

    def must_wait(self, way: str) -> bool:
        """Whether a copy that goes by ``way`` now could overtake too many."""
        other = RELAY if way == DIRECT else DIRECT
        ahead = self.out[other] if other in self.ways else 0
        if way == DIRECT and RELAY in self.ways:
            ahead += len(self.stored)
        return ahead >= OVERTAKE

    def take_back(self, seq: int) -> _Try | None:
        """The copy is not out any more."""
        attempt = self.tries.pop(seq, None)
        if attempt is not None:
            self.out[attempt.way] -= 1
        return attempt

    def forget(self, seq: int) -> None:
        """There is nothing more to be done about this copy."""
        self.take_back(seq)
        self.waits.pop(seq, None)
        self.unsettled.discard(seq)
        self.stored.discard(seq)

    def want(self, seq: int) -> None:
        """The copy shall go (again)."""
        self.take_back(seq)
        self.stored.discard(seq)
        self.unsettled.add(seq)
        heappush(self.waiting, seq)

    @property
    def idle(self) -> bool:
        return not (self.unsettled or self.stored or self.ways)


@dataclass(slots=True)
class _Progress:
    """A message and those who have not confirmed it."""

    message: Outgoing
    theirs: set[Target]
    """Devices of the recipient that shall still confirm it."""
    mine: set[Target]
    state: str = SENT


class Sending:
    """What is not settled of one conversation, and which copies must go now."""

    def __init__(self) -> None:
        self._messages: OrderedDict[int, _Progress] = OrderedDict()
        self._by_id: dict[bytes, int] = {}
        self._lanes: dict[Target, _Lane] = {}
        self._waiting = 0

    def __len__(self) -> int:
        return len(self._messages)

    def __contains__(self, message: object) -> bool:
        return message in self._by_id

    def __iter__(self) -> Iterator[Outgoing]:
        return iter([progress.message for progress in self._messages.values()])

    @property
    def waiting(self) -> int:
        """How many are neither delivered nor stored."""
        return self._waiting

    # --- messages and their copies

    def add(
        self, message: Outgoing, theirs: Iterable[Target], mine: Iterable[Target] = (), *, state: str = SENT
    ) -> None:
        """A new message with a copy for each of these, its ``seq`` greater than all before it.

        :param theirs: devices of the recipient, whose receipts make it delivered.
        :param mine: devices of my own.
        :param state: what it has reached already, when it was known to an earlier run.
        """
        progress = _Progress(message, set(theirs), set(mine), state)
        self._messages[message.seq] = progress
        self._by_id[message.id] = message.seq
        self._waiting += state == SENT
        for target in progress.theirs | progress.mine:
            self._lane(target).want(message.seq)
        self._tidy(message.seq)

    def add_copy(self, target: Target, message: bytes, *, mine: bool = False) -> bool:
        """A further copy, or one that must go once more; whether the message is (still) known here."""
        seq = self._by_id.get(message)
        if seq is None:
            return False
        progress = self._messages[seq]
        (progress.mine if mine else progress.theirs).add(target)
        self._lane(target).want(seq)
        return True

    def in_mailbox(self, target: Target, message: bytes) -> None:
        """An earlier run heard that this copy is stored."""
        seq = self._by_id.get(message)
        if seq is not None and target in self._lanes:
            self._lanes[target].forget(seq)
            self._lanes[target].stored.add(seq)

    def settle(self, target: Target, message: bytes, state: str, now: float) -> str | None:
        """``target`` has this message ("delivered"), or its mailbox has ("stored").

        :returns: the state that the message has reached by this, or None when that is no news: it is stored when the
            copies of all the recipient's devices are, and delivered with the first of them.
        """
        seq, lane = self._by_id.get(message), self._lanes.get(target)
        if seq is None or lane is None or not (seq in lane.unsettled or seq in lane.stored):
            return None
        lane.forget(seq)
        if state == STORED:
            lane.stored.add(seq)
        else:
            self._passed(lane, seq, now)
        return self._reached(seq, target, state)

    def _reached(self, seq: int, target: Target, state: str) -> str | None:
        progress = self._messages[seq]
        before, counts = progress.state, target in progress.theirs
        if state == DELIVERED:
            progress.theirs.discard(target)
            progress.mine.discard(target)
            if counts:
                progress.state = DELIVERED
        elif counts and before == SENT and all(seq in self._lanes[each].stored for each in progress.theirs):
            progress.state = STORED
        self._waiting -= before == SENT != progress.state
        self._tidy(seq)
        return progress.state if progress.state != before else None

    @staticmethod
    def _passed(lane: _Lane, seq: int, now: float) -> None:
        """The device has this one. What is in its mailbox and older has been read as well, if all is well; if its
        receipts do not come, it goes once more: the server or the device then says again that it has it."""
        for older in [each for each in lane.stored if each < seq]:
            lane.stored.discard(older)
            lane.unsettled.add(older)
            lane.waits[older] = RESEND_MAX
            lane.tries[older] = _Try(RELAY, lane.ways.get(RELAY), now + RESEND_MAX, RESEND_MAX)
            lane.out[RELAY] += 1
            lane.next_due = min(lane.next_due, now + RESEND_MAX)

    def remove(self, message: bytes) -> Outgoing | None:
        """The message is given up for everybody; None when it is not (or no longer) here."""
        seq = self._by_id.get(message)
        if seq is None:
            return None
        progress = self._messages[seq]
        self._forget(seq)
        return progress.message

    def remove_copy(self, target: Target, message: bytes) -> None:
        """This device will never get its copy."""
        seq = self._by_id.get(message)
        if seq is None:
            return
        if target in self._lanes:
            self._lanes[target].forget(seq)
        self._messages[seq].theirs.discard(target)
        self._messages[seq].mine.discard(target)
        self._tidy(seq)

    def remove_target(self, target: Target) -> None:
        """There is no such device any more."""
        for progress in list(self._messages.values()):
            if target in progress.theirs or target in progress.mine:
                self.remove_copy(target, progress.message.id)
        self._lanes.pop(target, None)

    def state_of(self, message: bytes) -> str | None:
        """What a message has reached; None when it is not (or no longer) here."""
        seq = self._by_id.get(message)
        return None if seq is None else self._messages[seq].state

    def undelivered(self) -> list[Outgoing]:
        """What no device of the recipient has confirmed."""
        return [progress.message for progress in self._messages.values() if progress.state != DELIVERED]

    def homeless(self) -> list[Outgoing]:
        """What no device of the recipient has confirmed, and has no copy for any either."""
        return [p.message for p in self._messages.values() if p.state != DELIVERED and not p.theirs]

    def has_copy(self, target: Target, message: bytes) -> bool:
        """Whether a copy for ``target`` is on its way."""
        seq = self._by_id.get(message)
        return seq is not None and target in self._messages[seq].theirs | self._messages[seq].mine

    def targets(self) -> list[Target]:
        """All for whom there is a copy, or a way."""
        return list(self._lanes)

    # --- ways

    def set_ways(self, target: Target, ways: dict[str, Hashable]) -> None:
        """``target`` can be reached by these ways now, each with its token; by none when ``ways`` is empty."""
        lane = self._lane(target)
        if lane.ways != ways:
            lane.ways = dict(ways)
            for seq in [seq for seq, attempt in lane.tries.items() if ways.get(attempt.way) != attempt.token]:
                lane.take_back(seq)
                lane.waits[seq] = RESEND
            lane.waiting = sorted(lane.unsettled - lane.tries.keys())
        if lane.idle:
            del self._lanes[target]

    def reachable(self) -> bool:
        """Whether there is any way to any of the devices."""
        return any(lane.ways for lane in self._lanes.values())

    def way_of(self, target: Target, message: bytes) -> str | None:
        """By which way this message went to ``target`` last."""
        lane, seq = self._lanes.get(target), self._by_id.get(message)
        if lane is None or seq is None or seq not in lane.tries:
            return None
        return lane.tries[seq].way

    def busy(self, target: Target, message: bytes, retry_after: float, now: float) -> None:
        """The server could not take this copy now: try again soon."""
        lane, seq = self._lanes.get(target), self._by_id.get(message)
        if lane is not None and seq is not None and seq in lane.tries:
            lane.tries[seq].due = now + max(retry_after, BUSY_WAIT)
            lane.next_due = min(lane.next_due, lane.tries[seq].due)

    # --- what is to be done

    def to_send(self, now: float) -> list[Dispatch]:
        """What must be sent now, per device in order; it counts as sent from here on."""
        dispatches: list[Dispatch] = []
        for target, lane in self._lanes.items():
            if lane.next_due <= now:
                self._take_back_overdue(lane, now)
            while lane.waiting and len(lane.tries) < UNACKNOWLEDGED:
                seq = lane.waiting[0]
                way = lane.way_for(self._messages[seq].message.route) if self._open(lane, seq) else None
                if way is not None and lane.must_wait(way):
                    break
                heappop(lane.waiting)
                if way is not None:
                    dispatches.append(self._dispatch(target, lane, seq, way, now))
        return dispatches

    def next_due(self) -> float | None:
        """When `to_send` has something to repeat, or None."""
        due = min((lane.next_due for lane in self._lanes.values() if lane.tries), default=float("inf"))
        return None if due == float("inf") else due

    @staticmethod
    def _open(lane: _Lane, seq: int) -> bool:
        return seq in lane.unsettled and seq not in lane.tries

    @staticmethod
    def _take_back_overdue(lane: _Lane, now: float) -> None:
        for seq in [seq for seq, attempt in lane.tries.items() if attempt.due <= now]:
            attempt = lane.take_back(seq)
            lane.waits[seq] = min((attempt.wait if attempt else RESEND) * 2, RESEND_MAX)
            heappush(lane.waiting, seq)
        lane.next_due = min((attempt.due for attempt in lane.tries.values()), default=float("inf"))

    def _dispatch(self, target: Target, lane: _Lane, seq: int, way: str, now: float) -> Dispatch:
        again, wait = seq in lane.waits, lane.waits.get(seq, RESEND)
        lane.tries[seq] = _Try(way, lane.ways[way], now + wait, wait)
        lane.out[way] += 1
        lane.waits[seq] = wait
        lane.next_due = min(lane.next_due, now + wait)
        return Dispatch(target, self._messages[seq].message, way, again)

    # --- keeping house

    def _lane(self, target: Target) -> _Lane:
        if target not in self._lanes:
            self._lanes[target] = _Lane()
        return self._lanes[target]

    def _tidy(self, seq: int) -> None:
        """Forget a message once the recipient has it and no copy is left."""
        progress = self._messages[seq]
        if progress.state == DELIVERED and not progress.theirs and not progress.mine:
            self._forget(seq)

    def _forget(self, seq: int) -> None:
        progress = self._messages.pop(seq)
        self._waiting -= progress.state == SENT
        del self._by_id[progress.message.id]
        for target in progress.theirs | progress.mine:
            self._lanes[target].forget(seq)
