"""What a peer learns of its own address, through the real answers of the P2P server."""

import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core import limits
from p2pim.core.address_rate import AddressRates
from p2pim.core.gathering import BLOCKED, DEPENDENT, INDEPENDENT, UNKNOWN, UNTRANSLATED, Gathered, Gatherer
from p2pim.core.stun_answers import Answer, Site, StunAnswers
from p2pim.core.stun_cookies import Cookies
from p2pim.wire.stun import Address
from tests.network import Dependence, Endpoint, Host, Internet, Link, UdpSocket

SERVER: Endpoint = ("198.51.100.10", 9901)
SECOND = 9902


def pack_ip(host: str) -> bytes:
    return bytes(int(part) for part in host.split("."))


class StunServer:
    """The P2P server's decisions on a host of the in-memory internet."""

    def __init__(self, world: Internet) -> None:
        self.clock = world.clock
        self.answers = StunAnswers(Cookies(b"k" * 32), AddressRates(100.0, 200.0, 64, 12345))
        self.host = world.host(SERVER[0], Link(0.01))
        self.sockets: dict[int, UdpSocket] = {}
        for port, other in ((SERVER[1], SECOND), (SECOND, SERVER[1])):
            self.sockets[port] = self.host.bind(port, self.receiver(port, other))
        self.longer = 0

    def receiver(self, port: int, other: int):  # type: ignore[no-untyped-def]
        site = Site(Address(pack_ip(SERVER[0]), port), Address(pack_ip(SERVER[0]), other))

        def received(data: bytes, source: Endpoint) -> None:
            asker = Address(pack_ip(source[0]), source[1])
            answer = self.answers.answer(data, asker, site, self.clock.seconds())
            if isinstance(answer, Answer):
                self.longer += len(answer.data) > len(data)
                self.sockets[answer.origin.port].send(answer.data, source)

        return received


class GatheringTests(SynchronousTestCase):
    def gather(self, host: Host, world: Internet, seconds: float = 30.0) -> Gatherer:
        now = world.clock.seconds

        def received(data: bytes, source: Endpoint) -> None:
            gatherer.receive(data, source, now())
            run()

        socket = host.bind(5000, received)
        gatherer = Gatherer(SERVER, rng=world.random, now=now(), local=frozenset({socket.address}))

        def run() -> None:
            gatherer.handle_timer(now())
            for data, target in gatherer.to_send():
                socket.send(data, target)

        def tick() -> None:
            run()
            world.clock.callLater(0.05, tick)

        tick()
        world.clock.pump([0.01] * int(seconds * 100))
        return gatherer

    def test_the_mapping_of_each_kind_of_nat_is_found(self) -> None:
        """A cone NAT is told from one that maps every destination to a new port, and from none at all."""
        for mapping, expected in ((Dependence.ENDPOINT, INDEPENDENT), (Dependence.PORT, DEPENDENT)):
            world = Internet(Clock(), random.Random(1))
            server = StunServer(world)
            home = world.nat("198.51.100.20", mapping=mapping)
            found = self.gather(home.host("192.168.1.2"), world).found
            self.assertEqual(found.mapping, expected)
            assert found.reflexive is not None
            self.assertEqual(found.reflexive[0], "198.51.100.20")
            self.assertEqual(server.longer, 0)
        world = Internet(Clock(), random.Random(1))
        StunServer(world)
        found = self.gather(world.host("198.51.100.30"), world).found
        self.assertEqual(found, Gathered(("198.51.100.30", 5000), UNTRANSLATED))

    def test_a_network_that_drops_udp_is_called_blocked(self) -> None:
        """After some tries, and tried again later."""
        world = Internet(Clock(), random.Random(1))
        StunServer(world)
        host = world.nat("198.51.100.20", udp=False).host("192.168.1.2")
        gatherer = self.gather(host, world)
        self.assertEqual(gatherer.found, Gathered(None, BLOCKED))
        self.assertLessEqual(host.sockets[5000].sent, limits.STUN_TRIES + 1)

    def test_silence_is_called_blocked_before_a_person_loses_patience(self) -> None:
        """A negotiation that begins two seconds after the start can give the reason, and waits for nothing."""
        world = Internet(Clock(), random.Random(1))
        StunServer(world)
        gatherer = self.gather(world.nat("198.51.100.20", udp=False).host("192.168.1.2"), world, 2.0)
        self.assertEqual(gatherer.found, Gathered(None, BLOCKED))
        self.assertTrue(gatherer.late)

    def test_an_answer_to_a_late_try_unblocks(self) -> None:
        """UDP that begins to get through, within the tries, is found out at the next one."""
        world = Internet(Clock(), random.Random(1))
        world.clock.callLater(2.5, StunServer, world)
        gatherer = self.gather(world.nat("198.51.100.20").host("192.168.1.2"), world, 10.0)
        self.assertEqual(gatherer.found.mapping, INDEPENDENT)

    def test_a_silent_second_port_keeps_nobody_waiting(self) -> None:
        """The address is known, how the NAT maps is not: after a while nobody waits for that."""
        world = Internet(Clock(), random.Random(1))
        StunServer(world).sockets[SECOND].close()
        gatherer = self.gather(world.nat("198.51.100.20").host("192.168.1.2"), world, 3.0)
        self.assertEqual(gatherer.found.mapping, UNKNOWN)
        self.assertIsNotNone(gatherer.found.reflexive)
        self.assertTrue(gatherer.late)

    def test_a_binding_is_kept_alive_and_a_new_one_is_noticed(self) -> None:
        """A router that restarts gives another port; the next refresh finds it."""
        world = Internet(Clock(), random.Random(1))
        StunServer(world)
        home = world.nat("198.51.100.20", mapping=Dependence.PORT, lifetime=25.0)
        host = home.host("192.168.1.2")
        gatherer = self.gather(host, world, 60.0)
        before = gatherer.found
        home.forget()
        world.clock.pump([0.05] * 800)
        self.assertNotEqual(gatherer.found.reflexive, before.reflexive)

    @given(st.binary(max_size=600), st.booleans())
    def test_lies_and_garbage_change_nothing(self, data: bytes, from_server: bool) -> None:
        """Only an answer with a transaction of ours, from whom was asked, counts."""
        gatherer = Gatherer(SERVER, rng=random.Random(1), now=0.0)
        gatherer.handle_timer(0.0)
        self.assertFalse(gatherer.receive(data, SERVER if from_server else ("203.0.113.1", 1), 0.1))
        self.assertIsNone(gatherer.found.reflexive)
