"""Framed messages over a byte stream: what the two ends of the server connection share.

Output is collected and written once: `send_frame` appends, and the frames of everyone who was sent something go out
when the read that caused them ends, or all reads of one turn (`p2pim.net.poll`), or at the next turn of the reactor,
whatever comes first. One write per recipient instead of one per message is what makes a relay fast.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.logger import Logger

from p2pim.errors import WireError
from p2pim.wire.framing import FrameBuffer, pack_frames

_log = Logger()


class Flusher:
    """Writes the collected output of many streams, each once.

    One serves all the connections of a process: whoever reads calls `begin`, and `flush` when done, and what was sent
    outside of any read goes out at the next turn of the reactor.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._dirty: list[FramedProtocol] = []
        self._scheduled: IDelayedCall | None = None
        self._reading = False

    def add(self, stream: FramedProtocol) -> None:
        """``stream`` has output to write."""
        self._dirty.append(stream)
        if self._scheduled is None and not self._reading:
            self._scheduled = self._clock.callLater(0, self._turn)

    def begin(self) -> None:
        """A read is being handled: its `flush` will come."""
        self._reading = True

    def flush(self) -> None:
        """Write everything collected."""
        self._reading = False
        dirty, self._dirty = self._dirty, []
        for stream in dirty:
            try:
                stream.write_out()
            except Exception:  # noqa: BLE001 - it costs this connection, and nobody else what was sent to them
                _log.failure("writing to a connection failed")
                stream.give_up()

    def _turn(self) -> None:
        self._scheduled = None
        self.flush()


class FramedProtocol(Protocol):
    """Frames in, frames out. Subclasses implement `frame_received` and may override `refuse`."""

    def __init__(self, flusher: Flusher, limit: int) -> None:
        self.flusher = flusher
        self.frames = FrameBuffer(limit)
        self._output: list[bytes] = []
        self.output_bytes = 0
        self.backlog_since: float | None = None
        """Since when the other side does not read, if it does not: what is for it stays here meanwhile."""

    def dataReceived(self, data: bytes) -> None:
        self.flusher.begin()
        try:
            self.take(data)
        finally:
            self.flusher.flush()

    def take(self, data: bytes) -> None:
        """Handle the frames that are complete with ``data``; flushing what they cause is the caller's matter."""
        try:
            for body in self.frames.feed(data):
                self.frame_received(body)
        except WireError as error:
            self.refuse(error)

    def frame_received(self, body: bytes) -> None:
        """One frame. A `WireError` raised here closes the connection with its reason."""
        raise NotImplementedError

    def refuse(self, error: WireError) -> None:
        """The other side broke the protocol: say why where that is possible, and close."""
        assert self.transport is not None
        self.transport.loseConnection()

    def send_frame(self, body: bytes) -> None:
        """Collect a frame for the next flush."""
        if not self._output:
            self.flusher.add(self)
        self._output.append(body)
        self.output_bytes += len(body)

    def write_out(self) -> None:
        """Write what was collected, in one piece, if the other side reads."""
        if self._output and self.backlog_since is None and self.transport is not None:
            output, self._output = self._output, []
            self.output_bytes = 0
            self.transport.write(pack_frames(output))

    def give_up(self) -> None:
        """Nothing can be written any more: cut the connection."""
        transport: Any = self.transport
        transport.abortConnection()
