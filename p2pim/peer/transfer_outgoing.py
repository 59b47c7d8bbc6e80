"""The sender's end of a transfer: it offers, and answers the receiver's requests.

A pull comes over one channel with a stream number of its own; the first request of another pull ends the one before.
While a piece drains into the channel the next one is read, so a disk and a network work at once and two pieces are in
memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred, fail, succeed

from p2pim.core.transfer import Push, Range, State, Step, told_reason
from p2pim.errors import ChannelClosed, ContentMismatch, NoSuchDevice, Offline, P2pimError
from p2pim.peer.interfaces import IChannel
from p2pim.peer.transfer import Transfer
from p2pim.peer.transfer_context import TransferContext
from p2pim.peer.transfer_source import Scan, Source, source_of
from p2pim.storage.transfers import TransferRecord
from p2pim.wire.signals import FileAnswer, FileOffer, FileState, RangeRequest

_Read = tuple[list[bytes], bytes]


class _DifferentPrefix(Exception):
    """What the receiver has is not what is here."""


class _Session:
    """One pull by the receiver."""

    def __init__(self, channel: IChannel, stream: int, total: int) -> None:
        self.channel = channel
        self.stream = stream
        self.push = Push(total)
        self.serving = False


class Outgoing(Transfer):
    """A transfer to another user.

    :param manifest: of a folder; loaded from the store when it is needed and not given.
    :ivar nobody_there: does something else, if there is anything, when none of the devices that it was offered to can
        be reached after all: whether people who are no contacts are there is not known before.
    """

    def __init__(self, record: TransferRecord, context: TransferContext, manifest: bytes | None = None) -> None:
        super().__init__(record, context)
        self._manifest = manifest
        self._source: Source | None = None
        self._session: _Session | None = None
        self._asked: set[bytes] = set()
        self.nobody_there: Callable[[], None] | None = None

    # --- the offer

    def offer_to(self, device: bytes) -> None:
        """Offer it to a device, for the first time or once more."""
        r = self.record
        self._asked.add(device)
        offer = FileOffer(
            r.id, r.name, r.size, r.files, r.manifest_size, r.modified_ns, r.comment, r.folder, r.executable, r.route
        )
        self.context.routes.send(r.user, device, offer, lambda error: self._not_offered(device, error))

    def _not_offered(self, device: bytes, error: P2pimError) -> None:
        if not isinstance(error, Offline | NoSuchDevice) or device not in self._asked:
            return
        self._asked.discard(device)
        if self._asked or self.record.state is not State.OFFERED or self.stopped:
            return
        if self.nobody_there is not None:
            self.nobody_there()
        else:
            self.went_offline("peer-offline", "The offer is made when they are back.")

    def answered(self, device: bytes, answer: FileAnswer) -> None:
        """A device of the other side accepted or refused."""
        if answer.accepted:
            self._accepted_by(device)
        else:
            self._refused_by(device, answer.reason)

    def _accepted_by(self, device: bytes) -> bool:
        """Whether ``device`` is the one to pull; another one is told that it is too late."""
        if self.ended and device == self.record.device:
            self.tell_end()
            return False
        if self.step(Step.ACCEPT):
            self.record.device = device
            self.record.reason = self.record.message = ""
            self.context.watch(self.save())
            self.note("accepted")
            for other in self._asked - {device}:
                self._withdraw_from(other)
        if device != self.record.device or self.ended:
            self._withdraw_from(device)
            return False
        return True

    def _withdraw_from(self, device: bytes) -> None:
        self.context.routes.send(self.record.user, device, FileState(self.record.id, "cancelled"))

    def _refused_by(self, device: bytes, reason: str) -> None:
        """A person's no is for all their devices; a device's own (its settings, its disk) only for itself."""
        self._asked.discard(device)
        for_all = reason == "rejected" or not self._asked
        if not self.ended and (device == self.record.device or (for_all and not self.record.device)):
            self.record.device = device
            self.disrupt("rejected", "" if reason == "rejected" else reason, settled=True)
            for other in self._asked:
                self._withdraw_from(other)
        elif not self.ended or self.ended_for_good:
            self.context.routes.send(self.record.user, device, FileState(self.record.id, "noted"))

    # --- requests

    def requested(self, device: bytes, request: RangeRequest, channel: IChannel) -> None:
        """The receiver asks for a range over ``channel``.

        :raises WireError: a request that no receiver makes.
        """
        if not self._accepted_by(device):
            return
        if self.record.paused_here:
            self.tell_state("paused")
            return
        if (self.record.route == "relay") != (channel.kind == "relay") and self.record.route != "auto":
            self.tell_state("failed", f"no-route: this is sent by route {self.record.route} only")
            return
        session = self._session_for(request, channel)
        if session is None:
            return
        session.push.request(request.offset, request.length, request.digest)
        self.record.paused_there = False
        self.step(Step.RESUME)
        if self.step(Step.START):
            self.note(f"goes by {channel.kind} from byte {request.offset} on")
        if not session.serving:
            session.serving = True
            self.context.spawn(self._serve(session))

    def _session_for(self, request: RangeRequest, channel: IChannel) -> _Session | None:
        """The pull that ``request`` belongs to or begins; None for a straggler of one that was ended here."""
        session = self._session
        if session is None or session.stream != request.stream or session.channel is not channel:
            if request.offset and request.digest is None:
                return None
            self._drop_session()
            session = self._session = _Session(channel, request.stream, self.record.total)
            self.record.position = request.offset
            self.started_moving(channel)
        return session

    def _drop_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.channel.cancel_bulk(session.stream)
            self.stopped_moving()
            source = self._source
            if source is not None:
                self.context.watch(self.lane.run(source.close))

    # --- serving

    async def _serve(self, session: _Session) -> None:
        try:
            await self._serve_ranges(session)
        except ChannelClosed:
            self.route_lost(session.channel)
        except _DifferentPrefix:
            if session is self._session:
                self.note("the receiver's part is of something else; it begins again")
                self._drop_session()
                session.channel.send(FileState(self.record.id, "restart"))
        except (P2pimError, OSError) as error:
            if session is self._session:
                self.fail(error)
        finally:
            session.serving = False

    async def _serve_ranges(self, session: _Session) -> None:
        source = await self._open_source()
        wanted = session.push.take()
        reading = self._read(source, wanted) if wanted else None
        while wanted is not None and reading is not None:
            pieces, digest = await reading
            if session is not self._session:
                return
            end = wanted.offset + wanted.length
            wanted = session.push.take()
            reading = self._read(source, wanted) if wanted else None
            try:
                await session.channel.send_bulk(session.stream, pieces, digest)
            except ChannelClosed:
                if reading is not None:
                    reading.addErrback(lambda _: None)
                raise
            self.moved_to(end)
            if wanted is None:
                wanted = session.push.take()
                reading = self._read(source, wanted) if wanted else None

    def _read(self, source: Source, wanted: Range) -> Deferred[_Read]:
        """What is in the page cache is read and hashed here: a thread takes longer to be asked than to read it."""
        if not self.lane.busy and wanted.offset and wanted.digest is None:
            try:
                ready = source.read_ready(wanted.offset, wanted.length)
            except P2pimError as error:
                return fail(error)
            if ready is not None:
                return succeed(ready)
        return self.lane.run(partial(_read_range, source, wanted))

    async def _open_source(self) -> Source:
        """The stream, made when it is first asked for."""
        r = self.record
        if self._source is None:
            if r.folder and self._manifest is None:
                self._manifest = await self.context.store.manifest(r.id)
            if self._source is None:
                self._source = await self.lane.run(partial(source_of, r, self._manifest or b""))
        return self._source

    # --- what the receiver tells

    def told(self, device: bytes, state: FileState) -> None:
        """A change at the receiver's end."""
        if state.state == "noted" and self.record.device in (b"", device):
            self.settle()
        if not self.record.device and state.state in ("cancelled", "failed", "completed"):
            self.record.device = device  # its acceptance was lost on the way
        if self.ended and state.state in ("paused", "resumed"):
            mine = device == self.record.device or not self.record.device
            self.context.routes.send(
                self.record.user, device, self.end_signal() if mine else FileState(self.record.id, "cancelled")
            )
        if device != self.record.device:
            return
        if state.state == "completed":
            self._completed_there(state.digest)
        elif state.state == "paused":
            self.peer_paused()
        elif state.state == "resumed":
            self.peer_resumed()
        elif state.state == "cancelled":
            self.ended_there("peer-cancelled")
        elif state.state == "failed":
            self.ended_there(told_reason(state.reason), state.reason)

    def _completed_there(self, digest: bytes | None) -> None:
        mine = self._source.digest_at(self.record.total) if self._source is not None else None
        if not self.ended and mine is not None and mine != digest:
            self.fail(ContentMismatch())
        elif self.step(Step.COMPLETE):
            self.record.digest, self.record.settled = digest, True
            self.record.position = self.record.total
            self.let_go()
            self.context.spawn(self._complete())
        elif self.ended_for_good:
            self.tell_state("noted")

    async def _complete(self) -> None:
        await self.clean_up()
        await self.commit_end()
        self.tell_state("noted")
        self.completed()

    # --- routes

    def route_appeared(self, device: bytes) -> None:
        """Say again where it stands: what was said before may have been lost."""
        r = self.record
        if r.device and r.device != device:
            return
        if self.ended:
            if not r.settled:
                self.context.routes.send(r.user, device, self.end_signal())
        elif r.state in (State.OFFERED, State.WAITING):
            r.reason = ""
            self.offer_to(device)
        elif r.state is State.PAUSED:
            self.tell_state("paused" if r.paused_here else "resumed")

    def route_lost(self, channel: IChannel) -> None:
        """``channel`` is no more; the receiver comes back by another."""
        if self._session is not None and self._session.channel is channel:
            self._drop_session()
            self.step(Step.LOSE)

    def go_on(self) -> None:
        """The receiver asks again by itself."""

    # --- the end

    def tell_end(self) -> None:
        for device in (self.record.device,) if self.record.device else tuple(self._asked):
            self.context.routes.send(self.record.user, device, self.end_signal())

    def let_go(self) -> None:
        self._drop_session()

    async def clean_up(self) -> None:
        await self.close()
        self._manifest = None

    async def close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.stopping = True
            await self.lane.run(source.close)


def outgoing_record(id: bytes, user: str, found: Scan, comment: str, route: str, now: float) -> TransferRecord:
    """What is kept of what is offered to ``user``."""
    return TransferRecord(
        id=id, direction="out", user=user, device=b"", name=found.name, size=found.size,
        files=found.files, manifest_size=len(found.manifest or b""), modified_ns=found.modified_ns,
        comment=comment[:2000], folder=found.folder, executable=found.executable, route=route,
        state=State.OFFERED, created=now, changed=now, path=found.path,
    )  # fmt: skip


def _read_range(source: Source, wanted: Range) -> _Read:
    """The bytes of a range; in a disk thread."""
    if (wanted.digest is not None or not wanted.offset) and not source.resume(wanted.offset, wanted.digest):
        raise _DifferentPrefix
    return source.read(wanted.offset, wanted.length)
