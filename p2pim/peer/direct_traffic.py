"""What this device tells its server of its direct traffic: two figures a minute, for the operator's eyes.

Only what was sent is told, and only as sums (see `p2pim.wire.reports`). What could not be told while there was no
session is told in the next one; what is not told when the program is killed is never told.
"""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from p2pim.core.limits import DIRECT_REPORT
from p2pim.wire.messages import DIRECT_REPORTS, DirectReport, Message, Welcome
from p2pim.wire.reports import MOST_BYTES, MOST_MESSAGES


class Reporting(Protocol):
    """The part of a session that takes reports."""

    @property
    def connected(self) -> bool:
        """Whether it is signed in."""

    def send(self, message: Message) -> None:
        """Send a message that has no answer."""


class Sent(Protocol):
    """Who counts what was sent directly since the program began."""

    def sent_directly(self) -> int:
        """How much that was."""


class DirectTraffic:
    """Reports what was sent directly.

    :param bytes: counts bytes, and ``messages`` messages.
    """

    def __init__(self, clock: IReactorTime, session: Reporting, bytes: Sent, messages: Sent) -> None:
        self._clock = clock
        self._session = session
        self._bytes = bytes
        self._messages = messages
        self._told = (0, 0)
        self._timer: IDelayedCall | None = None

    def signed_in(self, welcome: Welcome) -> None:
        """A session stands: report from now on, if the server takes reports."""
        self.interrupted()
        if DIRECT_REPORTS in welcome.features:
            self._timer = self._clock.callLater(DIRECT_REPORT, self._tick)

    def interrupted(self) -> None:
        """It is over: report no more."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def stop(self) -> None:
        """The session is about to end in order: report the rest."""
        if self._timer is not None and self._session.connected:
            self._report()
        self.interrupted()

    def _tick(self) -> None:
        self._timer = self._clock.callLater(DIRECT_REPORT, self._tick)
        self._report()

    def _report(self) -> None:
        messages, sent = self._told
        more_messages = min(self._messages.sent_directly() - messages, MOST_MESSAGES)
        more_bytes = min(self._bytes.sent_directly() - sent, MOST_BYTES)
        if more_messages > 0 or more_bytes > 0:
            more_messages, more_bytes = max(more_messages, 0), max(more_bytes, 0)
            self._told = messages + more_messages, sent + more_bytes
            self._session.send(DirectReport(more_messages, more_bytes))
