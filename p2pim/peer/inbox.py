"""What arrives sealed: opened, put in order and stored at once, shown once, confirmed once stored.

Messages come over channels, live through the server, or out of the mailbox (`p2pim.peer.mailbox`), and so do signals
that must not be lost. All that comes during one commit is opened and stored by the next. Then the sender's device gets
its receipt, by mail if its message was mail, since that device may be away; and the server hears that it need not keep
the envelope.

When something cannot be stored, nothing is taken any more until `Inbox.resume`: neither what waited behind it nor what
comes later, which would be put before it (`p2pim.peer.store_watch`).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.core.delivery import Target
from p2pim.core.limits import UNSTORED
from p2pim.core.message_ids import show_message_id
from p2pim.errors import CannotOpen, Replayed
from p2pim.peer.events import Event, MessageReceived, MessageSent, rfc3339
from p2pim.storage.inbox import Arrived, Envelope, GroupReceipt, InboxStore, Taken
from p2pim.storage.outbox import Confirmed
from p2pim.wire.mail import MailId
from p2pim.wire.signals import AnySignal, Receipt, Sealed

T = TypeVar("T")

RECEIPTS_AT_ONCE = 256
"""As many ids as a `Receipt` holds, and a `Got`."""
MAILBOX = "mailbox"


class Receiver(Protocol):
    """Who hears what arrived besides messages, all of it stored."""

    def confirmed(self, user: str, device: bytes, receipts: Sequence[tuple[str, Confirmed]]) -> None: ...
    def read(self, user: str, ids: Sequence[bytes], route: str) -> None: ...
    def signal(self, user: str, device: bytes, signal: AnySignal) -> None: ...
    def group_signal(self, user: str, device: bytes, group: str, signal: AnySignal) -> None: ...
    def group_confirmed(self, receipts: Sequence[GroupReceipt], route: str) -> None: ...
    def group_key_missing(self, user: str, device: bytes, session: str) -> None: ...


@dataclass(frozen=True, slots=True)
class InboxWays:
    """What goes out because something came.

    ``receipt``: user, device, receipt, and whether it is mail. ``got``: what the server need not keep any more.
    ``cannot_open``: what to do about an envelope; when that is done it may be acknowledged. ``full``: told why nothing
    is taken any more.
    """

    receipt: Callable[[str, bytes, Receipt, bool], None]
    got: Callable[[list[MailId]], None]
    cannot_open: Callable[[str, bytes, Sealed, CannotOpen], Coroutine[Deferred[Any], Any, None]]
    full: Callable[[str], None]


class Inbox:
    """The receiving side of delivery.

    :param wall: the time in seconds since 1970.
    :param me: my user name.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        wall: Callable[[], float],
        store: InboxStore,
        ways: InboxWays,
        receiver: Receiver,
        emit: Callable[[Event], None],
        journal: Callable[[str, str, str], None],
        me: str,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._store = store
        self._ways = ways
        self._receiver = receiver
        self._emit = emit
        self._journal = journal
        self._me = me
        self._timer: IDelayedCall | None = None
        self._batch: list[tuple[Envelope, Deferred[bool]]] = []
        self._storing = False
        self._receipts: dict[tuple[Target, bool], list[bytes]] = {}
        self._got: list[MailId] = []
        self._turn: IDelayedCall | None = None
        self._emptying = False
        self._full = False
        self._stopped = False

    async def load(self) -> None:
        """Hold what an earlier run held a little longer."""
        if await self._store.begin(self._clock.seconds()):
            self._expire_at(self._clock.seconds())

    def stop(self) -> None:
        """Take nothing any more: what was not confirmed comes again."""
        self._stopped = True
        self._cancel()

    def resume(self) -> None:
        """What comes can be stored again."""
        self._full = False
        self._expire_at(self._clock.seconds())

    def _cancel(self) -> None:
        for timer in (self._timer, self._turn):
            if timer is not None and timer.active():
                timer.cancel()
        self._timer = self._turn = None

    # --- envelopes

    def live(self, user: str, device: bytes, sealed: Sealed, message: bytes, route: str, address: str) -> None:
        """A sealed message or signal came over a channel or through the server just now.

        One that cannot be taken is not confirmed, so it comes again.

        :param message: the id by which the server keeps it, or the channel's other side; empty for none.
        """
        if len(self._batch) >= UNSTORED:
            self._refuse("more has come than could be stored")
        taken = self._take(user, device, sealed, message, route, address)
        taken.addCallback(self._acknowledge, user, device, message if route == "relay" else b"")

    def mail(self, user: str, device: bytes, sealed: Sealed, message: bytes, address: str) -> Deferred[bool]:
        """The same out of the mailbox; fires with whether it may be acknowledged."""
        return self._take(user, device, sealed, message, MAILBOX, address)

    def _acknowledge(self, may: bool, user: str, device: bytes, message: bytes) -> None:
        if may and message:
            self._got.append(MailId(user, device, message))
            self._soon()

    def _take(
        self, user: str, device: bytes, sealed: Sealed, message: bytes, route: str, address: str
    ) -> Deferred[bool]:
        if self._full or self._stopped:
            return succeed(False)
        now = round(self._wall() * 1000)
        envelope = Envelope(user, device, sealed, message or sealed.message, route, address, now)
        done: Deferred[bool] = Deferred()
        self._batch.append((envelope, done))
        self._store_batch()
        return done

    def _store_batch(self) -> None:
        """Everything that has come goes into one transaction; the next begins when that is committed."""
        if self._storing or not self._batch:
            return
        self._storing = True
        batch, self._batch = self._batch, []
        stored = self._store.take([envelope for envelope, _ in batch], self._clock.seconds())
        stored.addCallbacks(self._taken, self._not_stored, callbackArgs=(batch,), errbackArgs=(batch,))
        stored.addErrback(lambda failure: self.log.failure("after storing what came", failure))
        stored.addCallback(lambda _: self._next())

    def _next(self) -> None:
        self._storing = False
        self._store_batch()

    def _not_stored(self, failure: Failure, batch: list[tuple[Envelope, Deferred[bool]]]) -> None:
        dropped, self._batch = [*batch, *self._batch], []
        reason = failure.getErrorMessage()
        self._journal(
            "message", batch[0][0].sender, f"{len(dropped)} could not be stored and will come again: {reason}"
        )
        self._refuse(reason)
        for _, done in dropped:
            done.callback(False)

    def _refuse(self, reason: str) -> None:
        """What comes now would overtake what could not be taken before it."""
        if not self._full and not self._stopped:
            self._full = True
            self._ways.full(reason)

    def _taken(self, results: list[Taken], batch: list[tuple[Envelope, Deferred[bool]]]) -> None:
        if self._stopped:
            return
        early = [taken.early_until for taken in results if taken.early_until is not None]
        for taken, (envelope, done) in zip(results, batch, strict=True):
            self._tell(envelope, taken)
            if taken.error is not None and not isinstance(taken.error, Replayed):
                self._not_opened(envelope, taken.error, done)
            else:
                done.callback(True)
        if early:
            self._expire_at(min(early))

    def _not_opened(self, envelope: Envelope, error: CannotOpen, done: Deferred[bool]) -> None:
        asked = Deferred.fromCoroutine(self._ways.cannot_open(envelope.sender, envelope.device, envelope.sealed, error))
        told = asked.addCallbacks(lambda _: True, self._not_asked, errbackArgs=(envelope,))
        told.addCallback(done.callback)

    def _not_asked(self, failure: Failure, envelope: Envelope) -> bool:
        self._journal("error", envelope.sender, f"cannot be asked for again: {failure.getErrorMessage()}")
        return False

    def _tell(self, envelope: Envelope, taken: Taken) -> None:
        user, device = envelope.sender, envelope.device
        if taken.chat:
            self._confirm(envelope)
        self._show(taken.shown)
        if taken.confirmed:
            self._receiver.confirmed(user, device, taken.confirmed)
        if taken.read:
            self._receiver.read(user, [id for id, _ in taken.read], envelope.route)
        if taken.groups:
            self._receiver.group_confirmed(taken.groups, envelope.route)
        if taken.waits:
            self._receiver.group_key_missing(user, device, taken.waits)
        if taken.signal is not None and taken.group:
            self._receiver.group_signal(user, device, taken.group, taken.signal)
        elif taken.signal is not None:
            self._receiver.signal(user, device, taken.signal)
        for waited, opened in taken.later:
            self._tell(waited, opened)
        if isinstance(taken.error, Replayed):
            self._journal("message", user, "came once more and was dropped")

    def _show(self, messages: Sequence[Arrived]) -> None:
        for message in messages:
            origin = f" from {message.address}" if message.address else ""
            about: dict[str, Any] = {
                "at": self._wall(), "id": show_message_id(message.id), "text": message.text, "route": message.route,
                "address": message.address, "sent_at": rfc3339(message.sent_at / 1000),
            }  # fmt: skip
            group = message.conversation if message.conversation.startswith("#") else None
            if group is not None and message.sender != self._me:
                self._journal("message", group, f"received from {message.sender} by {message.route}{origin}")
                self._emit(MessageReceived(user=message.sender, group=group, **about))
            elif message.conversation:
                self._journal("message", message.conversation, "sent by another device of mine")
                self._emit(MessageSent(user=message.conversation, device=message.device.hex(), group=group, **about))
            else:
                self._journal("message", message.sender, f"received by {message.route}{origin}")
                self._emit(MessageReceived(user=message.sender, **about))

    # --- receipts and acknowledgements: those of one turn together

    def _confirm(self, envelope: Envelope) -> None:
        key = ((envelope.sender, envelope.device), envelope.route == MAILBOX)
        self._receipts.setdefault(key, []).append(envelope.message)
        self._soon()

    def _soon(self) -> None:
        if self._turn is None and not self._stopped:
            self._turn = self._clock.callLater(0, self.send_receipts)

    def send_receipts(self) -> None:
        """Say now what would be said at the end of this turn."""
        if self._turn is not None and self._turn.active():
            self._turn.cancel()
        self._turn = None
        receipts, self._receipts = self._receipts, {}
        for ((user, device), by_mail), ids in receipts.items():
            for some in _portions(ids):
                self._ways.receipt(user, device, Receipt(some, "delivered"), by_mail)
        got, self._got = self._got, []
        for items in _portions(got):
            self._ways.got(items)

    # --- messages that are early

    def emptying(self, yes: bool) -> None:
        """The mailbox is being emptied: what is missing may be in there, so nothing early is shown before the end."""
        self._emptying = yes
        if not yes:
            self._expire_at(self._clock.seconds())

    def _expire_at(self, until: float) -> None:
        if self._timer is not None and self._timer.active():
            if self._timer.getTime() <= until:
                return
            self._timer.cancel()
        self._timer = self._clock.callLater(max(0.0, until - self._clock.seconds()), self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._emptying or self._stopped:
            return
        expired = self._store.expire(self._clock.seconds())
        expired.addCallbacks(self._expired, lambda failure: self._refuse(failure.getErrorMessage()))
        expired.addErrback(lambda failure: self.log.failure("after showing what was early", failure))

    def _expired(self, result: tuple[list[Arrived], float | None]) -> None:
        late, until = result
        if late:
            self._journal("message", late[0].sender, f"{len(late)} shown although an earlier one has not come")
            self._show(late)
        if until is not None and not self._stopped:
            self._expire_at(until)


def _portions(items: list[T]) -> list[list[T]]:
    return [items[start : start + RECEIPTS_AT_ONCE] for start in range(0, len(items), RECEIPTS_AT_ONCE)]
