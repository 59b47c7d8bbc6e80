"""Rings of steps: what is counted is counted once, what is old is forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import SERIES_MOST
from p2pim.core.series import SPANS, Point, Reading, Ring, Span, between, share

HOUR, DAY = SPANS
NOW = 1_700_000_000.0


def point(at: float, **values: int) -> Point:
    """A step with these values, and 2 s in it."""
    empty = {"connections": 0, "messages": 0, "relayed": 0, "requests": 0, "direct_messages": 0, "direct": 0}
    return Point(int(at), 2.0, **{**empty, **values})


class RingTests(SynchronousTestCase):
    def test_what_falls_into_one_step_is_added_up(self) -> None:
        """Sums are added, of connections the most counts."""
        ring = Ring(HOUR)
        for second, connections in ((0, 5), (2, 9), (8, 7)):
            ring.add(point(NOW + second, connections=connections, messages=3))
        (one,) = ring.points
        self.assertEqual((one.at, one.seconds, one.connections, one.messages), (int(NOW), 6.0, 9, 9))

    def test_a_ring_never_holds_more_than_its_steps(self) -> None:
        """However long the server runs."""
        ring = Ring(Span("short", 10, 3))
        for step in range(100):
            ring.add(point(NOW + 10 * step, messages=step))
        self.assertEqual([each.messages for each in ring.points], [97, 98, 99])

    def test_a_restart_goes_on_in_the_step_it_interrupted(self) -> None:
        """What was counted before it is not lost, nor counted twice."""
        before = Ring(HOUR)
        before.add(point(NOW, messages=4))
        after = Ring(HOUR)
        after.load(before.take_unwritten(), NOW + 3)
        after.add(point(NOW + 3, messages=6))
        (one,) = after.points
        self.assertEqual((one.messages, one.seconds), (10, 4.0))

    def test_old_steps_and_those_of_the_future_are_not_taken_up(self) -> None:
        """A server that was off for an hour begins an empty hour; a clock that was wrong leaves nothing behind."""
        ring = Ring(HOUR)
        ring.load([point(NOW - 3_600), point(NOW - 3_590), point(NOW), point(NOW + 20)], NOW)
        self.assertEqual([each.at for each in ring.points], [int(NOW) - 3_590, int(NOW)])

    def test_a_clock_that_is_set_back_drops_what_has_not_come_yet(self) -> None:
        """Steps stay in order, whatever the clock does."""
        ring = Ring(HOUR)
        ring.add(point(NOW + 500, messages=1))
        ring.add(point(NOW, messages=2))
        self.assertEqual([each.messages for each in ring.points], [2])

    @given(st.lists(st.tuples(st.integers(-100, 400), st.integers(0, SERIES_MOST)), max_size=60))
    def test_steps_are_in_order_and_within_bounds_whatever_comes(self, added: list[tuple[int, int]]) -> None:
        """No sum exceeds what every reader of JSON can count to."""
        ring = Ring(Span("short", 10, 5))
        now = NOW
        for step, direct in added:
            now += step
            ring.add(point(now, direct=direct))
        times = [each.at for each in ring.points]
        self.assertEqual(times, sorted(set(times)))
        self.assertLessEqual(len(times), 5)
        self.assertTrue(all(each.direct <= SERIES_MOST for each in ring.points))

    def test_only_what_changed_is_written_and_again_when_that_failed(self) -> None:
        """A commit is small, and a failed one loses nothing."""
        ring = Ring(HOUR)
        ring.add(point(NOW, messages=1))
        first = ring.take_unwritten()
        self.assertEqual(ring.take_unwritten(), [])
        ring.put_back(first)
        ring.add(point(NOW + 10, messages=2))
        self.assertEqual([each.messages for each in ring.take_unwritten()], [1, 2])


class BetweenTests(SynchronousTestCase):
    def test_only_rises_are_counted(self) -> None:
        """A counter that began anew takes nothing away."""
        before, now = Reading(3, 100, 50, 70, 1, 9), Reading(4, 90, 80, 5, 1, 9)
        increase = between(before, now, NOW, 2.0)
        self.assertEqual(increase[2:], (4, 0, 30, 0, 0, 0))

    def test_a_share_is_told_only_where_something_went(self) -> None:
        """A quarter through the server is three quarters off it; nothing at all is no share."""
        self.assertIsNone(share([]).off)
        self.assertEqual(share([point(NOW, direct=30), point(NOW, relayed=10)]).off, 0.75)
