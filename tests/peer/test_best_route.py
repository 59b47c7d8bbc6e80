"""Who hears of another route, and when."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import ROUTE_SETTLES, USERS_IN_USE
from p2pim.peer import events
from p2pim.peer.best_route import BestRoute, RouteWatch


class RouteWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.routes: dict[str, BestRoute] = {}
        self.told: list[tuple[str, str]] = []
        self.watch = RouteWatch(self.clock, lambda: 0.0, self.routes.get, self.emit)

    def emit(self, event: events.Event) -> None:
        assert isinstance(event, events.RouteChanged)
        self.told.append((event.user, event.kind))

    def goes(self, user: str, kind: str, rtt_ms: float | None = None) -> None:
        self.routes[user] = BestRoute(user, kind, rtt_ms=rtt_ms)
        self.watch.changed(user)

    def test_a_route_is_told_once_it_has_settled(self) -> None:
        """While paths race it changes often: only what holds is news."""
        for kind in ("relay", "udp", "tcp"):
            self.goes("bob", kind)
        self.assertEqual(self.told, [])
        self.clock.advance(ROUTE_SETTLES)
        self.assertEqual(self.told, [("bob", "tcp")])

    def test_the_same_route_is_no_news(self) -> None:
        """Whatever its round-trip time is now; nor is one that somebody was just shown."""
        self.watch.watch(BestRoute("bob", "tcp", rtt_ms=1.0))
        self.goes("bob", "tcp", 2.0)
        self.clock.advance(ROUTE_SETTLES)
        self.assertEqual(self.told, [])
        self.goes("bob", "relay")
        self.clock.advance(ROUTE_SETTLES)
        self.assertEqual(self.told, [("bob", "relay")])

    def test_losing_the_server_concerns_all_that_are_shown(self) -> None:
        """And coming back."""
        for user in ("bob", "carol"):
            self.watch.watch(BestRoute(user, "relay"))
            self.routes[user] = BestRoute(user, "none")
        self.watch.event(events.SessionInterrupted(at=0.0, reason="x"))
        self.clock.advance(ROUTE_SETTLES)
        self.assertEqual(self.told, [("bob", "none"), ("carol", "none")])

    def test_what_is_remembered_is_bounded_and_ends(self) -> None:
        """Nothing is told after the end."""
        for number in range(USERS_IN_USE + 10):
            self.watch.watch(BestRoute(f"u{number}", "relay"))
        self.assertEqual(len(self.watch._known), USERS_IN_USE)
        self.goes("bob", "tcp")
        self.watch.stop()
        self.clock.advance(1.0)
        self.assertEqual((self.told, self.clock.getDelayedCalls()), ([], []))
