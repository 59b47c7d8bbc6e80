"""Checks between two peers over every pair of NATs, with loss, reordering and forgery."""

import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core import limits
from p2pim.core.connectivity import CheckList, ChecksFailed, PairSucceeded
from p2pim.wire.checks import Check, CheckResponse, pack_check, pack_response, read_check
from tests.nat_kinds import KINDS, can_be_punched, place
from tests.network import Endpoint, Host, Internet, Link

KEY, NAME = b"k" * 32, "negotiation"
LINK = Link(0.02)


class Side:
    """One peer: a host, its socket, its check list, driven by the world's clock."""

    def __init__(self, world: Internet, host: Host, controlling: bool, tie_breaker: int) -> None:
        self.world, self.host, self.clock = world, host, world.clock
        self.heard: list[bytes] = []
        self.socket = host.bind(0, self.received)
        self.list: CheckList | None = None
        self.controlling, self.tie_breaker = controlling, tie_breaker
        self.events: list[object] = []
        self.reflexive: Endpoint = ("", 0)

    def begin(self, candidates: list[Endpoint]) -> None:
        self.list = CheckList(
            username=NAME,
            key=KEY,
            controlling=self.controlling,
            tie_breaker=self.tie_breaker,
            rng=self.world.random,
            now=self.clock.seconds(),
        )
        self.list.add_remote(((c, "host", 100 - n) for n, c in enumerate(candidates)), self.clock.seconds())
        self.list.no_more_remotes()
        self.run()

    def received(self, data: bytes, source: Endpoint) -> None:
        if data.startswith(b"you are "):
            host, port = data[8:].decode().split()
            self.reflexive = (host, int(port))
        elif self.list is not None:
            self.list.receive(data, source, self.clock.seconds())
            self.pump()

    def run(self) -> None:
        assert self.list is not None
        self.list.handle_timer(self.clock.seconds())
        self.pump()
        timer = self.list.timer()
        if timer is not None:
            self.clock.callLater(max(timer - self.clock.seconds(), 0.001), self.run)

    def pump(self) -> None:
        assert self.list is not None
        for data, target in self.list.to_send():
            self.socket.send(data, target)
        while (event := self.list.next_event()) is not None:
            self.events.append(event)


def meet(one: str, other: str, seed: int, link: Link = LINK) -> tuple[Internet, Side, Side]:
    """Two sides that learn their reflexive addresses from a server and then check for ten seconds."""
    world = Internet(Clock(), random.Random(seed))
    server = world.host("198.51.100.10")

    def reflect(data: bytes, source: Endpoint) -> None:
        stun.send(f"you are {source[0]} {source[1]}".encode(), source)

    stun = server.bind(3478, reflect)
    sides = [Side(world, place(world, kind, n, link), n == 0, 50 + n) for n, kind in enumerate((one, other))]
    for _ in range(20):
        for side in sides:
            if not side.reflexive[1]:
                side.socket.send(b"who am I", ("198.51.100.10", 3478))
        world.clock.pump([0.01] * 20)
    for side, peer in (sides, sides[::-1]):
        side.begin([peer.socket.address] + ([peer.reflexive] if peer.reflexive[1] else []))
    world.clock.pump([0.005] * 2000)
    return world, sides[0], sides[1]


class PairTests(SynchronousTestCase):
    def outcome(self, one: str, other: str, seed: int, link: Link = LINK) -> tuple[bool, bool, Internet]:
        world, first, second = meet(one, other, seed, link)
        found = [any(isinstance(e, PairSucceeded) for e in side.events) for side in (first, second)]
        failed = [any(isinstance(e, ChecksFailed) for e in side.events) for side in (first, second)]
        for got, lost in zip(found, failed, strict=True):
            self.assertNotEqual(got, lost, f"{one} x {other}: neither found nor failed, or both")
        return found[0], found[1], world

    def test_every_pair_of_kinds_ends_as_rfc_5128_says(self) -> None:
        """A path where one can be punched, a reason where not, and never a hang."""
        for one in KINDS:
            for other in KINDS:
                first, second, _ = self.outcome(one, other, 1)
                self.assertEqual((first, second), (can_be_punched(one, other),) * 2, f"{one} x {other}")

    @given(st.sampled_from(KINDS), st.sampled_from(KINDS), st.integers(0, 2**32), st.floats(0, 0.1))
    def test_loss_jitter_and_duplicates_change_nothing(self, one: str, other: str, seed: int, jitter: float) -> None:
        """Five per cent of loss on each link, reordering by jitter, duplicates."""
        link = Link(delay=0.02, jitter=jitter, loss=0.05, duplicate=0.05)
        first, second, _ = self.outcome(one, other, seed, link)
        if not can_be_punched(one, other):
            self.assertEqual((first, second), (False, False))
        else:
            self.assertTrue(first or second, f"{one} x {other}")

    def test_the_checks_of_one_negotiation_are_few(self) -> None:
        """Even where nothing ever answers."""
        for one, other in (("symmetric", "symmetric"), ("blocked", "public"), ("public", "public")):
            _, first, second = meet(one, other, 3)
            for side in (first, second):
                self.assertLessEqual(side.socket.sent, 40, f"{one} x {other}")


class HostileTests(SynchronousTestCase):
    def make(self, controlling: bool = True, tie_breaker: int = 5) -> CheckList:
        return CheckList(
            username=NAME,
            key=KEY,
            controlling=controlling,
            tie_breaker=tie_breaker,
            rng=random.Random(1),
            now=0.0,
        )

    def test_checks_with_a_wrong_key_or_name_get_no_answer(self) -> None:
        """A third party cannot make a peer send anything."""
        checks = self.make()
        check = Check(b"t" * 12, NAME, 1, False, 1)
        self.assertFalse(checks.receive(pack_check(check, b"x" * 32), ("1.2.3.4", 5), 0.0))
        other = Check(b"t" * 12, "another", 1, False, 1)
        self.assertFalse(checks.receive(pack_check(other, KEY), ("1.2.3.4", 5), 0.0))
        self.assertEqual((checks.to_send(), checks.strangers, checks.pairs), ([], 2, {}))

    def test_a_replayed_check_from_many_addresses_is_bounded(self) -> None:
        """A recorded check sent from a thousand addresses makes a handful of pairs."""
        checks = self.make()
        data = pack_check(Check(b"t" * 12, NAME, 1, False, 1), KEY)
        for port in range(1, 1001):
            checks.receive(data, ("1.2.3.4", port), 0.0)
        self.assertLessEqual(len(checks.pairs), limits.PAIRS + limits.PEER_REFLEXIVE)
        self.assertLessEqual(len(checks.to_send()), 2 * (limits.PAIRS + limits.PEER_REFLEXIVE))

    def test_whoever_has_the_key_cannot_aim_it_at_somebody_else(self) -> None:
        """A hostile peer that asks in a victim's name, for as long as it likes."""
        checks = self.make(controlling=False)
        checks.add_remote([(("203.0.113.9", 53), "host", 1)], 0.0)
        now, sent = 0.0, 0
        for number in range(2000):
            data = pack_check(Check(number.to_bytes(12), NAME, 1, True, 1), KEY)
            checks.receive(data, ("203.0.113.9", 53), now)
            now += 0.005
            timer = checks.timer()
            if timer is not None and timer <= now:
                checks.handle_timer(now)
            sent += len(checks.to_send())
        self.assertLessEqual(sent, 2 * limits.CHECKS_PER_PAIR + limits.CHECKS_TRIGGERED)

    def test_who_was_late_finds_somebody_who_still_asks(self) -> None:
        """All my checks died in front of the other side's NAT: its first one brings forth another."""
        checks = self.make()
        checks.add_remote([(("203.0.113.9", 53), "host", 1)], 0.0)
        while len(checks.pairs["203.0.113.9", 53].pending) < limits.CHECKS_PER_PAIR:
            checks.handle_timer(checks.timer() or 0.0)
        now = (checks.timer() or 0.0) + 1.0
        checks.handle_timer(now)
        checks.to_send()
        checks.receive(pack_check(Check(b"t" * 12, NAME, 1, False, 1), KEY), ("203.0.113.9", 53), now)
        response, check = checks.to_send()
        self.assertIsInstance(read_check(response[0], KEY), CheckResponse)
        self.assertIsInstance(read_check(check[0], KEY), Check)

    def test_my_own_checks_sent_back_to_me_are_nobodys(self) -> None:
        """Who stands on the path can reflect them without any key: no answer, no change of roles, no path."""
        checks = self.make()
        checks.add_remote([(("203.0.113.9", 53), "host", 1)], 0.0)
        checks.handle_timer(0.0)
        [(mine, target)] = checks.to_send()
        self.assertFalse(checks.receive(mine, target, 0.1))
        self.assertFalse(checks.receive(mine, ("1.2.3.4", 5), 0.1))
        self.assertEqual((checks.to_send(), checks.controlling, len(checks.pairs)), ([], True, 1))
        self.assertFalse(checks.proved(target))

    def test_a_response_counts_once_from_whom_was_asked_alone(self) -> None:
        """Replayed, or sent from another address, it proves nothing."""
        checks = self.make()
        checks.add_remote([(("203.0.113.9", 53), "host", 1)], 0.0)
        checks.handle_timer(0.0)
        [(mine, target)] = checks.to_send()
        answer = pack_response(read_check(mine, KEY).transaction, ("5.6.7.8", 9), KEY)
        self.assertFalse(checks.receive(answer, ("1.2.3.4", 5), 0.1))
        self.assertIsNone(checks.next_event())
        self.assertTrue(checks.receive(answer, target, 0.1))
        self.assertEqual(checks.next_event(), PairSucceeded(target, "host", 0.1))
        self.assertFalse(checks.receive(answer, target, 0.2))
        self.assertIsNone(checks.next_event())

    def test_an_address_that_never_answers_gets_a_handful_of_datagrams(self) -> None:
        """Whoever named it: a victim is not flooded."""
        checks = self.make()
        checks.add_remote([(("203.0.113.9", 53), "host", 1)], 0.0)
        now, sent = 0.0, 0
        while (timer := checks.timer()) is not None:
            now = max(now, timer)
            checks.handle_timer(now)
            sent += len(checks.to_send())
        self.assertEqual(sent, limits.CHECKS_PER_PAIR)
        self.assertIsInstance(checks.next_event(), ChecksFailed)

    def test_of_two_controlling_sides_the_smaller_tie_breaker_yields(self) -> None:
        """RFC 8445, section 7.3.1.1, whichever side asks first."""
        for mine, theirs, control in ((5, 9, False), (9, 5, True)):
            checks = self.make(True, mine)
            checks.receive(pack_check(Check(b"t" * 12, NAME, 1, True, theirs), KEY), ("1.2.3.4", 5), 0.0)
            self.assertEqual(checks.controlling, control)

    @given(st.binary(max_size=200))
    def test_any_datagram_is_survived(self, data: bytes) -> None:
        """Garbage is counted, not raised."""
        checks = self.make()
        self.assertFalse(checks.receive(data, ("1.2.3.4", 5), 0.0))
