"""The receiver's end of a transfer: it accepts, pulls ranges over whatever channel there is, and stores them.

What has been written is a proven prefix; whatever ends a pull (a channel, a pause, a crash), the next one begins there
and shows the prefix's digest, so the sender can tell whether it still is the same content.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from p2pim.core.limits import (
    CHECKPOINT_BYTES,
    CHECKPOINT_INTERVAL,
    FREE_SPACE_KEPT,
    TRANSFER_MISMATCHES,
    TRANSFER_RETRY_FIRST,
    TRANSFER_RETRY_MAX,
    TRANSFER_STALLS,
)
from p2pim.core.transfer import State, Step, told_reason
from p2pim.errors import ContentMismatch, NoSpace, NotSignedIn, Offline, P2pimError, ServerUnreachable, TransferError
from p2pim.peer.interfaces import IChannel
from p2pim.peer.transfer import Transfer
from p2pim.peer.transfer_arrival import Arrival
from p2pim.peer.transfer_context import Retry, TransferContext
from p2pim.peer.transfer_files import explained
from p2pim.peer.transfer_folder_sink import sink_for
from p2pim.peer.transfer_naming import give_name
from p2pim.peer.transfer_sink import Sink, discard_part
from p2pim.storage.transfers import TransferRecord
from p2pim.wire.signals import FileAnswer, FileState, Signal


class Incoming(Transfer):
    """A transfer from another user."""

    def __init__(self, record: TransferRecord, context: TransferContext) -> None:
        super().__init__(record, context)
        self._arrival: Arrival | None = None
        self._sink: Sink | None = None
        self._starting = False
        self._journal_at = 0.0
        self._journaled = -1
        self._mismatches = 0
        self._stalls = 0
        self._retry = Retry(context.clock, self.go_on, TRANSFER_RETRY_FIRST, TRANSFER_RETRY_MAX)

    # --- the answer

    async def accept_into(self, directory: str, part: str, commit: Callable[[TransferRecord], Awaitable[None]]) -> bool:
        """Accept the offer, with the partial ``part`` in ``directory``, and begin; whether it was still there."""
        r = self.record
        if not self.step(Step.ACCEPT):
            return False
        r.directory, r.part, r.reason, r.message = directory, part, "", ""
        await commit(r)
        if r.state is State.WAITING:
            self.note(f"accepted into {directory}")
            self.tell(FileAnswer(r.id, True))
            self.go_on()
        return True

    @property
    def missing(self) -> int:
        """Bytes that will still be written."""
        r = self.record
        return 0 if self.ended or r.state is State.OFFERED else r.total - r.position

    def reject(self) -> None:
        """Refuse the offer."""
        self.disrupt("rejected", settled=False)

    def end_signal(self) -> Signal:
        if self.record.state is State.DISRUPTED and self.record.reason == "rejected":
            return FileAnswer(self.record.id, False, "rejected")
        return super().end_signal()

    # --- beginning a pull

    def go_on(self) -> None:
        if self.record.state is not State.WAITING or self._starting or self.stopped:
            return
        if not self.context.slots.take(self.record.id, self.record.user):
            return
        self._retry.cancel()
        self._starting = True
        self.context.spawn(self._start())

    async def _start(self) -> None:
        error: BaseException | None = None
        channel = None
        try:
            await self._open_sink()
            await self.lane.run(lambda: None)  # what the last pull brought is stored by now
            channel = await self._find_channel()
        except (P2pimError, OSError) as caught:
            error = caught
        self._starting = False
        if self.record.state is not State.WAITING or self.stopped:
            self._not_needed(channel)
            await self._abandon_start()
        elif error is not None:
            self._give_slot_back()
            self._not_started(error)
        else:
            self._begin(channel)

    def _not_needed(self, channel: IChannel | None) -> None:
        """A channel that was found in vain; others may use it."""

    async def _abandon_start(self) -> None:
        """It was paused, stopped or ended while it was about to begin."""
        self._give_slot_back()
        sink = self._sink
        if sink is not None and (self.stopped or self.ended):
            await self.clean_up()
            if self.ended and not self.record.part:
                await self.lane.run(partial(discard_part, sink.directory, sink.part))

    async def _find_channel(self) -> IChannel | None:
        """A channel for the rest, unless there is no rest."""
        r = self.record
        if self._sink is not None and self._sink.position == r.total:
            return None
        standing = self.context.routes.bulk_channel(r.user, r.device, r.route)
        return standing or await self.context.routes.need_bulk_channel(r.user, r.device, r.route)

    def _not_started(self, error: BaseException) -> None:
        if isinstance(error, OSError):
            self._disk_failed(error)
        elif isinstance(error, ContentMismatch | TransferError):
            self.fail(error)
        else:
            assert isinstance(error, P2pimError)
            self._wait_for_route(error)

    def _wait_for_route(self, error: P2pimError) -> None:
        reason = "offline" if isinstance(error, NotSignedIn | ServerUnreachable) else ""
        self.went_offline("peer-offline" if isinstance(error, Offline) else reason, error.message)
        self._retry.later()

    def try_later(self) -> None:
        """Go on after a while, unless something lets it go on before."""
        self._retry.later()

    def turn_came(self) -> None:
        """A slot is free."""
        if not self._retry.pending:
            self.go_on()

    def _begin(self, channel: IChannel | None) -> None:
        sink = self._sink
        assert sink is not None
        if channel is None:
            self._finish(sink)
            return
        self.step(Step.START)
        self.record.position = sink.position
        self.started_moving(channel)
        self.note(f"goes by {channel.kind} from byte {sink.position} on")
        self._retry.reset()
        self._arrival = self._new_arrival(channel, sink)
        self._arrival.begin()

    def _new_arrival(self, channel: IChannel, sink: Sink) -> Arrival:
        return Arrival(self.context, self, self.record.id, channel, self.lane, sink, self.record.total)

    # --- the partial

    async def _open_sink(self) -> Sink:
        """The partial, opened and proved when that has not been done since it was last closed."""
        if self._sink is None:
            checkpoints = await self.context.store.checkpoints(self.record.id)
            sink = sink_for(self.record)
            await self.lane.run(partial(sink.open_and_prove, checkpoints))
            self._sink = sink
        return self._sink

    # --- what arrives

    def stored(self, position: int, digest: bytes, free: int) -> None:
        self._stalls = self._mismatches = 0
        if self.ended:
            return
        self.moved_to(position)
        self._journal(position, digest)
        if position == self.record.total and self._sink is not None and self.record.state is State.RUNNING:
            self._finish(self._sink)
        elif free < FREE_SPACE_KEPT and self.record.state is State.RUNNING:
            self._no_space(NoSpace())

    def _journal(self, position: int, digest: bytes, *, now: bool = False) -> None:
        """Make a checkpoint, when it is time for one."""
        at = self.context.clock.seconds()
        far = position - self._journaled >= CHECKPOINT_BYTES
        if (now or far or at - self._journal_at >= CHECKPOINT_INTERVAL) and position > self._journaled:
            self._journal_at, self._journaled = at, position
            self.context.watch(self.context.store.checkpoint(self.record.id, position, digest))

    def not_stored(self, error: BaseException) -> None:
        if isinstance(error, ContentMismatch):
            self._mismatched(error)
        elif isinstance(error, OSError):
            self._disk_failed(error)
        else:
            self.fail(error)

    def _mismatched(self, error: ContentMismatch) -> None:
        """Once may be a bit that fell over; again and again is another content."""
        self._mismatches += 1
        if self._mismatches >= TRANSFER_MISMATCHES:
            self.fail(error)
        else:
            self.note("a piece was not what its digest says; it is asked for again")
            self._lose()

    def _disk_failed(self, error: OSError) -> None:
        explanation = explained(error)
        if isinstance(explanation, NoSpace):
            self._no_space(explanation)
        else:
            self.fail(explanation)

    def _no_space(self, error: NoSpace) -> None:
        """The disk is full: a person has to make room, and resumes it."""
        if self.ended or self.stopped:
            return
        self.pause()
        self.record.reason, self.record.message = error.code, error.message
        self.note(error.message)
        self.emit_disrupted("error", f"{error.code}: {error.message}")
        self.context.watch(self.save())

    # --- the end of a pull

    def let_go(self) -> None:
        self._retry.cancel()
        self._end_arrival()
        if not self._starting:
            self._give_slot_back()

    def _end_arrival(self) -> None:
        arrival, self._arrival = self._arrival, None
        if arrival is not None:
            arrival.end()
            self.stopped_moving()
            if self._sink is not None:
                self.context.watch(self.lane.run(self._sink.proved).addCallback(self._last_checkpoint))

    def _last_checkpoint(self, proved: tuple[int, bytes]) -> None:
        if self.record.part:
            self._journal(*proved, now=True)

    def _give_slot_back(self) -> None:
        self.context.slots.give_back(self.record.id)
        self.context.slot_free()

    def _lose(self) -> None:
        """The pull is over; another one follows, once what is going on now is through."""
        self.let_go()
        if self.step(Step.LOSE):
            self._retry.soon()

    def route_lost(self, channel: IChannel) -> None:
        """``channel`` is no more."""
        if self.channel is channel:
            self.note(f"its {channel.kind} channel is gone, or silent")
            self._lose()

    def route_appeared(self, device: bytes) -> None:
        """Say again where it stands, and go on; over a direct channel rather than a relayed one.

        For an offer that waits for an answer this asks whether it still stands.
        """
        r = self.record
        if device != r.device:
            return
        if self.ended:
            if not r.settled:
                self.tell_end()
        elif r.state is State.WAITING:
            self._retry.reset()
            self.tell(FileAnswer(r.id, True))
            self.go_on()
        elif r.state in (State.PAUSED, State.OFFERED):
            self.tell_state("paused" if r.paused_here else "resumed")
        elif self.channel is not None and self.channel.kind == "relay" and r.route == "auto":
            best = self.context.routes.bulk_channel(r.user, r.device, r.route)
            if best is not None and best.kind != "relay":
                self._lose()

    def tick(self, now: float) -> None:
        """Look whether the other side has stopped sending."""
        if self._arrival is not None and self._arrival.stalled(now):
            self._stalled()

    def _stalled(self) -> None:
        self._stalls += 1
        if self._stalls >= TRANSFER_STALLS:
            self.disrupt("too-slow", "Nothing came for a long time.", settled=False)
        else:
            self.note("nothing comes; it is asked for again")
            self._lose()

    # --- what the sender tells

    def told(self, state: FileState) -> None:
        """A change at the sender's end."""
        if state.state == "noted":
            self.settle()
        elif self.ended and state.state in ("paused", "resumed", "restart"):
            self.tell_end()
        elif state.state == "paused":
            self.peer_paused()
        elif state.state == "resumed":
            self.peer_resumed()
        elif state.state == "cancelled":
            self.ended_there("peer-cancelled")
        elif state.state == "failed":
            self.ended_there(told_reason(state.reason), state.reason)
        elif state.state == "unknown":
            self.disrupt("peer-error", "The other side no longer knows of this transfer.", settled=True)
        elif state.state == "restart" and self.record.state is State.RUNNING:
            self._restart()

    def _restart(self) -> None:
        """What is here is of another content: begin again at 0."""
        self._mismatches += 1
        if self._mismatches >= TRANSFER_MISMATCHES:
            self.fail(ContentMismatch())
            return
        self.let_go()
        self._journaled = -1
        if self._sink is not None:
            self.context.watch(self.lane.run(self._sink.restart))
        self.record.position = 0
        self.context.watch(self.context.store.restart(self.record))
        self.step(Step.LOSE)
        self.go_on()

    def offered_again(self) -> None:
        """The sender does not know where this end stands."""
        self.peer_resumed()
        if self.ended:
            self.tell_end()
        elif self.record.state is State.PAUSED:
            self.tell_state("paused")
        elif self.record.state is not State.OFFERED:
            self.tell(FileAnswer(self.record.id, True))
            self.go_on()

    # --- all bytes are there

    def _finish(self, sink: Sink) -> None:
        if self.step(Step.FINISH):
            self._end_arrival()
            self._give_slot_back()
            self.context.spawn(self._name_it(sink))

    async def _name_it(self, sink: Sink) -> None:
        try:
            await give_name(self.record, sink, self.lane, self.context.store)
        except OSError as error:
            self.step(Step.LOSE)
            self._disk_failed(error)
        except P2pimError as error:
            self.fail(error)
        else:
            self._sink = None
            await self.named()

    def step_back(self) -> None:
        """It did not get its name before everything stopped."""
        self.step(Step.LOSE)
        self.go_on()

    async def named(self) -> None:
        """It has its name: commit that, then tell."""
        r = self.record
        if self.step(Step.COMPLETE):
            r.path, r.part, r.position = f"{r.directory}/{r.final}", "", r.total
            await self.commit_end()
            self.tell_end()
            self.completed()

    async def clean_up(self) -> None:
        """What a person ended leaves nothing behind; what failed keeps its part for another try."""
        await self.close()
        if self.record.part and self.record.reason in ("cancelled", "peer-cancelled"):
            await self.lane.run(partial(discard_part, self.record.directory, self.record.part))
            self.record.part = ""

    async def close(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            await self.lane.run(sink.close)
