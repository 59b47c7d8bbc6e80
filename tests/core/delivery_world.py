"""What a modelled conversation is made of: copies, ways, devices and what the server has for each."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from p2pim.core.arrivals import Arrivals
from p2pim.core.delivery import Outgoing


@dataclass(frozen=True)
class Copy:
    """What was sealed: the same however often it goes."""

    message: Outgoing
    oldest: int


@dataclass
class Way:
    """One channel, or one device's session: a new object for each."""

    there: deque[Copy] = field(default_factory=deque)
    back: deque[bytes] = field(default_factory=deque)


class Device:
    """A receiver: what it has stored survives a crash; what it has not said yet does not."""

    def __init__(self) -> None:
        self.shown: list[bytes] = []
        self.early: dict[int, tuple[float, Outgoing]] = {}
        self.expected = 1

    def take(self, copy: Copy, now: float) -> None:
        """Store it, unless it is known."""
        message = copy.message
        if message.id in self.shown or message.id in {early.id for _, early in self.early.values()}:
            return
        arrivals: Arrivals[Outgoing] = Arrivals(self.expected, self.early)
        ready = arrivals.arrived(message.seq, copy.oldest, message, now)
        if message not in ready:
            self.early[message.seq] = (arrivals.until(message.seq), message)
        self._show(ready, arrivals)

    def expire(self, now: float) -> None:
        arrivals: Arrivals[Outgoing] = Arrivals(self.expected, self.early)
        self._show(arrivals.expire(now), arrivals)

    def _show(self, ready: list[Outgoing], arrivals: Arrivals[Outgoing]) -> None:
        for message in ready:
            self.early.pop(message.seq, None)
            self.shown.append(message.id)
        self.expected = arrivals.expected


class Server:
    """What the server has for one device: mailbox and tombstones are durable, ``forwarded`` is not."""

    def __init__(self) -> None:
        self.mailbox: deque[Copy] = deque()
        self.gone: set[bytes] = set()
        self.forwarded: dict[bytes, Copy] = {}
        self.session: Way | None = None
