"""What arrives: put in order, stored once, shown once, confirmed once stored."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.core.delivery import Arrivals
from p2pim.core.limits import ARRIVALS, UNSTORED
from p2pim.core.message_ids import show_message_id
from p2pim.peer.events import Event, MessageReceived, rfc3339
from p2pim.storage.home import Arrived, HomeStore
from p2pim.wire.signals import ChatMessage, Receipt

RECEIPTS_AT_ONCE = 256
"""As many ids as a `Receipt` holds."""
CLOCK_AHEAD = 86_400_000
"""Milliseconds by which a sender's clock is believed to be ahead of mine."""

Sender = tuple[str, bytes]
"""A user and one of their devices."""


class Inbox:
    """The receiving side of delivery.

    :param send_receipt: takes user, device and receipt; may lose it.
    :param wall: the time in seconds since 1970.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        wall: Callable[[], float],
        store: HomeStore,
        send_receipt: Callable[[str, bytes, Receipt], None],
        emit: Callable[[Event], None],
        journal: Callable[[str, str, str], None],
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._store = store
        self._send_receipt = send_receipt
        self._emit = emit
        self._journal = journal
        self._arrivals: OrderedDict[Sender, Arrivals[Arrived]] = OrderedDict()
        self._holding: dict[Sender, Arrivals[Arrived]] = {}
        self._timer: IDelayedCall | None = None
        self._receipts: dict[Sender, list[bytes]] = {}
        self._receipt_turn: IDelayedCall | None = None
        self._unstored = 0

    async def load(self) -> None:
        """Remember where each sender's numbers stood."""
        for sender, expected in (await self._store.expected()).items():
            self._arrivals_of(sender).expected = expected

    def message(self, user: str, device: bytes, message: ChatMessage, route: str, address: str) -> None:
        """A message came. One that cannot be taken now is not confirmed, so it comes again."""
        if self._unstored >= UNSTORED:
            return
        now = round(self._wall() * 1000)
        sent_at = max(0, min(message.sent_at, now + CLOCK_AHEAD))
        arrived = Arrived(message.id, user, device, message.seq, message.text, sent_at, now, route, address)
        arrivals = self._arrivals_of((user, device))
        self._keep(arrivals, arrivals.arrived(message.seq, message.oldest, arrived, self._clock.seconds()))
        self._watch((user, device), arrivals)

    def stop(self) -> None:
        """Hold nothing any more: what was not confirmed comes again."""
        for timer in (self._timer, self._receipt_turn):
            if timer is not None and timer.active():
                timer.cancel()
        self._timer = self._receipt_turn = None
        self._arrivals.clear()
        self._holding.clear()

    def _arrivals_of(self, sender: Sender) -> Arrivals[Arrived]:
        arrivals = self._arrivals.pop(sender, None) or Arrivals[Arrived]()
        self._arrivals[sender] = arrivals
        if len(self._arrivals) > ARRIVALS:
            self._arrivals.popitem(last=False)
        return arrivals

    def _keep(self, arrivals: Arrivals[Arrived], messages: list[Arrived]) -> None:
        for message in messages:
            self._unstored += 1
            stored = self._store.receive(message, arrivals.expected)
            stored.addCallbacks(self._stored, self._not_stored, callbackArgs=(message,), errbackArgs=(message,))
            stored.addErrback(lambda failure: self.log.failure("after storing a message", failure))

    def _stored(self, new: bool, message: Arrived) -> None:
        self._unstored -= 1
        self._confirm(message)
        if not new:
            return
        origin = f" from {message.address}" if message.address else ""
        self._journal("message", message.user, f"received by {message.route}{origin}")
        self._emit(
            MessageReceived(
                at=self._wall(),
                id=show_message_id(message.id),
                user=message.user,
                text=message.text,
                route=message.route,
                address=message.address,
                sent_at=rfc3339(message.sent_at / 1000),
            )
        )

    def _not_stored(self, failure: Failure, message: Arrived) -> None:
        self._unstored -= 1
        self._journal("message", message.user, f"could not be stored and will come again: {failure.getErrorMessage()}")

    # --- receipts: those of one turn in one signal

    def _confirm(self, message: Arrived) -> None:
        self._receipts.setdefault((message.user, message.device), []).append(message.id)
        if self._receipt_turn is None:
            self._receipt_turn = self._clock.callLater(0, self._send_receipts)

    def _send_receipts(self) -> None:
        self._receipt_turn = None
        receipts, self._receipts = self._receipts, {}
        for (user, device), ids in receipts.items():
            for start in range(0, len(ids), RECEIPTS_AT_ONCE):
                self._send_receipt(user, device, Receipt(ids[start : start + RECEIPTS_AT_ONCE], "delivered"))

    # --- messages that are early

    def _watch(self, sender: Sender, arrivals: Arrivals[Arrived]) -> None:
        """Have a timer for what is held from ``sender``."""
        if arrivals.due() is not None:
            self._holding[sender] = arrivals
        elif self._holding.pop(sender, None) is None:
            return
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        due = min((at for held in self._holding.values() if (at := held.due()) is not None), default=None)
        if due is not None:
            self._timer = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._expire)

    def _expire(self) -> None:
        now = self._clock.seconds()
        for sender, arrivals in list(self._holding.items()):
            late = arrivals.expire(now)
            if late:
                self._journal("message", sender[0], f"{len(late)} shown although an earlier one has not come")
                self._keep(arrivals, late)
            self._watch(sender, arrivals)
