"""Transfers decided without I/O: states, what to ask for next, what to send next, how fast it goes.

A transfer is one stream of bytes. The receiver asks for ranges in order, several ahead (`Pull`); the sender answers
them in order (`Push`). Each range ends with the digest of everything up to its end, so that whatever was written is a
proven prefix, and a transfer that was broken goes on from a prefix that both ends agree on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Final

from p2pim.core.limits import PIECE, PIECES_IN_FLIGHT, PIECES_IN_FLIGHT_MAX, PROGRESS_INTERVAL, TRANSFER_REHASH_RATE
from p2pim.errors import WireError

# --- states


class State(StrEnum):
    """Where a transfer stands, at either end."""

    OFFERED = "offered"
    """Nobody has answered yet."""
    WAITING = "waiting"
    """Accepted; goes on when there is a route."""
    RUNNING = "running"
    """Bytes are under way."""
    PAUSED = "paused"
    """A person, at either end, or the disk stopped it for a while."""
    STORED = "stored"
    """Sent to the server, which has all of it; nobody has fetched it yet."""
    FINISHING = "finishing"
    """All bytes are there; the file is getting its name."""
    COMPLETED = "completed"
    DISRUPTED = "disrupted"


FINAL: Final = frozenset({State.COMPLETED, State.DISRUPTED})
"""States that are never left."""


class Step(StrEnum):
    """What can happen to a transfer."""

    ACCEPT = "accept"
    START = "start"
    LOSE = "lose"
    LEAVE = "leave"
    PAUSE = "pause"
    RESUME = "resume"
    FINISH = "finish"
    COMPLETE = "complete"
    DISRUPT = "disrupt"


_OPEN: Final = (State.WAITING, State.RUNNING, State.PAUSED)
_STEPS: Final[dict[tuple[State, Step], State]] = {
    (State.OFFERED, Step.ACCEPT): State.WAITING,
    (State.WAITING, Step.START): State.RUNNING,
    (State.RUNNING, Step.LOSE): State.WAITING,
    (State.WAITING, Step.PAUSE): State.PAUSED,
    (State.RUNNING, Step.PAUSE): State.PAUSED,
    (State.PAUSED, Step.RESUME): State.WAITING,
    (State.WAITING, Step.LEAVE): State.STORED,
    (State.RUNNING, Step.LEAVE): State.STORED,
    (State.STORED, Step.COMPLETE): State.COMPLETED,
    (State.STORED, Step.DISRUPT): State.DISRUPTED,
    (State.FINISHING, Step.LOSE): State.WAITING,
    **{(state, Step.FINISH): State.FINISHING for state in _OPEN},
    **{(state, Step.COMPLETE): State.COMPLETED for state in (State.OFFERED, *_OPEN, State.FINISHING)},
    **{(state, Step.DISRUPT): State.DISRUPTED for state in (State.OFFERED, *_OPEN, State.FINISHING)},
}


def after(state: State, step: Step) -> State | None:
    """Where ``step`` leads from ``state``; None when it changes nothing there."""
    return _STEPS.get((state, step))


REASONS: Final = frozenset(
    {
        "rejected", "cancelled", "peer-cancelled", "peer-offline", "offline", "error", "peer-error", "too-slow",
        "no-answer", "expired", "elsewhere",
    }
)  # fmt: skip
"""Why a transfer was disrupted, as people see it."""


def told_reason(text: str) -> str:
    """The reason at this end for a failure that the other end reports as ``text`` (``code: message``)."""
    code = text.partition(":")[0]
    return code if code in ("too-slow", "no-answer") else "peer-error"


# --- how much is asked for ahead


def pieces_in_flight(rate: float, rtt: float | None, piece: int = PIECE) -> int:
    """Pieces to have asked for at once on a path of ``rtt`` seconds that has been giving ``rate`` bytes a second.

    What is on its way is rate times delay; two more keep the path full while one is written and one is being read.
    When the window itself holds the rate down, this asks for more than there is, and so it grows until it does not.
    """
    wanted = ceil(rate * (rtt or 0.0) / piece) + 2
    return min(max(wanted, PIECES_IN_FLIGHT), PIECES_IN_FLIGHT_MAX)


def stall_allowance(stall: float, prefix: int) -> float:
    """How long the first byte may take when the sender must hash a prefix of ``prefix`` bytes first."""
    return stall + prefix / TRANSFER_REHASH_RATE


# --- the receiver


@dataclass(frozen=True, slots=True)
class Piece:
    """A range that has arrived whole: its bytes in slices, and the sender's digest of the stream up to its end."""

    offset: int
    length: int
    slices: list[bytes]
    digest: bytes


class Pull:
    """The receiver's side of one pull over one channel, from ``position`` to ``total``.

    `ask` says what to request; `receive` takes slices as they come, `end` makes them a `Piece`; `written` makes room
    for more. At most a window's worth of pieces is asked for and not yet written, which bounds the memory.
    """

    __slots__ = ("_asked", "_asked_to", "_before", "_expected", "_held", "_piece", "_slices", "_unwritten", "total")

    def __init__(self, total: int, position: int, piece: int = PIECE) -> None:
        self.total = total
        self._piece = piece
        self._asked_to = position
        self._asked: deque[tuple[int, int]] = deque()
        self._unwritten = 0
        self._slices: list[bytes] = []
        self._held = 0
        self._before = 0
        self._expected = 0

    @property
    def received(self) -> int:
        """Bytes that have arrived."""
        return self._before + self._held

    @property
    def outstanding(self) -> int:
        """Ranges asked for that have not arrived whole."""
        return len(self._asked)

    def ask(self, window: int) -> list[tuple[int, int]]:
        """The (offset, length) of the ranges to request now."""
        wanted: list[tuple[int, int]] = []
        while self._asked_to < self.total and len(self._asked) + self._unwritten < window:
            length = min(self._piece, self.total - self._asked_to)
            wanted.append((self._asked_to, length))
            self._asked.append((self._asked_to, length))
            self._asked_to += length
        if wanted and not self._expected:
            self._expected = self._asked[0][1]
        return wanted

    def receive(self, data: bytes) -> None:
        """A slice of the range that is due.

        :raises WireError: more came than was asked for.
        """
        self._held += len(data)
        if self._held > self._expected:
            raise WireError("More bytes of a file came than were asked for.")
        self._slices.append(data)

    def end(self, digest: bytes) -> Piece:
        """The range that is due is complete.

        :raises WireError: none is due, or bytes of it are missing.
        """
        if not self._asked or self._held != self._expected:
            raise WireError("A range of a file ended before all of it came.")
        offset, length = self._asked.popleft()
        slices, self._slices, self._held = self._slices, [], 0
        self._before += length
        self._expected = self._asked[0][1] if self._asked else 0
        self._unwritten += 1
        return Piece(offset, length, slices, digest)

    def written(self, pieces: int) -> None:
        """``pieces`` of those that arrived are on the disk."""
        self._unwritten -= pieces


# --- the sender


@dataclass(frozen=True, slots=True)
class Range:
    """What the receiver asks for; ``digest`` is the one of its prefix, to be compared before anything is sent."""

    offset: int
    length: int
    digest: bytes | None


class Push:
    """The sender's side of one pull: the ranges asked for, in order, of a stream of ``total`` bytes."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._next: int | None = None
        self._ranges: deque[Range] = deque()

    def __len__(self) -> int:
        return len(self._ranges)

    def request(self, offset: int, length: int, digest: bytes | None) -> None:
        """The receiver asks for a range.

        :raises WireError: beyond the end, not where the last one ended, without a prefix's digest in the middle, or
            more of them than anybody needs.
        """
        if offset + length > self.total:
            raise WireError("A range beyond the end of the file was asked for.")
        if self._next is None:
            if offset and digest is None:
                raise WireError("A pull began in the middle without saying what it has.")
        elif offset != self._next:
            raise WireError("Ranges were asked for out of order.")
        if len(self._ranges) >= 2 * PIECES_IN_FLIGHT_MAX:
            raise WireError("Too many ranges were asked for at once.")
        first = self._next is None
        self._next = offset + length
        self._ranges.append(Range(offset, length, digest if first and offset else None))

    def take(self) -> Range | None:
        """The next range to read, or None."""
        return self._ranges.popleft() if self._ranges else None


# --- how fast


class Meter:
    """A moving rate over the last few seconds, and when to speak of it."""

    SPAN: Final = 3.0
    """Seconds over which the rate is taken: long enough to be calm, short enough to follow a change of route."""

    def __init__(self, now: float, position: int) -> None:
        self._samples: deque[tuple[float, int]] = deque([(now, position)])
        self._spoken = now - PROGRESS_INTERVAL
        self.rate = 0.0

    def moved(self, now: float, position: int) -> bool:
        """Note how far it is; whether it is time for a progress event."""
        first_at, first = self._samples[0]
        if now > first_at:
            self.rate = max(0.0, (position - first) / (now - first_at))
        if now - self._spoken < PROGRESS_INTERVAL:
            return False
        self._spoken = now
        self._samples.append((now, position))
        while len(self._samples) > 1 and self._samples[1][0] <= now - self.SPAN:
            self._samples.popleft()
        return True
