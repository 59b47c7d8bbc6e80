"""While nothing can be stored this device is away, and comes back when something can."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import STORE_PROBE, STORE_PROBE_MAX
from p2pim.errors import DatabaseDown
from p2pim.peer.store_watch import StoreWatch


class StoreWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.broken = True
        self.probes: list[float] = []
        self.left: list[str] = []
        self.back = 0
        self.watch = StoreWatch(self.clock, Random(1), self.probe, self.left.append, self.come_back)

    def probe(self) -> Deferred[None]:
        self.probes.append(self.clock.seconds())
        return fail(DatabaseDown()) if self.broken else succeed(None)

    def come_back(self) -> None:
        self.back += 1

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)

    def test_it_leaves_once_and_comes_back_when_a_write_goes_through(self) -> None:
        """However often something fails meanwhile."""
        self.watch.failed("the disk is full")
        self.watch.failed("the disk is full")
        self.run_for(60)
        self.assertEqual((self.left, self.back), (["the disk is full"], 0))
        self.broken = False
        self.run_for(2 * STORE_PROBE_MAX)
        self.assertEqual(self.back, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_tries_soon_and_then_less_often_within_a_bound(self) -> None:
        """Messages flow again soon after there is room."""
        self.watch.failed("the disk is full")
        self.run_for(100)
        self.assertLessEqual(self.probes[0], 2 * STORE_PROBE)
        gaps = [later - earlier for earlier, later in zip(self.probes, self.probes[1:], strict=False)]
        self.assertLessEqual(max(gaps), 1.5 * STORE_PROBE_MAX + 0.2)
        self.assertLess(len(self.probes), 2 * 100 / STORE_PROBE_MAX)

    def test_what_fails_right_after_it_came_back_is_left_for_again(self) -> None:
        """There was room for a little only."""
        self.broken = False
        for _ in range(3):
            self.watch.failed("the disk is full")
            self.run_for(2 * STORE_PROBE_MAX)
        self.assertEqual((len(self.left), self.back), (3, 3))

    def test_once_stopped_it_does_nothing(self) -> None:
        """No timer is left, and nobody comes back."""
        self.watch.failed("the disk is full")
        self.watch.stop()
        self.broken = False
        self.run_for(10)
        self.watch.failed("the disk is full")
        self.assertEqual((self.probes, len(self.left), self.back), ([], 1, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])
