"""What a device tells its server of its direct traffic."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import DIRECT_REPORT
from p2pim.peer.direct_traffic import DirectTraffic
from p2pim.wire.messages import DIRECT_REPORTS, DirectReport, Limits, Message, Welcome
from p2pim.wire.reports import MOST_BYTES

WELCOME = Welcome(b"", "alice", "", None, 5.0, 30.0, Limits(1, 1, 1), b"", [], features=(DIRECT_REPORTS,))


class FakeSession:
    """Takes messages while it is connected."""

    connected = True

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        """Take one."""
        assert self.connected
        self.sent.append(message)


class Count:
    """A count that a test sets."""

    value = 0

    def sent_directly(self) -> int:
        """What it was set to."""
        return self.value


class DirectTrafficTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.session = Clock(), FakeSession()
        self.bytes, self.messages = Count(), Count()
        self.traffic = DirectTraffic(self.clock, self.session, self.bytes, self.messages)

    def send(self, messages: int, size: int) -> None:
        """Something went directly."""
        self.messages.value += messages
        self.bytes.value += size

    def told(self) -> list[Any]:
        """What the server was told since the last time."""
        sent, self.session.sent = self.session.sent, []
        return sent

    def test_what_has_come_since_the_last_report_is_told_once_a_minute(self) -> None:
        """Differences, never the same twice, and nothing where there was nothing."""
        self.traffic.signed_in(WELCOME)
        self.send(2, 500)
        self.clock.advance(DIRECT_REPORT)
        self.send(1, 70)
        self.clock.advance(DIRECT_REPORT)
        self.clock.advance(DIRECT_REPORT)
        self.assertEqual(self.told(), [DirectReport(2, 500), DirectReport(1, 70)])

    def test_a_server_that_does_not_know_reports_is_told_nothing(self) -> None:
        """It would close the connection."""
        self.traffic.signed_in(Welcome(b"", "alice", "", None, 5.0, 30.0, Limits(1, 1, 1), b"", []))
        self.send(1, 1)
        self.clock.advance(DIRECT_REPORT)
        self.traffic.stop()
        self.assertEqual((self.told(), self.clock.getDelayedCalls()), ([], []))

    def test_what_went_while_there_was_no_session_is_told_in_the_next(self) -> None:
        """Channels outlive the server's absence."""
        self.traffic.signed_in(WELCOME)
        self.traffic.interrupted()
        self.session.connected = False
        self.send(5, 5_000)
        self.clock.advance(10 * DIRECT_REPORT)
        self.session.connected = True
        self.traffic.signed_in(WELCOME)
        self.clock.advance(DIRECT_REPORT)
        self.assertEqual(self.told(), [DirectReport(5, 5_000)])

    def test_the_rest_is_told_when_the_session_ends_in_order(self) -> None:
        """And no timer is left behind."""
        self.traffic.signed_in(WELCOME)
        self.send(1, 9)
        self.traffic.stop()
        self.assertEqual((self.told(), self.clock.getDelayedCalls()), ([DirectReport(1, 9)], []))

    def test_more_than_one_report_can_hold_is_told_in_two(self) -> None:
        """No figure is out of bounds."""
        self.traffic.signed_in(WELCOME)
        self.send(0, MOST_BYTES + 7)
        self.clock.advance(DIRECT_REPORT)
        self.clock.advance(DIRECT_REPORT)
        self.assertEqual(self.told(), [DirectReport(0, MOST_BYTES), DirectReport(0, 7)])
