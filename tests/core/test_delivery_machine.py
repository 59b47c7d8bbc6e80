"""Delivery to several devices over ways that die at random, with crashes of everybody: nothing lost, nothing doubled.

The model: a sender with a durable outbox, two devices of the recipient and one more of the sender, each with a durable
store; for each of these a channel that may come and go; and a server that keeps for them what it cannot forward in
mailboxes, and may crash as well. What is only in memory (`Sending`, what is on its way, what the server has forwarded
and not heard of again) is thrown away at a crash. Each copy was sealed once, with the number that was then the oldest
unconfirmed, and can be opened once by each device: after that it is known by its id alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

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

from p2pim.core.delivery import DELIVERED, DIRECT, RELAY, STORED, Outgoing, Sending, Target
from p2pim.core.limits import RESEND, RESEND_MAX
from tests.core.delivery_world import Copy, Device, Server, Way

LAPTOP, PHONE, TABLET = ("bob", b"l" * 16), ("bob", b"p" * 16), ("alice", b"t" * 16)
THEIRS = (LAPTOP, PHONE)


class DeliveryMachine(RuleBasedStateMachine):
    """Everything that may happen to a conversation."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.written: list[Outgoing] = []
        self.disk: dict[tuple[Target, int], tuple[Copy, str]] = {}
        """The sender's copies, and what is known of each."""
        self.states: dict[bytes, str] = {}
        self.sending = Sending()
        self.devices = {target: Device() for target in (*THEIRS, TABLET)}
        self.server = {target: Server() for target in self.devices}
        self.channels: dict[Target, Way] = {}
        self.answers: deque[tuple[Target, bytes, str]] = deque()
        """What the server has to say to the sender."""
        self.connected = 1
        """The sender's session, 0 for none."""
        self.sessions = 1
        self.orderly = True
        """Nothing is lost on a way that stands and no message demands its own route: then order is a promise."""
        self.overtaken: set[Target] = set()
        self.change_ways()

    @initialize(online=st.sets(st.sampled_from([LAPTOP, PHONE, TABLET])), orderly=st.booleans())
    def begin(self, online: set[Target], orderly: bool) -> None:
        self.orderly = orderly
        for target in sorted(online):
            self.sign_in(target)

    # --- the sender

    @rule(routes=st.lists(st.sampled_from(["auto", "auto", "relay", "direct"]), min_size=1, max_size=3))
    def write(self, routes: list[str]) -> None:
        """A person writes: the message and its sealed copies are on disk before anything goes."""
        for route in routes:
            self.write_one("auto" if self.orderly else route)

    def write_one(self, route: str) -> None:
        targets = list(self.devices)
        if route == "direct":
            targets = [target for target in targets if target in self.channels]
        if not any(target in THEIRS for target in targets):
            return
        seq = len(self.written) + 1
        message = Outgoing(seq.to_bytes(16, "big"), seq, "text", 0, route)
        self.written.append(message)
        self.states[message.id] = "sent"
        for target in targets:
            oldest = min([number for each, number in self.disk if each == target], default=seq)
            self.disk[target, seq] = (Copy(message, oldest), "waiting")
        self.sending.add(message, [t for t in targets if t in THEIRS], [t for t in targets if t == TABLET])
        self.pump()

    def crash_sender(self) -> None:
        """kill -9: only the disk is left, and every way ends."""
        self.channels.clear()
        self.forget_answers()
        self.sessions += 1
        self.connected = self.sessions
        self.sending = Sending()
        for message in self.written:
            copies = {target: state for (target, seq), (_, state) in self.disk.items() if seq == message.seq}
            if copies or self.states[message.id] != DELIVERED:
                theirs = [target for target in copies if target in THEIRS]
                mine = [target for target in copies if target == TABLET]
                self.sending.add(message, theirs, mine, state=self.states[message.id])
                for target in [target for target in copies if copies[target] == STORED]:
                    self.sending.in_mailbox(target, message.id)
        self.change_ways()

    def pump(self) -> None:
        for dispatch in self.sending.to_send(self.now):
            copy, _ = self.disk[dispatch.target, dispatch.message.seq]
            if dispatch.way == DIRECT:
                self.note_overtaking(dispatch.target)
                self.channels[dispatch.target].there.append(copy)
            else:
                self.serve(dispatch.target, copy)

    def note_overtaking(self, target: Target) -> None:
        """Without the server the mailbox is not waited for: then order is not promised to this device."""
        if not self.connected and any(state == STORED for (each, _), (_, state) in self.disk.items() if each == target):
            self.overtaken.add(target)

    def change_ways(self) -> None:
        for target in self.devices:
            ways: dict[str, Hashable] = {RELAY: self.connected} if self.connected else {}
            if target in self.channels:
                ways[DIRECT] = id(self.channels[target])
            self.sending.set_ways(target, ways)
        self.pump()

    def heard(self, target: Target, message: bytes, state: str) -> None:
        """A receipt, or the server's word: on disk first."""
        if not self.sending.has_copy(target, message):
            return
        seq = int.from_bytes(message, "big")
        news = self.sending.settle(target, message, state, self.now)
        if state == DELIVERED:
            self.disk.pop((target, seq), None)
        else:
            self.disk[target, seq] = (self.disk[target, seq][0], STORED)
        if news is not None:
            self.states[message] = news

    # --- the server

    def serve(self, target: Target, copy: Copy) -> None:
        """Forward it to a device that is there and whose mailbox is empty, else commit it to the mailbox."""
        server = self.server[target]
        if copy.message.id in server.gone or copy in server.mailbox:
            self.answers.append((target, copy.message.id, STORED))
        elif server.session is not None and not server.mailbox:
            server.forwarded[copy.message.id] = copy
            server.session.there.append(copy)
        else:
            server.mailbox.append(copy)
            self.answers.append((target, copy.message.id, STORED))

    def sign_in(self, target: Target) -> None:
        """A device comes, or a newer session of it replaces the old one; it reads its mailbox by and by."""
        self.sign_out(target)
        self.server[target].session = Way()

    def sign_out(self, target: Target) -> None:
        """It goes: what was forwarded and not confirmed goes to the mailbox, in order."""
        server = self.server[target]
        if server.session is None:
            return
        server.session = None
        for copy in server.forwarded.values():
            if copy not in server.mailbox:
                server.mailbox.append(copy)
                self.answers.append((target, copy.message.id, STORED))
        server.forwarded.clear()

    def crash_server(self) -> None:
        """kill -9: only the mailboxes are left, and every session ends."""
        self.forget_answers()
        for server in self.server.values():
            server.session = None
            server.forwarded.clear()
        self.connected = 0
        self.change_ways()

    def forget_answers(self) -> None:
        """Nobody hears them any more; but receipts by mail wait for the sender, and are repeated in a new session."""
        self.answers = deque(answer for answer in self.answers if answer[2] == DELIVERED)

    def read_mail(self, target: Target, count: int) -> None:
        """A page: stored, confirmed by mail, which goes ahead of the acknowledgement, then deleted."""
        server, device = self.server[target], self.devices[target]
        if server.session is None:
            return
        for _ in range(min(count, len(server.mailbox))):
            copy = server.mailbox[0]
            device.take(copy, self.now)
            self.answers.append((target, copy.message.id, DELIVERED))
            server.mailbox.popleft()
            server.gone.add(copy.message.id)

    # --- ways, and what happens on them

    @rule(
        who=st.sampled_from([LAPTOP, PHONE, TABLET]),
        what=st.sampled_from(["channel", "channel", "close", "in", "in", "out", "mail", "mail", "mail", "crash"]),
    )
    def change(self, who: Target, what: str) -> None:
        """Something happens at one device."""
        target = who
        if what == "channel" and target != TABLET:
            self.channels[target] = Way()
        elif what in ("close", "crash"):
            self.channels.pop(target, None)
        if what == "in":
            self.sign_in(target)
        elif what in ("out", "crash"):
            self.sign_out(target)
        elif what == "mail":
            self.read_mail(target, 2)
        self.change_ways()

    @rule(what=st.sampled_from(["sender", "server", "session", "session"]))
    def trouble(self, what: str) -> None:
        """A crash, or the sender's session is lost and comes back."""
        if what == "sender":
            self.crash_sender()
        elif what == "server":
            self.crash_server()
        else:
            self.sessions += 1
            self.connected = 0 if self.connected else self.sessions
            if not self.connected:
                self.forget_answers()
            self.change_ways()

    def moving(self) -> list[tuple[Target, Way, str]]:
        """Where something can arrive."""
        ways = [(target, way, DIRECT) for target, way in self.channels.items()]
        ways += [(target, server.session, RELAY) for target, server in self.server.items() if server.session]
        return [(target, way, kind) for target, way, kind in ways if way.there or way.back]

    @precondition(lambda self: bool(self.moving() or self.answers))
    @rule(pick=st.integers(0, 5), count=st.integers(1, 3), back=st.booleans())
    def carry(self, pick: int, count: int, back: bool) -> None:
        """The next few things somewhere arrive."""
        for _ in range(count):
            places = self.moving()
            if self.connected and self.answers and pick % (len(places) + 1) == len(places):
                self.heard(*self.answers.popleft())
            elif places:
                self.arrive(*places[pick % len(places)], back=back)
        self.pump()

    def arrive(self, target: Target, way: Way, kind: str, *, back: bool) -> None:
        if way.back and (back or not way.there):
            message = way.back.popleft()
            if kind == DIRECT or self.connected:
                self.heard(target, message, DELIVERED)
            return
        copy = way.there.popleft()
        self.devices[target].take(copy, self.now)
        way.back.append(copy.message.id)
        if kind == RELAY:
            self.server[target].forwarded.pop(copy.message.id, None)

    @precondition(lambda self: bool(self.moving()))
    @rule(there=st.booleans())
    def lose_silently(self, there: bool) -> None:
        """Something gets lost although its way stands."""
        _, way, _ = self.moving()[0]
        queue = way.there if there and not self.orderly else way.back
        if queue:
            queue.popleft()

    @rule(seconds=st.sampled_from([0.1, 1.0, RESEND, RESEND_MAX]))
    def wait(self, seconds: float) -> None:
        """Time passes; the network is faster than that, and devices that are there read their mail."""
        self.drain()
        self.now += seconds
        for device in self.devices.values():
            device.expire(self.now)
        self.pump()

    def drain(self) -> None:
        while (
            self.moving()
            or (self.answers and self.connected)
            or any(s.session and s.mailbox for s in self.server.values())
        ):
            for place in self.moving():
                self.arrive(*place, back=False)
            for target in self.devices:
                self.read_mail(target, 1)
            if self.answers and self.connected:
                self.heard(*self.answers.popleft())
            self.pump()

    # --- the promises

    @invariant()
    def nothing_is_shown_twice(self) -> None:
        for device in self.devices.values():
            assert len(device.shown) == len(set(device.shown))

    @invariant()
    def order_is_kept(self) -> None:
        for target, device in self.devices.items():
            if self.orderly and target not in self.overtaken:
                assert device.shown == sorted(device.shown)

    @invariant()
    def what_counts_as_delivered_was_stored_by_a_device(self) -> None:
        for message in self.written:
            if self.states[message.id] == DELIVERED:
                kept = [self.devices[target] for target in THEIRS]
                early = {each.id for device in kept for _, each in device.early.values()}
                assert any(message.id in device.shown for device in kept) or message.id in early

    @invariant()
    def what_left_the_outbox_is_with_its_device(self) -> None:
        for message in self.written:
            if message.route != "direct":
                for target, device in self.devices.items():
                    kept = {*device.shown, *(early.id for _, early in device.early.values())}
                    assert (target, message.seq) in self.disk or message.id in kept

    def teardown(self) -> None:
        """Once everything stands and stays, all arrives everywhere, and soon nothing waits any more."""
        self.sessions += 1
        self.connected = self.sessions
        for target in self.devices:
            if self.server[target].session is None:
                self.sign_in(target)
        for target in THEIRS:
            self.channels.setdefault(target, Way())
        self.change_ways()
        for _ in range(20):
            self.wait(RESEND_MAX)
        for target, device in self.devices.items():
            due = [m.id for m in self.written if m.route != "direct"]
            assert set(due) <= set(device.shown), target
        assert not [key for key in self.disk if key[0] in self.channels or self.connected]
        assert len(self.sending) == 0
        self.order_is_kept()


class DeliveryTests(SynchronousTestCase):
    def test_nothing_is_lost_and_nothing_doubled_and_order_is_kept_whoever_dies(self) -> None:
        """Once and only once on every device, over hundreds of histories of dying ways and processes."""
        run_state_machine_as_test(
            DeliveryMachine,
            settings=settings(
                max_examples=150,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
