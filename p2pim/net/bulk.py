"""The bulk that waits to be sent on one channel, cut into chunks; streams take turns.

A chunk and its header together fill whole TLS records (16 KiB each): a frame of `BULK_CHUNK` bytes makes four of
them, one that is nine bytes longer would make five.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from twisted.internet.defer import Deferred

from p2pim.core.limits import BULK_CHUNK
from p2pim.errors import ChannelClosed
from p2pim.wire.channel import BULK_HEADER, pack_bulk_end, pack_bulk_header

CHUNK: Final = BULK_CHUNK - BULK_HEADER.size


class _Range:
    """One range on its way: pieces of bytes, of which the first is sent up to ``offset``."""

    __slots__ = ("_digest", "_left", "_offset", "_pieces", "done")

    def __init__(self, pieces: list[bytes], digest: bytes) -> None:
        self._pieces = deque(memoryview(piece) for piece in pieces if piece)
        self._offset = 0
        self._left = sum(map(len, self._pieces))
        self._digest = digest
        self.done: Deferred[None] = Deferred()

    def chunk(self, stream: int) -> tuple[bytes, bool]:
        """The next frame (with the range's end behind its last chunk), and whether it was the last."""
        size = min(CHUNK, self._left)
        parts: list[bytes | memoryview] = [pack_bulk_header(stream, size)] if size else []
        while size:
            piece = self._pieces[0]
            taken = min(size, len(piece) - self._offset)
            parts.append(piece[self._offset : self._offset + taken])
            size -= taken
            self._left -= taken
            self._offset += taken
            if self._offset == len(piece):
                self._pieces.popleft()
                self._offset = 0
        if not self._left:
            parts.append(pack_bulk_end(stream, self._digest))
        return b"".join(parts), not self._left


class BulkQueue:
    """Ranges waiting on any number of streams. Ranges of one stream keep their order."""

    def __init__(self) -> None:
        self._streams: dict[int, deque[_Range]] = {}
        self._turns: deque[int] = deque()

    def __bool__(self) -> bool:
        return bool(self._turns)

    def add(self, stream: int, pieces: list[bytes], digest: bytes) -> Deferred[None]:
        """Queue a range; the Deferred fires when `next` has given its last chunk."""
        waiting = _Range(pieces, digest)
        if stream not in self._streams:
            self._streams[stream] = deque()
            self._turns.append(stream)
        self._streams[stream].append(waiting)
        waiting.done = Deferred(lambda _: self.cancel(stream))
        return waiting.done

    def next(self) -> tuple[bytes, Deferred[None] | None]:
        """The next bytes to write, and what to fire once they are written. Only when something waits."""
        stream = self._turns.popleft()
        ranges = self._streams[stream]
        data, last = ranges[0].chunk(stream)
        finished = ranges.popleft().done if last else None
        if ranges:
            self._turns.append(stream)
        else:
            del self._streams[stream]
        return data, finished

    def cancel(self, stream: int) -> None:
        """Drop what waits on ``stream``."""
        ranges = self._streams.pop(stream, None)
        if ranges is not None:
            self._turns.remove(stream)
            _fail(ranges, "The stream was cancelled.")

    def fail(self, reason: str) -> None:
        """Drop everything: the channel has ended."""
        streams, self._streams = self._streams, {}
        self._turns.clear()
        for ranges in streams.values():
            _fail(ranges, reason)


def _fail(ranges: deque[_Range], reason: str) -> None:
    for waiting in ranges:
        if not waiting.done.called:
            waiting.done.errback(ChannelClosed(reason))
