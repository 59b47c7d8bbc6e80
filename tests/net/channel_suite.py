"""What every kind of channel must do: one suite, run over each transport.

A transport's test case inherits `ChannelBehaviour` and gives it a `Pair`: two proved channels, the ends of one link,
with a `Recorder` each, and how to let time pass in the world that they live in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from p2pim.errors import ChannelClosed
from p2pim.net.interfaces import IChannel, IChannelUser
from p2pim.wire.signals import AnySignal, ChatMessage, Typing

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _Case
else:
    _Case = object

DIGEST = bytes(range(32))
MIB = 1024 * 1024


def chat(number: int, text: str = "") -> ChatMessage:
    """A message to tell from others."""
    return ChatMessage(number.to_bytes(16), number, text, 0)


@implementer(IChannelUser)
@dataclass
class Recorder:
    """Keeps what came over a channel."""

    signals: list[AnySignal] = field(default_factory=list)
    log: list[tuple[str, int]] = field(default_factory=list)
    bulk: dict[int, bytearray] = field(default_factory=dict)
    ends: list[tuple[int, bytes, int]] = field(default_factory=list)
    """Stream, digest, and how much of the stream had come by then."""
    closed: list[str] = field(default_factory=list)

    def channel_opened(self, channel: IChannel) -> None:
        """Nothing to note."""

    def channel_closed(self, channel: IChannel, reason: str) -> None:
        self.closed.append(reason)

    def signal_received(self, user: str, device: bytes, signal: AnySignal, channel: IChannel | None) -> None:
        self.signals.append(signal)
        self.log.append(("signal", 0))

    def bulk_received(self, channel: IChannel, stream: int, data: bytes) -> None:
        self.bulk.setdefault(stream, bytearray()).extend(data)

    def bulk_ended(self, channel: IChannel, stream: int, digest: bytes) -> None:
        self.ends.append((stream, digest, len(self.bulk.get(stream, b""))))
        self.log.append(("end", stream))


@dataclass
class Pair:
    """Two ends of a link. ``one`` is bob's channel to alice, ``other`` hers to him."""

    one: IChannel
    other: IChannel
    one_user: Recorder
    other_user: Recorder
    advance: Callable[[float], None]
    """Let so many seconds pass."""
    cut: Callable[[], None]
    """From now on nothing arrives anywhere, and nobody is told."""


def failure_of(waiting: Deferred[None]) -> list[BaseException]:
    """Collects what ``waiting`` fails with."""
    failures: list[BaseException] = []

    def note(failure: Failure) -> None:
        assert failure.value is not None
        failures.append(failure.value)

    waiting.addErrback(note)
    return failures


class ChannelBehaviour(_Case):
    """The suite. Mix into a `SynchronousTestCase` that implements `make_pair`."""

    kind = ""

    def make_pair(self) -> Pair:
        """A new pair of channels."""
        raise NotImplementedError

    def until(self, pair: Pair, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Let time pass until ``condition``; fail when it has not come true in ``seconds``."""
        passed = 0.0
        while not condition():
            self.assertLess(passed, seconds, "it never came")
            pair.advance(0.1)
            passed += 0.1

    def test_it_is_a_channel(self) -> None:
        """Both ends keep the interface and know who and where the other is."""
        pair = self.make_pair()
        for channel, user, device in ((pair.one, "alice", b"A" * 16), (pair.other, "bob", b"B" * 16)):
            verifyObject(IChannel, channel)
            self.assertEqual((channel.kind, channel.user, channel.device), (self.kind, user, device))
            self.assertGreater(channel.since, 0)
            self.assertTrue(channel.address)
            self.assertTrue(channel.local_address)

    def test_signals_arrive_in_order_both_ways(self) -> None:
        """Control is a stream."""
        pair = self.make_pair()
        for number in range(1, 200):
            pair.one.send(chat(number, "x" * number))
            pair.other.send(chat(1000 + number))
        self.until(pair, lambda: len(pair.one_user.signals) == len(pair.other_user.signals) == 199)
        self.assertEqual(pair.other_user.signals, [chat(number, "x" * number) for number in range(1, 200)])
        self.assertEqual(pair.one_user.signals, [chat(1000 + number) for number in range(1, 200)])

    def test_the_longest_signal_passes(self) -> None:
        """A message of the largest size is one control frame."""
        pair = self.make_pair()
        pair.one.send(chat(1, "ä" * 32 * 1024))
        self.until(pair, lambda: bool(pair.other_user.signals))
        self.assertEqual(pair.other_user.signals, [chat(1, "ä" * 32 * 1024)])

    def test_a_range_arrives_whole_and_then_its_end(self) -> None:
        """Pieces of any sizes come out as the same bytes, and the end says how much that was."""
        pair = self.make_pair()
        pieces = [bytes([size % 251]) * size for size in (1, 70_000, 0, 65_527, 3, MIB)]
        done = pair.one.send_bulk(7, pieces, DIGEST)
        self.until(pair, lambda: bool(pair.other_user.ends))
        self.assertEqual(bytes(pair.other_user.bulk[7]), b"".join(pieces))
        self.assertEqual(pair.other_user.ends, [(7, DIGEST, sum(map(len, pieces)))])
        self.successResultOf(done)

    def test_an_empty_range_is_its_end(self) -> None:
        """An empty file can be sent."""
        pair = self.make_pair()
        self.assertNoResult_or_success(pair.one.send_bulk(1, [], DIGEST))
        self.until(pair, lambda: bool(pair.other_user.ends))
        self.assertEqual(pair.other_user.ends, [(1, DIGEST, 0)])

    def assertNoResult_or_success(self, waiting: Deferred[None]) -> None:
        """It must not fail."""
        waiting.addErrback(lambda failure: self.fail(failure.getTraceback()))

    def test_ranges_of_one_stream_keep_their_order(self) -> None:
        """Several ranges may wait on a stream; each end comes after its bytes and before the next range's."""
        pair = self.make_pair()
        for number in range(10):
            pair.other.send_bulk(3, [bytes([number]) * 100_000], bytes([number]) * 32)
        self.until(pair, lambda: len(pair.one_user.ends) == 10)
        expected = [(3, bytes([number]) * 32, 100_000 * (number + 1)) for number in range(10)]
        self.assertEqual(pair.one_user.ends, expected)
        self.assertEqual(bytes(pair.one_user.bulk[3]), b"".join(bytes([number]) * 100_000 for number in range(10)))

    def test_many_streams_share_the_channel(self) -> None:
        """Each stream gets its own bytes."""
        pair = self.make_pair()
        for stream in range(1, 20):
            pair.one.send_bulk(stream, [bytes([stream]) * 200_000], DIGEST)
        self.until(pair, lambda: len(pair.other_user.ends) == 19)
        for stream in range(1, 20):
            self.assertEqual(bytes(pair.other_user.bulk[stream]), bytes([stream]) * 200_000)

    def test_a_short_range_does_not_wait_for_a_long_one(self) -> None:
        """Streams take turns."""
        pair = self.make_pair()
        pair.one.send_bulk(1, [bytes(16 * MIB)], DIGEST)
        pair.one.send_bulk(2, [bytes(1000)], DIGEST)
        self.until(pair, lambda: len(pair.other_user.ends) == 2)
        self.assertEqual([stream for stream, _, _ in pair.other_user.ends], [2, 1])

    def test_a_signal_overtakes_bulk(self) -> None:
        """Chat does not wait for a file."""
        pair = self.make_pair()
        pair.one.send_bulk(1, [bytes(16 * MIB)], DIGEST)
        pair.advance(0.05)
        pair.one.send(Typing())
        self.until(pair, lambda: bool(pair.other_user.ends))
        self.assertEqual(pair.other_user.log, [("signal", 0), ("end", 1)])

    def test_a_cancelled_stream_ends_and_others_go_on(self) -> None:
        """What still waited is dropped, its Deferred says so, and nothing else suffers."""
        pair = self.make_pair()
        cancelled = failure_of(pair.one.send_bulk(1, [bytes(32 * MIB)], DIGEST))
        kept = pair.one.send_bulk(2, [bytes(MIB)], DIGEST)
        pair.one.cancel_bulk(1)
        self.until(pair, lambda: bool(pair.other_user.ends))
        self.successResultOf(kept)
        self.assertIsInstance(cancelled[0], ChannelClosed)
        self.assertEqual(pair.other_user.ends, [(2, DIGEST, MIB)])

    def test_a_ping_comes_back(self) -> None:
        """And tells how long that took."""
        pair = self.make_pair()
        answer = pair.one.ping()
        pair.advance(2.0)
        self.assertTrue(0.0 <= self.successResultOf(answer) < 2.0)

    def test_bytes_are_counted(self) -> None:
        """What one end has sent, the other has received."""
        pair = self.make_pair()
        before = pair.one.sent
        pair.one.send(chat(1, "x" * 500))
        pair.one.send_bulk(1, [bytes(10_000)], DIGEST)
        self.until(pair, lambda: bool(pair.other_user.ends and pair.other_user.signals))
        self.assertTrue(10_500 <= pair.one.sent - before < 12_000)
        self.assertGreaterEqual(pair.other.received, 10_500)

    def test_closing_is_told_to_the_other_side(self) -> None:
        """With the reason; each side hears of it once, and nothing comes afterwards."""
        pair = self.make_pair()
        pair.one.close("enough for today")
        self.assertEqual(pair.one_user.closed, ["enough for today"])
        pair.other.send(chat(1))
        self.until(pair, lambda: bool(pair.other_user.closed))
        self.assertEqual(pair.other_user.closed, ["closed by the other side: enough for today"])
        pair.one.close("again")
        pair.other.close("again")
        pair.advance(5.0)
        self.assertEqual((len(pair.one_user.closed), len(pair.other_user.closed)), (1, 1))
        self.assertEqual(pair.one_user.signals, [])

    def test_a_closed_channel_takes_nothing(self) -> None:
        """Signals vanish; bulk and pings, new and waiting, fail with `ChannelClosed`."""
        pair = self.make_pair()
        waiting = [failure_of(pair.one.send_bulk(1, [bytes(64 * MIB)], DIGEST))]
        ping = pair.one.ping()
        pair.one.close("over")
        waiting.append(failure_of(pair.one.send_bulk(2, [b"x"], DIGEST)))
        pair.one.send(chat(1))
        self.failureResultOf(ping, ChannelClosed)
        self.failureResultOf(pair.one.ping(), ChannelClosed)
        for failures in waiting:
            self.assertIsInstance(failures[0], ChannelClosed)
        pair.advance(5.0)
        self.assertEqual(pair.other_user.signals, [])

    def test_what_was_sent_before_closing_arrives(self) -> None:
        """A signal and then the end, in this order."""
        pair = self.make_pair()
        pair.one.send(chat(1))
        pair.one.close("over")
        self.until(pair, lambda: bool(pair.other_user.closed))
        self.assertEqual(pair.other_user.signals, [chat(1)])

    def test_silence_ends_it_at_both_ends(self) -> None:
        """A path that dies without a word is noticed, and what waits on it fails."""
        pair = self.make_pair()
        pair.advance(1.0)
        pair.cut()
        waiting = failure_of(pair.one.send_bulk(1, [bytes(64 * MIB)], DIGEST))
        self.until(pair, lambda: bool(pair.one_user.closed and pair.other_user.closed), 60.0)
        self.assertIsInstance(waiting[0], ChannelClosed)

    def test_an_idle_channel_lives(self) -> None:
        """Heartbeats keep it."""
        pair = self.make_pair()
        for _ in range(30):
            pair.advance(10.0)
        pair.one.send(chat(1))
        self.until(pair, lambda: bool(pair.other_user.signals))
        self.assertEqual((pair.one_user.closed, pair.other_user.closed), ([], []))
