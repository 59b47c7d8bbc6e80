"""A change of the network is noticed, and nothing else is."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.interfaces import Interface
from p2pim.core.limits import NETWORK_WATCH
from p2pim.peer.network_watch import NetworkWatch

WIRE, RADIO = Interface("eth0", "192.168.1.7"), Interface("wlan0", "10.0.0.5")


class NetworkWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.there, self.changes = Clock(), [WIRE], 0
        self.watch = NetworkWatch(self.clock, lambda: list(self.there), self.noticed)
        self.watch.start()
        self.addCleanup(self.watch.stop)

    def noticed(self) -> None:
        self.changes += 1

    def test_nothing_is_said_while_nothing_changes(self) -> None:
        """However often it looks, and in whatever order the system tells."""
        self.there = [RADIO, WIRE]
        self.watch.start()
        self.there = [WIRE, RADIO]
        self.clock.pump([NETWORK_WATCH] * 5)
        self.assertEqual(self.changes, 0)

    def test_an_address_that_comes_or_goes_is_a_change(self) -> None:
        """Each time once."""
        self.there = [WIRE, RADIO]
        self.clock.pump([NETWORK_WATCH] * 3)
        self.assertEqual(self.changes, 1)
        self.there = [RADIO]
        self.clock.pump([NETWORK_WATCH] * 3)
        self.assertEqual(self.changes, 2)

    def test_a_stopped_watch_leaves_nothing_behind(self) -> None:
        """No timer."""
        self.watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
