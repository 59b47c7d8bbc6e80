"""The outbox: on disk and sealed first, sent by the ways there are, until each device has said that it has its copy."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import cast
from unittest import mock

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import BUSY_WAIT, RESEND, RESEND_MAX
from p2pim.errors import (
    Blocked,
    DatabaseDown,
    MailboxFull,
    NoKeys,
    NoSuchDevice,
    NotSignedIn,
    Offline,
    P2pimError,
    RecipientBusy,
    TooMany,
)
from p2pim.peer.events import Event, MessageUndelivered, ReceiptReceived
from p2pim.peer.outbox import Outbox, Settled
from p2pim.storage.database import Database
from p2pim.storage.outbox import OutboxStore
from p2pim.wire.signals import ChatMessage
from tests.inline_database import InlineDatabase, OpenSeals, inside

A, B, MINE, TABLET = b"a" * 16, b"b" * 16, b"m" * 16, b"t" * 16
DEVICES = {A: "bob", B: "bob", TABLET: "alice"}


@dataclass(frozen=True)
class Known:
    id: bytes


class FakeRoutes:
    """Ways as the test sets them, and what went by them."""

    def __init__(self) -> None:
        self.now: dict[bytes, dict[str, Hashable]] = {}
        self.there: set[str] = set()
        self.sent: list[tuple[bytes, str, str]] = []
        self.envelopes: list[bytes] = []
        self.answers: list[Callable[[P2pimError | None], None]] = []

    def copy_ways(self, user: str, device: bytes) -> dict[str, Hashable]:
        return self.now.get(device, {})

    def is_there(self, user: str) -> bool:
        return user in self.there

    def ways(self, user: str) -> dict[bytes, dict[str, Hashable]]:
        return {device: ways for device, ways in self.now.items() if DEVICES[device] == user and "direct" in ways}

    def send_copy(
        self, user: str, device: bytes, sealed: bytes, message: bytes, way: str, answered: Callable[..., None]
    ) -> tuple[str, str]:
        chat = inside(sealed)
        assert isinstance(chat, ChatMessage)
        self.sent.append((device, chat.text, way))
        self.envelopes.append(sealed)
        self.answers.append(answered)
        return ("tcp", "192.0.2.1:5") if way == "direct" else ("relay", "server")


class FakeRecipients:
    """The devices that users have, as far as the server can be asked."""

    def __init__(self) -> None:
        self.known = {"bob": [A], "alice": [MINE]}
        self.error: P2pimError | None = None

    async def ready(self, user: str) -> list[bytes]:
        if self.error is not None and user == "bob":
            raise self.error
        return self.known[user]

    def devices(self, user: str) -> list[Known]:
        return [Known(device) for device in self.known[user]]


class OutboxCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.database = InlineDatabase()
        self.seals = OpenSeals()
        self.routes = FakeRoutes()
        self.recipients = FakeRecipients()
        self.events: list[Event] = []
        self.lines: list[str] = []
        self.gone: list[bytes] = []
        self.doubted: list[str] = []
        self.ids = 0
        self.restart()

    def restart(self) -> None:
        self.outbox = Outbox(
            self.clock,
            lambda: 1_700_000_000.0,
            OutboxStore(cast(Database, self.database), self.seals.seal_in, "alice"),
            self.routes,
            self.recipients,
            self.events.append,
            lambda *line: self.lines.append(" ".join(line)),
            self.random,
            lambda user, device: self.gone.append(device),
            self.doubted.append,
            ("alice", MINE),
        )
        self.successResultOf(Deferred.fromCoroutine(self.outbox.load()))
        self.outbox.refresh("bob")

    def random(self, size: int) -> bytes:
        self.ids += 1
        return self.ids.to_bytes(size, "big")

    def putting(self, text: str, route: str = "auto") -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.outbox.put("bob", text, route))

    def put(self, text: str, route: str = "auto") -> bytes:
        return self.successResultOf(self.putting(text, route))

    def ways(self, device: bytes = A, **ways: Hashable) -> None:
        self.routes.now[device] = dict(ways)
        self.outbox.refresh(DEVICES[device])

    def delivered(self, message: bytes, device: bytes = A) -> None:
        self.outbox.receipt(DEVICES[device], device, [message], "delivered", "tcp")

    def state(self, message: bytes) -> tuple[str, str]:
        query = "SELECT state, route FROM messages WHERE id = ?"
        return tuple(self.database.connection.execute(query, (message,)).fetchone())

    def copies(self) -> int:
        count: int = self.database.connection.execute("SELECT count(*) FROM copies").fetchone()[0]
        return count


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


class DevicesTests(OutboxCase):
    def test_every_device_gets_a_copy_of_its_own_and_mine_are_told_the_conversation(self) -> None:
        """What I send from one shows on my others."""
        self.recipients.known = {"bob": [A, B], "alice": [MINE, TABLET]}
        for device in (A, B, TABLET):
            self.ways(device, relay=1)
        self.put("one")
        self.assertEqual(sorted(device for device, _, _ in self.routes.sent), [A, B, TABLET])
        inner = {
            device: inside(sealed)
            for (device, _, _), sealed in zip(self.routes.sent, self.routes.envelopes, strict=True)
        }
        self.assertEqual(
            {device: chat.conversation for device, chat in inner.items() if isinstance(chat, ChatMessage)},
            {A: "", B: "", TABLET: "bob"},
        )

    def test_a_device_that_did_not_confirm_still_gets_its_copy(self) -> None:
        """Although another did."""
        self.recipients.known["bob"] = [A, B]
        self.ways(A, relay=1)
        message = self.put("one")
        self.delivered(message, A)
        self.ways(B, relay=1)
        self.assertEqual(self.routes.sent[-1], (B, "one", "relay"))

    def test_direct_only_goes_to_devices_with_a_channel_and_to_no_others(self) -> None:
        """Not even as mail."""
        self.recipients.known = {"bob": [A, B], "alice": [MINE, TABLET]}
        self.ways(A, relay=1, direct="channel")
        self.ways(B, relay=1)
        self.ways(TABLET, relay=1)
        self.put("one", "direct")
        self.assertEqual(self.routes.sent, [(A, "one", "direct")])
        self.assertEqual(self.copies(), 1)

    def test_a_user_without_keys_cannot_be_written_to(self) -> None:
        """And nothing is kept of it."""
        self.recipients.error = NoKeys()
        self.failureResultOf(self.putting("one"), NoKeys)
        self.assertEqual(self.outbox.homeless(), [])

    def test_without_the_server_it_waits_for_the_devices_to_be_known(self) -> None:
        """And is sealed when it is back."""
        self.recipients.error = NotSignedIn()
        message = self.put("one")
        self.assertEqual(self.outbox.homeless(), ["bob"])
        self.outbox.stop()
        self.restart()
        self.recipients.error = None
        self.ways(relay=1)
        self.successResultOf(Deferred.fromCoroutine(self.outbox.complete("bob")))
        self.outbox.refresh("bob")
        self.assertEqual(self.routes.sent, [(A, "one", "relay")])
        self.delivered(message)
        self.assertEqual(self.outbox.homeless(), [])

    def test_what_was_written_before_anybody_was_known_is_not_overtaken(self) -> None:
        """It is sealed before the next message is, not when somebody looks for the recipient again."""
        self.recipients.error = NotSignedIn()
        self.put("one")
        self.outbox.stop()
        self.restart()
        self.recipients.error = None
        self.ways(relay=1)
        self.put("two")
        self.assertEqual(self.routes.sent, [(A, "one", "relay"), (A, "two", "relay")])

    def test_a_new_device_gets_what_nobody_has_and_a_removed_one_is_forgotten(self) -> None:
        """What an earlier device has confirmed is history for it."""
        self.ways(A, relay=1)
        self.delivered(self.put("old"))
        self.put("one")
        self.recipients.known["bob"] = [B]
        self.routes.now[B] = {"relay": 1}
        self.successResultOf(Deferred.fromCoroutine(self.outbox.complete("bob")))
        self.outbox.refresh("bob")
        self.assertEqual([(device, text) for device, text, _ in self.routes.sent], [(A, "old"), (A, "one"), (B, "one")])
        self.assertEqual(self.copies(), 1)

    def test_a_device_that_the_server_does_not_know_is_dropped(self) -> None:
        """And the others are looked for."""
        self.ways(A, relay=1)
        self.put("one")
        self.recipients.known["bob"] = [B]
        self.routes.now[B] = {"relay": 1}
        self.routes.answers[0](NoSuchDevice())
        self.outbox.refresh("bob")
        self.assertEqual(self.routes.sent[-1], (B, "one", "relay"))

    def test_messages_keep_their_order_while_keys_are_claimed(self) -> None:
        """The second is not faster because the keys are there by then."""
        keys: Deferred[None] = Deferred()

        async def slowly(user: str) -> list[bytes]:
            if user == "bob" and not keys.called:
                await keys
            return self.recipients.known[user]

        self.patch(self.recipients, "ready", slowly)
        self.ways(relay=1)
        first, second = self.putting("one"), self.putting("two")
        keys.callback(None)
        for each in (first, second):
            self.successResultOf(each)
        self.assertEqual([text for _, text, _ in self.routes.sent], ["one", "two"])
