"""The ``udp`` channel over datagrams in memory."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core import limits
from tests.net.channel_suite import DIGEST, MIB, ChannelBehaviour, Pair, chat
from tests.net.datagram_world import DatagramWorld
from tests.net.quic_ends import Ends, make_pair


class UdpChannelBehaviour(ChannelBehaviour, SynchronousTestCase):
    """Every channel's promises, over a clean path."""

    kind = "udp"

    def make_pair(self) -> Pair:
        return make_pair(DatagramWorld())[1]


class RoughUdpChannelBehaviour(ChannelBehaviour, SynchronousTestCase):
    """The same promises over a path that loses, doubles and reorders datagrams."""

    kind = "udp"

    def make_pair(self) -> Pair:
        world = DatagramWorld(7, loss=0.03, jitter=0.005)
        world.duplicates = 0.05
        return make_pair(world)[1]

    def until(self, pair: Pair, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        super().until(pair, condition, 20 * seconds)


class UdpChannelTests(SynchronousTestCase):
    """Things that only this transport can get wrong."""

    def test_handshakes_survive_bad_paths(self) -> None:
        """With a third of all datagrams lost a channel still comes up, or the owner hears that it did not."""
        came = 0
        for seed in range(30):
            world = DatagramWorld(seed, loss=0.33, jitter=0.05)
            world.duplicates = 0.2
            ends = Ends(world)
            ends.dial()
            world.advance(15.0)
            came += len(ends.one_owner.channels)
            self.assertEqual(len(ends.one_owner.channels) + len(ends.one_owner.lost), 1)
        self.assertGreater(came, 20)

    def test_bulk_that_overtakes_the_nomination_waits_for_it(self) -> None:
        """Streams are independent: the first lane may arrive before the control frame that was sent earlier."""
        for seed in range(40):
            world = DatagramWorld(seed, loss=0.2, jitter=0.02)
            ends = Ends(world)
            one = ends.dial()
            while not ends.one_owner.channels and not ends.one_owner.lost:
                world.advance(0.01)
            if ends.one_owner.channels:
                one.send_bulk(1, [bytes(100_000)], DIGEST)
                world.advance(60.0)
                self.assertEqual(ends.other_user.ends, [(1, DIGEST, 100_000)])

    def test_the_path_size_is_found_even_under_bulk(self) -> None:
        """From 1200 to what an Ethernet carries, and less where less passes."""
        for mtu, found in ((1472, 1472), (1400, 1350), (1200, 1200)):
            world = DatagramWorld(2)
            world.mtu = mtu
            _, pair = make_pair(world)
            for _ in range(10):
                pair.one.send_bulk(1, [bytes(MIB)], DIGEST)
            pair.advance(3.0)
            self.assertEqual(pair.one.link.connection.largest_datagram, found)  # type: ignore[attr-defined]
            self.assertTrue(pair.other_user.ends)

    def test_a_link_is_filled_and_chat_does_not_wait(self) -> None:
        """100 Mbit/s and 40 ms: 0.9 of the link, and a ping takes one idle round trip more at most, on the median."""
        world = DatagramWorld(3, delay=0.02)
        world.rate, world.queue = 100e6 / 8, 0.04
        _, pair = make_pair(world)
        keep_busy(pair)
        pair.advance(3.0)
        pair.other_user.bulk[1].clear()
        times = []
        for _ in range(20):
            answer = pair.one.ping()
            pair.advance(0.25)
            times.append(self.successResultOf(answer))
        self.assertGreater(len(pair.other_user.bulk[1]), 0.9 * 5 * 100e6 / 8)
        self.assertLess(sorted(times)[10], 0.04 + 0.042)

    def test_random_loss_costs_less_than_it_costs_tcp(self) -> None:
        """At 1 % the kernel's CUBIC reaches 3.2 Mbit/s on this link: twice that is the least."""
        world = DatagramWorld(3, delay=0.02)
        world.rate = 100e6 / 8
        _, pair = make_pair(world)
        world.loss = 0.01
        keep_busy(pair)
        pair.advance(3.0)
        pair.other_user.bulk[1].clear()
        pair.advance(15.0)
        self.assertGreater(len(pair.other_user.bulk[1]) * 8 / 15, 6.4e6)

    def test_a_burst_is_bounded(self) -> None:
        """However much waits, no more than the buffer goes to QUIC at once."""
        _, pair = make_pair(DatagramWorld())
        pair.one.send_bulk(1, [bytes(64 * MIB)], DIGEST)
        pair.advance(0.005)
        waiting = pair.one.link.connection.get_send_buffer_size()  # type: ignore[attr-defined]
        self.assertLessEqual(waiting, limits.QUIC_BULK_BUFFER + limits.BULK_CHUNK)

    def test_a_paused_user_stops_the_sender(self) -> None:
        """Once the windows are full; nothing is lost, and it goes on."""
        _, pair = make_pair(DatagramWorld())
        pair.other.pause()  # type: ignore[attr-defined]
        pair.one.send_bulk(1, [bytes(64 * MIB)], DIGEST)
        pair.advance(10.0)
        self.assertEqual(pair.other_user.bulk, {})
        self.assertLess(pair.one.sent, limits.QUIC_WINDOW + 2 * limits.QUIC_BULK_BUFFER)
        pair.other.resume()  # type: ignore[attr-defined]
        pair.advance(10.0)
        self.assertEqual(pair.other_user.ends, [(1, DIGEST, 64 * MIB)])

    def test_a_full_socket_is_waited_for(self) -> None:
        """What the kernel has no room for is not handed to it and lost."""
        ends, pair = make_pair(DatagramWorld())
        ends.one_socket.full = True
        pair.one.send(chat(1))
        pair.advance(1.0)
        self.assertEqual(pair.other_user.signals, [])
        ends.one_socket.full = False
        ends.one.room(ends.one_socket)
        pair.advance(0.1)
        self.assertEqual(pair.other_user.signals, [chat(1)])


def keep_busy(pair: Pair) -> None:
    """Always four ranges waiting."""

    def more(_: object = None) -> None:
        if not pair.one_user.closed:
            waiting = pair.one.send_bulk(1, [bytes(MIB)], DIGEST)
            waiting.addCallbacks(lambda _: pair.one.link._clock.callLater(0, more), lambda _: None)  # type: ignore[attr-defined]

    for _ in range(4):
        more()
