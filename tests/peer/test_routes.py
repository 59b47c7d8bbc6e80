"""By which way bulk goes, and how long it waits for a better one."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import BULK_PATIENCE
from p2pim.errors import NoDirectPath, NoRoute
from p2pim.peer.interfaces import IChannel
from p2pim.peer.people import People
from p2pim.peer.routes import Routes

ME, BOB = b"m" * 16, b"b" * 16


class Channel:
    def __init__(self, kind: str) -> None:
        self.kind, self.user, self.device = kind, "bob", BOB


class Channels:
    """A table in which direct channels come when the test says so, and relayed ones at once."""

    def __init__(self) -> None:
        self.direct: Any = None
        self.standing: list[Any] = []
        self.attempt: Deferred[None] = Deferred()
        self.attempts = 0
        self.reasons: tuple[tuple[str, str], ...] = ()

    def channel_to(self, user: str, device: bytes | None = None) -> Any:
        return self.direct

    def relay_channel_to(self, device: bytes) -> Any:
        return None

    def all(self) -> list[IChannel]:
        return self.standing

    def reasons_for(self, user: str) -> tuple[tuple[str, str], ...]:
        return self.reasons

    async def connect(self, user: str, *, wait: bool = True) -> Any:
        self.attempts += 1
        waiting: Deferred[None] = Deferred()
        self.attempt.addCallbacks(waiting.callback, waiting.errback)
        await waiting
        return self.direct

    async def open_relay(self, user: str, device: bytes) -> Any:
        return Channel("relay")


class BulkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.channels = Channels()

        async def look_up(user: str) -> object:
            raise NotImplementedError

        self.routes = Routes(
            People(ME), cast(Any, None), cast(Any, None), self.channels, look_up, "server", self.clock, new_id=bytes
        )

    def need(self, route: str = "auto") -> Deferred[IChannel]:
        return Deferred.fromCoroutine(self.routes.need_bulk_channel("bob", BOB, route))

    def test_a_direct_channel_that_comes_soon_is_waited_for(self) -> None:
        """It spares the move."""
        needed = self.need()
        self.clock.advance(BULK_PATIENCE / 2)
        self.assertNoResult(needed)
        self.channels.direct = Channel("udp")
        self.channels.attempt.callback(None)
        self.assertEqual(self.successResultOf(needed).kind, "udp")

    def test_one_that_takes_long_is_not(self) -> None:
        """The bytes go by relay, and the attempt goes on."""
        needed = self.need()
        self.clock.advance(BULK_PATIENCE)
        self.assertEqual(self.successResultOf(needed).kind, "relay")
        self.assertFalse(self.channels.attempt.called)

    def test_one_that_cannot_be_had_is_not_waited_for(self) -> None:
        """Neither when that turns out nor when it is known."""
        needed = self.need()
        self.channels.attempt.errback(NoDirectPath())
        self.assertEqual(self.successResultOf(needed).kind, "relay")
        self.channels.reasons = (("udp", "nothing came"),)
        self.assertEqual(self.successResultOf(self.need()).kind, "relay")
        self.assertEqual(self.channels.attempts, 1)

    def test_beside_a_silent_channel_nothing_is_waited_for(self) -> None:
        """What went over it has waited long enough."""
        self.channels.standing = [Channel("udp")]
        self.assertEqual(self.successResultOf(self.need()).kind, "relay")
        self.assertEqual(self.channels.attempts, 0)

    def test_who_wants_it_directly_waits_to_the_end(self) -> None:
        """And gets an error, not a relay."""
        needed = self.need("direct")
        self.clock.advance(10 * BULK_PATIENCE)
        self.assertNoResult(needed)
        self.channels.attempt.errback(NoDirectPath())
        self.failureResultOf(needed, NoRoute)
