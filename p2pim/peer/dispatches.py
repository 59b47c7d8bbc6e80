"""Sending the copies of a conversation that must go now, as `p2pim.core.delivery.Sending` wants it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from p2pim.core.delivery import Dispatch, Outgoing, Sending, Target
from p2pim.errors import P2pimError
from p2pim.storage.outbox import Copy, OutboxStore

Answered = Callable[[P2pimError | None], None]
"""Told that the server has stored an envelope (None), or why it could not take it."""


class MessageRoutes(Protocol):
    """What the outbox needs of `p2pim.peer.routes.Routes`."""

    def copy_ways(self, user: str, device: bytes) -> dict[str, Hashable]: ...
    def is_there(self, user: str) -> bool: ...
    def ways(self, user: str) -> dict[bytes, dict[str, Hashable]]: ...
    def send_copy(
        self, user: str, device: bytes, sealed: bytes, message: bytes, way: str, answered: Answered
    ) -> tuple[str, str]: ...


@dataclass(slots=True)
class Conversation:
    """The messages to one user."""

    user: str
    sending: Sending = field(default_factory=Sending)
    timer: IDelayedCall | None = None
    went: dict[bytes, dict[Target, tuple[str, str]]] = field(default_factory=dict)
    """By which route and to which address each message went last to each device."""
    fresh: dict[tuple[Target, int], bytes] = field(default_factory=dict)
    """Envelopes that were never sent; what goes again is read from the disk."""
    queue: deque[tuple[Dispatch, bytes | None]] = field(default_factory=deque)
    """What goes as soon as those before it are read."""
    reading: bool = False
    coming: int = 0
    """Messages that are being written."""
    turn: DeferredLock = field(default_factory=DeferredLock)
    """Whose message comes next, while it is found out where it goes."""
    order: DeferredLock = field(default_factory=DeferredLock)
    behind: bool = True
    """Some message may have no copy for the recipient yet: those after it have to wait for that."""

    def keep_fresh(self, copies: Sequence[Copy]) -> None:
        """These were sealed just now, and are sent without being read from the disk."""
        self.fresh.update({(copy.target, copy.message.seq): copy.sealed for copy in copies})


class Dispatches:
    """Sends, repeats, and reads from the disk what goes again.

    :param answered: told what the server said about a copy: None when it has stored it.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        store: OutboxStore,
        routes: MessageRoutes,
        journal: Callable[[str, str, str], None],
        answered: Callable[[Conversation, Target, Outgoing, P2pimError | None], None],
    ) -> None:
        self._clock = clock
        self._store = store
        self._routes = routes
        self._journal = journal
        self._answered = answered
        self._stopped = False

    def stop(self) -> None:
        """Send nothing any more."""
        self._stopped = True

    def pump(self, conversation: Conversation) -> None:
        """Send what must go now, and come back when something is due again."""
        if self._stopped:
            return
        for dispatch in conversation.sending.to_send(self._clock.seconds()):
            sealed = conversation.fresh.pop((dispatch.target, dispatch.message.seq), None)
            if sealed is None or conversation.reading:
                conversation.queue.append((dispatch, sealed))
                self._read(conversation)
            else:
                self._send(conversation, dispatch, sealed)
        cancel_timer(conversation)
        due = conversation.sending.next_due()
        if due is not None:
            wait = max(0.0, due - self._clock.seconds())
            conversation.timer = self._clock.callLater(wait, self.pump, conversation)

    def _read(self, conversation: Conversation) -> None:
        """Read the envelopes of what goes again, and send all that waits for them."""
        if conversation.reading:
            return
        conversation.reading = True
        reading = Deferred.fromCoroutine(self._read_all(conversation))
        reading.addErrback(lambda failure: self.log.failure("cannot read what is to be sent again", failure))

    async def _read_all(self, conversation: Conversation) -> None:
        try:
            while conversation.queue and not self._stopped:
                batch = list(conversation.queue)
                wanted = [(dispatch.target, dispatch.message.seq) for dispatch, sealed in batch if sealed is None]
                found = await self._store.sealed(conversation.user, wanted)
                for dispatch, sealed in batch:
                    conversation.queue.popleft()
                    envelope = sealed or found.get((dispatch.target, dispatch.message.seq))
                    if envelope is not None:
                        self._send(conversation, dispatch, envelope)
        finally:
            conversation.queue.clear()
            conversation.reading = False

    def _send(self, conversation: Conversation, dispatch: Dispatch, sealed: bytes) -> None:
        target, message = dispatch.target, dispatch.message
        if self._stopped or conversation.sending.way_of(target, message.id) != dispatch.way:
            return
        answered = lambda error: self._answered(conversation, target, message, error)  # noqa: E731
        went = self._routes.send_copy(*target, sealed, message.id, dispatch.way, answered)
        conversation.went.setdefault(message.id, {})[target] = went
        if target[0] == conversation.user:
            again = "sent again" if dispatch.again else "sent"
            self._journal("message", target[0], f"{again} by {went[0]} to {went[1]}")


def cancel_timer(conversation: Conversation) -> None:
    """Nothing is due any more."""
    if conversation.timer is not None and conversation.timer.active():
        conversation.timer.cancel()
    conversation.timer = None
