"""What peers report to have sent directly, believed within reason.

A client can claim what it likes, so these figures are an estimate; bounds keep one liar from drowning the others: a
session is believed a rate (`DIRECT_RATE`) for the time since its last report, `DIRECT_ALLOWANCE` at most.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from p2pim.core.limits import DIRECT_ALLOWANCE, DIRECT_MESSAGE_RATE, DIRECT_RATE
from p2pim.server.sessions import Session
from p2pim.wire.reports import DirectReport


class DirectTotals:
    """The sums since the server started."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.messages = 0
        self.bytes = 0
        self.reports = 0

    def take(self, session: Session, report: DirectReport) -> None:
        """Count what ``session`` reports."""
        now = self._clock.seconds()
        seconds = now - session.reported if session.reported is not None else DIRECT_ALLOWANCE
        seconds = min(seconds, DIRECT_ALLOWANCE)
        session.reported = now
        self.reports += 1
        self.messages += min(report.messages, int(seconds * DIRECT_MESSAGE_RATE))
        self.bytes += min(report.bytes, int(seconds * DIRECT_RATE))
