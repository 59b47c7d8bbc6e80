"""Every pair of places that two peers may be in: what their channel tables make of it, with real QUIC and real TLS."""

from __future__ import annotations

from typing import Any

from p2pim.core import limits
from p2pim.errors import NoDirectPath
from tests.nat_kinds import KINDS, NATS, can_be_punched, outside, place
from tests.network import Link
from tests.peer.nat_town import NatResident, NatTown
from tests.peer.pair_case import BLOCKED, GATHERED, PairCase

ROUGH = Link(delay=0.02, jitter=0.01, loss=0.05, duplicate=0.05)


def expected_kind(one: str, other: str) -> str:
    """The channel between two places: TCP where one is public (A2), else UDP where it can be punched, else none."""
    if "public" in (one, other):
        return "tcp"
    return "udp" if can_be_punched(one, other) else ""


def udp_reason(mine: str, theirs: str) -> str:
    """What the table must say about UDP between two places that cannot be connected."""
    if mine == "blocked":
        return "this network lets no UDP through"
    if theirs == "blocked":
        return "the other side's network lets no UDP through"
    if mine == theirs:
        return "both NATs map every destination to a new port"
    return "the NAT here maps" if mine == "symmetric" else "the other side's NAT maps"


class PairTests(PairCase):
    """Two places, each behind its own router."""

    def test_every_pair_of_places_gets_the_best_channel_there_can_be(self) -> None:
        """A2, RFC 5128: TCP where one side is public, UDP where it can be punched, a reason where nothing can be."""
        for one in KINDS:
            for other in KINDS:
                self.meet(one, other, settle=BLOCKED if "blocked" in (one, other) else GATHERED)
                self.check_pair(one, other)

    def check_pair(self, one: str, other: str) -> None:
        before = len(self.alice.datagrams), len(self.bob.datagrams)
        result = self.called()
        kind = expected_kind(one, other)
        if kind:
            channel = self.successResultOf(result)
            self.assertEqual(channel.kind, kind)
            self.assert_talking(channel)
        else:
            reasons = dict(self.failureResultOf(result, NoDirectPath).value.reasons)
            self.assertIn(udp_reason(one, other), reasons["udp"])
            self.assertEqual(set(reasons), {"tcp-lan", "tcp-direct", "udp", "tcp-incoming"})
            sent = len(self.alice.datagrams) - before[0], len(self.bob.datagrams) - before[1]
            self.assertLessEqual(max(sent), 4 * limits.CHECKS_PER_PAIR)
        self.assert_nothing_left()

    def test_a_path_that_can_be_had_is_there_within_a_few_round_trips(self) -> None:
        """From the call to the channel: one way to bob by the server and back, checks, and QUIC."""
        for one in (*NATS, "double", "firewalled"):
            for other in (*NATS, "double", "firewalled"):
                if can_be_punched(one, other):
                    self.meet(one, other)
                    result = self.called(2 * self.town.delay + 7 * 2 * self.town.link.delay * 2)
                    self.assertEqual(self.successResultOf(result).kind, "udp", f"{one} x {other}")

    def test_bad_lines_change_nothing(self) -> None:
        """Five per cent of loss on each link, reordering and duplicates."""
        for seed in range(60):
            rng = NatTown(seed).world.random
            one, other = rng.choice(KINDS), rng.choice(KINDS)
            self.meet(one, other, settle=BLOCKED, seed=seed, link=ROUGH)
            result = self.called()
            kind = expected_kind(one, other)
            if not kind:
                self.failureResultOf(result, NoDirectPath)
            else:
                channel = self.successResultOf(result)
                self.assertIn(channel.kind, {kind, "udp"} if can_be_punched(one, other) else {kind}, f"{one} x {other}")
                self.assert_talking(channel)
            self.assert_nothing_left()


class NeighbourTests(PairCase):
    """Two peers behind one router, or behind routers that look alike."""

    def one_lan(self, kind: str, **options: Any) -> None:
        self.town = NatTown()
        node = place(self.town.world, kind, 0, self.town.link)
        self.alice = self.town.settle_at("alice", node, **options)
        assert node.network.gateway is not None
        self.bob = self.town.settle_at("bob", node.network.gateway.host("192.168.0.3"), **options)
        self.town.run(GATHERED)

    def test_in_one_lan_it_is_tcp(self) -> None:
        """A2, whatever the router is like."""
        for kind in (*NATS, "double", "blocked"):
            self.one_lan(kind)
            channel = self.successResultOf(self.called(1.0))
            self.assertEqual((channel.kind, channel.same_lan), ("tcp", True), kind)
            self.assert_talking(channel)
            self.assert_nothing_left()

    def test_in_one_lan_udp_does_not_leave_it(self) -> None:
        """With TCP switched off: by the local addresses, since few routers bend paths back."""
        for kind in (*NATS, "double", "blocked"):
            self.one_lan(kind, mode="udp")
            channel = self.successResultOf(self.called(2.0))
            self.assertEqual(channel.kind, "udp", kind)
            self.assertTrue(channel.address.startswith("192.168.0.3:"), channel.address)
            self.assertTrue(channel.same_lan)

    def test_two_lans_with_the_same_addresses_are_not_mistaken_for_one(self) -> None:
        """Half of the world's homes have a 192.168.1.2."""
        self.town = NatTown()
        homes = [self.town.world.nat(outside(number), self.town.link) for number in (0, 1)]
        self.alice, self.bob = (
            self.town.settle_at(name, home.host("192.168.1.2"))
            for name, home in zip(("alice", "bob"), homes, strict=True)
        )
        self.town.run(GATHERED)
        channel = self.successResultOf(self.called())
        self.assertEqual(channel.kind, "udp")
        self.assertTrue(channel.address.startswith(outside(1)))
        self.assert_talking(channel)

    def test_behind_one_carrier_it_depends_on_the_hairpin(self) -> None:
        """Two homes behind one carrier's NAT: by their outside addresses if it bends paths back, else not at all."""
        for hairpin in (True, False):
            self.town = NatTown()
            carrier = self.town.world.nat(outside(0), self.town.link, hairpin=hairpin)
            self.alice, self.bob = (
                self.town.settle_at(name, carrier.nat(f"100.64.0.{number}").host(f"192.168.{number}.2"))
                for number, name in enumerate(("alice", "bob"))
            )
            self.town.run(GATHERED)
            result = self.called()
            if hairpin:
                self.assertEqual(self.successResultOf(result).kind, "udp")
            else:
                reasons = dict(self.failureResultOf(result, NoDirectPath).value.reasons)
                self.assertIn("no check was answered", reasons["udp"])
            self.assert_nothing_left()

    def test_ipv6_leads_around_the_worst_of_nats(self) -> None:
        """Both have IPv6 behind a firewall that lets answers in: so there is a way, whatever IPv4 is like."""
        self.town = NatTown()
        people: list[NatResident] = []
        for number, name in enumerate(("alice", "bob")):
            node = place(self.town.world, "symmetric", number, self.town.link)
            node6 = self.town.world.firewalled(f"2001:db8:{number + 1}::2", self.town.link)
            people.append(self.town.settle_at(name, node, node6=node6))
        self.alice, self.bob = people
        self.town.run(GATHERED)
        channel = self.successResultOf(self.called())
        self.assertEqual((channel.kind, channel.address.partition("]")[0]), ("udp", "[2001:db8:2::2"))
        self.assert_talking(channel)
        self.assert_nothing_left()


class CrossingTests(PairCase):
    """Both call at once."""

    def test_calls_in_the_same_instant_make_one_channel(self) -> None:
        """The offer with the greater tie-breaker stands, and both callers get what comes of it."""
        for one, other in (("port-restricted", "port-restricted"), ("full-cone", "symmetric"), ("public", "double")):
            self.meet(one, other)
            first, second = self.alice.connect(self.bob), self.bob.connect(self.alice)
            self.town.run(limits.NEGOTIATION_TIME + 1.0)
            channel = self.successResultOf(first)
            self.assertIs(self.successResultOf(second), self.assert_talking(channel))
            self.assertEqual((len(self.alice.opened), len(self.bob.opened)), (1, 1))
            self.assert_nothing_left()

    def test_calls_that_cross_in_vain_fail_at_both_ends(self) -> None:
        """Once each, and soon."""
        self.meet("symmetric", "symmetric")
        first, second = self.alice.connect(self.bob), self.bob.connect(self.alice)
        self.town.run(limits.NEGOTIATION_TIME + 1.0)
        for result in (first, second):
            self.failureResultOf(result, NoDirectPath)
        self.assert_nothing_left()
