"""The outbox: on disk and sealed first, sent by the ways there are, until each device has said that it has its copy."""

from __future__ import annotations

from unittest import mock

from twisted.internet.defer import CancelledError, Deferred

from p2pim.core.limits import BUSY_WAIT, RESEND, RESEND_MAX
from p2pim.errors import (
    Blocked,
    DatabaseDown,
    MailboxFull,
    Offline,
    RecipientBusy,
    TooMany,
)
from p2pim.peer.events import MessageUndelivered, ReceiptReceived
from p2pim.peer.outbox import Settled
from tests.peer.outbox_case import A, B, OutboxCase


class OutboxTests(OutboxCase):
    def test_a_message_is_on_disk_before_it_goes(self) -> None:
        """When the disk refuses it, it goes nowhere."""
        self.ways(relay=1)
        self.database.broken = True
        self.failureResultOf(self.putting("one"), DatabaseDown)
        self.assertEqual(self.routes.sent, [])

    def test_what_an_earlier_run_left_goes_first_as_it_was_sealed(self) -> None:
        """In order, once there is a way: the very same envelope, since a ratchet's state is used once."""
        self.ways(relay=1)
        self.put("one")
        self.outbox.stop()
        self.routes.now = {}
        self.restart()
        self.put("two")
        self.ways(relay=2)
        self.assertEqual([text for _, text, _ in self.routes.sent], ["one", "one", "two"])
        self.assertEqual(self.routes.envelopes[0], self.routes.envelopes[1])

    def test_a_receipt_settles_it_on_disk_and_for_whoever_waits(self) -> None:
        """With the route by which it went; nothing is left of its copy."""
        self.ways(relay=1, direct="channel")
        message = self.put("one")
        waiting = self.outbox.wait("bob", message)
        self.delivered(message)
        self.assertEqual(self.successResultOf(waiting), Settled("delivered", "tcp", "192.0.2.1:5"))
        self.assertEqual(self.state(message), ("delivered", "tcp"))
        self.assertEqual([type(event) for event in self.events], [ReceiptReceived])
        self.assertEqual(self.copies(), 0)

    def test_a_receipt_from_somebody_else_is_no_receipt(self) -> None:
        """Ids can be guessed or overheard."""
        self.ways(relay=1)
        message = self.put("one")
        self.outbox.receipt("mallory", A, [message], "delivered", "tcp")
        self.assertEqual(self.state(message)[0], "waiting")

    def test_a_second_receipt_is_no_news(self) -> None:
        """Two devices confirm, one event."""
        self.recipients.known["bob"] = [A, B]
        self.ways(A, relay=1)
        self.ways(B, relay=1)
        message = self.put("one")
        for device in (A, B, B):
            self.delivered(message, device)
        self.assertEqual(len(self.events), 1)
        self.assertEqual(self.copies(), 0)

    def test_without_a_receipt_it_goes_again(self) -> None:
        """After RESEND; once stopped, never."""
        self.ways(relay=1)
        self.put("one")
        self.clock.advance(RESEND)
        self.assertEqual(len(self.routes.sent), 2)
        self.outbox.stop()
        self.clock.advance(1000)
        self.assertEqual(len(self.routes.sent), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_when_the_server_was_busy_it_goes_again_soon(self) -> None:
        """The message is kept here."""
        for error in (RecipientBusy(), DatabaseDown(retry_after=BUSY_WAIT)):
            self.ways(relay=str(error))
            message = self.put("one")
            self.routes.sent.clear()
            self.routes.answers[-1](error)
            self.clock.advance(BUSY_WAIT)
            self.assertEqual(len(self.routes.sent), 1)
            self.delivered(message)

    def test_when_the_device_has_gone_others_are_told(self) -> None:
        """Presence was out of date."""
        self.ways(relay=1)
        self.put("one")
        self.routes.answers[0](Offline())
        self.assertEqual(self.gone, [A])

    def test_what_will_never_be_taken_is_given_up(self) -> None:
        """And whoever waits hears why."""
        self.ways(relay=1)
        message = self.put("one")
        waiting = self.outbox.wait("bob", message)
        self.routes.answers[0](Blocked())
        self.failureResultOf(waiting, Blocked)
        self.assertEqual((self.state(message)[0], self.copies()), ("failed", 0))
        self.assertEqual(self.outbox.homeless(), [])

    def test_what_is_not_taken_is_told_for_now_and_for_good(self) -> None:
        """Windows that wait for no answer hear of it, too."""
        self.ways(relay=1)
        self.put("one")
        self.routes.answers[-1](MailboxFull())
        self.put("two")
        self.routes.answers[-1](Blocked())
        told = [event for event in self.events if isinstance(event, MessageUndelivered)]
        self.assertEqual([(e.user, e.reason, e.waits) for e in told], [
            ("bob", "mailbox-full", True), ("bob", "blocked", False),
        ])  # fmt: skip

    def test_the_outbox_of_one_user_is_bounded(self) -> None:
        """And says so before anything is lost."""
        with mock.patch("p2pim.peer.outbox.OUTBOX", 2):
            self.put("one")
            self.put("two")
            self.failureResultOf(self.putting("three"), TooMany)

    def test_stopping_lets_those_who_wait_go(self) -> None:
        """With a cancellation, not never."""
        waiting = self.outbox.wait("bob", self.put("one"))
        self.outbox.stop()
        self.failureResultOf(waiting, CancelledError)

    def test_the_log_tells_routes_and_no_texts(self) -> None:
        """C5."""
        self.ways(direct="channel", relay=1)
        message = self.put("a private text")
        self.ways(relay=1)
        self.delivered(message)
        self.assertEqual(
            self.lines,
            [
                "message bob sent by tcp to 192.0.2.1:5",
                "message bob sent again by relay to server",
                "message bob delivered by relay to server",
            ],
        )


class MailTests(OutboxCase):
    def stored(self) -> bytes:
        self.ways(relay=1)
        message = self.put("one")
        self.waiting = self.outbox.wait("bob", message)
        self.routes.answers[-1](None)
        return message

    def test_what_is_in_the_mailbox_is_stored_for_whoever_waits(self) -> None:
        """The recipient is away, and need not be waited for."""
        message = self.stored()
        self.assertEqual(self.successResultOf(self.waiting), Settled("stored", "mailbox", "server"))
        self.assertEqual(self.state(message), ("stored", "mailbox"))
        self.assertEqual([e.state for e in self.events if isinstance(e, ReceiptReceived)], ["stored"])
        self.clock.advance(RESEND_MAX)
        self.assertEqual(len(self.routes.sent), 1)

    def test_somebody_who_seems_to_be_there_is_waited_for(self) -> None:
        """Until it turns out that they are not."""
        self.routes.there.add("bob")
        self.stored()
        self.assertNoResult(self.waiting)
        self.assertEqual(self.doubted, ["bob"])
        self.routes.there.clear()
        self.outbox.nobody_there("bob")
        self.assertEqual(self.successResultOf(self.waiting).state, "stored")

    def test_it_is_delivered_when_the_mailbox_was_read(self) -> None:
        """Also when this home was started anew meanwhile; and then it counts as having gone by the mailbox."""
        message = self.stored()
        self.outbox.stop()
        self.restart()
        self.assertEqual(len(self.routes.sent), 1)
        self.delivered(message)
        self.assertEqual(self.state(message), ("delivered", "mailbox"))
        self.assertEqual(self.copies(), 0)

    def test_a_full_mailbox_is_an_error_for_whoever_waits_and_the_message_is_kept(self) -> None:
        """They can wait or ask the recipient; the message goes again by itself."""
        self.ways(relay=1)
        message = self.put("one")
        waiting = self.outbox.wait("bob", message)
        self.routes.answers[0](MailboxFull())
        self.failureResultOf(waiting, MailboxFull)
        self.clock.advance(RESEND_MAX)
        self.assertEqual(len(self.routes.sent), 2)
        self.assertEqual(self.state(message)[0], "waiting")

    def test_what_could_not_be_opened_is_sealed_again(self) -> None:
        """In another envelope, and only for who was to get it."""
        message = self.stored()
        for user, device in (("mallory", A), ("bob", A)):
            self.successResultOf(Deferred.fromCoroutine(self.outbox.seal_again(user, device, [message])))
        self.assertEqual([text for _, text, _ in self.routes.sent], ["one", "one"])
        self.assertNotEqual(self.routes.envelopes[0], self.routes.envelopes[1])
