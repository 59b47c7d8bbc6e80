"""Who is no contact learns no address of this machine, whatever they send."""

from __future__ import annotations

from ipaddress import ip_address
from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock

from p2pim.core import limits
from p2pim.errors import NoDirectPath
from p2pim.peer.check_run import CheckRun
from p2pim.wire.signals import Answer, Candidate, Decline, MoreCandidates, Offer, Prove
from tests.peer.nat_town import NatResident, NatTown
from tests.peer.pair_case import GATHERED, PairCase
from tests.peer.town import Pair, Resident


def nobody(user: str) -> bool:
    """The peer whose addresses nobody may know."""
    return False


def addresses_told(resident: Resident) -> list[str]:
    """Every host that it has named to anybody."""
    told = [signal for signal in resident.sent if isinstance(signal, Offer | Answer | MoreCandidates)]
    return [candidate.host for signal in told for candidate in signal.candidates]


class StrangerTests(PairCase):
    """Alice calls bob, to whom she is nobody; both are where they can be reached."""

    def settle(self, one: str, other: str) -> None:
        self.town = NatTown()
        self.alice: NatResident = self.town.settle_in("alice", one)
        self.bob: NatResident = self.town.settle_in("bob", other, known=nobody)
        self.town.run(GATHERED)

    def assert_silent(self, before: int, dialled: int) -> None:
        """Bob has named no address, has dialled nobody and has sent no datagram to anybody but his P2P server."""
        self.assertEqual(addresses_told(self.bob), [])
        self.assertEqual(len(self.bob.machine.dialled), dialled)
        servers = {address for _, _, address in self.bob.datagrams[:before]}
        self.assertLessEqual({address for _, _, address in self.bob.datagrams[before:]}, servers)

    def test_a_call_is_declined_with_what_to_do_and_reveals_nothing(self) -> None:
        """A public host, in particular, is not to be found by calling its owner."""
        for one in ("public", "full-cone", "port-restricted"):
            for other in ("public", "full-cone"):
                self.settle(one, other)
                before, dialled = len(self.bob.datagrams), len(self.bob.machine.dialled)
                failure = self.failureResultOf(self.called(), NoDirectPath)
                self.assertIn("p2pim add alice", str(failure.value.reasons))
                self.assert_silent(before, dialled)

    def test_calling_a_stranger_tells_them_nothing_either(self) -> None:
        """Bob calls, and sends no candidates; nor does he go where the answer says."""
        self.settle("public", "public")
        before, dialled = len(self.bob.datagrams), len(self.bob.machine.dialled)
        result = self.bob.connect(self.alice)
        self.town.run(limits.NEGOTIATION_TIME + 1.0)
        self.failureResultOf(result, NoDirectPath)
        self.assertTrue([signal for signal in self.alice.sent if isinstance(signal, Answer) and signal.candidates])
        self.assert_silent(before, dialled)


class Sockets:
    """Takes what checks send."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, data: bytes, target: object) -> None:
        self.sent.append(data)

    def may_send(self, target: object, user: str) -> bool:
        return True

    def check(self, run: object) -> None: ...
    def expect(self, source: object, *, answered: bool) -> None: ...


class OneMachineTests(Pair):
    """Two homes on the machine of the server, one of which is nobody to the other."""

    def setUp(self) -> None:
        super().setUp()
        self.town.network.machine("127.0.0.1")
        self.carol = self.town.resident("carol", "127.0.0.1")
        self.dave = self.town.resident("dave", "127.0.0.1", known=nobody)

    def test_on_one_machine_strangers_get_a_channel(self) -> None:
        """Loopback says nothing about where a machine is; whoever calls."""
        for one, other in ((self.carol, self.dave), (self.dave, self.carol)):
            here, _ = self.connected(one, other)
            here.close("next")
            self.town.run()
        self.assertTrue(all(ip_address(host).is_loopback for host in addresses_told(self.dave)))

    def test_a_connection_from_elsewhere_is_not_for_a_stranger(self) -> None:
        """Somebody who is told of loopback and comes by another address is turned away like anybody."""
        offer = Offer(b"n" * 16, 5, b"f" * 32, b"s" * 32, [Candidate("host", "tcp", "10.0.0.9", 5000)], ["tcp"])
        self.dave.deliver("alice", self.alice.device, offer)
        self.town.run(1.0)
        declined = [signal for signal in self.dave.sent if isinstance(signal, Decline)]
        self.assertIn("not a contact", declined[0].reason)
        self.assertEqual(addresses_told(self.dave), [])

    def test_trickled_candidates_are_as_good_as_offered_ones(self) -> None:
        """Neither an offer that begins on this machine nor what follows it makes it dial another one."""
        here, there = Candidate("host", "tcp", "127.0.0.1", 5000), Candidate("host", "tcp", "10.0.0.2", 5000)
        offer = Offer(b"n" * 16, 5, b"f" * 32, b"s" * 32, [here, there], ["tcp"], more=True)
        self.dave.deliver("alice", self.alice.device, offer)
        self.dave.deliver(
            "alice", self.alice.device, MoreCandidates(b"n" * 16, [Candidate("host", "tcp", "10.0.0.2", 5001)])
        )
        self.town.run(limits.NEGOTIATION_TIME + 1.0)
        self.assertEqual(self.dave.machine.dialled, [("127.0.0.1", 5000)])
        self.assertTrue(all(ip_address(host).is_loopback for host in addresses_told(self.dave)))

    def test_a_connection_from_another_machine_belongs_to_no_negotiation_with_a_stranger(self) -> None:
        """Whoever tries addresses is not told that this was the right one."""
        table: Any = self.dave.table
        taken: list[object] = []
        table._switchboard._negotiators[b"n" * 16] = SimpleNamespace(
            relay=False, confined=True, take_incoming=lambda link, proof: taken.append(link.address)
        )
        for address in ("10.0.0.2:5", "127.0.0.1:5", "[::1]:5", ""):
            link = SimpleNamespace(address=address, drop=lambda reason: None)
            table._switchboard.link_signal(link, Prove(b"n" * 16, bytes(32)))
        self.assertEqual(taken, ["127.0.0.1:5", "[::1]:5"])

    def test_checks_from_another_machine_are_not_answered_to_a_stranger(self) -> None:
        """Not even with the right key: the answer would come from here."""
        for source, heard in (("10.0.0.2", False), ("127.0.0.1", True)):
            sockets, bob = Sockets(), Sockets()
            asking, answering = self.run_of(sockets, True, False), self.run_of(bob, False, True)
            asking.add([Candidate("host", "udp", "127.0.0.1", 4000)], complete=True)
            self.assertEqual(answering.received(sockets.sent[0], (source, 5)), heard)
            self.assertEqual(bool(bob.sent), heard)

    def run_of(self, sockets: Any, controlling: bool, confined: bool) -> CheckRun:
        """The checks of one side of a negotiation."""
        return CheckRun(
            sockets,
            Clock(),
            user="alice",
            username="ab" * 16,
            key=b"k" * 32,
            controlling=controlling,
            tie_breaker=1 + controlling,
            rng=Random(1),
            found=lambda candidate, rtt: None,
            failed=lambda reason: None,
            confined=confined,
        )

    def test_whoever_becomes_a_contact_while_a_conversation_goes_on_gets_a_channel_at_once(self) -> None:
        """Nobody waits for the next round of attempts."""
        known = [False]
        erin = self.town.resident("erin", "10.0.0.7", known=lambda user: known[0])
        frank = self.town.resident("frank", "10.0.0.8", known=lambda user: known[0])
        self.failureResultOf(self.try_to(erin, frank), NoDirectPath)
        known[0] = True
        for one, other in ((erin, frank), (frank, erin)):
            one.table.befriended(other.name)
        self.town.run()
        self.assertIsNotNone(erin.table.channel_to("frank"))

    def try_to(self, one: Resident, other: Resident) -> object:
        """An attempt that is over."""
        result = one.connect(other)
        self.town.run(limits.NEGOTIATION_TIME + 1.0)
        return result
