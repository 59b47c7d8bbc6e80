"""Delivery as values: ways that come and go, receipts that come or do not, and numbers that put things in order."""

from collections.abc import Hashable

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.delivery import Arrivals, Dispatch, Outgoing, Sending
from p2pim.core.limits import BUSY_WAIT, REORDER_MESSAGES, REORDER_WAIT, RESEND, RESEND_MAX, UNACKNOWLEDGED

A, B = b"a" * 16, b"b" * 16


def message(seq: int, route: str = "auto") -> Outgoing:
    return Outgoing(seq.to_bytes(16, "big"), seq, f"text {seq}", 1_700_000_000_000 + seq, route)


def sent(dispatches: list[Dispatch]) -> list[tuple[bytes, int, str]]:
    return [(d.device, d.message.seq, d.way) for d in dispatches]


class SendingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sending = Sending()

    def ways(self, device: bytes, **ways: Hashable) -> None:
        self.sending.set_ways(device, dict(ways))

    def test_nothing_is_sent_while_nobody_is_there(self) -> None:
        """A message to someone offline waits."""
        self.sending.add(message(1))
        self.assertEqual(self.sending.to_send(0), [])
        self.assertEqual(len(self.sending), 1)
        self.assertIsNone(self.sending.next_due())

    def test_what_waited_goes_in_order_when_a_way_appears(self) -> None:
        """And only once."""
        for seq in (1, 2, 3):
            self.sending.add(message(seq))
        self.ways(A, relay=1)
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 1, "relay"), (A, 2, "relay"), (A, 3, "relay")])
        self.assertEqual(self.sending.to_send(0), [])

    def test_a_direct_channel_is_preferred_to_the_server(self) -> None:
        """While a channel exists, chat goes through it."""
        self.ways(A, relay=1, direct="channel")
        self.sending.add(message(1))
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 1, "direct")])

    def test_a_message_may_demand_the_relay(self) -> None:
        """Although a channel stands."""
        self.ways(A, relay=1, direct="channel")
        self.sending.add(message(1, "relay"))
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 1, "relay")])

    def test_a_message_that_demands_a_channel_waits_for_one_and_holds_up_nobody(self) -> None:
        """Direct only means never through the server."""
        self.ways(A, relay=1)
        self.sending.add(message(1, "direct"))
        self.sending.add(message(2))
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 2, "relay")])
        self.ways(A, relay=1, direct="channel")
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 1, "direct")])

    def test_a_better_way_alone_repeats_nothing(self) -> None:
        """What went through the server, which still stands, is not lost."""
        self.ways(A, relay=1)
        self.sending.add(message(1))
        self.sending.to_send(0)
        self.ways(A, relay=1, direct="channel")
        self.sending.add(message(2))
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 2, "direct")])

    def test_what_went_by_a_lost_channel_goes_again_by_the_next_route(self) -> None:
        """In order, and marked as sent again."""
        self.ways(A, relay=1, direct="channel")
        for seq in (1, 2):
            self.sending.add(message(seq))
        self.sending.to_send(0)
        self.ways(A, relay=1)
        again = self.sending.to_send(0)
        self.assertEqual(sent(again), [(A, 1, "relay"), (A, 2, "relay")])
        self.assertTrue(all(d.again for d in again))

    def test_another_channel_of_the_same_kind_is_another_way(self) -> None:
        """A newer channel replaces an older, and what was on that may be lost."""
        self.ways(A, direct="old")
        self.sending.add(message(1))
        self.sending.to_send(0)
        self.ways(A, direct="new")
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 1, "direct")])

    def test_after_a_new_session_everything_unconfirmed_goes_again(self) -> None:
        """The server may have died with it."""
        self.ways(A, relay=1)
        self.sending.add(message(1))
        self.sending.to_send(0)
        self.ways(A)
        self.assertEqual(self.sending.to_send(0), [])
        self.ways(A, relay=2)
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 1, "relay")])

    def test_without_a_receipt_a_message_goes_again_and_the_waits_grow(self) -> None:
        """RESEND, then twice as long, up to RESEND_MAX."""
        self.ways(A, relay=1)
        self.sending.add(message(1))
        now, wait = 0.0, RESEND
        self.sending.to_send(now)
        for _ in range(8):
            self.assertEqual(self.sending.next_due(), now + wait)
            self.assertEqual(self.sending.to_send(now + wait - 0.01), [])
            now += wait
            self.assertEqual(sent(self.sending.to_send(now)), [(A, 1, "relay")])
            wait = min(2 * wait, RESEND_MAX)

    def test_a_full_window_is_repeated_as_well(self) -> None:
        """The bound on what is out at once does not keep it from going again."""
        self.ways(A, relay=1)
        for seq in range(1, UNACKNOWLEDGED + 10):
            self.sending.add(message(seq))
        self.assertEqual(len(self.sending.to_send(0)), UNACKNOWLEDGED)
        again = self.sending.to_send(RESEND)
        self.assertEqual([d.message.seq for d in again], list(range(1, UNACKNOWLEDGED + 1)))
        self.sending.remove(message(1).id)
        self.assertEqual(sent(self.sending.to_send(RESEND)), [(A, UNACKNOWLEDGED + 1, "relay")])

    def test_a_receipt_ends_it_for_every_device(self) -> None:
        """Delivered is when the first of them confirms."""
        self.ways(A, relay=1)
        self.ways(B, direct="channel")
        self.sending.add(message(1))
        self.assertEqual(sorted(sent(self.sending.to_send(0))), [(A, 1, "relay"), (B, 1, "direct")])
        self.assertEqual(self.sending.remove(message(1).id), message(1))
        self.assertIsNone(self.sending.remove(message(1).id))
        self.assertEqual(self.sending.to_send(RESEND_MAX), [])

    def test_a_busy_server_is_asked_again_soon(self) -> None:
        """Before the receiver stops waiting for it."""
        self.ways(A, relay=1)
        self.sending.add(message(1))
        self.sending.to_send(0)
        self.sending.busy(A, message(1).id, 0.0, 0)
        self.assertEqual(self.sending.next_due(), BUSY_WAIT)
        self.assertEqual(sent(self.sending.to_send(BUSY_WAIT)), [(A, 1, "relay")])

    def test_each_message_tells_the_oldest_unconfirmed_one(self) -> None:
        """So that the receiver knows what need not be waited for."""
        for seq in (1, 2, 3):
            self.sending.add(message(seq))
        self.sending.remove(message(1).id)
        self.ways(A, relay=1)
        self.assertEqual([d.oldest for d in self.sending.to_send(0)], [2, 2])


class ArrivalsTests(SynchronousTestCase):
    def test_messages_in_order_go_straight_through(self) -> None:
        """Nothing is held."""
        arrivals: Arrivals[int] = Arrivals()
        self.assertEqual([arrivals.arrived(seq, 1, seq, 0.0) for seq in (1, 2, 3)], [[1], [2], [3]])
        self.assertIsNone(arrivals.due())

    def test_an_early_one_is_held_until_the_gap_is_filled(self) -> None:
        """Then they come out in order."""
        arrivals: Arrivals[int] = Arrivals()
        self.assertEqual(arrivals.arrived(3, 1, 3, 0.0), [])
        self.assertEqual(arrivals.arrived(2, 1, 2, 0.1), [])
        self.assertEqual(arrivals.arrived(1, 1, 1, 0.2), [1, 2, 3])

    def test_an_early_one_is_held_for_no_longer_than_the_wait(self) -> None:
        """Out of order beats not at all."""
        arrivals: Arrivals[int] = Arrivals()
        arrivals.arrived(3, 1, 3, 0.0)
        self.assertEqual(arrivals.due(), REORDER_WAIT)
        self.assertEqual(arrivals.expire(REORDER_WAIT - 0.1), [])
        self.assertEqual(arrivals.expire(REORDER_WAIT), [3])
        self.assertEqual(arrivals.arrived(1, 1, 1, 4.0), [1])

    def test_what_another_device_has_confirmed_is_not_waited_for(self) -> None:
        """A device that was away begins where the sender is."""
        arrivals: Arrivals[int] = Arrivals()
        self.assertEqual(arrivals.arrived(17, 17, 17, 0.0), [17])
        self.assertEqual(arrivals.arrived(20, 20, 20, 0.0), [20])

    def test_held_ones_come_first_when_the_sender_goes_on(self) -> None:
        """Order is kept among those that did come."""
        arrivals: Arrivals[int] = Arrivals()
        arrivals.arrived(2, 1, 2, 0.0)
        self.assertEqual(arrivals.arrived(4, 4, 4, 0.0), [2, 4])

    def test_repeats_of_a_held_one_change_nothing(self) -> None:
        """Not even how long it is held."""
        arrivals: Arrivals[int] = Arrivals()
        arrivals.arrived(2, 1, 2, 0.0)
        arrivals.arrived(2, 1, 2, 1.0)
        self.assertEqual(arrivals.due(), REORDER_WAIT)
        self.assertEqual(arrivals.arrived(1, 1, 1, 1.0), [1, 2])

    def test_late_ones_are_let_through_to_the_store(self) -> None:
        """Which alone knows whether they are duplicates."""
        arrivals: Arrivals[int] = Arrivals(5)
        self.assertEqual(arrivals.arrived(3, 1, 3, 0.0), [3])

    def test_a_stranger_cannot_have_much_held(self) -> None:
        """What is beyond the bound is left to be sent again."""
        arrivals: Arrivals[int] = Arrivals()
        for seq in range(2, 10_000):
            arrivals.arrived(seq, 1, seq, 0.0)
        released = arrivals.arrived(1, 1, 1, 0.0)
        self.assertEqual(released, list(range(1, REORDER_MESSAGES + 2)))
