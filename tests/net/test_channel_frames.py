"""A channel's byte stream taken apart, and its bulk put together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import BULK_CHUNK, CONTROL_FRAME, UNAUTHENTICATED_FRAME
from p2pim.errors import BadMessage, ChannelClosed, FrameTooLong, WireError
from p2pim.net.bulk import BulkQueue
from p2pim.net.channel_frames import ChannelParser
from p2pim.wire.channel import BULK, BULK_HEADER, CONTROL, CONTROL_HEADER, pack_bulk_end, pack_bulk_header

DIGEST = b"d" * 32


class Sink:
    """Frames as they came; the slices of one stream joined."""

    def __init__(self) -> None:
        self.frames: list[tuple[object, ...]] = []
        self.parser: ChannelParser | None = None
        self.stop_at = -1

    def control_frame(self, body: bytes) -> None:
        self.frames.append(("control", body))
        if self.parser is not None and len(self.frames) == self.stop_at:
            self.parser.stop()

    def bulk_slice(self, stream: int, data: bytes) -> None:
        assert data
        if self.frames and self.frames[-1][:2] == ("bulk", stream):
            self.frames[-1] = ("bulk", stream, bytes(self.frames[-1][2]) + data)  # type: ignore[call-overload]
        else:
            self.frames.append(("bulk", stream, data))

    def bulk_end(self, stream: int, digest: bytes) -> None:
        self.frames.append(("end", stream, digest))


def control(body: bytes) -> bytes:
    return CONTROL_HEADER.pack(1 + len(body), CONTROL) + body


def chunk(stream: int, data: bytes) -> bytes:
    return pack_bulk_header(stream, len(data)) + data


STREAMS = st.integers(1, 2**32 - 1)
FRAMES = st.one_of(
    st.tuples(st.just("control"), st.binary(max_size=300)),
    st.tuples(st.just("bulk"), STREAMS, st.binary(min_size=1, max_size=500)),
    st.tuples(st.just("end"), STREAMS, st.just(DIGEST)),
)


def packed(frame: tuple[object, ...]) -> bytes:
    if frame[0] == "control":
        return control(bytes(frame[1]))  # type: ignore[call-overload]
    if frame[0] == "bulk":
        return chunk(int(frame[1]), bytes(frame[2]))  # type: ignore[call-overload]
    return pack_bulk_end(int(frame[1]), DIGEST)  # type: ignore[call-overload]


def merged(frames: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    sink = Sink()
    for frame in frames:
        if frame[0] == "bulk":
            sink.bulk_slice(frame[1], frame[2])  # type: ignore[arg-type]
        else:
            sink.frames.append(frame)
    return sink.frames


class ParserTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sink = Sink()
        self.parser = ChannelParser(self.sink)
        self.parser.trust()

    @given(st.lists(FRAMES, max_size=12), st.data())
    def test_however_the_stream_is_cut_the_frames_are_the_same(
        self, frames: list[tuple[object, ...]], data: st.DataObject
    ) -> None:
        """Reads end anywhere."""
        stream = b"".join(map(packed, frames))
        cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=20)))
        self.setUp()
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            if end > start:
                self.parser.feed(stream[start:end])
        self.assertEqual(self.sink.frames, merged(frames))

    def test_one_byte_at_a_time(self) -> None:
        """The slowest network."""
        frames: list[tuple[object, ...]] = [("control", b"x" * 50), ("bulk", 3, b"y" * 50), ("end", 3, DIGEST)]
        for byte in b"".join(map(packed, frames)):
            self.parser.feed(bytes([byte]))
        self.assertEqual(self.sink.frames, frames)

    def test_bulk_is_handed_on_before_its_chunk_is_whole(self) -> None:
        """Nothing of a file is gathered here."""
        self.parser.feed(chunk(7, b"z" * 1000)[:500])
        self.assertEqual(self.sink.frames, [("bulk", 7, b"z" * 491)])

    def test_lengths_beyond_their_limits_are_refused_at_the_header(self) -> None:
        """Five bytes cannot claim memory."""
        for header in (
            CONTROL_HEADER.pack(2 + CONTROL_FRAME, CONTROL),
            CONTROL_HEADER.pack(2**32 - 1, CONTROL),
            CONTROL_HEADER.pack(0, CONTROL),
            BULK_HEADER.pack(6 + BULK_CHUNK, BULK, 1),
            BULK_HEADER.pack(4, BULK, 1),
        ):
            self.setUp()
            with self.assertRaises(FrameTooLong):
                self.parser.feed(header)

    def test_unknown_kinds_and_wrong_digests_are_refused(self) -> None:
        """Whatever follows could not be understood."""
        for frame in (CONTROL_HEADER.pack(10, 9), BULK_HEADER.pack(5, 2, 1), BULK_HEADER.pack(5 + 33, 2, 1)):
            self.setUp()
            with self.assertRaises(BadMessage):
                self.parser.feed(frame)

    def test_strangers_get_no_bulk_and_no_large_frames(self) -> None:
        """Until the other end has proved itself."""
        for frame in (chunk(1, b"x"), pack_bulk_end(1, DIGEST), control(b"x" * (UNAUTHENTICATED_FRAME + 1))):
            parser = ChannelParser(self.sink)
            with self.assertRaises(WireError):
                parser.feed(frame)
        self.assertEqual(self.sink.frames, [])

    def test_stopping_in_the_middle_of_a_read_stops_it(self) -> None:
        """What comes behind a farewell is not looked at."""
        self.sink.parser, self.sink.stop_at = self.parser, 1
        self.parser.feed(control(b"bye") + control(b"more") + chunk(1, b"x"))
        self.assertEqual(self.sink.frames, [("control", b"bye")])

    @given(st.binary(min_size=1, max_size=400))
    def test_noise_is_refused_or_harmless(self, noise: bytes) -> None:
        """Only `WireError` comes out, and little is kept."""
        self.setUp()
        try:
            self.parser.feed(noise)
        except WireError:
            return


class BulkTests(SynchronousTestCase):
    def drain(self, queue: BulkQueue) -> list[tuple[object, ...]]:
        sink = Sink()
        parser = ChannelParser(sink)
        parser.trust()
        while queue:
            data, finished = queue.next()
            self.assertLessEqual(len(data), BULK_CHUNK + 41)
            parser.feed(data)
            if finished is not None:
                finished.callback(None)
        return sink.frames

    @given(st.lists(st.binary(max_size=200_000), max_size=5))
    def test_a_range_arrives_as_it_was(self, pieces: list[bytes]) -> None:
        """Pieces of any size, joined in order, and then the digest."""
        queue = BulkQueue()
        done = queue.add(9, pieces, DIGEST)
        frames = self.drain(queue)
        self.assertEqual(b"".join(bytes(f[2]) for f in frames if f[0] == "bulk"), b"".join(pieces))  # type: ignore[call-overload]
        self.assertEqual(frames[-1], ("end", 9, DIGEST))
        self.successResultOf(done)

    def test_a_full_chunk_fills_whole_tls_records(self) -> None:
        """Header and chunk make 64 KiB, four records of 16."""
        queue = BulkQueue()
        queue.add(1, [bytes(10 * BULK_CHUNK)], DIGEST)
        self.assertEqual(len(queue.next()[0]), BULK_CHUNK)

    def test_streams_take_turns(self) -> None:
        """A second file does not wait for the first."""
        queue = BulkQueue()
        for stream in (1, 2):
            queue.add(stream, [bytes(3 * BULK_CHUNK)], DIGEST)
        order = [frame[1] for frame in self.drain(queue) if frame[0] == "bulk"]
        self.assertEqual(order[:4], [1, 2, 1, 2])

    def test_ranges_of_one_stream_keep_their_order(self) -> None:
        """Each ended by its own digest."""
        queue = BulkQueue()
        first, second = queue.add(1, [b"a"], b"1" * 32), queue.add(1, [b"b"], b"2" * 32)
        frames = self.drain(queue)
        self.assertEqual(frames, [("bulk", 1, b"a"), ("end", 1, b"1" * 32), ("bulk", 1, b"b"), ("end", 1, b"2" * 32)])
        self.successResultOf(first)
        self.successResultOf(second)

    def test_an_empty_range_is_only_its_end(self) -> None:
        """An empty file."""
        queue = BulkQueue()
        queue.add(1, [], DIGEST)
        self.assertEqual(self.drain(queue), [("end", 1, DIGEST)])

    def test_cancelling_a_stream_leaves_the_others(self) -> None:
        """Its waiting ranges fail; so does nothing else."""
        queue = BulkQueue()
        gone, stays = queue.add(1, [b"a"], DIGEST), queue.add(2, [b"b"], DIGEST)
        queue.cancel(1)
        queue.cancel(77)
        self.failureResultOf(gone, ChannelClosed)
        self.assertEqual(self.drain(queue), [("bulk", 2, b"b"), ("end", 2, DIGEST)])
        self.successResultOf(stays)

    def test_cancelling_the_deferred_cancels_the_stream(self) -> None:
        """As Deferreds do."""
        queue = BulkQueue()
        result = queue.add(1, [b"a"], DIGEST)
        result.cancel()
        self.failureResultOf(result, ChannelClosed)
        self.assertFalse(queue)

    def test_the_end_of_the_channel_fails_everything(self) -> None:
        """With its reason."""
        queue = BulkQueue()
        waiting = [queue.add(stream, [b"a"], DIGEST) for stream in (1, 1, 2)]
        queue.fail("gone")
        for each in waiting:
            self.assertEqual(self.failureResultOf(each, ChannelClosed).value.message, "gone")
        self.assertFalse(queue)
