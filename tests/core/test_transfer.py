"""Transfers decided without I/O."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import MIB, PIECES_IN_FLIGHT, PIECES_IN_FLIGHT_MAX, PROGRESS_INTERVAL
from p2pim.core.transfer import (
    FINAL,
    REASONS,
    Meter,
    Pull,
    Push,
    State,
    Step,
    after,
    pieces_in_flight,
    stall_allowance,
    told_reason,
)
from p2pim.errors import WireError

DIGEST = b"d" * 32


class StateTests(SynchronousTestCase):
    """`after`."""

    @given(st.lists(st.sampled_from(list(Step)), max_size=30))
    def test_an_end_is_never_left(self, steps: list[Step]) -> None:
        """What was told as over is over, whatever arrives late."""
        state, ended = State.OFFERED, None
        for step in steps:
            state = after(state, step) or state
            if ended is not None:
                self.assertIs(state, ended)
            if state in FINAL:
                ended = state

    def test_every_open_state_can_be_disrupted_and_completed(self) -> None:
        """Whatever a transfer is doing, it can be ended."""
        for state in set(State) - FINAL:
            self.assertIs(after(state, Step.DISRUPT), State.DISRUPTED)
            self.assertIs(after(state, Step.COMPLETE), State.COMPLETED)

    def test_nothing_runs_before_it_is_accepted(self) -> None:
        """An unanswered offer moves no byte."""
        self.assertIsNone(after(State.OFFERED, Step.START))
        self.assertIsNone(after(State.OFFERED, Step.RESUME))

    @given(st.text(max_size=40))
    def test_what_the_other_end_tells_becomes_a_known_reason(self, text: str) -> None:
        """No foreign text becomes a reason."""
        self.assertIn(told_reason(text), REASONS)
        self.assertEqual(told_reason("too-slow: really"), "too-slow")
        self.assertEqual(told_reason("cancelled"), "peer-error")


class WindowTests(SynchronousTestCase):
    """`pieces_in_flight`."""

    @given(st.floats(0, 1e12), st.one_of(st.none(), st.floats(0, 100)))
    def test_it_stays_within_its_bounds(self, rate: float, rtt: float | None) -> None:
        """Memory has an end on any path."""
        self.assertTrue(PIECES_IN_FLIGHT <= pieces_in_flight(rate, rtt) <= PIECES_IN_FLIGHT_MAX)

    def test_it_grows_while_it_is_what_holds_the_rate_down(self) -> None:
        """A long path is filled: each look at a rate that the window limits asks for more."""
        rtt, window, seen = 0.1, PIECES_IN_FLIGHT, []
        for _ in range(10):
            window = pieces_in_flight(window * MIB / rtt, rtt)
            seen.append(window)
        self.assertEqual(seen[-1], PIECES_IN_FLIGHT_MAX)

    def test_a_short_path_needs_few(self) -> None:
        """On a LAN the window is small."""
        self.assertEqual(pieces_in_flight(800 * MIB, 0.0005), PIECES_IN_FLIGHT)

    def test_a_long_prefix_earns_patience(self) -> None:
        """A sender that has 100 GB to hash is not called slow for it."""
        self.assertGreater(stall_allowance(30, 100_000 * MIB), 1_000)


class MeterTests(SynchronousTestCase):
    """`Meter`."""

    @given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 10**6)), max_size=200))
    def test_it_speaks_at_most_four_times_a_second(self, moves: list[tuple[float, int]]) -> None:
        """Progress does not flood whoever watches."""
        meter, now, position = Meter(100.0, 0), 100.0, 0
        last: float | None = None
        for delta, size in moves:
            now, position = now + delta, position + size
            if meter.moved(now, position):
                if last is not None:
                    self.assertGreaterEqual(now - last, PROGRESS_INTERVAL)
                last = now
            self.assertGreaterEqual(meter.rate, 0.0)

    def test_a_steady_flow_has_its_rate(self) -> None:
        """Ten bytes a tenth of a second are a hundred a second."""
        meter = Meter(0.0, 0)
        for i in range(1, 101):
            meter.moved(i / 10, i * 10)
        self.assertAlmostEqual(meter.rate, 100.0, delta=1.0)


class PushTests(SynchronousTestCase):
    """`Push`: what a receiver may ask for."""

    def refused(self, push: Push, *request: int | bytes | None) -> None:
        with self.assertRaises(WireError):
            push.request(*request)  # type: ignore[arg-type]

    def test_ranges_come_out_as_they_were_asked_for(self) -> None:
        """In order, the prefix's digest with the first."""
        push = Push(100)
        push.request(10, 20, DIGEST)
        push.request(30, 70, DIGEST)
        first, second = push.take(), push.take()
        assert first is not None
        assert second is not None
        self.assertEqual((first.offset, first.length, first.digest), (10, 20, DIGEST))
        self.assertEqual((second.offset, second.length, second.digest), (30, 70, None))
        self.assertIsNone(push.take())

    def test_what_no_receiver_needs_is_refused(self) -> None:
        """Beyond the end, out of order, blindly in the middle, endlessly many."""
        self.refused(Push(100), 90, 11, None)
        self.refused(Push(100), 10, 1, None)
        push = Push(10_000)
        push.request(0, 1, None)
        self.refused(push, 0, 1, None)
        self.refused(push, 2, 1, None)
        with self.assertRaises(WireError):
            for i in range(1, 1_000):
                push.request(i, 1, None)


class PullMachine(RuleBasedStateMachine):
    """A sender that keeps to the protocol, a disk of any speed, a window of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.total, self.position, self.window = 1_000, 0, 4
        self.pull = Pull(self.total, 0, piece=64)
        self.wire: deque[tuple[int, int]] = deque()
        self.sent = 0
        self.arrived: deque[tuple[int, int]] = deque()
        self.most = 0

    @rule(window=st.integers(1, 8))
    def ask(self, window: int) -> None:
        self.most = max(self.most, window)
        self.wire.extend(self.pull.ask(window))

    @precondition(lambda self: self.wire)
    @rule(size=st.integers(1, 64))
    def slice(self, size: int) -> None:
        _, length = self.wire[0]
        size = min(size, length - self.sent)
        if size:
            self.pull.receive(b"x" * size)
            self.sent += size

    @precondition(lambda self: self.wire and self.sent == self.wire[0][1])
    @rule()
    def end(self) -> None:
        offset, length = self.wire.popleft()
        piece = self.pull.end(DIGEST)
        assert (piece.offset, piece.length) == (offset, length)
        assert sum(map(len, piece.slices)) == length
        self.sent = 0
        self.arrived.append((offset, length))

    @precondition(lambda self: self.arrived)
    @rule()
    def written(self) -> None:
        offset, length = self.arrived.popleft()
        assert offset == self.position, "pieces are written in order, none twice, none left out"
        self.position += length
        self.pull.written(1)

    @precondition(lambda self: self.sent < (self.wire[0][1] if self.wire else 1))
    @rule()
    def early_end(self) -> None:
        try:
            self.pull.end(DIGEST)
        except WireError:
            return
        raise AssertionError("a range ended early")

    @precondition(lambda self: self.sent == (self.wire[0][1] if self.wire else 0))
    @rule()
    def an_asked_for_byte_too_many_ends_it(self) -> None:
        pull = Pull(10, 0, piece=5)
        pull.ask(1)
        pull.receive(b"12345")
        try:
            pull.receive(b"6")
        except WireError:
            return
        raise AssertionError("an unasked byte was taken")

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.wire) + len(self.arrived) <= max(self.most, 0)


class PullTests(SynchronousTestCase):
    """`Pull` in every order of arriving, writing and asking."""

    def test_every_byte_is_written_once_and_in_order(self) -> None:
        """Whatever the speeds of wire and disk, nothing is lost, doubled or kept beyond the window."""
        run_state_machine_as_test(PullMachine)
