"""Which addresses are dialled, and in which order."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.candidates import (
    DIRECT_RUNG,
    LAN_RUNG,
    UDP_RUNG,
    Surroundings,
    choose,
    host_candidates,
    refusal,
    rung_of,
    same_lan,
    split_address,
)
from p2pim.core.limits import CANDIDATES, DIALS_PER_NEGOTIATION
from p2pim.wire.signals import Candidate

AROUND = Surroundings(frozenset({("192.168.1.2", 5000)}), ("192.168.1.1", 4530), loopback=False)


def host(address: str, port: int = 6000, priority: int = 0) -> Candidate:
    return Candidate("host", "tcp", address, port, priority)


class RefusalTests(SynchronousTestCase):
    def test_addresses_of_peers_pass(self) -> None:
        """Private, public, link-local with its interface, unique local."""
        for address in ("192.168.1.7", "10.1.2.3", "8.8.8.8", "169.254.3.4", "fd00::7", "2001:4860::1", "fe80::1%eth0"):
            self.assertEqual(refusal(host(address), AROUND), "", address)

    def test_what_is_no_single_machine_does_not(self) -> None:
        """Nobody can make this peer call a group."""
        for address in ("0.0.0.0", "::", "224.0.0.251", "ff02::fb", "255.255.255.255", "240.0.0.1"):
            self.assertIn("one machine", refusal(host(address), AROUND), address)

    def test_loopback_passes_only_when_the_server_is_there(self) -> None:
        """Else it would be this machine's own services, under whatever spelling."""
        for address in ("127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"):
            self.assertIn("loopback", refusal(host(address), AROUND), address)
            self.assertEqual(refusal(host(address), Surroundings(loopback=True)), "", address)

    def test_myself_and_the_server_are_not_dialled(self) -> None:
        """Also when written as IPv4 in IPv6."""
        for address in ("192.168.1.2", "::ffff:192.168.1.2"):
            self.assertIn("my own", refusal(host(address, 5000), AROUND))
        self.assertIn("server", refusal(host("192.168.1.1", 4530), AROUND))
        self.assertEqual(refusal(host("192.168.1.2", 5001), AROUND), "")

    def test_names_and_link_local_without_interface_are_not_dialled(self) -> None:
        """A name would make this peer ask its resolver for a stranger."""
        self.assertIn("no IP address", refusal(host("router.lan"), AROUND))
        self.assertIn("link-local", refusal(host("fe80::1"), AROUND))

    def test_ports_of_services_are_not_dialled(self) -> None:
        """No peer listens there."""
        self.assertIn("services", refusal(host("192.168.1.7", 25), AROUND))


class ChooseTests(SynchronousTestCase):
    def test_the_best_go_first(self) -> None:
        """Priority, then IPv6."""
        given = [host("10.0.0.1"), host("fd00::1"), host("10.0.0.2", priority=5)]
        chosen, refused = choose(given, AROUND)
        self.assertEqual([each.host for each in chosen], ["10.0.0.2", "fd00::1", "10.0.0.1"])
        self.assertEqual(refused, [])

    def test_one_address_is_dialled_once(self) -> None:
        """However it is spelled."""
        chosen, _ = choose([host("10.0.0.1"), host("::ffff:10.0.0.1"), host("10.0.0.1")], AROUND)
        self.assertEqual(len(chosen), 1)

    @given(
        st.lists(
            st.builds(
                Candidate,
                st.sampled_from(["host", "reflexive", "mapped", "x"]),
                st.sampled_from(["tcp", "udp", "x"]),
                st.ip_addresses().map(str) | st.text(max_size=20),
                st.integers(1, 65535),
                st.integers(-5, 5),
            ),
            max_size=64,
        )
    )
    def test_whatever_comes_few_and_only_proper_addresses_are_dialled(self, candidates: list[Candidate]) -> None:
        """The bound and the rules hold for any list, and each candidate is either chosen or refused with a reason."""
        chosen, refused = choose(candidates, AROUND)
        self.assertLessEqual(len(chosen), DIALS_PER_NEGOTIATION)
        for each in chosen:
            address = ip_address(each.host)
            self.assertFalse(address.is_multicast or address.is_unspecified or address.is_loopback)
        self.assertTrue(all(reason for _, reason in refused))
        self.assertLessEqual(len(chosen) + len(refused), len(candidates))
        self.assertGreaterEqual(len(refused), len(candidates) - CANDIDATES)


class SameLanTests(SynchronousTestCase):
    def test_private_networks_reaching_each_other_are_one_lan(self) -> None:
        """An office routes between its networks, and there is no NAT between."""
        for one, other, same in (
            ("192.168.1.2", "192.168.1.7", True),
            ("10.0.0.2", "192.168.1.7", True),
            ("127.0.0.1", "127.0.0.1", True),
            ("127.0.0.1", "192.168.1.7", False),
            ("192.168.1.2", "8.8.8.8", False),
            ("8.8.8.8", "8.8.8.9", True),
            ("8.8.8.8", "8.8.9.9", False),
            ("fd00::1", "fd00::2", True),
            ("fd00::1", "10.0.0.1", False),
            ("::ffff:10.0.0.1", "10.0.0.1", True),
            ("2001:4860::1", "2001:4860::2", True),
            ("nonsense", "10.0.0.1", False),
        ):
            self.assertEqual(same_lan(one, other), same, (one, other))
            self.assertEqual(same_lan(other, one), same, (other, one))


class AddressTests(SynchronousTestCase):
    def test_addresses_are_split_as_they_are_written(self) -> None:
        """And what is none gives None."""
        self.assertEqual(split_address("10.0.0.1:4530"), ("10.0.0.1", 4530))
        self.assertEqual(split_address("[fd00::1]:4530"), ("fd00::1", 4530))
        for text in ("", "10.0.0.1", "host:1", "10.0.0.1:0", "10.0.0.1:70000", "10.0.0.1:x"):
            self.assertIsNone(split_address(text), text)

    def test_candidates_belong_to_rungs(self) -> None:
        """By transport and by how far away they are."""
        self.assertEqual(rung_of(host("192.168.1.7")), LAN_RUNG)
        self.assertEqual(rung_of(host("8.8.8.8")), DIRECT_RUNG)
        self.assertEqual(rung_of(Candidate("host", "udp", "8.8.8.8", 1)), UDP_RUNG)
        mine = host_candidates({("10.0.0.1", 4000), ("fe80::1%eth0", 4000)})
        self.assertEqual([each.host for each in mine], ["10.0.0.1"])
