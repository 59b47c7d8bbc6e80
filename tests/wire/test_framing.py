"""Frames come out as they went in, however the stream is cut; hostile lengths cost nothing."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import FrameTooLong
from p2pim.wire.framing import HEADER_BYTES, FrameBuffer, pack_frame, pack_frames

LIMIT = 1000


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """``data`` in pieces of the given sizes, and the rest."""
    pieces, position = [], 0
    for size in sizes:
        pieces.append(data[position : position + size])
        position += size
    return [*pieces, data[position:]]


class FrameBufferTests(SynchronousTestCase):
    @given(st.lists(st.binary(max_size=LIMIT), max_size=20), st.lists(st.integers(0, 300), max_size=30))
    def test_frames_survive_any_cutting_of_the_stream(self, bodies: list[bytes], sizes: list[int]) -> None:
        """Reads need not end where frames do."""
        buffer = FrameBuffer(LIMIT)
        got = [body for piece in cut(pack_frames(bodies), sizes) for body in buffer.feed(piece)]
        self.assertEqual(got, bodies)
        self.assertEqual(buffer.held, 0)

    @given(st.binary(max_size=5 * LIMIT))
    def test_any_bytes_give_frames_or_the_one_error(self, data: bytes) -> None:
        """Whatever a stranger sends, the buffer stays bounded and raises nothing but its own error."""
        buffer = FrameBuffer(LIMIT)
        try:
            for index in range(len(data)):
                buffer.feed(data[index : index + 1])
        except FrameTooLong:
            return
        self.assertLessEqual(buffer.held, LIMIT + HEADER_BYTES)

    def test_a_frame_of_the_limit_passes_and_one_byte_more_does_not(self) -> None:
        """The limit is exact."""
        self.assertEqual(FrameBuffer(LIMIT).feed(pack_frame(b"x" * LIMIT)), [b"x" * LIMIT])
        with self.assertRaises(FrameTooLong):
            FrameBuffer(LIMIT).feed(pack_frame(b"x" * (LIMIT + 1)))

    def test_a_hostile_length_is_refused_by_its_header_alone(self) -> None:
        """Nothing of the body is waited for."""
        with self.assertRaises(FrameTooLong) as caught:
            FrameBuffer(LIMIT).feed(b"\xff\xff\xff\xff")
        self.assertIn("4294967295", caught.exception.message)

    def test_pack_frame_and_pack_frames_agree(self) -> None:
        """One write of many frames is the same stream as many writes."""
        self.assertEqual(pack_frames([b"a", b"", b"bc"]), pack_frame(b"a") + pack_frame(b"") + pack_frame(b"bc"))
