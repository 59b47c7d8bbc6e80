"""The allowance of hosts that have not answered."""

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core import limits
from p2pim.core.silent_hosts import SilentHosts


class SilentHostsTests(SynchronousTestCase):
    def test_a_host_gets_a_burst_and_then_a_trickle(self) -> None:
        """Another host has its own, and so has another user: nobody can use up what somebody else needs."""
        silent = SilentHosts()
        self.assertEqual(sum(silent.may_send("203.0.113.9", "bob", 5.0) for _ in range(1000)), limits.SILENT_HOST_BURST)
        self.assertTrue(silent.may_send("203.0.113.10", "bob", 5.0))
        self.assertTrue(silent.may_send("203.0.113.9", "carol", 5.0))
        later = sum(silent.may_send("203.0.113.9", "bob", 5.0 + tenth / 10) for tenth in range(100))
        self.assertLessEqual(later, 10 * limits.SILENT_HOST_RATE)

    def test_the_table_is_bounded(self) -> None:
        """Whoever names a whole network makes it no longer than that."""
        silent = SilentHosts()
        for number in range(5000):
            silent.may_send(f"10.0.{number >> 8}.{number & 255}", "bob", 1.0)
        self.assertLessEqual(len(silent._allowances), limits.SILENT_HOSTS)
