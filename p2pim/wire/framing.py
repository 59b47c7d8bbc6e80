"""Length-prefixed frames: a 4-byte big-endian length, then that many bytes.

`FrameBuffer.feed` takes whatever a read brought and gives the whole frames in it; it does no I/O. Where a read holds
whole frames, they are cut out of it without going through the buffer, which is what makes batches cheap.
The length is checked before anything of the body is kept, so a hostile length costs four bytes of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from p2pim.errors import FrameTooLong

LENGTH = Struct(">I")
HEADER_BYTES = LENGTH.size


def pack_frame(body: bytes) -> bytes:
    """One frame: length and body."""
    return LENGTH.pack(len(body)) + body


def pack_frames(bodies: Sequence[bytes]) -> bytes:
    """Several frames in one piece, for one write."""
    pack = LENGTH.pack
    if len(bodies) == 1:
        return pack(len(bodies[0])) + bodies[0]
    parts: list[bytes] = []
    for body in bodies:
        parts.append(pack(len(body)))
        parts.append(body)
    return b"".join(parts)


class FrameBuffer:
    """Cuts a byte stream into frames.

    :param limit: the longest body allowed, in bytes; a longer one raises `FrameTooLong`, after which the stream
        cannot be followed any more and must be closed.
    """

    __slots__ = ("_held", "_parts", "_wanted", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._parts: list[bytes] = []
        self._held = 0
        self._wanted = 0  # joining is pointless before this many bytes are held: one-byte reads stay cheap

    @property
    def held(self) -> int:
        """Bytes of an incomplete frame kept so far (at most ``limit``, the header and one read)."""
        return self._held

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies of the frames that are complete with ``data``, in order.

        :raises FrameTooLong: a length above the limit; frames before it are lost with the connection.
        """
        if not self._parts:
            size = len(data)
            if size > HEADER_BYTES and LENGTH.unpack_from(data)[0] == size - HEADER_BYTES <= self.limit:
                return [data[HEADER_BYTES:]]  # exactly one frame: what those who write seldom send
        else:
            self._parts.append(data)
            self._held += len(data)
            if self._held < self._wanted:
                return []
            data = b"".join(self._parts)
            self._parts = []
        bodies, position, self._wanted = self._cut(data)
        rest = data[position:] if position else data
        if rest:
            self._parts.append(rest)
        self._held = len(rest)
        return bodies

    def _cut(self, data: bytes) -> tuple[list[bytes], int, int]:
        """The whole frames of ``data``, where the rest begins, and how long the rest must grow to be a frame."""
        size, position = len(data), 0
        unpack, limit = LENGTH.unpack_from, self.limit
        bodies: list[bytes] = []
        while size - position >= HEADER_BYTES:
            (length,) = unpack(data, position)
            if length > limit:
                raise FrameTooLong(f"A frame of {length} bytes came where {limit} are allowed.")
            end = position + HEADER_BYTES + length
            if end > size:
                return bodies, position, HEADER_BYTES + length
            bodies.append(data[position + HEADER_BYTES : end])
            position = end
        return bodies, position, HEADER_BYTES
