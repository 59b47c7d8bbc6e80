"""When to say "are you there", and when to stop believing that somebody is.

One `Heartbeat` watches one connection. Whoever reads sets ``heard`` (a plain attribute: it is set for every slice of
bulk that arrives), and a timer of `interval` seconds calls `beat`. Silence is therefore measured to within one
interval.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

SMOOTHING: Final = 0.125
"""The weight of a new round-trip time against what was known: TCP's own (RFC 6298, section 2)."""


class Beat(Enum):
    """What a beat asks for."""

    PING = "ping"
    DEAD = "dead"


class Heartbeat:
    """The life signs of one connection.

    :param interval: seconds between beats.
    :param patience: seconds of silence after which the connection is dead.
    :param now: the present time, in seconds of any steady clock.
    """

    __slots__ = ("_last", "heard", "interval", "patience")

    def __init__(self, interval: float, patience: float, now: float) -> None:
        self.interval = interval
        self.patience = patience
        self.heard = False
        self._last = now

    def beat(self, now: float) -> Beat:
        """One interval has passed."""
        if self.heard:
            self.heard = False
            self._last = now
        return Beat.DEAD if now - self._last >= self.patience else Beat.PING


def smoothed(known: float | None, measured: float) -> float:
    """The round-trip time after ``measured``, in the unit of both."""
    return measured if known is None else known + SMOOTHING * (measured - known)
