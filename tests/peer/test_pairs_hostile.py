"""What hostile peers and strangers can make a peer's UDP do: very little, and nothing to others."""

from __future__ import annotations

import random
from collections import Counter

import msgspec

from p2pim.core import limits
from p2pim.core.proof import check_key
from p2pim.errors import BadMessage, NoDirectPath
from p2pim.net.quic_connection import dial
from p2pim.peer.interfaces import IChannel
from p2pim.wire.checks import Check, pack_check
from p2pim.wire.signals import Answer, Candidate, MoreCandidates, Offer, decode_signal, encode_signal
from tests.network import Endpoint, Host, Packet, UdpSocket
from tests.peer.nat_town import NatTown
from tests.peer.pair_case import GATHERED, PairCase
from tests.stun_world import SERVER as P2P_SERVER

SECRET = b"s" * 32
NAME = b"n" * 16
OURS = {P2P_SERVER, ("198.51.100.11", 19901)}
"""The P2P server's ends, to which a peer speaks of its own accord."""


class HostileCase(PairCase):
    """Alice is behind a full-cone NAT, where anybody can send to her socket; mallory may make offers."""

    def setUp(self) -> None:
        self.town = NatTown()
        self.alice = self.town.settle_in("alice", "full-cone")
        self.bob = self.town.settle_in("bob", "port-restricted")
        self.mallory = self.town.settle_in("mallory", "public", mode="none")
        self.town.run(GATHERED)
        [reflexive] = [each for each in self.alice.table.udp.candidates() if each.kind == "reflexive"]
        self.at: Endpoint = (reflexive.host, reflexive.port)
        """Where alice's socket is seen."""

    def offer(self, candidates: list[Candidate], number: int = 0) -> None:
        """Mallory's, with a secret that she knows."""
        name = bytes([number]) + NAME[1:]
        offer = Offer(name, 1, b"f" * 32, SECRET, candidates, ["udp"])
        self.alice.deliver("mallory", self.mallory.device, offer)

    def check(self, number: int = 0, transaction: int = 0) -> bytes:
        """A check that alice takes for mallory's."""
        name = (bytes([number]) + NAME[1:]).hex()
        return pack_check(Check(transaction.to_bytes(12), name, 1, True, 7), check_key(SECRET))

    def sent_to(self, before: int = 0) -> Counter[Endpoint]:
        """How many datagrams alice has sent where, but for the P2P server."""
        targets = ((target[0], target[1]) for _, _, target in self.alice.datagrams[before:])
        return Counter(target for target in targets if target not in OURS)

    def spoof(self, data: bytes, source: Endpoint) -> None:
        """A datagram for alice in somebody else's name."""
        self.town.world.public.carry(Packet(source, self.at, data))


class OfferTests(HostileCase):
    def test_ten_thousand_candidates_are_no_offer(self) -> None:
        """The codec refuses them before anybody looks at them; the most that it takes make a few checks."""
        many = [Candidate("host", "udp", f"203.0.{n >> 8}.{n & 255}", 7000) for n in range(10_000)]
        offer = Offer(NAME, 1, b"f" * 32, SECRET, many, ["udp"])
        self.assertRaises(BadMessage, decode_signal, encode_signal(offer))
        self.assertRaises(BadMessage, decode_signal, msgspec.msgpack.encode([13, NAME, [["host"] * 5] * 10_000]))
        self.offer(many[:64])
        self.town.run(11.0)
        self.assertLessEqual(len(self.sent_to()), limits.UDP_REMOTES)
        self.assertLessEqual(max(self.sent_to().values()), limits.CHECKS_PER_PAIR)

    def test_ten_thousand_trickled_candidates_are_few_checks(self) -> None:
        """However many signals they come in."""
        self.offer([])
        for number in range(200):
            many = [Candidate("host", "udp", f"203.0.{number}.{n}", 7000) for n in range(50)]
            self.alice.deliver("mallory", self.mallory.device, MoreCandidates(NAME, many))
            self.alice.deliver("mallory", self.mallory.device, MoreCandidates(b"\0" + NAME[1:], many, "", True))
        self.town.run(11.0)
        self.assertLessEqual(len(self.sent_to()), limits.PAIRS)
        self.assertLessEqual(max(self.sent_to().values()), limits.CHECKS_PER_PAIR)

    def test_addresses_that_are_no_peers_get_nothing(self) -> None:
        """Loopback, multicast, broadcast, nobody's, names, ports of services, the servers' and my own."""
        socket = self.alice.machine.sockets[0]
        hosts = ["127.0.0.1", "::1", "224.0.0.1", "239.255.255.250", "ff02::1", "255.255.255.255", "0.0.0.0", "::",
                 "::ffff:127.0.0.1", "fe80::1", "example.org", "240.0.0.1", "", "127.0.0.1%lo"]  # fmt: skip
        candidates = [Candidate("host", "udp", host, 7000) for host in hosts]
        mine = [self.at, (socket.address[0], socket.address[1])]
        for host, port in [*mine, *OURS, (P2P_SERVER[0], 4530), ("203.0.113.5", 53)]:
            candidates.append(Candidate("host", "udp", host, port))
        for number, start in enumerate(range(0, len(candidates), 8)):
            self.offer(candidates[start : start + 8], number)
            before = len(self.alice.datagrams)
            self.town.run(11.0)
            self.assertEqual(self.sent_to(before), Counter())
            checks = [size for _, size, _ in self.alice.datagrams[before:] if size in range(90, 130)]
            self.assertLessEqual(len(checks), 4)

    def test_a_victim_gets_a_handful_however_often_it_is_named(self) -> None:
        """By many offers at all its ports, each of which takes the place of the one before; and by patient ones."""
        for pause in (0.05, 2.5):
            before = len(self.alice.datagrams)
            for number in range(60):
                self.offer([Candidate("host", "udp", "203.0.113.9", 7000 + n) for n in range(10)], number)
                self.town.run(pause)
            self.town.run(11.0)
            hits = sum(count for target, count in self.sent_to(before).items() if target[0] == "203.0.113.9")
            self.assertLessEqual(hits, limits.SILENT_HOST_BURST + limits.SILENT_HOST_RATE * (60 * pause + 11.0))
        sizes = [size for _, size, target in self.alice.datagrams if target[0] == "203.0.113.9"]
        self.assertLess(max(sizes), 150)

    def test_one_users_offers_cost_another_nothing(self) -> None:
        """Mallory names bob's address until nothing goes there for her: alice and bob find each other as ever."""
        for number in range(30):
            self.offer([Candidate("host", "udp", "198.51.100.21", 7000 + n) for n in range(10)], number)
            self.town.run(0.05)
        self.town.run(0.5)
        self.assertEqual(self.successResultOf(self.called(1.0)).kind, "udp")


class ForgeryTests(HostileCase):
    def stranger(self) -> tuple[UdpSocket, list[bytes]]:
        """Somebody on the internet, and what comes to them."""
        heard: list[bytes] = []
        host: Host = self.town.world.host("203.0.113.77")
        return host.bind(7000, lambda data, source: heard.append(data)), heard

    def established(self) -> IChannel:
        """A channel of alice's with bob."""
        return self.successResultOf(self.called(2.0))

    def test_strangers_get_no_answer_whatever_they_send(self) -> None:
        """Garbage, STUN questions, checks under wrong keys and names, before, during and after a negotiation."""
        socket, heard = self.stranger()
        rng = random.Random(1)
        result = self.alice.connect(self.bob)
        for number in range(500):
            for data in (
                rng.randbytes(rng.randrange(0, 1300)),
                pack_check(Check(number.to_bytes(12), NAME.hex(), 1, True, 7), b"x" * 32),
                self.check(transaction=number),
                b"\x40" + rng.randbytes(60),
                b"\xc3\0\0\0\1\x08" + rng.randbytes(8) + b"\0\0" + rng.randbytes(1300),
                b"",
            ):
                socket.send(data, self.at)
            self.town.run(0.005)
        self.town.run(5.0)
        self.assertEqual(heard, [])
        self.assert_talking(self.successResultOf(result))

    def test_replayed_datagrams_change_nothing(self) -> None:
        """All that went between alice and bob is sent again, by a stranger and in bob's name."""
        seen: list[tuple[bytes, Endpoint]] = []
        socket = self.alice.machine.sockets[0]
        arrived = socket.under.received

        def tap(data: bytes, source: Endpoint) -> None:
            seen.append((data, source))
            arrived(data, source)

        socket.under.received = tap
        channel = self.established()
        stranger, heard = self.stranger()
        socket.under.received = arrived
        before = self.sent_to()
        for data, source in seen:
            stranger.send(data, self.at)
            self.spoof(data, source)
        self.town.run(10.0)
        self.assertLessEqual(len(heard), limits.CHECKS_PER_PAIR)
        self.assertLessEqual(sum(map(len, heard)), sum(len(data) for data, _ in seen))
        self.assertEqual(set(self.sent_to()) - set(before) - {stranger.address}, set())
        self.assert_talking(channel)
        self.assertEqual((self.alice.closed, self.bob.closed), ([], []))

    def test_checks_in_a_victims_name_bring_it_a_handful(self) -> None:
        """Mallory knows the key, and forges the source: what goes there is bounded, and smaller than what she sent."""
        victim = ("203.0.113.9", 7000)
        self.offer([])
        sent = 0
        for number in range(1000):
            data = self.check(transaction=number)
            sent += len(data)
            self.spoof(data, victim)
            self.town.run(0.01)
        most = 2 * limits.CHECKS_PER_PAIR + limits.CHECKS_TRIGGERED
        self.assertLessEqual(self.sent_to()[victim], most)
        self.assertLess(sum(size for _, size, target in self.alice.datagrams if target == victim), sent)

    def test_checks_in_the_names_of_many_are_bounded_in_all(self) -> None:
        """A network cannot be swept by them."""
        self.offer([])
        for number in range(5000):
            self.spoof(self.check(transaction=number), (f"203.0.{number % 100}.{number % 250}", 7000))
        self.town.run(11.0)
        self.assertLessEqual(len(self.sent_to()), limits.PAIRS + limits.PEER_REFLEXIVE)


class InitialTests(HostileCase):
    """First packets of QUIC from those who were not asked."""

    def initial(self, number: int) -> bytes:
        """A real one, with a connection id of its own."""
        connection = dial(b"f" * 32)
        connection.begin(self.town.clock.seconds())
        if not hasattr(self, "template"):
            self.template = connection.transmit(self.town.clock.seconds())[0]
        return self.template[:6] + number.to_bytes(8) + self.template[14:]

    def test_thousands_from_unknown_addresses_get_nothing_and_leave_nothing(self) -> None:
        """Not one datagram, not one connection, with a channel standing or not."""
        for _ in range(2):
            before = self.sent_to()
            factory = self.alice.table.udp._factory()
            state = len(factory._channels), len(factory._by_id), len(factory._expected)
            initial = self.initial(0)
            for number in range(10_000):
                data = initial[:6] + number.to_bytes(8) + initial[14:]
                self.spoof(data, (f"203.0.{number % 100}.{number % 250}", 1024 + number))
            self.town.run(1.0)
            self.assertEqual((len(factory._channels), len(factory._by_id), len(factory._expected)), state)
            self.assertLessEqual(sum((self.sent_to() - before).values()), 4)
            self.assert_talking(self.successResultOf(self.called(2.0)))

    def test_a_handshake_goes_to_nobody_who_has_not_answered(self) -> None:
        """A check and a first packet in a victim's name: the packet waits for an answer that never comes."""
        victim = ("203.0.113.9", 7000)
        self.offer([])
        self.spoof(self.check(), victim)
        self.town.run(0.2)
        for number in range(1000):
            self.spoof(self.initial(number), victim)
        self.town.run(11.0)
        sizes = [size for _, size, target in self.alice.datagrams if target == victim]
        self.assertLessEqual(len(sizes), 2 * limits.CHECKS_PER_PAIR + limits.CHECKS_TRIGGERED)
        self.assertLess(max(sizes), 150)
        self.assertEqual(self.alice.table.udp._factory()._channels, {})

    def test_a_first_packet_that_is_quicker_than_the_answer_is_not_lost(self) -> None:
        """With answers to checks that are delayed on their way, the channel still comes at the first packet."""
        self.bob.machine.sockets[0].delay_stun = 0.15
        result = self.bob.connect(self.alice)
        self.town.run(0.9)
        self.assertEqual(self.successResultOf(result).kind, "udp")


class CrossTalkTests(HostileCase):
    def test_a_failed_answer_costs_no_more_than_a_failed_offer(self) -> None:
        """Mallory answers alice's own offer with a victim's address: she is refused the other rungs, and it ends."""
        victim = ("203.0.113.9", 7000)
        result = self.alice.connect(self.bob)
        [offer] = [signal for signal in self.alice.sent if isinstance(signal, Offer)]
        answer = Answer(offer.negotiation, b"m" * 32, b"m" * 32, [Candidate("host", "udp", *victim)], ["udp"])
        self.alice.deliver("bob", self.bob.device, answer)
        self.town.run(11.0)
        self.failureResultOf(result, NoDirectPath)
        self.assertLessEqual(self.sent_to()[victim], limits.CHECKS_PER_PAIR)
