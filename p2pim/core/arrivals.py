"""The receiver's side of delivery: the order of one device's messages in one conversation. No I/O; ``now`` is given.

What arrives over several ways is put back in order: a message that is early is held, for `REORDER_WAIT` at most. Each
message says which is the oldest of which its sender did not know, when it was sealed, that this device has it: nothing
before that need be waited for. A message that comes later than its turn is let through out of order rather than lost;
dropping duplicates is for the store, which knows the ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from p2pim.core.limits import REORDER_MESSAGES, REORDER_WAIT

T = TypeVar("T")


class Arrivals(Generic[T]):
    """The order of one device's messages; ``T`` is whatever the caller keeps of a message.

    :param expected: the sequence number that comes next.
    :param held: what is held already: number, until when, and the message.
    """

    def __init__(self, expected: int = 1, held: Mapping[int, tuple[float, T]] | None = None) -> None:
        self.expected = expected
        self._held: dict[int, tuple[float, T]] = dict(held or {})

    def __len__(self) -> int:
        """How many are held."""
        return len(self._held)

    def arrived(self, seq: int, oldest: int, message: T, now: float) -> list[T]:
        """``message`` came: what is to be shown now, in order (perhaps nothing, perhaps more than this one)."""
        if not self._held and seq == self.expected:
            self.expected += 1
            return [message]
        ready = self._release(oldest)
        if seq < self.expected or seq in self._held:
            return [*ready, message]
        self._held[seq] = (now + REORDER_WAIT, message)
        ready += self._release(self.expected)
        if len(self._held) > REORDER_MESSAGES:
            ready += self._release(max(self._held) + 1)
        return ready

    def until(self, seq: int) -> float:
        """Until when this one is held."""
        return self._held[seq][0]

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
