"""``p2pim doctor`` on the command line."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.doctor import Circumstances, examine
from p2pim.core.nat_tests import NatFindings
from p2pim.errors import NotSignedIn
from tests.cli.fakes import Called, FakeBackend

SYMMETRIC = NatFindings(
    "address-and-port-dependent", "address-and-port-dependent", ("203.0.113.9", 5), 0.0123, testable=True,
    other_heard=True,
)  # fmt: skip


def a_report(**more: Any) -> dict[str, Any]:
    given = {"found": SYMMETRIC, "p2p_server": "p2p.example.org:9901", "server": "chat.example.org:4530", **more}
    return examine(Circumstances(**given)).as_json()


class DoctorCommandTests(SynchronousTestCase):
    def test_people_get_words_reasons_and_advice(self) -> None:
        """Within a hundred columns."""
        called = Called(FakeBackend({"doctor": a_report(addresses=("192.168.1.2",))}), "doctor")
        self.assertEqual((called.status, called.online), (0, [True]))
        for text in (
            "p2p.example.org:9901, 12.3 ms away", "203.0.113.9", "a new public port for each destination", "udp",
            "depends", "not tried by this version", "* This is the hardest kind of NAT", "no global address",
        ):  # fmt: skip
            self.assertIn(text, " ".join(called.out.split()) if " " in text else called.out)
        self.assertLessEqual(max(map(len, called.out.splitlines())), 100)

    def test_programs_get_the_report(self) -> None:
        """As it is."""
        report = a_report()
        called = Called(FakeBackend({"doctor": report}), "doctor", "--json")
        self.assertEqual(called.objects, [report])

    def test_a_named_p2p_server_is_passed_on(self) -> None:
        """It outranks the others, for this once."""
        backend = FakeBackend({"doctor": a_report()})
        Called(backend, "doctor", "--p2p-server", "192.0.2.1:9901")
        self.assertEqual(backend.asked, [("doctor", {"p2p_server": "192.0.2.1:9901", "server_problem": ""})])

    def test_without_the_server_it_works_on_when_a_p2p_server_is_named(self) -> None:
        """The server's absence is part of the report."""
        backend = FakeBackend({"doctor": a_report()}, offline=True)
        called = Called(backend, "doctor", "--p2p-server", "192.0.2.1:9901")
        self.assertEqual((called.status, called.online), (0, [True, False]))
        self.assertTrue(backend.asked[0][1]["server_problem"])

    def test_without_either_the_error_says_what_to_do(self) -> None:
        """And keeps its code and status."""
        called = Called(FakeBackend(offline=True), "doctor")
        self.assertEqual(called.status, 1)
        self.assertIn("server-unreachable", called.err)
        self.assertIn("--p2p-server HOST:PORT", called.err)
        backend = FakeBackend({"doctor": NotSignedIn()})
        self.assertEqual(Called(backend, "doctor").status, 3)

    def test_every_ipv6_answer_has_words(self) -> None:
        """None, reaching, not reaching, and not tested."""
        for reaches, text in ((True, "answers"), (False, "does not answer"), (None, "not tested")):
            report = a_report(addresses=("2001:db8::1",), ipv6_reaches=reaches)
            self.assertIn(text, Called(FakeBackend({"doctor": report}), "doctor").out)
