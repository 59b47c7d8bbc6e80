"""How often a sign-in may fail: each address and each account has its own count, and the waits grow.

A try is counted when it begins, not when it has failed, so that many at once are no way around the count; success
takes it back. An account's count ends with a success, an address's does not: whoever has one account there could
otherwise guess at others for ever.
"""

from __future__ import annotations

from collections import OrderedDict

from p2pim.core.limits import SIGN_IN_DELAY, SIGN_IN_DELAY_MAX, SIGN_IN_FORGET, SIGN_IN_TABLE, SIGN_IN_TRIES


class _Count:
    __slots__ = ("blocked_until", "failures", "last")

    def __init__(self) -> None:
        self.failures = 0
        self.blocked_until = 0.0
        self.last = 0.0


def delay_after(failures: int) -> float:
    """Seconds to wait after so many failures: nothing at first, then doubling up to a bound."""
    extra = failures - SIGN_IN_TRIES - 1
    if extra < 0:
        return 0.0
    return min(SIGN_IN_DELAY * 2.0 ** min(extra, 32), SIGN_IN_DELAY_MAX)


class SignInTries:
    """Counts failed sign-ins by key (an address or an account). Times are in seconds of one steady clock."""

    def __init__(self, table: int = SIGN_IN_TABLE) -> None:
        self._counts: OrderedDict[str, _Count] = OrderedDict()
        self._table = table

    def __len__(self) -> int:
        return len(self._counts)

    def wait(self, now: float, *keys: str) -> float:
        """Seconds until a try with these keys is allowed; 0 when it is now."""
        counts = [self._counts[key] for key in keys if key in self._counts]
        return max((count.blocked_until - now for count in counts), default=0.0) if counts else 0.0

    def begin(self, now: float, *keys: str) -> None:
        """Count a try with these keys as failed until it is known to have succeeded."""
        for key in keys:
            count = self._counts.get(key)
            if count is None or now - count.last > SIGN_IN_FORGET:
                count = self._counts[key] = _Count()
            self._counts.move_to_end(key)
            count.failures += 1
            count.last = now
            count.blocked_until = now + delay_after(count.failures)
        while len(self._counts) > self._table:
            self._counts.popitem(last=False)

    def forgive(self, key: str) -> None:
        """The try just begun with ``key`` does not count: it succeeded, or it was the server that failed."""
        count = self._counts.get(key)
        if count is None:
            return
        count.failures -= 1
        count.blocked_until = count.last + delay_after(count.failures) if count.failures > SIGN_IN_TRIES else 0.0
        if count.failures <= 0:
            del self._counts[key]

    def clear(self, key: str) -> None:
        """Forget the failures of ``key``."""
        self._counts.pop(key, None)
