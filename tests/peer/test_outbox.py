"""The outbox: on disk first, sent by the ways there are, until a receipt comes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import BUSY_WAIT, RESEND
from p2pim.errors import Blocked, DatabaseDown, Offline, P2pimError, RecipientBusy
from p2pim.peer.events import Event, ReceiptReceived
from p2pim.peer.outbox import Outbox, Settled
from p2pim.storage.home import HomeStore
from p2pim.wire.signals import ChatMessage
from tests.peer.memory_store import MemoryStore

A = b"a" * 16


class FakeRoutes:
    """Ways as the test sets them, and what went by them."""

    def __init__(self) -> None:
        self.now: dict[bytes, dict[str, Hashable]] = {}
        self.sent: list[tuple[str, str]] = []
        self.failures: list[Callable[[P2pimError], None]] = []

    def ways(self, user: str) -> dict[bytes, dict[str, Hashable]]:
        return self.now

    def send_message(
        self, user: str, device: bytes, message: ChatMessage, way: str, on_failed: Callable[[P2pimError], None]
    ) -> tuple[str, str]:
        self.sent.append((message.text, way))
        self.failures.append(on_failed)
        return ("tcp", "192.0.2.1:5") if way == "direct" else ("relay", "server")


class OutboxTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.routes = FakeRoutes()
        self.events: list[Event] = []
        self.lines: list[str] = []
        self.gone: list[bytes] = []
        self.ids = 0
        self.restart()

    def restart(self) -> None:
        self.outbox = Outbox(
            self.clock,
            lambda: 1_700_000_000.0,
            cast(HomeStore, self.store),
            self.routes,
            self.events.append,
            lambda *line: self.lines.append(" ".join(line)),
            self.random,
            lambda user, device: self.gone.append(device),
        )
        self.successResultOf(Deferred.fromCoroutine(self.outbox.load()))
        self.outbox.refresh("bob")

    def random(self, size: int) -> bytes:
        self.ids += 1
        return self.ids.to_bytes(size, "big")

    def put(self, text: str, route: str = "auto") -> bytes:
        return self.successResultOf(Deferred.fromCoroutine(self.outbox.put("bob", text, route)))

    def ways(self, **ways: Hashable) -> None:
        self.routes.now = {A: dict(ways)} if ways else {}
        self.outbox.refresh("bob")

    def test_a_message_is_on_disk_before_it_goes(self) -> None:
        """When the disk refuses it, it goes nowhere."""
        self.ways(relay=1)
        self.store.broken = True
        self.failureResultOf(Deferred.fromCoroutine(self.outbox.put("bob", "one", "auto")), DatabaseDown)
        self.assertEqual(self.routes.sent, [])

    def test_what_an_earlier_run_left_goes_first(self) -> None:
        """In order, once there is a way."""
        self.put("one")
        self.outbox.stop()
        self.restart()
        self.put("two")
        self.ways(relay=1)
        self.assertEqual(self.routes.sent, [("one", "relay"), ("two", "relay")])

    def test_a_receipt_settles_it_on_disk_and_for_whoever_waits(self) -> None:
        """With the route by which it went."""
        self.ways(relay=1, direct="channel")
        message = self.put("one")
        waiting = self.outbox.wait("bob", message)
        self.outbox.receipt("bob", A, [message], "delivered", "tcp")
        self.assertEqual(self.successResultOf(waiting), Settled("delivered", "tcp", "192.0.2.1:5"))
        self.assertEqual(self.store.states[message], ("delivered", "tcp"))
        self.assertEqual([type(event) for event in self.events], [ReceiptReceived])

    def test_a_receipt_from_somebody_else_is_no_receipt(self) -> None:
        """Ids can be guessed or overheard."""
        self.ways(relay=1)
        message = self.put("one")
        self.outbox.receipt("mallory", A, [message], "delivered", "tcp")
        self.assertEqual(self.store.states[message][0], "waiting")

    def test_a_second_receipt_is_no_news(self) -> None:
        """Two devices confirm, one event."""
        self.ways(relay=1)
        message = self.put("one")
        for _ in range(2):
            self.outbox.receipt("bob", A, [message], "delivered", "relay")
        self.assertEqual(len(self.events), 1)

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
        """The other side reads slowly; the message is kept."""
        self.ways(relay=1)
        self.put("one")
        self.routes.failures[0](RecipientBusy())
        self.clock.advance(BUSY_WAIT)
        self.assertEqual(len(self.routes.sent), 2)

    def test_when_the_device_has_gone_others_are_told(self) -> None:
        """Presence was out of date."""
        self.ways(relay=1)
        self.put("one")
        self.routes.failures[0](Offline())
        self.assertEqual(self.gone, [A])

    def test_what_will_never_be_taken_is_given_up(self) -> None:
        """And whoever waits hears why."""
        self.ways(relay=1)
        message = self.put("one")
        waiting = self.outbox.wait("bob", message)
        self.routes.failures[0](Blocked())
        self.failureResultOf(waiting, Blocked)
        self.assertEqual(self.store.states[message][0], "failed")
        self.assertEqual(self.outbox.users(), [])

    def test_whoever_waits_is_told_that_nobody_is_there(self) -> None:
        """The message waits, they need not."""
        self.ways(relay=1)
        waiting = self.outbox.wait("bob", self.put("one"))
        self.ways()
        self.outbox.nobody_there("bob")
        self.assertEqual(self.successResultOf(waiting).state, "waiting")
        self.assertEqual(self.outbox.users(), ["bob"])

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
        self.outbox.receipt("bob", A, [message], "delivered", "relay")
        self.assertEqual(
            self.lines,
            [
                "message bob sent by tcp to 192.0.2.1:5",
                "message bob sent again by relay to server",
                "message bob delivered by relay to server",
            ],
        )
