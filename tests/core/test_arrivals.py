"""The receiver's side of delivery as values: numbers that put things in order, and waits that end."""

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.arrivals import Arrivals
from p2pim.core.limits import REORDER_MESSAGES, REORDER_WAIT


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

    def test_another_one_of_a_held_number_is_not_held_too(self) -> None:
        """A sender who uses a number twice loses order, not messages; the first keeps its place."""
        arrivals: Arrivals[str] = Arrivals()
        arrivals.arrived(2, 1, "two", 0.0)
        self.assertEqual(arrivals.arrived(2, 1, "another", 1.0), ["another"])
        self.assertEqual(arrivals.due(), REORDER_WAIT)
        self.assertEqual(arrivals.arrived(1, 1, "one", 1.0), ["one", "two"])

    def test_what_was_held_before_a_restart_is_held_after_it(self) -> None:
        """With the number that comes next, it is all there is to know."""
        arrivals: Arrivals[int] = Arrivals(2, {3: (5.0, 3)})
        self.assertEqual((len(arrivals), arrivals.due(), arrivals.until(3)), (1, 5.0, 5.0))
        self.assertEqual(arrivals.arrived(2, 1, 2, 1.0), [2, 3])

    def test_late_ones_are_let_through_to_the_store(self) -> None:
        """Which alone knows whether they are duplicates."""
        arrivals: Arrivals[int] = Arrivals(5)
        self.assertEqual(arrivals.arrived(3, 1, 3, 0.0), [3])

    def test_a_stranger_cannot_have_much_held(self) -> None:
        """Beyond the bound order is given up, and nothing is lost."""
        arrivals: Arrivals[int] = Arrivals()
        shown: list[int] = []
        for seq in range(3, 10_000):
            shown += arrivals.arrived(seq, 1, seq, 0.0)
            self.assertLessEqual(len(arrivals), REORDER_MESSAGES)
        self.assertEqual(shown, list(range(3, 10_000)))
        self.assertEqual(arrivals.arrived(2, 1, 2, 0.0), [2])
