"""Channels that are not direct, not wanted, or wanted by themselves: relays, modes, the local network."""

from __future__ import annotations

from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import NoDirectPath, NotSignedIn, Offline
from p2pim.wire.messages import WhoIsOnline
from p2pim.wire.signals import Offer, Typing
from tests.peer.town import Pair, Town


class ModeTests(Pair):
    def test_none_means_no_direct_channels(self) -> None:
        """A1, A2: switched off here: nothing is offered, offers are declined, and nobody is listening."""
        carol = self.town.resident("carol", "10.0.0.4", mode="none")
        self.failureResultOf(carol.connect(self.alice), NoDirectPath)
        result = self.alice.connect(carol)
        self.town.run()
        self.assertIn("switched off", str(self.failureResultOf(result, NoDirectPath).value))
        self.assertEqual((carol.machine.ports, carol.machine.dialled), ({}, []))

    def test_none_still_takes_relayed_channels(self) -> None:
        """B5: everything still works by relay."""
        carol = self.town.resident("carol", "10.0.0.4", mode="none")
        result = self.alice.relay(carol)
        self.town.run()
        self.assertEqual(self.successResultOf(result).kind, "relay")

    def test_udp_says_that_it_has_no_way_yet(self) -> None:
        """The mode is accepted, and its emptiness explained."""
        carol = self.town.resident("carol", "10.0.0.4", mode="udp")
        error = self.failureResultOf(carol.connect(self.alice), NoDirectPath).value
        self.assertIn("UDP", error.reasons[0][1])


class RelayTests(Pair):
    def test_a_relayed_channel_is_a_channel(self) -> None:
        """Section 5: the same TLS, proofs and frames, inside a splice."""
        here, there = self.relayed()
        here.send(Typing())
        done = here.send_bulk(7, [b"x" * 200_000], b"d" * 32)
        self.town.run()
        self.successResultOf(done)
        self.assertEqual(here.kind, "relay")
        self.assertEqual(here.address, "10.0.0.1:4530")
        self.assertFalse(here.same_lan)
        self.assertEqual(self.bob.signals[0][2], there)
        self.assertEqual(b"".join(data for _, data in self.bob.bulk), b"x" * 200_000)
        self.assertEqual(self.bob.ends, [(7, b"d" * 32)])

    def test_asking_again_joins_or_gives_the_one_there_is(self) -> None:
        """One relayed channel a device."""
        first, second = self.alice.relay(self.bob), self.alice.relay(self.bob)
        self.town.run()
        channel = self.successResultOf(first)
        self.assertIs(self.successResultOf(second), channel)
        self.assertIs(self.successResultOf(self.alice.relay(self.bob)), channel)

    def test_both_asking_in_the_same_instant_makes_one(self) -> None:
        """Crossing offers, relayed."""
        first, second = self.alice.relay(self.bob), self.bob.relay(self.alice)
        self.town.run()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual((len(self.alice.opened), len(self.bob.opened)), (1, 1))

    def test_a_relay_does_not_pass_for_a_direct_channel(self) -> None:
        """A4, A5: "relayed" is what there is without a direct one."""
        self.relayed()
        self.assertIsNone(self.alice.table.channel_to("bob"))

    def test_someone_offline_cannot_be_relayed_to(self) -> None:
        """The attempt ends with the server's word."""
        self.bob.interrupt()
        result = self.alice.relay(self.bob)
        self.town.run(0.1)
        self.failureResultOf(result, Offline)

    def test_a_ticket_nobody_else_shows_ends_in_time(self) -> None:
        """The other side never comes: a reason, and no connection left."""
        self.bob.dropping = lambda signal: True
        self.alice.dropping = lambda signal: True
        result = self.alice.relay(self.bob)
        self.town.run(11)
        self.failureResultOf(result, NoDirectPath)
        self.assertFalse([transport for transport in self.town.network.transports if transport.connected])

    def test_one_side_that_does_not_reach_the_relay_ends_in_time(self) -> None:
        """The other one waits no longer than the negotiation lasts, and leaves nothing."""
        self.town.network.one_way.add(("10.0.0.3", "10.0.0.1"))
        result = self.alice.relay(self.bob)
        self.town.run(12)
        error = self.failureResultOf(result, NoDirectPath).value
        self.assertIn("no answer in time", dict(error.reasons)["relay"])
        self.assertFalse([transport for transport in self.town.network.transports if transport.connected])

    def test_a_ticket_that_is_refused_is_the_reason(self) -> None:
        """Expired, used, made up."""
        result = self.alice.relay(self.bob)
        self.town.splices.halves.clear()
        self.town.run(11)
        self.assertIn("ticket", dict(self.failureResultOf(result, NoDirectPath).value.reasons)["relay"])

    def test_something_else_at_the_relays_address_is_told_apart(self) -> None:
        """It gets a ticket, and no more."""
        self.town.server.ports.clear()
        self.town.server.listenTCP(4530, Factory.forProtocol(_Greeter))
        result = self.alice.relay(self.bob)
        self.town.run(11)
        self.assertIn("no relay", dict(self.failureResultOf(result, NoDirectPath).value.reasons)["relay"])

    def test_the_other_sides_offer_may_be_quicker_than_my_tickets(self) -> None:
        """Then theirs stands, and mine is not made."""
        self.alice.tickets_delay = 0.5
        mine, theirs = self.alice.relay(self.bob), self.bob.relay(self.alice)
        self.town.run(2)
        self.assertEqual(self.successResultOf(mine).device, self.bob.device)
        self.successResultOf(theirs)
        self.assertEqual((len(self.alice.opened), len(self.bob.opened)), (1, 1))
        self.assertFalse([signal for signal in self.alice.sent if isinstance(signal, Offer)])

    def test_losing_the_session_while_tickets_are_awaited(self) -> None:
        """Nothing can come any more."""
        self.alice.tickets_delay = 0.5
        result = self.alice.relay(self.bob)
        self.alice.interrupt()
        self.failureResultOf(result, NoDirectPath)
        self.town.run(2)
        self.failureResultOf(self.alice.relay(self.bob), NotSignedIn)
        self.assertEqual(self.alice.table.all(), [])

    def test_while_relayed_a_direct_channel_is_tried_again(self) -> None:
        """Section 6: every sixty seconds, and traffic moves over when one comes up."""
        ports = dict(self.bob.machine.ports)
        self.bob.machine.ports.clear()
        self.alice.machine.ports.clear()
        self.alice.connect(self.bob).addErrback(lambda failure: None)
        self.relayed()
        self.assertIsNone(self.alice.table.channel_to("bob"))
        self.bob.machine.ports.update(ports)
        self.town.run(70)
        self.assertIsNotNone(self.alice.table.channel_to("bob"))

    def test_who_has_not_been_spoken_to_is_not_tried_again(self) -> None:
        """It ends some time after the last word."""
        self.bob.machine.ports.clear()
        self.alice.machine.ports.clear()
        self.alice.connect(self.bob).addErrback(lambda failure: None)
        self.town.run(400)
        self.alice.sent.clear()
        self.town.run(200)
        self.assertEqual(self.alice.sent, [])


class _Greeter(Protocol):
    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"220 mail.example.org ESMTP\r\n")


class LanTests(SynchronousTestCase):
    def test_after_signing_in_everyone_in_the_lan_is_connected(self) -> None:
        """C2: ask who is online with addresses, connect to those in my LAN, skip myself, pass over who fails."""
        town = Town()
        others = [town.resident(name, f"192.168.1.{number}") for number, name in enumerate(["b", "c", "d"], 2)]
        far = town.resident("far", "8.8.8.8")
        others[1].machine.ports.clear()
        town.network.one_way.add(("192.168.1.3", "192.168.1.9"))
        alice = town.resident("alice", "192.168.1.9", lan=True)
        town.run(12)
        self.assertEqual(sorted(channel.user for channel in alice.table.all()), ["b", "d"])
        self.assertEqual(far.opened, [])
        self.assertEqual(sum(isinstance(message, WhoIsOnline) for message in alice.asked), 1)

    def test_only_so_many_are_called_at_once(self) -> None:
        """An office of a hundred is not called in one breath, and not all of it."""
        town = Town()
        for number in range(80):
            town.resident(f"u{number}", f"192.168.1.{number + 1}").dropping = lambda signal: True
        alice = town.resident("alice", "192.168.2.1", lan=True)
        town.run(1)
        self.assertEqual(sum(isinstance(signal, Offer) for signal in alice.sent), 8)
        town.run(200)
        self.assertEqual(sum(isinstance(signal, Offer) for signal in alice.sent), 64)
