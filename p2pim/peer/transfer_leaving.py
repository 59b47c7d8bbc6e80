"""The sender's end of a transfer that is left at the server: it seals and uploads, then waits to hear how it ended.

The key and the digest of the whole go to the recipient's devices as mail, when all of it is at the server. What has
been committed there need not be sent again: after a break, or a restart of this end, the upload goes on from there,
sealed with another prefix (`p2pim.core.file_sealing`).
"""

from __future__ import annotations

import contextlib
import hmac
from functools import partial
from typing import Final

from twisted.internet.defer import Deferred

from p2pim.core.file_sealing import PREFIX_BYTES, Sealer, place_in, sealed_size
from p2pim.core.limits import SEALED_CHUNK, TRANSFER_RETRY_FIRST, TRANSFER_RETRY_MAX
from p2pim.core.transfer import State, Step
from p2pim.errors import (
    Blocked,
    FileChanged,
    NoStore,
    NoSuchUser,
    P2pimError,
    StoredFileGone,
    StoreFull,
    StoreQuota,
    TransferError,
)
from p2pim.peer.interfaces import IChannel
from p2pim.peer.store_access import StoreLink
from p2pim.peer.transfer import Transfer
from p2pim.peer.transfer_context import Retry, TransferContext
from p2pim.peer.transfer_events import TransferStored
from p2pim.peer.transfer_left import LeftDesk
from p2pim.peer.transfer_source import Source, source_of
from p2pim.storage.left_files import LeftRecord
from p2pim.storage.transfers import TransferRecord
from p2pim.wire.signals import FileLeft, Signal

CHUNKS_AT_ONCE: Final = 16
"""Chunks read and sealed in one disk job: a job costs about as much as sealing one."""
_NO_ROOM: Final = (NoStore, StoreQuota, StoreFull)
_FINAL: Final = (TransferError, Blocked, NoSuchUser)


class Leaving(Transfer):
    """A transfer to a user who is away.

    :param left: where it is at the server, and its key.
    :param manifest: of a folder; loaded from the store when it is needed and not given.
    """

    def __init__(
        self, record: TransferRecord, context: TransferContext, desk: LeftDesk, left: LeftRecord,
        manifest: bytes | None = None,
    ) -> None:  # fmt: skip
        super().__init__(record, context)
        self.left = left
        self._desk = desk
        self._manifest = manifest
        self._source: Source | None = None
        self._link: StoreLink | None = None
        self._uploading = False
        self._marks: list[tuple[int, bytes]] = []
        """Places up to which bytes were sent and are not committed, with the digests of what is before them."""
        self._whole: Deferred[None] | None = None
        self._retry = Retry(context.clock, self.go_on, TRANSFER_RETRY_FIRST, TRANSFER_RETRY_MAX)

    @property
    def expires(self) -> float | None:
        return self.left.expires or None

    # --- going on

    def go_on(self) -> None:
        if self.record.state is State.WAITING and not self._uploading and not self.stopped:
            self._retry.cancel()
            self._uploading = True
            self.context.spawn(self._go_on())

    async def _go_on(self) -> None:
        error: BaseException | None = None
        try:
            await self._upload()
            if self.record.state in (State.WAITING, State.RUNNING) and not self.stopped:
                await self._hand_over()
        except (P2pimError, OSError) as caught:
            error = caught
        finally:
            self._uploading = False
        self._hang_up()
        if self.stopped or self.ended:
            await self.close()
        elif error is None and self.record.state is State.WAITING:
            self._retry.soon()  # it was paused and resumed meanwhile
        elif error is not None and self.record.state in (State.WAITING, State.RUNNING):
            self._not_uploaded(error)

    def _not_uploaded(self, error: BaseException) -> None:
        self.step(Step.LOSE)
        if isinstance(error, OSError):
            self.fail(error)
        elif isinstance(error, _NO_ROOM) and self.left.falls_back and not self.record.position:
            self._desk.fall_back(self, f"{error.message} It goes when both are online.")
        elif isinstance(error, _FINAL) and not isinstance(error, StoreFull):
            self.fail(error)
        else:
            self.went_offline("offline", error.message if isinstance(error, P2pimError) else "")
            self._retry.later()

    # --- the upload

    async def _upload(self) -> None:
        r, access = self.record, self._desk.access
        whole = sealed_size(r.total)
        opened = await access.open_upload(r.user, r.id, whole)
        self.left.file, self.left.expires = opened.file, opened.expires
        await self._desk.store.save(self.left)
        if self.ended:
            await access.drop(opened.file, "withdrawn")
        elif opened.offset == whole:
            self.left.digest = self.left.digest or await self._hashed_to(r.total)
            r.position = r.total
        elif self.record.state is State.WAITING and not self.stopped:
            await self._send_rest(await access.link(opened.ticket), whole)

    async def _send_rest(self, link: StoreLink, whole: int) -> None:
        self._link = link
        if self.record.state is not State.WAITING or self.stopped:
            return
        place = place_in(link.offset, self.record.total)
        if place is None:
            raise StoredFileGone("What the server has of this file is no beginning of it; send it anew.")
        await self._at(place)
        if self.step(Step.START):
            self.record.position, self._marks = place, []
            self.started_moving(link)  # type: ignore[arg-type]
            self.note(f"goes to the server from byte {place} on")
            self._retry.reset()
            await self._pump(link, place, whole)

    async def _at(self, place: int) -> None:
        """Put the source at ``place``; what is before it must be what was sent."""
        known = [each for each in await self.context.store.checkpoints(self.record.id) if each[0] <= place]
        for position, digest in known[-1:]:
            if not hmac.compare_digest(digest, await self._hashed_to(position)):
                raise FileChanged
        await self._hashed_to(place)

    async def _hashed_to(self, place: int) -> bytes:
        source = await self._open_source()
        digest: bytes = await self.lane.run(partial(source.go_to, place))
        return digest

    async def _pump(self, link: StoreLink, place: int, whole: int) -> None:
        r, source, at = self.record, await self._open_source(), link.offset
        sealer = Sealer(self.left.key, r.id, r.total, self._desk.random_bytes(PREFIX_BYTES))
        self._whole = Deferred()
        link.committed = lambda offset: self._committed(offset, whole)
        link.lost = lambda error: self._lost(link, error)
        while at < whole:
            chunks = await self.lane.run(partial(_read_and_seal, source, sealer, place, r.total))
            for chunk in chunks:
                await link.send(at, chunk)
                at += len(chunk)
            place = source.position
            if link is not self._link:
                return
            self._marks.append((place, source.digest_at(place) or b""))
            self.moved_to(place)
        await self._whole
        self.left.digest = source.digest_at(r.total) or await self._hashed_to(r.total)

    def _committed(self, offset: int, whole: int) -> None:
        """The server has so much on its disk: from there it goes on, if this is still the same file then."""
        place = place_in(offset, self.record.total) or 0
        passed = [mark for mark in self._marks if mark[0] <= place]
        self._marks = self._marks[len(passed) :]
        for mark in passed[-1:]:
            self.context.watch(self.context.store.checkpoint(self.record.id, *mark))
        if offset == whole and self._whole is not None and not self._whole.called:
            self._whole.callback(None)

    def _lost(self, link: StoreLink, error: P2pimError) -> None:
        if link is self._link and self._whole is not None and not self._whole.called:
            self._whole.errback(error)

    def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()
            self.stopped_moving()
        whole, self._whole = self._whole, None
        if whole is not None and not whole.called:
            whole.addErrback(lambda failure: None)
            whole.errback(StoredFileGone())
        elif whole is not None:
            whole.addErrback(lambda failure: None)

    async def _open_source(self) -> Source:
        r = self.record
        if self._source is None:
            if r.folder and self._manifest is None:
                self._manifest = await self.context.store.manifest(r.id)
            self._source = await self.lane.run(partial(source_of, r, self._manifest or b""))
        return self._source

    # --- all of it is there

    async def _hand_over(self) -> None:
        """Offer it to the recipient's devices; from then on it is theirs, and the server's, to say how it ends."""
        await self._desk.store.save(self.left)
        await self._desk.access.post(self.record.user, self.offer())
        r = self.record
        if self.step(Step.LEAVE):
            r.reason = r.message = ""
            r.used_route = StoreLink.kind
            await self.close()
            await self.save()
            self.note("is at the server, and offered")
            at = self.context.wall()
            self.context.emit(
                TransferStored(
                    at=at, transfer=self.id, user=r.user, name=r.name, bytes=r.size, expires_in=self.left.expires - at
                )
            )

    def offer(self) -> FileLeft:
        """What the recipient needs."""
        r, left = self.record, self.left
        return FileLeft(
            r.id, left.file, left.key, left.digest or bytes(32), r.name, r.size, r.files, r.manifest_size,
            r.modified_ns, r.comment, r.folder, r.executable, left.expires,
        )  # fmt: skip

    def route_appeared(self, device: bytes) -> None:
        """It needs none."""

    async def _offer_again(self) -> None:
        """What was said last may have got lost with a connection, and devices may be new; who knows it drops it."""
        with contextlib.suppress(P2pimError):
            await self._desk.access.post(self.record.user, self.offer())

    # --- what the server says

    def server_appeared(self) -> None:
        """There is a session: go on, or say again how it ended."""
        self._retry.reset()
        self.go_on()
        if self.record.state is State.STORED:
            self.context.spawn(self._offer_again())
        if self.ended and not self.record.settled:
            self.tell_end()

    def store_says(self, state: str) -> None:
        """What has become of it at the server."""
        if self.ended or not self.left.file:
            return
        match state:
            case "fetched" if self.record.state is State.STORED:
                self.step(Step.COMPLETE)
                self.record.digest = self.left.digest
                self.context.spawn(self._fetched())
            case "rejected" | "expired":
                self.disrupt(state, "", settled=False)
            case "withdrawn":
                self.disrupt("cancelled", "Another of your devices withdrew it.", settled=False)
            case "unknown" if self.record.state is State.STORED:
                self.fail(StoredFileGone("The server has lost it; send it anew."))

    async def _fetched(self) -> None:
        await self.clean_up()
        await self.commit_end()
        self.tell_end()
        self.completed()

    # --- the end

    def tell(self, signal: Signal) -> None:
        """There is nobody to be told but the server."""

    def tell_end(self) -> None:
        self.context.spawn(self._desk.dropped(self, "withdrawn"))

    def went_offline(self, reason: str, message: str = "") -> None:
        if reason != "peer-offline":
            super().went_offline(reason, message)

    def route_lost(self, channel: IChannel) -> None:
        """It needs none."""

    def pause(self) -> None:
        if self.record.state is State.STORED:
            raise TransferError("All of it is at the server already; `cancel` withdraws it.")
        super().pause()

    def let_go(self) -> None:
        self._retry.cancel()
        self._hang_up()

    async def clean_up(self) -> None:
        await self.close()
        self._manifest = None
        self.left.key = b""
        await self._desk.store.save(self.left)

    async def close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.stopping = True
            await self.lane.run(source.close)


def _read_and_seal(source: Source, sealer: Sealer, place: int, total: int) -> list[bytes]:
    """The next chunks, sealed; in a disk thread."""
    number = place // SEALED_CHUNK
    length = min(CHUNKS_AT_ONCE * SEALED_CHUNK, total - place)
    pieces, _ = source.read(place, length)
    data = b"".join(pieces)
    starts = range(0, max(length, 1), SEALED_CHUNK)
    return [sealer.seal(number + i, data[start : start + SEALED_CHUNK]) for i, start in enumerate(starts)]
