"""How often something may happen."""

from __future__ import annotations


class TokenBucket:
    """Lets ``rate`` things happen a second on average, and ``burst`` at once."""

    __slots__ = ("_at", "_left", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._left = burst
        self._at = now

    def take(self, now: float, cost: float = 1.0) -> float:
        """0 when it may happen now (and is counted), else the seconds after which it may."""
        self._left = min(self.burst, self._left + max(0.0, now - self._at) * self.rate)
        self._at = now
        if self._left >= cost:
            self._left -= cost
            return 0.0
        return (cost - self._left) / self.rate

    def is_full(self, now: float) -> bool:
        """Whether nothing has happened for so long that this bucket need not be remembered."""
        return self._left + (now - self._at) * self.rate >= self.burst
