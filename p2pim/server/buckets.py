"""How often users may do what costs others something."""

from __future__ import annotations

from collections.abc import Hashable

from p2pim.core import limits
from p2pim.core.rate import TokenBucket


class Buckets:
    """Token buckets by whatever they count, `CLAIM_TABLE` at most; the oldest are forgotten first."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[Hashable, TokenBucket] = {}

    def take(self, key: Hashable, now: float, cost: float = 1.0) -> float:
        """As `TokenBucket.take`."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= limits.CLAIM_TABLE:
                self._tidy(now)
            bucket = self._buckets[key] = TokenBucket(self._rate, self._burst, now)
        return bucket.take(now, cost)

    def _tidy(self, now: float) -> None:
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if not bucket.is_full(now)}
        for key in list(self._buckets)[: max(0, len(self._buckets) - limits.CLAIM_TABLE // 2)]:
            del self._buckets[key]
