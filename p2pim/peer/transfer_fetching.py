"""The receiver's end of a transfer that waits at the server: accepted like any other, and fetched from there.

What comes is opened chunk by chunk before any of it is written, so that the partial is a proven prefix here, too, and
goes on after a break; that it is the one content that was meant, the digest of the whole says at the end.
"""

from __future__ import annotations

import hmac
from functools import partial
from typing import Any, Final

from twisted.python.failure import Failure

from p2pim.core.file_sealing import OVERHEAD, Opener, chunks_in, sealed_size
from p2pim.core.limits import PIECE, SEALED_CHUNK, TRANSFER_STALL
from p2pim.core.transfer import Piece, State, Step
from p2pim.errors import ContentMismatch, P2pimError, SealBroken, StoredFileGone
from p2pim.peer.interfaces import IChannel
from p2pim.peer.store_access import StoreLink
from p2pim.peer.transfer_arrival import ArrivalOwner
from p2pim.peer.transfer_context import Lane, TransferContext
from p2pim.peer.transfer_incoming import Incoming
from p2pim.peer.transfer_left import LeftDesk
from p2pim.peer.transfer_sink import Proved, Sink
from p2pim.storage.left_files import LeftRecord
from p2pim.storage.transfers import TransferRecord
from p2pim.wire.signals import FileState, Signal

HELD: Final = 4 * PIECE
"""Bytes opened and not written yet, beyond which the server has to wait."""


class FetchArrival:
    """One download over one connection, from the sink's position to ``total``."""

    def __init__(
        self, context: TransferContext, owner: ArrivalOwner, link: StoreLink, lane: Lane, sink: Sink, opener: Opener,
        digest: bytes, total: int,
    ) -> None:  # fmt: skip
        self.over = False
        self._context = context
        self._owner = owner
        self._link = link
        self._lane = lane
        self._sink = sink
        self._opener = opener
        self._digest = digest
        self._total = total
        self._hasher = sink.hasher()
        self._number = sink.position // SEALED_CHUNK
        self._skip = sink.position % SEALED_CHUNK
        self._position = sink.position
        self._sealed = bytearray()
        self._content: list[bytes] = []
        self._pending: list[Proved] = []
        self._held = 0
        self._writing = False
        self._waits = False
        self._seen_at = context.clock.seconds()

    def begin(self) -> None:
        """Take what comes."""
        self._link.took = self._took
        self._link.lost = self._lost

    def _took(self, offset: int, data: bytes) -> None:
        self._seen_at = self._context.clock.seconds()
        if self.over:
            return
        self._sealed += data
        try:
            self._open()
        except (SealBroken, ContentMismatch) as error:
            self._owner.not_stored(error)
            return
        self._held += len(data)
        if self._held > HELD and not self._waits:
            self._waits = True
            self._link.read_on(False)
        self._write()

    def _open(self) -> None:
        """Open the chunks that are whole, and make pieces of them."""
        while self._number < chunks_in(self._total):
            length = self._opener.sealed_length(self._number)
            if len(self._sealed) < length:
                break
            sealed = bytes(self._sealed[:length])
            del self._sealed[:length]
            content = self._opener.open(self._number, sealed)[self._skip :]
            self._number, self._skip = self._number + 1, 0
            self._content.append(content)
            whole = self._number == chunks_in(self._total)
            if whole or sum(map(len, self._content)) >= PIECE:
                self._make_piece(whole=whole)

    def _make_piece(self, *, whole: bool) -> None:
        data = b"".join(self._content)
        self._content = []
        self._hasher.update(data)
        if whole and not hmac.compare_digest(self._hasher.digest(), self._digest):
            raise ContentMismatch
        piece = Piece(self._position, len(data), [], self._hasher.digest())
        self._position += len(data)
        self._pending.append((piece, data, self._hasher.copy()))

    def _write(self) -> None:
        if self._writing or not self._pending or self.over:
            return
        pieces, self._pending = self._pending, []
        self._writing = True
        job = self._lane.run(partial(self._sink.write, pieces))
        job.addCallbacks(self._written, self._not_written)
        self._context.watch(job)

    def _written(self, written: tuple[int, bytes, int]) -> None:
        self._writing = False
        self._held = len(self._sealed) + sum(len(data) for _, data, _ in self._pending)
        self._owner.stored(*written)
        if self.over:
            return
        if self._waits and self._held <= HELD:
            self._waits = False
            self._link.read_on(True)
        self._write()

    def _not_written(self, failure: Failure) -> None:
        self._writing = False
        if not self.over and failure.value is not None:
            self._owner.not_stored(failure.value)

    def _lost(self, error: P2pimError) -> None:
        if not self.over:
            self._owner.link_lost(error)  # type: ignore[attr-defined]

    def stalled(self, now: float) -> bool:
        """Whether the server has been sending nothing for too long."""
        if self._writing or self._waits:
            self._seen_at = now
        return now - self._seen_at >= TRANSFER_STALL

    def end(self) -> None:
        """What still comes is dropped."""
        self.over = True
        self._pending = []
        self._link.close()


class Fetching(Incoming):
    """A transfer from somebody who may be away by now.

    :param left: where it is at the server, and what opens it.
    """

    offer_lifetime = float("inf")
    """The server says when it has expired."""

    def __init__(self, record: TransferRecord, context: TransferContext, desk: LeftDesk, left: LeftRecord) -> None:
        super().__init__(record, context)
        self.left = left
        self._desk = desk
        self._restarted = False

    @property
    def expires(self) -> float | None:
        return self.left.expires or None

    # --- fetching

    async def _find_channel(self) -> IChannel | None:
        r, sink = self.record, self._sink
        assert sink is not None
        if sink.position == r.total:
            return None
        number = sink.position // SEALED_CHUNK
        opened = await self._desk.access.open_download(self.left.file, number * (SEALED_CHUNK + OVERHEAD))
        if opened.size != sealed_size(r.total):
            raise ContentMismatch("What the server has is not as large as it should be.")
        return await self._desk.access.link(opened.ticket)  # type: ignore[return-value]

    def _new_arrival(self, channel: Any, sink: Sink) -> Any:
        r = self.record
        opener = Opener(self.left.key, r.id, r.total)
        digest = self.left.digest or b""
        return FetchArrival(self.context, self, channel, self.lane, sink, opener, digest, r.total)

    def _not_started(self, error: BaseException) -> None:
        if isinstance(error, StoredFileGone):
            self.disrupt("expired", error.message, settled=True)
        else:
            super()._not_started(error)

    def _not_needed(self, channel: Any) -> None:
        if channel is not None:
            channel.close()

    def link_lost(self, error: P2pimError) -> None:
        """The connection to the server ended before everything had come."""
        self.note(f"the connection to the server's store ended: {error.message}")
        self._lose()

    def _lose(self) -> None:
        self.let_go()
        if self.step(Step.LOSE):
            self._retry.later()

    def not_stored(self, error: BaseException) -> None:
        if isinstance(error, SealBroken):
            self.fail(error)
        else:
            super().not_stored(error)

    def _mismatched(self, error: ContentMismatch) -> None:
        """All of it came, and it is not one content. The part may be to blame, once."""
        if self._restarted:
            self.fail(error)
        else:
            self._restarted = True
            self.note("what has come is not what was sent; it is fetched anew")
            self._restart()

    # --- what the server says

    def server_appeared(self) -> None:
        """There is a session: go on, or say again how it ended."""
        if self.ended:
            if not self.record.settled:
                self.tell_end()
        elif self.record.state is State.WAITING:
            self._retry.reset()
            self.go_on()

    def store_says(self, state: str) -> None:
        """What has become of it at the server."""
        if self.ended or self.record.state is State.FINISHING:
            return
        match state:
            case "fetched":
                self.disrupt("elsewhere", "Another device of yours has fetched it.", settled=True)
            case "rejected":
                self.disrupt("elsewhere", "It was rejected at another device of yours.", settled=True)
            case "withdrawn":
                self.disrupt("peer-cancelled", "", settled=True)
            case "expired" | "unknown":
                self.disrupt("expired", "Nobody fetched it in time; ask for it to be sent again.", settled=True)

    def tell(self, signal: Signal) -> None:
        """The sender hears of it from the server."""

    def tell_end(self) -> None:
        r = self.record
        if r.state is State.COMPLETED:
            self.context.spawn(self._desk.dropped(self, "fetched"))
        elif r.reason in ("rejected", "cancelled"):
            self.context.spawn(self._desk.dropped(self, "rejected"))
        else:
            self.settle()  # another device may still want it

    # --- what does not matter here

    def told(self, state: FileState) -> None:
        """Nothing that the sender's device says about it counts."""

    def offered_again(self) -> None:
        """It is at the server all the same."""

    def route_appeared(self, device: bytes) -> None:
        """It goes by none."""

    def went_offline(self, reason: str, message: str = "") -> None:
        if reason != "peer-offline":
            super().went_offline(reason, message)

    async def commit_end(self) -> None:
        self.left.key = b""
        await self._desk.store.save(self.left)
        await super().commit_end()
