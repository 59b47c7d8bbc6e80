"""Queries between programs: who is asked, what counts as an answer, and what ends the waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import QUERIES_ANSWERED_PER_USER, QUERIES_WAITING, QUERY_BODY
from p2pim.errors import (
    NobodyAnswers,
    Offline,
    P2pimError,
    PeerRefused,
    QueryFailed,
    RecipientBusy,
    TimedOut,
    TooMany,
    Usage,
)
from p2pim.peer.queries import Queries
from p2pim.wire.signals import Query, Reply, Signal

DESK, PHONE = b"d" * 16, b"p" * 16


class Line:
    """The ways between alice and bob's two devices; what they send arrives at once."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.devices: dict[bytes, Queries] = {}
        self.direct: list[bytes] = []
        self.there = [DESK, PHONE]
        self.lost: set[bytes] = set()
        self.asked: list[bytes] = []
        self.alice = Queries(self.clock, self, 7)

    def bob(self, device: bytes) -> Queries:
        """One of bob's devices."""
        self.devices[device] = Queries(self.clock, Back(self, device), 1000)
        return self.devices[device]

    def direct_devices(self, user: str) -> list[bytes]:
        return self.direct

    async def devices_of(self, user: str) -> list[bytes]:
        return self.there

    def send(
        self, user: str, device: bytes, signal: Signal, on_failed: Callable[[P2pimError], None] | None = None
    ) -> None:
        assert isinstance(signal, Query)
        self.asked.append(device)
        if device in self.devices:
            self.devices[device].asked("alice", b"a" * 16, signal)
        elif device not in self.lost and on_failed is not None:
            self.clock.callLater(0, on_failed, Offline())


class Back(Line):
    """The way back from a device of bob's."""

    def __init__(self, line: Line, device: bytes) -> None:
        self.line, self.device = line, device

    def send(
        self, user: str, device: bytes, signal: Signal, on_failed: Callable[[P2pimError], None] | None = None
    ) -> None:
        assert isinstance(signal, Reply)
        self.line.alice.replied("bob", self.device, signal)


def upper(user: str, body: bytes) -> bytes:
    """The body in capitals, after who asked."""
    return user.encode() + b":" + body.upper()


class QueryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.line = Line()

    def ask(self, topic: str = "capitals", body: bytes = b"hello", timeout: float = 5.0) -> Deferred[bytes]:
        """Alice asks bob."""
        result = Deferred.fromCoroutine(self.line.alice.ask("bob", topic, body, timeout))
        self.line.clock.advance(0)
        return result

    def test_the_first_answer_counts(self) -> None:
        """Whichever device answers; one that is away, or has no such program, does not matter then."""
        self.line.bob(PHONE).answer("capitals", upper)
        self.assertEqual(self.successResultOf(self.ask()), b"alice:HELLO")
        self.line.bob(DESK)
        self.assertEqual(self.successResultOf(self.ask()), b"alice:HELLO")
        self.assertEqual(self.line.clock.getDelayedCalls(), [])

    def test_a_device_with_a_channel_is_asked_alone(self) -> None:
        """The best route there is."""
        self.line.direct = [PHONE]
        self.line.bob(PHONE).answer("capitals", upper)
        self.successResultOf(self.ask())
        self.assertEqual(self.line.asked, [PHONE])

    def test_nobody_there_and_nobody_who_answers_are_told_apart(self) -> None:
        """A person can do something about either; what a program said outranks that another device is away."""
        self.failureResultOf(self.ask(), Offline)
        self.line.bob(PHONE)
        self.failureResultOf(self.ask(), NobodyAnswers)
        self.line.there = []
        self.failureResultOf(self.ask(), Offline)

    def test_waiting_ends(self) -> None:
        """An answer that comes later is dropped."""
        waiting: Deferred[bytes] = Deferred()
        self.line.there = [PHONE]
        self.line.bob(PHONE).answer("capitals", lambda user, body: waiting)
        result = self.ask(timeout=5.0)
        self.line.clock.advance(4.9)
        self.assertNoResult(result)
        self.line.clock.advance(0.2)
        self.failureResultOf(result, TimedOut)
        waiting.callback(b"late")

    def test_a_handler_may_take_its_time_and_may_refuse(self) -> None:
        """What it raises as an error of p2pim is told; of anything else only that it failed."""
        errors: list[Exception] = [PeerRefused("not to you"), KeyError("secret")]

        def refuse(user: str, body: bytes) -> bytes:
            raise errors.pop(0)

        bob = self.line.bob(PHONE)
        end = bob.answer("capitals", refuse)
        self.assertEqual(self.failureResultOf(self.ask(), QueryFailed).value.message, "not to you")
        self.assertNotIn("secret", self.failureResultOf(self.ask(), QueryFailed).value.message)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        end()
        waiting: Deferred[bytes] = Deferred()
        bob.answer("capitals", lambda user, body: waiting)
        result = self.ask()
        self.assertNoResult(result)
        waiting.callback(b"at last")
        self.assertEqual(self.successResultOf(result), b"at last")

    def test_an_answer_counts_only_from_whom_was_asked(self) -> None:
        """Nobody answers in another's name, nor twice."""
        self.line.there, self.line.lost = [PHONE], {PHONE}
        result = self.ask()
        self.line.alice.replied("mallory", PHONE, Reply(8, b"lies"))
        self.line.alice.replied("bob", DESK, Reply(8, b"lies"))
        self.line.alice.replied("bob", PHONE, Reply(9, b"lies"))
        self.assertNoResult(result)
        self.line.alice.replied("bob", PHONE, Reply(8, b"truth"))
        self.line.alice.replied("bob", PHONE, Reply(8, b"again"))
        self.assertEqual(self.successResultOf(result), b"truth")

    def test_both_sides_are_bounded(self) -> None:
        """Queries that wait, queries of one user that are answered at once, and how long either is."""
        waiting: list[Deferred[bytes]] = []

        def later(user: str, body: bytes) -> Any:
            waiting.append(Deferred())
            return waiting[-1]

        self.line.there = [PHONE]
        self.line.bob(PHONE).answer("capitals", later)
        results = [self.ask() for _ in range(QUERIES_ANSWERED_PER_USER)]
        self.failureResultOf(self.ask(), RecipientBusy)
        for each in waiting:
            each.callback(b"x" * (QUERY_BODY + 1))
        for result in results:
            self.failureResultOf(result, QueryFailed)
        more = [self.ask()]
        self.assertNoResult(more[0])
        self.failureResultOf(self.ask(body=b"x" * (QUERY_BODY + 1)), Usage)
        self.line.devices.clear()
        self.line.lost = {PHONE}
        more += [self.ask() for _ in range(QUERIES_WAITING - 1)]
        self.failureResultOf(self.ask(), TooMany)
        self.line.alice.stop()
        for result in more:
            self.failureResultOf(result, Offline)

    def test_a_topic_has_one_answer(self) -> None:
        """Two programs that want the same one would take turns by chance."""
        bob = self.line.bob(PHONE)
        bob.answer("capitals", upper)
        self.assertRaises(Usage, bob.answer, "capitals", upper)
        self.assertRaises(Usage, bob.answer, "", upper)
