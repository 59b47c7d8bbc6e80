"""When a peer looks for a direct channel without being asked."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import DIRECT_RETRY, DIRECT_RETRY_FIRST, USED_RECENTLY, USERS_IN_USE
from p2pim.peer.attempts import Attempt, no_direct_path
from p2pim.peer.interfaces import IChannel
from p2pim.peer.upkeep import Upkeep
from p2pim.wire.messages import Message


class Table:
    """Channels that come when the test says so; every attempt takes five seconds."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.channels: set[str] = set()
        self.begun: list[tuple[str, float]] = []

    def all(self) -> list[IChannel]:
        return []

    def channel_to(self, user: str, device: bytes | None = None) -> Any:
        return object() if user in self.channels else None

    def connect_soon(self, user: str) -> Attempt:
        self.begun.append((user, self.clock.seconds()))
        attempt = Attempt(user)
        self.clock.callLater(5.0, attempt.settle, no_direct_path(user, (("udp", "nothing came"),)))
        return attempt

    def connect_device(self, user: str, device: bytes) -> Deferred[Any]:
        raise NotImplementedError

    async def request(self, message_factory: object) -> Message:
        raise NotImplementedError


class LostChannelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.table = Table(self.clock)
        self.upkeep = Upkeep(
            self.clock, self.table, self.table, b"me", Random(1), lambda kind, user, text: None, lan=False
        )
        self.upkeep.signed_in(("192.0.2.1", 4530))

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.25] * int(seconds * 4))

    def waits(self, user: str) -> list[float]:
        """Between the end of each attempt and the next."""
        times = [at for name, at in self.table.begun if name == user]
        return [later - earlier - 5.0 for earlier, later in zip(times, times[1:], strict=False)]

    def test_another_one_is_looked_for_at_once_and_then_ever_less_often(self) -> None:
        """The waits double, each spread by half, up to the usual one."""
        self.upkeep.lost("bob")
        self.assertEqual(self.table.begun, [("bob", 0.0)])
        for _ in range(3):
            self.pass_time(USED_RECENTLY - 1)
            self.upkeep.used("bob")
        window = DIRECT_RETRY_FIRST
        for wait in self.waits("bob"):
            self.assertGreaterEqual(wait, 0.5 * window - 0.3)
            self.assertLessEqual(wait, 1.5 * window + 0.3)
            window = min(2 * window, DIRECT_RETRY)
        self.assertEqual(window, DIRECT_RETRY)

    def test_it_ends_when_a_channel_is_found(self) -> None:
        """And begins anew with the next loss."""
        self.upkeep.lost("bob")
        self.pass_time(6)
        self.table.channels.add("bob")
        self.upkeep.found("bob")
        before = len(self.table.begun)
        self.pass_time(120)
        self.assertEqual(len(self.table.begun), before)
        self.table.channels.clear()
        self.upkeep.lost("bob")
        self.assertEqual(len(self.table.begun), before + 1)

    def test_it_ends_when_nobody_has_used_it_for_long(self) -> None:
        """A channel that nobody misses is not looked for."""
        self.upkeep.lost("bob")
        self.pass_time(2 * USED_RECENTLY)
        last = self.table.begun[-1][1]
        self.assertLessEqual(last, USED_RECENTLY)
        self.assertEqual(self.clock.getDelayedCalls()[1:], [])

    def test_losing_it_twice_does_not_look_twice(self) -> None:
        """First it is silent, then it is dead."""
        self.upkeep.lost("bob")
        self.upkeep.lost("bob")
        self.assertEqual(len(self.table.begun), 1)

    def test_without_the_server_nothing_is_tried_and_with_it_again_at_once(self) -> None:
        """Nobody could introduce us."""
        self.upkeep.interrupted()
        self.upkeep.lost("bob")
        self.pass_time(30)
        self.assertEqual(self.table.begun, [])
        self.upkeep.signed_in(("192.0.2.1", 4530))
        self.assertEqual(len(self.table.begun), 1)

    def test_there_is_room_for_so_many(self) -> None:
        """The one missed for longest is left to the usual round."""
        for number in range(USERS_IN_USE + 10):
            self.upkeep.lost(f"user{number}")
        self.upkeep.stop()
        self.pass_time(60)
        self.assertEqual(len(self.table.begun), USERS_IN_USE + 10)
        self.assertEqual(self.clock.getDelayedCalls(), [])
