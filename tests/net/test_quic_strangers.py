"""Who may call over a ``udp`` channel, what strangers get, and how a channel clings to its path."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core import limits
from p2pim.core.keepalive import Trust
from p2pim.errors import ChannelClosed, HandshakeTimeout
from p2pim.net.quic_tokens import RetryTokens
from p2pim.wire.demux import LongHeader, read_long_header
from tests.net.channel_suite import DIGEST, MIB, chat
from tests.net.datagram_world import DatagramWorld
from tests.net.quic_ends import Ends, make_pair


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

    def test_hearing_the_other_side_is_not_being_heard(self) -> None:
        """A path that is dead one way is doubted and given up at both ends, even while bulk is coming in by it."""
        for muted in (0, 1):
            ends, pair = make_pair(DatagramWorld())
            told: dict[object, Trust] = {}
            for channel in (pair.one, pair.other):
                channel.on_trust = told.__setitem__  # type: ignore[attr-defined]
            sender, socket = ((pair.other, ends.one_socket), (pair.one, ends.other_socket))[muted]
            sent = sender.send_bulk(1, [bytes(MIB)] * 30, DIGEST)
            pair.advance(0.1)
            ends.world.mute.add(socket.address)
            pair.advance(limits.UDP_HEARTBEAT + limits.UDP_DOUBTED)
            self.assertEqual(told, {pair.one: Trust.DOUBTED, pair.other: Trust.DOUBTED})
            self.assertEqual((pair.one_user.closed, pair.other_user.closed), ([], []))
            pair.advance(limits.UDP_DEAD - limits.UDP_DOUBTED)
            self.assertEqual((len(pair.one_user.closed), len(pair.other_user.closed)), (1, 1))
            self.failureResultOf(sent, ChannelClosed)

    def test_a_paused_user_is_answered_all_the_same(self) -> None:
        """Who takes nothing for a while, because the disk is slow, keeps the path."""
        _, pair = make_pair(DatagramWorld())
        pair.one.pause()  # type: ignore[attr-defined]
        pair.other.send_bulk(1, [bytes(MIB)] * 30, DIGEST)
        pair.advance(3 * limits.UDP_DEAD)
        self.assertEqual((pair.one_user.closed, pair.other_user.closed), ([], []))
        self.assertIs(pair.one.trust_in_path, Trust.GOOD)  # type: ignore[attr-defined]

    def test_two_channels_between_the_same_addresses_do_not_mix(self) -> None:
        """A new one that is about to replace an old one, say."""
        ends, pair = make_pair(DatagramWorld())
        second = ends.dial()
        pair.advance(1.0)
        self.assertEqual(len(ends.other_owner.channels), 2)
        for _ in range(50):
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
