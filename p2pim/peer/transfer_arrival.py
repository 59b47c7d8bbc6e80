"""One pull over one channel, from asking to writing.

What arrives goes to `Pull` slice by slice, the cheapest thing that can be done with it; a whole piece is proved, and
goes to a disk thread as one job. Nothing is asked for that there is no room for, so a slow disk slows the sender.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from twisted.python.failure import Failure

from p2pim.core.limits import TRANSFER_STALL
from p2pim.core.transfer import Pull, pieces_in_flight, stall_allowance
from p2pim.errors import ContentMismatch
from p2pim.peer.interfaces import IChannel
from p2pim.peer.transfer_context import Lane, TransferContext
from p2pim.peer.transfer_sink import Proved, Sink
from p2pim.wire.signals import RangeRequest


class ArrivalOwner(Protocol):
    """Who is told how a pull goes."""

    @property
    def rate(self) -> float:
        """Bytes a second of late."""

    def stored(self, position: int, digest: bytes, free: int) -> None:
        """The stream is on the disk up to ``position``; ``free`` bytes are left there."""

    def not_stored(self, error: BaseException) -> None:
        """A piece was refused or could not be written; the pull is over."""


class Arrival:
    """A pull of the transfer ``id``, from the sink's position to ``total``, over ``channel``."""

    def __init__(
        self,
        context: TransferContext,
        owner: ArrivalOwner,
        id: bytes,
        channel: IChannel,
        lane: Lane,
        sink: Sink,
        total: int,
    ) -> None:
        self.channel = channel
        self.over = False
        self._context = context
        self._owner = owner
        self._id = id
        self._lane = lane
        self._sink = sink
        self._stream = context.next_stream()
        self._pull = Pull(total, sink.position, context.piece)
        self._prover = sink.prover()
        self.receive = self._pull.receive
        """Takes a slice; raises `WireError` when more came than was asked for."""
        self._pending: list[Proved] = []
        self._writing = False
        self._seen = 0
        self._seen_at = context.clock.seconds()
        self._patience = stall_allowance(TRANSFER_STALL, sink.position)

    def begin(self) -> None:
        """Ask for the first ranges, showing the digest of what is here."""
        self._context.arrivals[self._stream] = self
        self._ask(self._sink.digest if self._sink.position else None)

    def _ask(self, digest: bytes | None = None) -> None:
        window = pieces_in_flight(self._owner.rate, self.channel.rtt, self._context.piece)
        for offset, length in self._pull.ask(window):
            self.channel.send(RangeRequest(self._id, self._stream, offset, length, digest))
            digest = None

    def ended(self, digest: bytes) -> None:
        """The range that was due is whole, and ``digest`` is the sender's for everything up to its end.

        :raises WireError: it is not whole.
        """
        piece = self._pull.end(digest)
        try:
            self._pending.append(self._prover.prove(piece))
        except ContentMismatch as error:
            self._owner.not_stored(error)
        else:
            self._write()

    def _write(self) -> None:
        if self._writing or not self._pending or self.over:
            return
        pieces, self._pending = self._pending, []
        self._writing = True
        job = self._lane.run(partial(self._sink.write, pieces))
        job.addCallbacks(self._written, self._not_written, callbackArgs=(len(pieces),))
        self._context.watch(job)

    def _written(self, written: tuple[int, bytes, int], pieces: int) -> None:
        self._writing = False
        self._pull.written(pieces)
        self._owner.stored(*written)
        if not self.over:
            self._write()
            self._ask()

    def _not_written(self, failure: Failure) -> None:
        self._writing = False
        if not self.over and failure.value is not None:
            self._owner.not_stored(failure.value)

    def stalled(self, now: float) -> bool:
        """Whether the other side has been sending nothing for too long. Asked every few seconds."""
        received = self._pull.received
        if received != self._seen:
            self._patience = TRANSFER_STALL
        if received != self._seen or self._writing or not self._pull.outstanding:
            self._seen, self._seen_at = received, now
        return now - self._seen_at >= self._patience

    def end(self) -> None:
        """What still comes for it is dropped."""
        self.over = True
        self._pending = []
        self._context.arrivals.pop(self._stream, None)
