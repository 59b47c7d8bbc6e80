"""Takes a channel's byte stream apart, without I/O (the frames are described in `p2pim.wire.channel`).

Bulk is handed on in the slices in which it arrives: a chunk is never gathered, so that nothing of a file is copied
here. Control frames are short, and gathered.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, Protocol

from p2pim.core.limits import BULK_CHUNK, CONTROL_FRAME, UNAUTHENTICATED_FRAME
from p2pim.errors import BadMessage, FrameTooLong
from p2pim.wire.channel import BULK, BULK_END, BULK_HEADER, CONTROL, CONTROL_HEADER, DIGEST_BYTES

_STREAM = Struct(">I")
_STREAM_BYTES: Final = _STREAM.size


class FrameSink(Protocol):
    """Who takes the frames. A `p2pim.errors.WireError` raised here goes through `ChannelParser.feed`."""

    def control_frame(self, body: bytes) -> None:
        """A signal, still encoded."""

    def bulk_slice(self, stream: int, data: bytes) -> None:
        """Part of a chunk."""

    def bulk_end(self, stream: int, digest: bytes) -> None:
        """The end of a range."""


class ChannelParser:
    """Cuts a channel's stream into frames.

    Until `trust` is called the other end may be anybody: bulk is refused, and control frames are short.
    """

    __slots__ = ("_control_limit", "_held", "_left", "_parts", "_sink", "_stopped", "_stream", "_trusted", "_wanted")

    def __init__(self, sink: FrameSink) -> None:
        self._sink = sink
        self._control_limit = UNAUTHENTICATED_FRAME
        self._trusted = False
        self._stopped = False
        self._left = 0  # of the chunk being received
        self._stream = 0
        self._parts: list[bytes] = []
        self._held = 0
        self._wanted = 0

    def trust(self) -> None:
        """The other end has proved itself."""
        self._trusted = True
        self._control_limit = CONTROL_FRAME

    def stop(self) -> None:
        """Nothing more is wanted; what was fed already is dropped as well."""
        self._stopped = True
        self._parts = []

    def feed(self, data: bytes) -> None:
        """What a read brought.

        :raises WireError: it is against the protocol; the stream cannot be followed any further.
        """
        left, size = self._left, len(data)
        if left >= size:  # the middle of a chunk, which is where nearly all of a file passes
            self._left = left - size
            self._sink.bulk_slice(self._stream, data)
        else:
            self._cut(data)

    def _cut(self, data: bytes) -> None:
        if self._parts:
            self._parts.append(data)
            self._held += len(data)
            if self._held < self._wanted:
                return
            data = b"".join(self._parts)
            self._parts = []
        position, size = 0, len(data)
        while position < size and not self._stopped:
            used = self._bulk(data, position) if self._left else self._frame(data, position)
            if not used:
                self._parts = [data[position:]]
                self._held = size - position
                return
            position += used

    def _bulk(self, data: bytes, position: int) -> int:
        taken = min(self._left, len(data) - position)
        self._left -= taken
        self._sink.bulk_slice(self._stream, data[position : position + taken])
        return taken

    def _frame(self, data: bytes, position: int) -> int:
        """Handle the frame that begins at ``position``; the bytes it took, or 0 when it is not whole yet."""
        available = len(data) - position
        self._wanted = CONTROL_HEADER.size
        if available < CONTROL_HEADER.size:
            return 0
        length, kind = CONTROL_HEADER.unpack_from(data, position)
        if kind == BULK:
            return self._chunk(data, position, length)
        self._check(kind, length)
        whole = CONTROL_HEADER.size - 1 + length
        self._wanted = whole
        if available < whole:
            return 0
        body = data[position + CONTROL_HEADER.size : position + whole]
        if kind == CONTROL:
            self._sink.control_frame(body)
        else:
            (stream,) = _STREAM.unpack_from(body)
            self._sink.bulk_end(stream, body[_STREAM_BYTES:])
        return int(whole)

    def _chunk(self, data: bytes, position: int, length: int) -> int:
        if not self._trusted or not 1 + _STREAM_BYTES <= length <= 1 + _STREAM_BYTES + BULK_CHUNK:
            raise FrameTooLong(f"A chunk of {length} bytes came where none so long may.")
        self._wanted = BULK_HEADER.size
        if len(data) - position < BULK_HEADER.size:
            return 0
        _, _, self._stream = BULK_HEADER.unpack_from(data, position)
        self._left = length - 1 - _STREAM_BYTES
        return BULK_HEADER.size

    def _check(self, kind: int, length: int) -> None:
        if kind == CONTROL and 1 <= length <= 1 + self._control_limit:
            return
        if kind == BULK_END and self._trusted and length == 1 + _STREAM_BYTES + DIGEST_BYTES:
            return
        if kind == CONTROL:
            raise FrameTooLong(f"A control frame of {length} bytes came where {self._control_limit} are allowed.")
        raise BadMessage(f"A frame of kind {kind} and {length} bytes has no place here.")
