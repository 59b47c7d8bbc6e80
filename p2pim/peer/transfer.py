"""One transfer at one end, as people and applications see it, and what both ends of it have in common."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from p2pim.core.limits import OFFER_LIFETIME
from p2pim.core.transfer import FINAL, Meter, State, Step, after
from p2pim.errors import P2pimError, TransferError
from p2pim.peer.interfaces import IChannel
from p2pim.peer.transfer_context import Lane, Retry, TransferContext
from p2pim.peer.transfer_events import (
    TransferChanged,
    TransferCompleted,
    TransferDisrupted,
    TransferOffered,
    TransferProgress,
)
from p2pim.peer.transfer_status import TransferStatus, paused_by
from p2pim.storage.transfers import TransferRecord
from p2pim.wire.signals import FileState, Signal


class Transfer:
    """What the API hands out for a transfer; `Outgoing` and `Incoming` say how it moves."""

    offer_lifetime = OFFER_LIFETIME
    """Seconds for which an offer stands that nobody answers."""

    def __init__(self, record: TransferRecord, context: TransferContext) -> None:
        self.record = record
        self.context = context
        self.lane = Lane(context.threads)
        self.channel: IChannel | None = None
        """The channel over which bytes move now."""
        self.ended_for_good = self.ended
        """The end is committed."""
        self.stopped = False
        """The peer is stopping: nothing begins any more."""
        self._meter = Meter(context.clock.seconds(), record.position)
        self._moving_since = 0.0
        self._waiters: list[Deferred[TransferStatus]] = []
        self._news = Retry(context.clock, self._emit_change, 0.0, 0.0)
        self._told: tuple[object, ...] = ()

    # --- what people see

    @property
    def id(self) -> str:
        """In hexadecimal."""
        return self.record.id.hex()

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.record.state in FINAL

    def status(self) -> TransferStatus:
        """As it is now."""
        r = self.record
        return TransferStatus(
            transfer=self.id, user=r.user, name=r.name, direction=r.direction, state=r.state.value, bytes=r.content,
            total=r.size, rate=self._meter.rate if r.state is State.RUNNING else 0.0, route=r.used_route,
            reason=r.reason, message=r.message, path=r.path, comment=r.comment, files=r.files, folder=r.folder,
            paused=paused_by(r), created=r.created, expires=self.expires,
        )  # fmt: skip

    @property
    def expires(self) -> float | None:
        """When the server forgets it, in seconds since 1970; None while it does not keep it."""
        return None

    def end(self) -> Deferred[TransferStatus]:
        """Fires with the status once nothing more will happen."""
        done: Deferred[TransferStatus] = Deferred(self._waiters_without)
        if self.ended:
            done.callback(self.status())
        else:
            self._waiters.append(done)
        return done

    def _waiters_without(self, done: Deferred[TransferStatus]) -> None:
        self._waiters = [waiter for waiter in self._waiters if waiter is not done]

    # --- steps

    def step(self, step: Step) -> bool:
        """Take ``step`` where that means something; whether it did."""
        state = after(self.record.state, step)
        if state is None:
            return False
        self.record.state = state
        self.record.changed = self.context.wall()
        self._news.soon()
        return True

    def save(self) -> Deferred[None]:
        """Commit it as it is."""
        self._news.soon()
        return self.context.store.save(self.record)

    def tell(self, signal: Signal) -> None:
        """Tell the other side, by whatever way there is."""
        if self.record.device:
            self.context.routes.send(self.record.user, self.record.device, signal)

    def tell_state(self, state: str, reason: str = "") -> None:
        """Tell the other side of a change."""
        self.tell(FileState(self.record.id, state, reason[:300]))

    def note(self, text: str) -> None:
        """A line in the readable log."""
        self.context.journal("transfer", self.record.user, f"{self.record.name}: {text}")

    def went_offline(self, reason: str, message: str = "") -> None:
        """While nothing moves it waits for this reason; people are told once."""
        r = self.record
        waits = r.state is State.WAITING or (r.state is State.OFFERED and r.direction == "out")
        if not waits or self.stopped:
            return
        known, r.message = r.reason, message
        if reason and reason != known:
            r.reason = reason
            self.emit_disrupted(reason, message)

    # --- moving

    def started_moving(self, channel: IChannel) -> None:
        """Bytes go over ``channel`` now."""
        self.channel = channel
        self.record.used_route = channel.kind
        self.record.reason = self.record.message = ""
        now = self.context.clock.seconds()
        self._meter = Meter(now, self.record.position)
        self._moving_since = now

    def stopped_moving(self) -> None:
        """Bytes no longer go."""
        if self.channel is not None:
            self.record.took += self.context.clock.seconds() - self._moving_since
            self.channel = None

    def moved_to(self, position: int) -> None:
        """Bytes got as far as ``position``."""
        self.record.position = position
        if self._meter.moved(self.context.clock.seconds(), position):
            self._emit_progress()

    @property
    def rate(self) -> float:
        """Bytes a second of late."""
        return self._meter.rate

    # --- events

    def emit_offer(self) -> None:
        """Tell the application of the offer."""
        r = self.record
        self.context.emit(
            TransferOffered(
                at=self.context.wall(), transfer=self.id, user=r.user, name=r.name, size=r.size, files=r.files,
                comment=r.comment, direction=r.direction, route=r.route,
            )
        )  # fmt: skip

    def _emit_change(self) -> None:
        """Tell the application where it stands, unless it knows; of the end, other events tell."""
        s = self.status()
        news = (s.state, s.paused, s.reason, s.message, s.route)
        if self.ended or self.stopped or news == self._told:
            return
        self._told = news
        self.context.emit(
            TransferChanged(
                at=self.context.wall(), transfer=self.id, user=s.user, direction=s.direction, state=s.state,
                paused=s.paused, reason=s.reason, message=s.message, bytes=s.bytes, total=s.total, route=s.route,
            )
        )  # fmt: skip

    def _emit_progress(self) -> None:
        r = self.record
        self.context.emit(
            TransferProgress(
                at=self.context.wall(), transfer=self.id, bytes=r.content, total=r.size, rate=round(self._meter.rate),
                route=r.used_route,
            )
        )  # fmt: skip

    def emit_disrupted(self, reason: str, message: str = "") -> None:
        """Tell the application that it does not go on by itself, or never."""
        self.context.emit(
            TransferDisrupted(
                at=self.context.wall(), transfer=self.id, reason=reason, bytes=self.record.content, message=message,
                user=self.record.user, name=self.record.name, waits=not self.ended,
            )
        )  # fmt: skip

    # --- ends

    def completed(self) -> None:
        """Everything arrived and is committed: tell who waits."""
        r = self.record
        self.context.emit(
            TransferCompleted(
                at=self.context.wall(), transfer=self.id, name=r.name, path=r.path, bytes=r.size,
                seconds=round(r.took, 3), route=r.used_route, blake3=(r.digest or b"").hex(),
            )
        )  # fmt: skip
        self.note(f"completed, {r.size} bytes by {r.used_route or 'no channel'}")
        self._fire_waiters()

    def disrupt(self, reason: str, message: str = "", *, settled: bool) -> bool:
        """It is over without success; ``settled`` when the other side knows. Whether it was not over already."""
        if not self.step(Step.DISRUPT):
            return False
        self.record.reason, self.record.message, self.record.settled = reason, message, settled
        self.let_go()
        self.context.spawn(self._disrupted(reason, message, settled=settled))
        return True

    async def _disrupted(self, reason: str, message: str, *, settled: bool) -> None:
        await self.clean_up()
        await self.commit_end()
        if settled:
            self.tell_state("noted")
        else:
            self.tell_end()
        self.note(f"disrupted: {reason}{': ' + message if message else ''}")
        self.emit_disrupted(reason, message)
        self._fire_waiters()

    async def commit_end(self) -> None:
        """From here on a crash does not undo the end, so that it may be noted."""
        await self.context.store.end(self.record)
        self.ended_for_good = True

    def fail(self, error: BaseException) -> None:
        """An error at this end ends it."""
        if isinstance(error, P2pimError):
            message = f"{error.code}: {error.message}"
        else:
            self.context.log.error("a transfer failed: {error!r}", error=error)
            message = f"{TransferError.code}: {type(error).__name__}"
        self.disrupt("error", message, settled=False)

    def cancel(self) -> None:
        """A person at this end ends it.

        :raises TransferError: it has ended, or its last step is being taken.
        """
        if self.record.state is State.FINISHING or not self.disrupt("cancelled", settled=False):
            raise TransferError("This transfer has ended already.")

    def ended_there(self, reason: str, message: str = "") -> None:
        """The other side ended it."""
        if self.ended_for_good:
            self.tell_state("noted")
        elif self.record.state is not State.FINISHING:
            self.disrupt(reason, message, settled=True)

    def settle(self) -> None:
        """The other side knows of the end."""
        if self.ended and not self.record.settled:
            self.record.settled = True
            self.context.watch(self.save())

    def tell_end(self) -> None:
        """Tell the other side how it ended; repeated until it is noted."""
        self.tell(self.end_signal())

    def end_signal(self) -> Signal:
        """How it ended, for the other side."""
        r = self.record
        if r.state is State.COMPLETED:
            return FileState(r.id, "completed", digest=r.digest)
        if r.reason in ("cancelled", "peer-cancelled", "rejected"):
            return FileState(r.id, "cancelled")
        text = r.message if r.reason in ("error", "peer-error") else f"{r.reason}: {r.message}"
        return FileState(r.id, "failed", text[:300])

    def _fire_waiters(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(self.status())

    def take_waiters(self, other: Transfer) -> None:
        """Who waits for the end of ``other`` waits for this one's now: it goes on in its place."""
        self._waiters, other._waiters = other._waiters, self._waiters

    # --- to be given by each end

    def let_go(self) -> None:
        """Stop moving bytes at once."""
        raise NotImplementedError

    async def stop(self) -> None:
        """The peer is stopping: let go of everything, keep what there is."""
        self.stopped = True
        self.let_go()
        self._news.cancel()
        await self.close()

    async def close(self) -> None:
        """Close all files."""
        raise NotImplementedError

    async def clean_up(self) -> None:
        """Close and remove what an ended transfer does not need."""
        raise NotImplementedError

    def route_appeared(self, device: bytes) -> None:
        """The other side's ``device`` can be reached."""
        raise NotImplementedError

    def pause(self) -> None:
        """A person at this end stops it for a while."""
        if self.ended or self.record.state in (State.OFFERED, State.FINISHING):
            raise TransferError("Only a transfer that is under way can be paused.")
        self.step(Step.PAUSE)
        self.record.paused_here = True
        self.let_go()
        self.context.watch(self.save())
        self.tell_state("paused")

    def peer_paused(self) -> None:
        """The other side stopped it for a while."""
        if self.record.state in (State.OFFERED, State.FINISHING) or self.ended:
            return
        self.step(Step.PAUSE)
        self.record.paused_there = True
        self.let_go()
        self.context.watch(self.save())

    def resume(self) -> None:
        """A person at this end lets it go on."""
        if self.ended:
            raise TransferError("This transfer has ended; send it again.")
        self.record.paused_here = False
        self.tell_state("resumed")
        self._resumed()

    def peer_resumed(self) -> None:
        """The other side lets it go on."""
        if not self.ended and self.record.paused_there:
            self.record.paused_there = False
            self._resumed()

    def _resumed(self) -> None:
        if not (self.record.paused_here or self.record.paused_there) and self.step(Step.RESUME):
            self.record.reason = self.record.message = ""
            self.go_on()
        self.context.watch(self.save())

    def go_on(self) -> None:
        """Nothing holds it any longer."""
        raise NotImplementedError
