"""What arrives is stored before it is confirmed, shown when it was new, and confirmed again when it was not."""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import REORDER_WAIT
from p2pim.peer.events import Event, MessageReceived
from p2pim.peer.inbox import RECEIPTS_AT_ONCE, Inbox
from p2pim.storage.home import HomeStore
from p2pim.wire.signals import ChatMessage, Receipt
from tests.peer.memory_store import MemoryStore

B = b"b" * 16


def message(seq: int, oldest: int = 1, sent_at: int = 1_000) -> ChatMessage:
    return ChatMessage(seq.to_bytes(16, "big"), seq, f"text {seq}", sent_at, oldest)


class InboxTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.receipts: list[tuple[str, bytes, Receipt]] = []
        self.events: list[Event] = []
        self.lines: list[str] = []
        self.restart()

    def restart(self) -> None:
        self.inbox = Inbox(
            self.clock,
            lambda: 1_700_000_000.0,
            cast(HomeStore, self.store),
            lambda *receipt: self.receipts.append(receipt),
            self.events.append,
            lambda *line: self.lines.append(" ".join(line)),
        )
        self.successResultOf(Deferred.fromCoroutine(self.inbox.load()))

    def arrive(self, seq: int, oldest: int = 1) -> None:
        self.inbox.message("bob", B, message(seq, oldest), "tcp", "192.0.2.1:5")

    def shown(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, MessageReceived)]

    def confirmed(self) -> list[int]:
        self.clock.advance(0)
        return [int.from_bytes(id, "big") for _, _, receipt in self.receipts for id in receipt.ids]

    def test_receipts_of_one_turn_go_in_one_signal(self) -> None:
        """Not one for each message."""
        for seq in (1, 2, 3):
            self.arrive(seq)
        self.assertEqual(self.receipts, [])
        self.clock.advance(0)
        self.assertEqual(len(self.receipts), 1)
        self.assertEqual(self.confirmed(), [1, 2, 3])

    def test_more_than_one_signal_holds_go_in_several(self) -> None:
        """Each within its bound."""
        for seq in range(1, RECEIPTS_AT_ONCE + 2):
            self.arrive(seq)
        self.clock.advance(0)
        self.assertEqual([len(receipt.ids) for _, _, receipt in self.receipts], [RECEIPTS_AT_ONCE, 1])

    def test_a_repeated_message_is_confirmed_again_and_not_shown_again(self) -> None:
        """The first receipt was lost, else it would not have come."""
        self.arrive(1)
        self.arrive(1)
        self.assertEqual(self.shown(), ["text 1"])
        self.assertEqual(self.confirmed(), [1, 1])

    def test_nothing_is_confirmed_that_could_not_be_stored(self) -> None:
        """The sender keeps it and sends it again, and then it is shown."""
        self.store.broken = True
        self.arrive(1)
        self.assertEqual((self.shown(), self.confirmed()), ([], []))
        self.assertIn("could not be stored", self.lines[0])
        self.store.broken = False
        self.arrive(1)
        self.assertEqual((self.shown(), self.confirmed()), (["text 1"], [1]))

    def test_an_early_message_waits_for_the_one_before_it(self) -> None:
        """It is neither stored nor confirmed while it is held."""
        self.arrive(2)
        self.assertEqual((self.shown(), self.confirmed()), ([], []))
        self.arrive(1)
        self.assertEqual(self.shown(), ["text 1", "text 2"])

    def test_it_waits_no_longer_than_the_bound(self) -> None:
        """Then it is shown all the same, and the log says so."""
        self.arrive(2)
        self.clock.advance(REORDER_WAIT)
        self.assertEqual(self.shown(), ["text 2"])
        self.assertIn("earlier one", self.lines[0])
        self.assertEqual(self.clock.getDelayedCalls()[1:], [])

    def test_order_is_known_across_a_restart(self) -> None:
        """The next number is stored with the message."""
        self.arrive(1)
        self.restart()
        self.arrive(3)
        self.arrive(2)
        self.assertEqual(self.shown(), ["text 1", "text 2", "text 3"])

    def test_what_is_held_at_a_restart_comes_again(self) -> None:
        """It was never confirmed."""
        self.arrive(2)
        self.inbox.stop()
        self.restart()
        self.arrive(1)
        self.arrive(2)
        self.assertEqual(self.shown(), ["text 1", "text 2"])

    def test_nonsense_in_a_senders_clock_does_no_harm(self) -> None:
        """Neither before 1970 nor in a million years."""
        for seq, sent_at in ((1, -(2**62)), (2, 2**62)):
            self.inbox.message("bob", B, message(seq, 1, sent_at), "relay", "")
        times = [event.sent_at for event in self.events if isinstance(event, MessageReceived)]
        self.assertEqual(times, ["1970-01-01T00:00:00.000Z", "2023-11-15T22:13:20.000Z"])
