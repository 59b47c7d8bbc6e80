"""Delivery over ways that die at random, with crashes of both ends: nothing lost, nothing doubled, order kept.

The model: a sender with a durable outbox, a receiver with a durable store, and two ways between them, each a pair of
queues (there and back) that can vanish at any moment with all that is on them. What is only in memory (`Sending`,
`Arrivals`) is thrown away at a crash.
"""

from collections import deque
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.delivery import Arrivals, Dispatch, Outgoing, Sending
from p2pim.core.limits import RESEND, RESEND_MAX

DEVICE = b"d" * 16


@dataclass
class Way:
    """One channel or one session: a new object for each."""

    there: deque[Dispatch] = field(default_factory=deque)
    back: deque[bytes] = field(default_factory=deque)


class DeliveryMachine(RuleBasedStateMachine):
    """Everything that may happen to a conversation."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.ways: dict[str, Way] = {}
        self.outbox: dict[bytes, Outgoing] = {}
        self.written: list[bytes] = []
        self.sending = Sending()
        self.shown: list[bytes] = []
        self.next_expected = 1
        self.arrivals: Arrivals[Outgoing] = Arrivals()
        self.orderly = True
        """No loss goes unnoticed and no message demands its own route: then order is a promise."""

    @initialize(ways=st.sets(st.sampled_from(["direct", "relay"])), orderly=st.booleans())
    def begin(self, ways: set[str], orderly: bool) -> None:
        self.orderly = orderly
        self.ways = {way: Way() for way in ways}
        self.ways_changed()

    # --- the sender

    @rule(routes=st.lists(st.sampled_from(["auto", "auto", "direct", "relay"]), min_size=1, max_size=3))
    def write(self, routes: list[str]) -> None:
        """A person sends messages: each is in the outbox before it goes anywhere."""
        for route in routes:
            self.write_one("auto" if self.orderly else route)

    def write_one(self, route: str) -> None:
        seq = len(self.written) + 1
        message = Outgoing(seq.to_bytes(16, "big"), seq, "text", 0, route)
        self.written.append(message.id)
        self.outbox[message.id] = message
        self.sending.add(message)
        self.pump()

    def crash_sender(self) -> None:
        """kill -9: only the outbox is left, and every way ends."""
        self.sending = Sending()
        for message in self.outbox.values():
            self.sending.add(message)
        self.ways.clear()

    def pump(self) -> None:
        for dispatch in self.sending.to_send(self.now):
            self.ways[dispatch.way].there.append(dispatch)

    def ways_changed(self) -> None:
        self.sending.set_ways(DEVICE, {name: id(way) for name, way in self.ways.items()})
        self.pump()

    # --- the ways

    @rule(name=st.sampled_from(["direct", "relay"]), what=st.sampled_from("oooookkkksr"))
    def change(self, name: str, what: str) -> None:
        """A way opens or ends, or one side crashes."""
        if what == "o":
            self.open(name)
        elif what == "k":
            self.kill(name)
        elif what == "s":
            self.crash_sender()
        else:
            self.crash_receiver()

    def open(self, name: str) -> None:
        """A way appears, or a newer one replaces it."""
        self.ways[name] = Way()
        self.ways_changed()

    def kill(self, name: str) -> None:
        """A way ends, with all that is on it."""
        self.ways.pop(name, None)
        self.ways_changed()

    @precondition(lambda self: any(way.there or way.back for way in self.ways.values()))
    @rule(pick=st.integers(0, 3), count=st.integers(1, 3))
    def carry(self, pick: int, count: int) -> None:
        """The next few messages or receipts on one of the ways arrive."""
        for _ in range(count):
            moving = [(way, there) for way in self.ways.values() for there in (True, False)]
            moving = [(way, there) for way, there in moving if (way.there if there else way.back)]
            if not moving:
                return
            way, there = moving[pick % len(moving)]
            if there:
                self.arrive(way, way.there.popleft())
            else:
                self.confirmed(way.back.popleft())

    @precondition(lambda self: any(way.there or way.back for way in self.ways.values()))
    @rule(there=st.booleans())
    def lose_silently(self, there: bool) -> None:
        """Something gets lost although its way stands."""
        for way in self.ways.values():
            queue = way.there if there and not self.orderly else way.back
            if queue:
                queue.popleft()
                return

    @rule(seconds=st.sampled_from([0.1, 1.0, RESEND, RESEND_MAX]))
    def wait(self, seconds: float) -> None:
        """Time passes; the network is faster than that."""
        self.drain()
        self.now += seconds
        for message in self.arrivals.expire(self.now):
            self.show(message)
        self.pump()

    def drain(self) -> None:
        while any(way.there or way.back for way in self.ways.values()):
            for way in list(self.ways.values()):
                if way.there:
                    self.arrive(way, way.there.popleft())
                elif way.back:
                    self.confirmed(way.back.popleft())

    # --- the receiver

    def arrive(self, way: Way, dispatch: Dispatch) -> None:
        message = dispatch.message
        for ready in self.arrivals.arrived(message.seq, dispatch.oldest, message, self.now):
            self.show(ready)
            way.back.append(ready.id)

    def show(self, message: Outgoing) -> None:
        """The store: what it has, it drops; the next number is committed with the message."""
        if message.id not in self.shown:
            self.shown.append(message.id)
        self.next_expected = self.arrivals.expected

    def crash_receiver(self) -> None:
        """kill -9: what was held is gone, and every way ends."""
        self.arrivals = Arrivals(self.next_expected)
        self.ways.clear()
        self.ways_changed()

    def confirmed(self, message: bytes) -> None:
        self.sending.remove(message)
        self.outbox.pop(message, None)
        self.pump()

    # --- the promises

    @invariant()
    def nothing_is_shown_twice(self) -> None:
        assert len(self.shown) == len(set(self.shown))

    @invariant()
    def order_is_kept(self) -> None:
        if self.orderly:
            assert self.shown == sorted(self.shown)

    @invariant()
    def what_left_the_outbox_was_shown(self) -> None:
        assert set(self.written) - set(self.outbox) <= set(self.shown)

    def teardown(self) -> None:
        """Once both ways stand and stay, everything arrives, and soon nothing waits any more."""
        self.ways = {"direct": Way(), "relay": Way(), **self.ways}
        self.ways_changed()
        for _ in range(20):
            self.wait(RESEND_MAX)
        assert sorted(self.shown) == self.written
        assert not self.outbox
        assert len(self.sending) == 0
        self.order_is_kept()


class DeliveryTests(SynchronousTestCase):
    def test_nothing_is_lost_and_nothing_doubled_and_order_is_kept_however_ways_die(self) -> None:
        """Once and only once, over hundreds of histories of dying channels, sessions and processes."""
        run_state_machine_as_test(
            DeliveryMachine,
            settings=settings(
                max_examples=150,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
