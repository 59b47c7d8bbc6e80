"""Which kind of NAT the tests find, through the real answers of the P2P server."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core import limits
from p2pim.core.nat_tests import (
    ADDRESS_AND_PORT_DEPENDENT,
    ADDRESS_DEPENDENT,
    BLOCKED,
    ENDPOINT_INDEPENDENT,
    NONE,
    PORT_INDEPENDENT,
    UNKNOWN,
    NatFindings,
    NatTests,
)
from p2pim.wire.stun import Address, Attribute, Kind, StunMessage, pack, pack_error, pack_xor_address, parse
from tests.network import Dependence, Endpoint, Host, Internet, Link
from tests.stun_world import OTHER, SERVER, StunWorld, pack_ip

WORDS = {
    Dependence.ENDPOINT: ENDPOINT_INDEPENDENT,
    Dependence.ADDRESS: ADDRESS_DEPENDENT,
    Dependence.PORT: ADDRESS_AND_PORT_DEPENDENT,
}
HOME = "198.51.100.20"


class Tested:
    """One run of the tests from a host, to its end.

    :param reach_only: as of `NatTests`.
    """

    def __init__(self, host: Host, *, reach_only: bool = False, seconds: float = 20.0) -> None:
        self.world = host.world
        self.socket = host.bind(5000, self._received)
        self.tests = NatTests(
            SERVER, rng=self.world.random, now=self._now(), local=frozenset({self.socket.address}),
            reach_only=reach_only,
        )  # fmt: skip
        began = self._now()
        self._run()
        while not self.tests.done and self._now() - began < seconds:
            self.world.clock.advance(0.01)
            due = self.tests.timer()
            if due is not None and due <= self._now():
                self._run()
        self.took = self._now() - began
        self.found: NatFindings = self.tests.findings()

    def _now(self) -> float:
        return self.world.clock.seconds()

    def _received(self, data: bytes, source: Endpoint) -> None:
        self.tests.receive(data, source, self._now())
        self._run()

    def _run(self) -> None:
        self.tests.handle_timer(self._now())
        for data, target in self.tests.to_send():
            self.socket.send(data, target)


def an_internet(seed: int = 1) -> Internet:
    return Internet(Clock(), random.Random(seed))


class NatTestsTests(SynchronousTestCase):
    def test_every_kind_of_nat_is_told_from_every_other(self) -> None:
        """Three mappings times three filterings, with a server of two addresses."""
        for mapping in Dependence:
            for filtering in Dependence:
                world = an_internet()
                StunWorld(world)
                home = world.nat(HOME, mapping=mapping, filtering=filtering)
                tested = Tested(home.host("192.168.1.2"))
                found = tested.found
                self.assertEqual((found.mapping, found.filtering), (WORDS[mapping], WORDS[filtering]))
                assert found.mapped is not None
                self.assertEqual(found.mapped[0], HOME)
                self.assertTrue(tested.tests.done and found.testable)
                self.assertLess(tested.took, 5.0)

    def test_with_one_address_nothing_is_claimed_about_addresses(self) -> None:
        """What does not mind the port may mind the address; what minds the port is known for certain."""
        for mapping in Dependence:
            for filtering in Dependence:
                world = an_internet()
                StunWorld(world, second_address=False)
                found = Tested(world.nat(HOME, mapping=mapping, filtering=filtering).host("192.168.1.2")).found
                expected = [
                    ADDRESS_AND_PORT_DEPENDENT if kind is Dependence.PORT else PORT_INDEPENDENT
                    for kind in (mapping, filtering)
                ]
                self.assertEqual([found.mapping, found.filtering], expected)

    def test_no_nat_is_seen_with_and_without_a_firewall(self) -> None:
        """The mapped address is the machine's own; who may write back still differs."""
        world = an_internet()
        StunWorld(world)
        found = Tested(world.host("198.51.100.30")).found
        self.assertEqual((found.mapping, found.filtering), (NONE, ENDPOINT_INDEPENDENT))
        self.assertEqual(found.mapped, ("198.51.100.30", 5000))
        world = an_internet()
        StunWorld(world)
        found = Tested(world.firewalled("198.51.100.30")).found
        self.assertEqual((found.mapping, found.filtering), (NONE, ADDRESS_AND_PORT_DEPENDENT))

    def test_two_nats_behind_each_other_look_like_the_harder_one(self) -> None:
        """A router behind a carrier's NAT."""
        world = an_internet()
        StunWorld(world)
        carrier = world.nat(HOME, mapping=Dependence.PORT, filtering=Dependence.ADDRESS)
        home = carrier.nat("100.64.1.2", filtering=Dependence.ENDPOINT)
        found = Tested(home.host("192.168.1.2")).found
        self.assertEqual(found.mapping, ADDRESS_AND_PORT_DEPENDENT)

    def test_a_network_that_drops_udp_is_called_blocked_soon(self) -> None:
        """After four questions, and no more than those."""
        world = an_internet()
        StunWorld(world)
        tested = Tested(world.nat(HOME, udp=False).host("192.168.1.2"))
        self.assertEqual(tested.found, NatFindings(BLOCKED, BLOCKED))
        self.assertEqual(tested.socket.sent, limits.NAT_TEST_TRIES)
        self.assertLess(tested.took, 4.0)

    def test_silence_of_a_server_end_that_nobody_hears_is_no_filtering(self) -> None:
        """Behind the operator's firewall the second port and address say nothing: "unknown", not "filtered"."""
        world = an_internet()
        StunWorld(world, mute=(OTHER, (SERVER[0], OTHER[1]), (OTHER[0], SERVER[1])))
        found = Tested(world.nat(HOME, filtering=Dependence.ENDPOINT).host("192.168.1.2")).found
        self.assertEqual((found.mapping, found.filtering), (UNKNOWN, UNKNOWN))
        self.assertTrue(found.testable)
        self.assertFalse(found.other_heard)

    def test_reaching_alone_takes_one_question(self) -> None:
        """As it is asked by IPv6."""
        world = an_internet()
        StunWorld(world)
        tested = Tested(world.nat(HOME).host("192.168.1.2"), reach_only=True)
        self.assertTrue(tested.found.answered and tested.tests.done)
        self.assertEqual(tested.socket.sent, 1)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 2**32), st.sampled_from(Dependence), st.sampled_from(Dependence))
    def test_bad_links_delay_the_verdict_and_seldom_change_it(
        self, seed: int, mapping: Dependence, filtering: Dependence
    ) -> None:
        """Duplicates and reordering change nothing; a lost datagram is asked for again."""
        world = an_internet(seed)
        StunWorld(world)
        home = world.nat(HOME, mapping=mapping, filtering=filtering)
        found = Tested(home.host("192.168.1.2", Link(delay=0.05, jitter=0.1, duplicate=0.2))).found
        self.assertEqual((found.mapping, found.filtering), (WORDS[mapping], WORDS[filtering]))

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 2**32))
    def test_loss_ends_in_some_verdict_with_few_datagrams(self, seed: int) -> None:
        """Half of everything is lost: it ends all the same, within bounds."""
        world = an_internet(seed)
        StunWorld(world)
        tested = Tested(world.nat(HOME).host("192.168.1.2", Link(delay=0.02, loss=0.5)))
        self.assertTrue(tested.tests.done)
        self.assertLessEqual(tested.socket.sent, 5 * limits.NAT_TEST_TRIES)
        self.assertIn(tested.found.mapping, (ENDPOINT_INDEPENDENT, PORT_INDEPENDENT, UNKNOWN, BLOCKED))


class OtherServersTests(SynchronousTestCase):
    """Answers of servers that are not ours, one by one."""

    def setUp(self) -> None:
        self.tests = NatTests(SERVER, rng=random.Random(1), now=0.0)
        self.tests.handle_timer(0.0)

    def transactions(self) -> list[bytes]:
        return [parse(data).transaction for data, _ in self.tests.to_send()]

    def success(self, transaction: bytes, **more: bytes) -> bytes:
        mapped = pack_xor_address(Address(pack_ip(HOME), 4000), transaction)
        attributes: dict[int, bytes] = {Attribute.XOR_MAPPED_ADDRESS: mapped}
        attributes.update({Attribute[name]: value for name, value in more.items()})
        return pack(StunMessage(Kind.SUCCESS, transaction, attributes))

    def test_a_server_without_these_tests_leaves_both_unknown(self) -> None:
        """It names no other address."""
        (transaction,) = self.transactions()
        self.assertTrue(self.tests.receive(self.success(transaction), SERVER, 0.1))
        self.assertTrue(self.tests.done)
        self.assertIsNone(self.tests.timer())
        found = self.tests.findings()
        self.assertEqual((found.mapping, found.filtering, found.testable), (UNKNOWN, UNKNOWN, False))
        self.assertEqual(found.mapped, (HOME, 4000))

    def test_one_that_names_itself_as_the_other_tests_nothing(self) -> None:
        """And is not asked without end."""
        (transaction,) = self.transactions()
        other = b"\0\1" + SERVER[1].to_bytes(2, "big") + pack_ip(SERVER[0])
        self.tests.receive(self.success(transaction, OTHER_ADDRESS=other), SERVER, 0.1)
        self.assertTrue(self.tests.done)

    def test_one_that_answers_changes_from_the_wrong_place_is_not_believed(self) -> None:
        """It ignores CHANGE-REQUEST: no word about filtering then."""
        (transaction,) = self.transactions()
        other = b"\0\1" + OTHER[1].to_bytes(2, "big") + pack_ip(OTHER[0])
        self.tests.receive(self.success(transaction, OTHER_ADDRESS=other), SERVER, 0.1)
        filters = self.tests.to_send()
        self.assertEqual([target for _, target in filters], [SERVER, SERVER])
        for data, _ in filters:
            self.tests.receive(self.success(parse(data).transaction), SERVER, 0.2)
        for data, target in self.tests.to_send():
            self.tests.receive(self.success(parse(data).transaction), target, 0.3)
        found = self.tests.findings()
        self.assertEqual((found.mapping, found.filtering), (ENDPOINT_INDEPENDENT, UNKNOWN))

    def test_an_error_is_an_answer_that_says_nothing(self) -> None:
        """UDP is not blocked then."""
        (transaction,) = self.transactions()
        refusal = {int(Attribute.ERROR_CODE): pack_error(420)}
        self.tests.receive(pack(StunMessage(Kind.ERROR, transaction, refusal)), SERVER, 0.1)
        self.assertEqual(self.tests.findings(), NatFindings(UNKNOWN, UNKNOWN))
        self.assertTrue(self.tests.done)

    @given(st.binary(max_size=600), st.booleans())
    def test_strangers_and_garbage_change_nothing(self, data: bytes, from_server: bool) -> None:
        """Only an answer with a transaction of ours, from where it was asked for, counts."""
        tests = NatTests(SERVER, rng=random.Random(1), now=0.0)
        tests.handle_timer(0.0)
        self.assertFalse(tests.receive(data, SERVER if from_server else ("203.0.113.1", 1), 0.1))
        (question, _) = tests.to_send()[0]
        self.assertFalse(tests.receive(self.success(parse(question).transaction), ("203.0.113.1", 9901), 0.1))
        self.assertFalse(tests.findings().answered)
