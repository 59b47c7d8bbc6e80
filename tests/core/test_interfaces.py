"""Twelve container bridges do not crowd out the real one."""

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.interfaces import Interface, worth_telling

REAL = Interface("wlan0", "192.168.1.7")
LOOP = Interface("lo", "127.0.0.1")


class WorthTellingTests(SynchronousTestCase):
    def test_bridges_of_containers_are_left_out(self) -> None:
        """However many there are."""
        bridges = [Interface(f"br-{n:x}", f"172.{17 + n}.0.1") for n in range(12)] + [
            Interface("docker0", "172.17.0.1")
        ]
        self.assertEqual(worth_telling([*bridges, REAL, LOOP], "192.168.1.7"), ["192.168.1.7"])

    def test_the_address_towards_the_server_comes_first(self) -> None:
        """It is known to lead somewhere, even if it looks virtual."""
        others = [Interface("eth1", "10.0.0.5"), Interface("docker0", "172.17.0.2")]
        self.assertEqual(worth_telling([*others, REAL], "172.17.0.2"), ["172.17.0.2", "10.0.0.5", "192.168.1.7"])

    def test_loopback_is_told_only_to_those_who_may_be_on_this_machine(self) -> None:
        """That is, when the server is."""
        self.assertEqual(worth_telling([LOOP, REAL], "127.0.0.1"), ["127.0.0.1", "192.168.1.7"])
        self.assertEqual(worth_telling([LOOP, REAL], "192.168.1.7"), ["192.168.1.7"])

    def test_few_addresses_of_each_family_are_told(self) -> None:
        """Link-local ones and nonsense never."""
        many = [Interface(f"eth{n}", f"10.0.{n}.1") for n in range(9)]
        many += [Interface(f"eth{n}", f"2001:db8::{n + 1}") for n in range(9)]
        many += [Interface("eth0", "fe80::1"), Interface("eth0", "169.254.1.1"), Interface("eth0", "nonsense")]
        told = worth_telling(many, "10.0.0.1")
        self.assertEqual(len([host for host in told if "." in host]), 3)
        self.assertEqual(len([host for host in told if ":" in host]), 2)
        self.assertEqual(told[0], "10.0.0.1")
