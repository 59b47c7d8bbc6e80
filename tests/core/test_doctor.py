"""What the doctor makes of its findings."""

from __future__ import annotations

import json
from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.doctor import FILTERING_MEANS, MAPPING_MEANS, Circumstances, Report, examine, is_inside
from p2pim.core.nat_tests import (
    ADDRESS_AND_PORT_DEPENDENT,
    ADDRESS_DEPENDENT,
    BLOCKED,
    ENDPOINT_INDEPENDENT,
    NONE,
    PORT_INDEPENDENT,
    UNKNOWN,
    NatFindings,
)

MINE = ("203.0.113.9", 40_000)
LAN = ("192.168.1.2",)


def found(mapping: str, filtering: str, mapped: tuple[str, int] | None = MINE) -> NatFindings:
    return NatFindings(mapping, filtering, mapped, 0.0123, testable=True, other_heard=True)


def report(findings: NatFindings | None, **more: object) -> Report:
    given = {"p2p_server": "p2p.example.org:9901", "server": "chat.example.org:4530", "addresses": LAN, **more}
    return examine(Circumstances(found=findings, **given))  # type: ignore[arg-type]


def works(said: Report) -> dict[str, object]:
    return {rung.rung: rung.works for rung in said.rungs}


class DoctorTests(SynchronousTestCase):
    def test_udp_works_as_far_as_this_side_decides(self) -> None:
        """With everybody, with everybody but hard NATs, or with some."""
        for mapping, filtering, expected, whom in (
            (ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT, True, "works with everybody whose network"),
            (ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT, True, "works with everybody whose network"),
            (ENDPOINT_INDEPENDENT, ADDRESS_AND_PORT_DEPENDENT, True, "but those whose NAT maps every destination"),
            (ENDPOINT_INDEPENDENT, UNKNOWN, True, "but perhaps those"),
            (PORT_INDEPENDENT, PORT_INDEPENDENT, True, "unless this NAT minds addresses"),
            (ADDRESS_DEPENDENT, ADDRESS_DEPENDENT, "unknown", "both NATs map every destination to a new port"),
            (
                ADDRESS_AND_PORT_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT, "unknown",
                "both NATs map every destination to a new port",
            ),
            (UNKNOWN, UNKNOWN, "unknown", "does not tell"),
        ):  # fmt: skip
            rung = report(found(mapping, filtering)).rungs[2]
            self.assertEqual((rung.rung, rung.works), ("udp", expected), (mapping, filtering))
            self.assertIn(whom, rung.why)

    def test_without_udp_or_a_p2p_server_there_is_no_udp_rung(self) -> None:
        """Each with its own reason, and the relay all the same."""
        for said, why in (
            (report(found(BLOCKED, BLOCKED, None)), "drops UDP, or that server is away"),
            (report(None, p2p_server=None), "there is no P2P server"),
            (report(None, p2p_problem="nobody knows the name p2p.example.org"), "nobody knows the name"),
        ):
            self.assertIs(said.rungs[2].works, False)
            self.assertIn(why, said.rungs[2].why)
            self.assertIs(works(said)["relay"], True)
            self.assertTrue(said.advice)
            self.assertIsNone(said.public_address)

    def test_direct_tcp_needs_a_public_address_and_an_open_door(self) -> None:
        """Behind a NAT or a firewall it depends on the other side."""
        public = {"addresses": (MINE[0],)}
        self.assertIs(works(report(found(NONE, ENDPOINT_INDEPENDENT), **public))["tcp-direct"], True)
        self.assertEqual(works(report(found(NONE, ADDRESS_AND_PORT_DEPENDENT), **public))["tcp-direct"], "unknown")
        self.assertEqual(works(report(found(ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT)))["tcp-direct"], "unknown")
        firewalled = report(found(NONE, ADDRESS_AND_PORT_DEPENDENT), **public)
        self.assertIn("firewall", " ".join(firewalled.advice))

    def test_a_p2p_server_in_the_same_network_proves_little(self) -> None:
        """Seen at a private address: nothing is said about the internet."""
        inside = report(found(NONE, ENDPOINT_INDEPENDENT, ("192.168.1.2", 5)))
        self.assertEqual(works(inside)["tcp-direct"], "unknown")
        self.assertIn("same private network", inside.advice[0])
        here = report(found(NONE, ENDPOINT_INDEPENDENT, ("127.0.0.1", 5)))
        self.assertIn("this very machine", here.advice[0])

    def test_the_lan_rung_follows_the_machines_addresses(self) -> None:
        """Private: yes; public only: it depends; none: no."""
        for addresses, expected in ((LAN, True), ((MINE[0],), "unknown"), ((), False)):
            self.assertEqual(works(report(None, addresses=addresses))["tcp-lan"], expected)

    def test_what_is_switched_off_does_not_work(self) -> None:
        """By --channel; the relay is always there."""
        for channel, off in (("tcp", {"udp"}), ("udp", {"tcp-lan", "tcp-direct"}), ("none", {"udp", "tcp-lan"})):
            said = report(found(ENDPOINT_INDEPENDENT, ENDPOINT_INDEPENDENT), channel=channel)
            for rung in said.rungs:
                if rung.rung in off:
                    self.assertEqual((rung.works, f"--channel {channel}" in rung.why), (False, True))
            self.assertIs(works(said)["relay"], True)

    def test_the_relay_works_while_signed_in(self) -> None:
        """Else it is not known, or known why not."""
        self.assertEqual(works(report(None, server=""))["relay"], "unknown")
        said = report(None, server="", server_problem="it cannot be reached")
        self.assertIs(works(said)["relay"], False)
        self.assertIn("it cannot be reached", " ".join(said.advice))

    def test_ipv6_is_yes_no_or_not_tested(self) -> None:
        """A private IPv6 address is none."""
        self.assertIs(report(None).ipv6, False)
        self.assertIs(report(None, addresses=("fd00::1", "fe80::1")).ipv6, False)
        for reaches in (True, False, None):
            said = report(None, addresses=("2001:db8::1",), ipv6_reaches=reaches)
            self.assertEqual((said.ipv6, said.ipv6_address), (reaches, "2001:db8::1"))

    def test_silent_second_ports_are_told_to_the_operator(self) -> None:
        """Two different faults of a P2P server, told apart."""
        silent = NatFindings(UNKNOWN, UNKNOWN, MINE, 0.01, testable=True)
        self.assertIn("second port", " ".join(report(silent).advice))
        simple = NatFindings(UNKNOWN, UNKNOWN, MINE, 0.01)
        self.assertIn("offers no NAT tests", " ".join(report(simple).advice))

    def test_the_json_has_what_is_promised_for_all_findings(self) -> None:
        """Every combination gives a whole report, with a reason for each rung."""
        for mapping, filtering in product(MAPPING_MEANS, FILTERING_MEANS):
            mapped = None if BLOCKED in (mapping, filtering) else MINE
            value = json.loads(json.dumps(report(found(mapping, filtering, mapped)).as_json()))
            keys = ("mapping", "filtering", "public_address", "ipv6", "port_mapping", "p2p_server", "rungs", "advice")
            self.assertLessEqual(set(keys), set(value))
            self.assertEqual([rung["rung"] for rung in value["rungs"]], ["tcp-lan", "tcp-direct", "udp", "relay"])
            for rung in value["rungs"]:
                self.assertIn(rung["works"], (True, False, "unknown"))
                self.assertTrue(rung["why"])
            self.assertEqual(value["public_address"], mapped and mapped[0])

    def test_addresses_of_private_networks_are_known(self) -> None:
        """Those of carriers too."""
        for host in ("10.1.2.3", "172.31.0.1", "192.168.0.1", "100.64.0.1", "127.0.0.1", "fd00::1", "fe80::1", "::1"):
            self.assertTrue(is_inside(host), host)
        for host in ("198.51.100.20", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1", "no address"):
            self.assertFalse(is_inside(host), host)
