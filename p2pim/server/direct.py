"""What peers report to have sent directly, believed within reason.

A client can claim what it likes, so these figures are an estimate; bounds keep one liar from drowning the others: a
user, with all devices and through all sessions, is believed a rate (`DIRECT_RATE`) over time, and `DIRECT_ALLOWANCE`
seconds of it at once.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from p2pim.core.limits import DIRECT_ALLOWANCE, DIRECT_MESSAGE_RATE, DIRECT_RATE, DIRECT_REPORTERS
from p2pim.server.sessions import Session
from p2pim.wire.reports import DirectReport


class DirectTotals:
    """The sums since the server started."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.messages = 0
        self.bytes = 0
        self.reports = 0
        self.accounted: dict[str, float] = {}
        """Up to when users' time has gone into what was believed of them, in seconds of the clock; whoever is not in
        here, or was longer ago than the allowance, has all of it."""

    def take(self, session: Session, report: DirectReport) -> None:
        """Count what ``session`` reports."""
        seconds = self._spend(session.user.name, max(report.messages / DIRECT_MESSAGE_RATE, report.bytes / DIRECT_RATE))
        self.reports += 1
        self.messages += min(report.messages, round(seconds * DIRECT_MESSAGE_RATE))
        self.bytes += min(report.bytes, round(seconds * DIRECT_RATE))

    def _spend(self, user: str, wanted: float) -> float:
        """The seconds of ``user``'s that are left for a report about ``wanted`` seconds at the full rate."""
        now = self._clock.seconds()
        earliest = now - DIRECT_ALLOWANCE
        since = min(now, max(self.accounted.pop(user, earliest), earliest))
        seconds = min(wanted, now - since)
        if len(self.accounted) >= DIRECT_REPORTERS:
            self._tidy(now)
        self.accounted[user] = since + seconds
        return seconds

    def _tidy(self, now: float) -> None:
        """Forget those who have their whole allowance again; if many are left, those who have used the least of it."""
        used = {user: at for user, at in self.accounted.items() if at > now - DIRECT_ALLOWANCE}
        if len(used) > DIRECT_REPORTERS // 2:
            used = dict(sorted(used.items(), key=lambda each: each[1])[-(DIRECT_REPORTERS // 2) :])
        self.accounted = used
