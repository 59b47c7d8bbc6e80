"""Two peers' channel tables in trouble: no P2P server, or one that lies; routers that forget; paths that die."""

from __future__ import annotations

from p2pim.core import limits
from p2pim.core.stun_answers import Answer, Outcome, Site
from p2pim.errors import NoDirectPath
from p2pim.peer.interfaces import IChannel
from p2pim.wire.signals import Answer as SignalAnswer
from p2pim.wire.signals import MoreCandidates, Offer
from p2pim.wire.stun import Address, Attribute, Kind, StunMessage, pack, pack_address, pack_xor_address, parse
from tests.nat_kinds import KINDS, NATS, can_be_punched, outside
from tests.network import Endpoint
from tests.peer.nat_town import NatTown
from tests.peer.pair_case import BLOCKED, GATHERED, PairCase
from tests.stun_world import SERVER as P2P_SERVER
from tests.stun_world import pack_ip

VICTIM: Endpoint = ("203.0.113.9", 7000)


class WithoutServerTests(PairCase):
    """B5, and a P2P server that is there by name alone."""

    def test_without_a_p2p_server_not_one_datagram_is_sent(self) -> None:
        """B5: and TCP makes the channels that it can make."""
        for one in KINDS:
            for other in KINDS:
                self.town = NatTown()
                self.alice = self.town.settle_in("alice", one, p2p=())
                self.bob = self.town.settle_in("bob", other, p2p=())
                result = self.called()
                if "public" in (one, other):
                    self.assertEqual(self.successResultOf(result).kind, "tcp")
                else:
                    reasons = dict(self.failureResultOf(result, NoDirectPath).value.reasons)
                    self.assertEqual(set(reasons), {"tcp-lan", "tcp-direct", "tcp-incoming"})
                self.assertEqual((self.alice.machine.sockets, self.bob.machine.sockets), ([], []))
                self.assert_nothing_left()

    def test_one_side_without_a_p2p_server_is_left_in_peace(self) -> None:
        """Its answer says that it does no UDP, so nobody sends it any, and it sends none."""
        self.town = NatTown()
        self.alice = self.town.settle_in("alice", "full-cone")
        self.bob = self.town.settle_in("bob", "full-cone", p2p=())
        self.town.run(GATHERED)
        for _ in range(2):
            reasons = dict(self.failureResultOf(self.called(), NoDirectPath).value.reasons)
            self.assertEqual(reasons["udp"], "the other side has no address for UDP")
            self.alice, self.bob = self.bob, self.alice
            self.assertNotIn("udp", dict(self.failureResultOf(self.called(), NoDirectPath).value.reasons))
            self.alice, self.bob = self.bob, self.alice
        self.assertEqual(self.bob.machine.sockets, [])
        self.assertEqual(
            {target for _, _, target in self.alice.datagrams} - {P2P_SERVER, ("198.51.100.11", 19901)}, set()
        )

    def test_switching_it_off_ends_what_is_under_way(self) -> None:
        """The sockets close, a udp channel ends at both ends, and what is being tried goes on by TCP alone."""
        self.meet("port-restricted", "port-restricted")
        self.successResultOf(self.called())
        self.alice.table.use_p2p(())
        self.town.run(1.0)
        self.assertEqual((self.alice.table.all(), self.bob.table.all()), ([], []))
        sent = len(self.alice.datagrams)
        self.failureResultOf(self.called(), NoDirectPath)
        self.assertEqual(len(self.alice.datagrams), sent)
        self.alice.table.use_p2p((P2P_SERVER,))
        self.town.run(GATHERED)
        self.assert_talking(self.successResultOf(self.called()))
        self.assert_nothing_left()

    def test_switching_it_off_while_calling_is_no_disaster(self) -> None:
        """At any moment of a negotiation, at either side."""
        for step in range(40):
            for which in (0, 1):
                self.meet("port-restricted", "full-cone")
                result = self.alice.connect(self.bob)
                self.town.run(step * 0.01)
                (self.alice, self.bob)[which].table.use_p2p(())
                self.town.run(limits.NEGOTIATION_TIME + 2.0)
                self.assertTrue(result.called)
                result.addErrback(lambda failure: failure.trap(NoDirectPath))
                self.town.run(limits.UDP_DEAD + 5.0)
                self.assertEqual((self.alice.table.all(), self.bob.table.all()), ([], []))
                self.assert_nothing_left()

    def test_a_p2p_server_that_is_away_leaves_what_needs_none(self) -> None:
        """Public addresses, and those of one LAN; for the others there is a reason."""
        for one, other in (("firewalled", "firewalled"), ("port-restricted", "firewalled"), ("full-cone", "symmetric")):
            for settle in (0.0, GATHERED, BLOCKED):
                self.town = NatTown()
                for socket in list(self.town.stun.sockets.values()):
                    socket.close()
                self.alice, self.bob = self.town.settle_in("alice", one), self.town.settle_in("bob", other)
                self.town.run(settle)
                result = self.called()
                if one == other == "firewalled":
                    self.assertEqual(self.successResultOf(result).kind, "udp")
                else:
                    reasons = dict(self.failureResultOf(result, NoDirectPath).value.reasons)
                    self.assertNotIn("maps every destination", reasons["udp"])
                self.assert_nothing_left()

    def test_a_server_that_goes_away_and_comes_back_is_noticed(self) -> None:
        """Its answers are missed after a quarter of a minute, and looked for again every minute."""
        self.meet("port-restricted", "full-cone")
        sockets = dict(self.town.stun.sockets)
        for socket in sockets.values():
            socket.close()
        self.town.run(60.0)
        self.failureResultOf(self.called(), NoDirectPath)
        for socket in sockets.values():
            socket.host.sockets[socket.port] = socket
        self.town.run(limits.DIRECT_RETRY + GATHERED)
        self.assertEqual(self.successResultOf(self.called()).kind, "udp")


class LyingServerTests(PairCase):
    """A P2P server that answers what it likes."""

    def lie(self, mapped: Endpoint, other: Endpoint = ("198.51.100.11", 19901)) -> None:
        """From now on alice is told that she is seen at ``mapped``, and that the other port is ``other``."""
        honest = self.town.stun.answers.answer

        def answer(data: bytes, asker: Address, here: Site, now: float) -> Answer | Outcome:
            if asker.ip != pack_ip(outside(0)):
                return honest(data, asker, here, now)
            question = parse(data)
            attributes: dict[int, bytes] = {
                Attribute.XOR_MAPPED_ADDRESS: pack_xor_address(address(mapped), question.transaction),
                Attribute.OTHER_ADDRESS: pack_address(address(other)),
            }
            told = pack(StunMessage(Kind.SUCCESS, question.transaction, attributes))
            return Answer(told, Outcome.PLAIN, asker, here.here)

        self.town.stun.answers.answer = answer  # type: ignore[method-assign, assignment]

    def liars_town(self, mapped: Endpoint, **options: Endpoint) -> None:
        self.town = NatTown()
        self.lie(mapped, **options)
        self.victim = self.town.world.host(VICTIM[0])
        self.hits: list[bytes] = []
        self.victim.bind(VICTIM[1], lambda data, source: self.hits.append(data))
        self.alice = self.town.settle_in("alice", "port-restricted")
        self.bob = self.town.settle_in("bob", "port-restricted")
        self.town.run(GATHERED)

    def test_a_victims_address_gets_a_handful_of_small_datagrams(self) -> None:
        """Forged mapped addresses: alice believes that she is seen there, so bob checks her there."""
        self.liars_town(VICTIM)
        self.failureResultOf(self.called(), NoDirectPath)
        self.assertTrue(0 < len(self.hits) <= limits.CHECKS_PER_PAIR)
        self.assertLess(max(map(len, self.hits)), 150)

    def test_a_victim_named_as_the_other_port_is_left_alone_soon(self) -> None:
        """However long the peers stay."""
        self.liars_town((outside(0), 5), other=VICTIM)
        self.town.run(3600.0)
        self.assertLessEqual(len(self.hits), 4 * limits.STUN_TRIES)

    def test_addresses_that_are_none_are_not_passed_on(self) -> None:
        """Nor do they keep the peers from understanding each other."""
        for mapped in (("0.0.0.0", 5), ("224.0.0.1", 5), ("127.0.0.1", 5), ("255.255.255.255", 5), (outside(0), 0)):
            self.liars_town(mapped, other=mapped)
            self.failureResultOf(self.called(), NoDirectPath)
            self.assertTrue([signal for signal in self.bob.sent if isinstance(signal, SignalAnswer)])
            [offer] = [signal for signal in self.alice.sent if isinstance(signal, Offer)]
            self.assertEqual([each.kind for each in offer.candidates], ["host", "host"], str(mapped))
            self.assertEqual({target for _, _, target in self.alice.datagrams} & {mapped}, set())

    def test_late_answers_are_told_late(self) -> None:
        """An offer does not wait for the P2P server: what it says later is trickled, and makes the channel."""
        for late in (0.5, 1.5, 3.0):
            self.town = NatTown()
            for node in (self.town.world.public.nodes[P2P_SERVER[0]], self.town.world.public.nodes["198.51.100.11"]):
                send = node.link
                node.link = type(send)(delay=late / 2)
            self.alice = self.town.settle_in("alice", "port-restricted")
            self.bob = self.town.settle_in("bob", "port-restricted")
            channel = self.successResultOf(self.called())
            self.assertEqual(channel.kind, "udp")
            self.assertTrue([signal for signal in self.alice.sent if isinstance(signal, MoreCandidates)])
            self.assert_talking(channel)
            self.assert_nothing_left()


class TrickleTests(PairCase):
    """Calls made before anything is known."""

    def test_an_offer_made_at_once_is_as_good_as_any(self) -> None:
        """Whoever is still asking tells the rest when it comes."""
        for one in KINDS:
            for other in KINDS:
                if "public" in (one, other) or not can_be_punched(one, other):
                    continue
                self.meet(one, other, settle=0.0)
                result = self.called(1.0)
                self.assertEqual(self.successResultOf(result).kind, "udp", f"{one} x {other}")
                self.assert_nothing_left()

    def test_the_newcomer_may_be_either_side(self) -> None:
        """The one who calls, or the one who is called."""
        for first in (0, 1):
            self.town = NatTown()
            people = []
            for number, name in enumerate(("alice", "bob")):
                people.append(self.town.settle_in(name, "port-restricted"))
                self.town.run(GATHERED if number == 0 else 0.0)
            self.alice, self.bob = people if first == 0 else people[::-1]
            result = self.alice.connect(self.bob)
            self.town.run(1.0)
            self.assertEqual(self.successResultOf(result).kind, "udp")


class PathTests(PairCase):
    """A channel that stands, and what happens to the path under it."""

    def established(self, one: str = "port-restricted", other: str = "full-cone") -> IChannel:
        self.meet(one, other)
        channel = self.successResultOf(self.called(2.0))
        self.assertEqual(channel.kind, "udp")
        self.assert_talking(channel)
        return channel

    def test_a_silent_path_is_doubted_then_dead(self) -> None:
        """A doubted channel is not used for what is new; a dead one ends, at both ends, and another may be made."""
        channel = self.established()
        self.alice.nat.udp = False
        self.town.run(limits.UDP_HEARTBEAT + limits.UDP_DOUBTED)
        self.assertIsNone(self.alice.table.channel_to("bob"))
        self.assertIsNone(self.bob.table.channel_to("alice"))
        self.assertEqual(self.alice.table.all(), [channel])
        self.town.run(limits.UDP_DEAD)
        self.assertEqual((self.alice.table.all(), self.bob.table.all()), ([], []))
        self.failureResultOf(self.called(), NoDirectPath)
        self.alice.nat.udp = True
        self.town.run(limits.DIRECT_RETRY + BLOCKED)
        self.assert_talking(self.successResultOf(self.called()))
        self.assert_nothing_left()

    def test_a_path_that_carries_one_way_only_is_noticed_at_both_ends(self) -> None:
        """Who still hears the other is not deceived: what counts is that what was sent is answered (RFC 7675)."""
        for which in (0, 1):
            channel = self.established("port-restricted", "port-restricted")
            (self.alice, self.bob)[which].nat.outward = False
            self.town.run(limits.UDP_HEARTBEAT + limits.UDP_DOUBTED)
            self.assertIsNone(self.alice.table.channel_to("bob"))
            self.assertIsNone(self.bob.table.channel_to("alice"))
            self.assertEqual(self.alice.table.all(), [channel])
            self.town.run(limits.UDP_DEAD - limits.UDP_DOUBTED)
            self.assertEqual((self.alice.table.all(), self.bob.table.all()), ([], []))

    def test_a_doubted_path_that_comes_back_is_trusted_again(self) -> None:
        """The same channel, and nobody is told of an end."""
        channel = self.established()
        self.alice.nat.udp = False
        self.town.run(limits.UDP_DOUBTED + 1.0)
        self.assertIsNone(self.alice.table.channel_to("bob"))
        self.alice.nat.udp = True
        self.town.run(3.0)
        self.assertIs(self.alice.table.channel_to("bob"), channel)
        self.assertEqual((self.alice.closed, self.bob.closed), ([], []))
        self.assert_talking(channel)

    def test_a_call_while_the_path_is_doubted_makes_a_new_channel(self) -> None:
        """By another way if there is one; the old channel makes room for it."""
        old = self.established("symmetric", "full-cone")
        self.alice.nat.forget()
        self.town.run(limits.UDP_DOUBTED + 1.0)
        self.assertIsNot(self.alice.table.channel_to("bob"), old)
        new = self.successResultOf(self.called(2.0))
        self.assertIsNot(new, old)
        self.assertEqual(self.alice.table.all(), [new])
        self.assert_talking(new)
        self.assert_nothing_left()

    def test_idle_channels_outlive_short_memories(self) -> None:
        """Heartbeats are sent before a router forgets after thirty seconds."""
        for one in NATS:
            for other in NATS:
                if can_be_punched(one, other):
                    channel = self.established(one, other)
                    self.town.run(600.0)
                    self.assertEqual((self.alice.closed, self.bob.closed), ([], []), f"{one} x {other}")
                    self.assert_talking(channel)

    def test_a_router_that_forgets_is_got_over(self) -> None:
        """It keeps the port: the next heartbeat opens it again. It gives another: a new channel is made."""
        for kind in NATS:
            channel = self.established(kind, "full-cone")
            self.alice.nat.forget()
            self.town.run(limits.UDP_KEEPALIVE + limits.UDP_DEAD + 5.0)
            if kind != "symmetric":
                self.assertIs(self.alice.table.channel_to("bob"), channel, kind)
            self.assert_talking(self.successResultOf(self.called(2.0)))
            self.assert_nothing_left()


def address(endpoint: Endpoint) -> Address:
    """As the codec has it."""
    return Address(pack_ip(endpoint[0]), endpoint[1])
