"""The ``udp`` channel over datagrams in memory."""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core import limits
from p2pim.core.keepalive import Trust
from p2pim.errors import HandshakeTimeout
from p2pim.net.certificates import CertificateAndKey, fingerprint_of_pem, make_certificate
from p2pim.net.quic import QuicChannel
from p2pim.net.quic_factory import UdpChannelFactory
from p2pim.net.quic_tokens import RetryTokens
from p2pim.wire.demux import LongHeader, read_long_header
from tests.net.channel_suite import DIGEST, MIB, ChannelBehaviour, Pair, Recorder, chat
from tests.net.datagram_world import DatagramWorld, MemorySocket
from tests.net.proving import ProvingOwner

ONE, OTHER = make_certificate("one", 1), make_certificate("other", 1)
OTHER_FINGERPRINT = fingerprint_of_pem(OTHER.cert_pem)


class Ends:
    """Two peers with a socket each; bob dials alice."""

    def __init__(self, world: DatagramWorld, one_key: bytes | None = None) -> None:
        self.world = world
        self.one_user, self.other_user = Recorder(), Recorder()
        self.one_owner = ProvingOwner("alice", b"A" * 16, self.one_user, offerer=True)
        self.other_owner = ProvingOwner("bob", b"B" * 16, self.other_user, offerer=False)
        if one_key is not None:
            self.one_owner.key = one_key
        self.one_socket, self.one = self._factory("10.0.0.1", ONE, self.one_owner)
        self.other_socket, self.other = self._factory("10.0.0.2", OTHER, self.other_owner)

    def _factory(
        self, host: str, certificate: CertificateAndKey, owner: ProvingOwner
    ) -> tuple[MemorySocket, UdpChannelFactory]:
        socket = self.world.socket(host)
        factory = UdpChannelFactory(
            self.world.clock,
            certificate,
            owner,
            random.Random(1),
            self.world.clock.seconds,
        )
        socket.factory = factory
        return socket, factory

    def dial(self, fingerprint: bytes = OTHER_FINGERPRINT, expected: bool = True) -> QuicChannel:
        """Bob calls alice."""
        if expected:
            self.other.expect(self.other_socket, self.one_socket.address)
        return self.one.dial(self.one_socket, self.other_socket.address, fingerprint, self.one_owner)


def make_pair(world: DatagramWorld) -> tuple[Ends, Pair]:
    """Two channels in ``world``."""
    ends = Ends(world)
    one = ends.dial()
    for _ in range(200):
        if ends.other_owner.channels:
            break
        world.advance(0.1)
    other = ends.other_owner.channels[0]

    def cut() -> None:
        world.cut = True

    return ends, Pair(one, other, ends.one_user, ends.other_user, world.advance, cut)


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
            for _ in range(30):
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


class AuthenticationTests(SynchronousTestCase):
    """Who may speak, and who is spoken to."""

    def test_a_wrong_certificate_ends_the_call(self) -> None:
        """The dialler speaks to nobody but the holder of the certificate that was negotiated."""
        ends = Ends(DatagramWorld())
        ends.dial(fingerprint=bytes(32))
        ends.world.advance(5.0)
        self.assertEqual((ends.one_owner.channels, ends.other_owner.channels), ([], []))
        self.assertIn("Fingerprints did not match", ends.one_owner.lost[0])

    def test_a_caller_without_the_key_is_refused(self) -> None:
        """A certificate to pin can be had by anybody; the key only by a negotiation."""
        ends = Ends(DatagramWorld(), one_key=b"x" * 32)
        ends.dial()
        ends.world.advance(5.0)
        self.assertEqual((ends.one_owner.channels, ends.other_owner.channels), ([], []))
        self.assertEqual(len(ends.one_owner.lost), 1)
        self.assertEqual(len(ends.other_owner.lost), 1)

    def test_each_session_has_its_own_binding_and_both_ends_the_same(self) -> None:
        """So a proof from one connection is worth nothing on another."""
        ends = Ends(DatagramWorld())
        keys = set()
        for _ in range(3):
            ends.dial()
            ends.world.advance(1.0)
            one, other = ends.one_owner.channels[-1], ends.other_owner.channels[-1]
            self.assertEqual(one.exported_key(), other.exported_key())
            keys.add(one.exported_key())
            one.close("next")
            ends.world.advance(5.0)
        self.assertEqual({len(key) for key in keys}, {32})
        self.assertEqual(len(keys), 3)

    def test_a_caller_that_never_proves_itself_is_dropped(self) -> None:
        """In the time for a handshake."""
        ends = Ends(DatagramWorld())
        ends.one_owner.link_secured = lambda link: None  # type: ignore[method-assign]
        ends.one_owner.link_signal = lambda link, signal: None  # type: ignore[method-assign]
        ends.dial()
        ends.world.advance(limits.HANDSHAKE + 1.0)
        self.assertEqual(ends.other_owner.lost, [HandshakeTimeout.default])

    def test_garbage_and_forgeries_change_nothing(self) -> None:
        """From anywhere, the other side's own address included; replays neither."""
        ends, pair = make_pair(DatagramWorld())
        seen = list(ends.other_socket.seen)
        rng = random.Random(5)
        for number in range(2000):
            datagram = bytearray(rng.choice(seen)[0] if number % 2 else rng.randbytes(rng.randrange(1, 1400)))
            if number % 4 == 1:
                datagram[rng.randrange(len(datagram))] ^= 1 << rng.randrange(8)
            sender = ends.one_socket.address if number % 3 else ("203.0.113.5", number)
            ends.other_socket.arrive(bytes(datagram), sender)
            ends.other.read_ended()
        pair.one.send(chat(1))
        pair.advance(1.0)
        self.assertEqual((pair.one_user.closed, pair.other_user.closed), ([], []))
        self.assertEqual(pair.other_user.signals, [chat(1)])


class StrangerTests(SynchronousTestCase):
    """First packets from addresses that nobody expects."""

    def test_nobody_is_answered_unless_strangers_are_welcome(self) -> None:
        """Not a single datagram."""
        ends = Ends(DatagramWorld())
        ends.dial(expected=False)
        ends.world.advance(2.0)
        self.assertEqual((ends.one_socket.seen, ends.other_owner.channels), ([], []))

    def test_a_stranger_proves_its_address_first(self) -> None:
        """By a Retry, much shorter than what it answers; then it may call."""
        ends = Ends(DatagramWorld())
        ends.other.strangers = True
        ends.dial(expected=False)
        ends.world.advance(2.0)
        self.assertLess(len(ends.one_socket.seen[0][0]), 150)
        self.assertEqual((len(ends.one_owner.channels), len(ends.other_owner.channels)), (1, 1))

    def test_a_flood_of_first_packets_is_answered_at_a_limited_rate_and_kept_nowhere(self) -> None:
        """Ten thousand spoofed ones in a second: a few hundred Retries, and no state at all."""
        ends = Ends(DatagramWorld())
        ends.dial(expected=False)
        ends.world.advance(0.1)
        initial = ends.other_socket.seen[0][0]
        ends.other.strangers = True
        before = ends.world.carried
        for number in range(10_000):
            address = f"203.0.{number % 100}.{number % 250}"
            ends.other_socket.arrive(initial[:6] + number.to_bytes(8) + initial[14:], (address, number))
        ends.other.read_ended()
        self.assertLessEqual(ends.world.carried - before, limits.QUIC_RETRY_BURST + 10)
        self.assertEqual(ends.other._channels, {})

    def test_a_token_is_good_for_one_address_and_a_short_time(self) -> None:
        """What was given to one is worth nothing to another, nor later, nor altered."""
        tokens = RetryTokens()
        asked = LongHeader(1, b"original", b"source", True, b"")
        retry = read_retry(tokens.retry(asked, ("192.0.2.1", 5), 100.0))
        again = LongHeader(1, retry.source, b"source", True, retry.token)
        self.assertEqual(tokens.check(again, ("192.0.2.1", 5), 105.0), (b"original", retry.source))
        self.assertIsNone(tokens.check(again, ("192.0.2.1", 6), 105.0))
        self.assertIsNone(tokens.check(again, ("192.0.2.2", 5), 105.0))
        self.assertIsNone(tokens.check(again, ("192.0.2.1", 5), 111.0))
        self.assertIsNone(tokens.check(again._replace(destination=b"somebody"), ("192.0.2.1", 5), 105.0))
        self.assertIsNone(tokens.check(again._replace(token=retry.token[:-1] + b"\0"), ("192.0.2.1", 5), 105.0))
        self.assertIsNone(RetryTokens().check(again, ("192.0.2.1", 5), 105.0))
        self.assertIsNone(tokens.check(again._replace(token=b""), ("192.0.2.1", 5), 105.0))

    def test_callers_that_are_no_channels_yet_are_few(self) -> None:
        """Even from expected addresses."""
        ends = Ends(DatagramWorld())
        ends.dial()
        ends.world.advance(0.1)
        initial = ends.other_socket.seen[0][0]
        for number in range(200):
            ends.other.expect(ends.other_socket, ("203.0.113.1", number))
            ends.other_socket.arrive(initial[:6] + number.to_bytes(8) + initial[14:], ("203.0.113.1", number))
        self.assertLessEqual(len(ends.other._channels), limits.QUIC_HANDSHAKES + 1)
        self.assertLessEqual(len(ends.other._expected), limits.QUIC_EXPECTED)
        ends.world.advance(limits.HANDSHAKE + 60.0)
        self.assertLessEqual(len(ends.other._channels), 1)
        self.assertLessEqual(len(ends.other._by_id), 10)


def read_retry(packet: bytes) -> LongHeader:
    """The source connection id and the token of a Retry (RFC 9000, 17.2.5)."""
    header = read_long_header(packet)
    assert header is not None
    start = 7 + len(header.destination) + len(header.source)
    return header._replace(token=packet[start:-16])


class PathTests(SynchronousTestCase):
    """A channel and the path under it."""

    def test_a_channel_moves_to_another_path_without_losing_anything(self) -> None:
        """In the middle of a file, to new addresses at both ends."""
        ends, pair = make_pair(DatagramWorld())
        pair.one.send_bulk(1, [bytes(8 * MIB)], DIGEST)
        pair.advance(0.1)
        self.assertEqual(pair.other_user.ends, [])
        one, other = ends.world.socket("10.1.0.1"), ends.world.socket("10.1.0.2")
        one.factory, other.factory = ends.one, ends.other
        ends.one.move(pair.one, one, other.address)  # type: ignore[arg-type]
        ends.other.move(pair.other, other, one.address)  # type: ignore[arg-type]
        pair.advance(10.0)
        self.assertEqual(pair.other_user.ends, [(1, DIGEST, 8 * MIB)])
        self.assertEqual((pair.one.address, pair.one.local_address), ("10.1.0.2:1000", "10.1.0.1:1000"))

    def test_quic_itself_never_moves(self) -> None:
        """A datagram from elsewhere is reported and dropped; the path stays until somebody moves it."""
        ends, pair = make_pair(DatagramWorld())
        strays: list[object] = []
        ends.other.on_stray = lambda channel, address: strays.append((channel, address))
        ends.world.translate = lambda address: ("198.51.100.7", 77) if address[0] == "10.0.0.1" else address
        pair.one.send(chat(1))
        pair.advance(1.0)
        self.assertEqual(pair.other_user.signals, [])
        self.assertEqual(strays[0], (pair.other, ("198.51.100.7", 77)))
        self.assertEqual(pair.other.address, "10.0.0.1:1000")
        ends.other.move(pair.other, ends.other_socket, ("198.51.100.7", 77))  # type: ignore[arg-type]
        ends.world.translate = lambda address: ("198.51.100.7", 77) if address[0] == "10.0.0.1" else address
        ends.world.sockets["198.51.100.7", 77] = ends.one_socket
        pair.advance(2.0)
        self.assertEqual(pair.other_user.signals, [chat(1)])

    def test_a_silent_path_is_doubted_and_may_recover(self) -> None:
        """The channel says so both times, and lives."""
        ends, pair = make_pair(DatagramWorld())
        told: list[Trust] = []
        pair.one.on_trust = lambda channel, trust: told.append(trust)  # type: ignore[attr-defined]
        ends.world.cut = True
        pair.advance(9.0)
        self.assertEqual(told, [Trust.DOUBTED])
        ends.world.cut = False
        pair.advance(3.0)
        self.assertEqual(told, [Trust.DOUBTED, Trust.GOOD])
        self.assertEqual(pair.one_user.closed, [])

    def test_two_channels_between_the_same_addresses_do_not_mix(self) -> None:
        """A new one that is about to replace an old one, say."""
        ends, pair = make_pair(DatagramWorld())
        second = ends.dial()
        pair.advance(1.0)
        self.assertEqual(len(ends.other_owner.channels), 2)
        for number in range(50):
            pair.one.send(chat(1))
            second.send(chat(2))
            pair.advance(0.01)
        self.assertEqual(len(pair.other_user.signals), 100)
        pair.one.close("replaced")
        second.send(chat(3))
        pair.advance(1.0)
        self.assertEqual(pair.other_user.signals[-1], chat(3))
        self.assertEqual(pair.other_user.closed, ["closed by the other side: replaced"])

    def test_nothing_is_left_behind(self) -> None:
        """After channels have ended there is no state and no timer."""
        ends, pair = make_pair(DatagramWorld())
        pair.one.close("over")
        pair.advance(30.0)
        for factory in (ends.one, ends.other):
            self.assertEqual((factory._channels, factory._by_id, factory._by_path), ({}, {}, {}))
        self.assertEqual(ends.world.clock.getDelayedCalls(), [])

    def test_stopping_tells_the_other_side_at_once(self) -> None:
        """And leaves no timer."""
        ends, pair = make_pair(DatagramWorld())
        ends.one.stop()
        pair.advance(0.1)
        self.assertEqual(pair.other_user.closed, ["closed by the other side: the other side has stopped"])
        self.assertEqual(ends.one._channels, {})
