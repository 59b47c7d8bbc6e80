"""The outbox: every message is on disk before it is sent, and stays until a device of the recipient has stored it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.core.delivery import DIRECT, Dispatch, Outgoing, Sending
from p2pim.core.message_ids import make_message_id, show_message_id
from p2pim.errors import Blocked, NoSuchUser, Offline, P2pimError
from p2pim.peer.events import Event, ReceiptReceived
from p2pim.storage.home import HomeStore
from p2pim.wire.signals import ChatMessage

FINAL_FAILURES = (NoSuchUser, Blocked)
"""What the server may answer to an envelope that no later try would change."""


class MessageRoutes(Protocol):
    """What the outbox needs of `p2pim.peer.routes.Routes`."""

    def ways(self, user: str) -> dict[bytes, dict[str, Hashable]]: ...
    def send_message(
        self, user: str, device: bytes, message: ChatMessage, way: str, on_failed: Callable[[P2pimError], None]
    ) -> tuple[str, str]: ...


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a message: ``state`` is "delivered", or "waiting" when nobody is there to confirm it."""

    state: str
    route: str
    address: str


@dataclass(slots=True)
class _Conversation:
    """The messages to one user."""

    user: str
    sending: Sending = field(default_factory=Sending)
    timer: IDelayedCall | None = None
    went: dict[bytes, dict[bytes, tuple[str, str]]] = field(default_factory=dict)
    """By which route and to which address each message went last to each device."""


class Outbox:
    """The sending side of delivery.

    :param wall: the time in seconds since 1970.
    :param random_bytes: for message ids.
    :param gone: told when the server says that a device of a user is not there.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        wall: Callable[[], float],
        store: HomeStore,
        routes: MessageRoutes,
        emit: Callable[[Event], None],
        journal: Callable[[str, str, str], None],
        random_bytes: Callable[[int], bytes],
        gone: Callable[[str, bytes], None],
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._store = store
        self._routes = routes
        self._emit = emit
        self._journal = journal
        self._random_bytes = random_bytes
        self._gone = gone
        self._conversations: dict[str, _Conversation] = {}
        self._waiters: dict[bytes, list[Deferred[Settled]]] = {}
        self._stopped = False

    async def load(self) -> None:
        """Take up what earlier runs left."""
        for user, message in await self._store.waiting():
            self._conversation(user).sending.add(message)

    def stop(self) -> None:
        """Send nothing any more; what waits is on disk."""
        self._stopped = True
        for conversation in self._conversations.values():
            self._cancel_timer(conversation)
        waiters, self._waiters = self._waiters, {}
        for several in waiters.values():
            for waiter in several:
                waiter.cancel()

    # --- sending

    async def put(self, user: str, text: str, route: str) -> bytes:
        """Put a message into the outbox; once it is on disk, send it wherever it can go. Gives its id.

        :raises TooMany: too many wait for this user already.
        """
        now = round(self._wall() * 1000)
        message = await self._store.enqueue(user, make_message_id(now, self._random_bytes(10)), text, now, route)
        self._conversation(user).sending.add(message)
        self.refresh(user)
        return message.id

    def wait(self, user: str, message: bytes) -> Deferred[Settled]:
        """Fires when a device of ``user`` has stored the message, or nobody is there who could.

        :raises Blocked: (and `NoSuchUser`) it will never be taken.
        """
        waiter: Deferred[Settled] = Deferred(lambda d: self._drop_waiter(message, d))
        self._waiters.setdefault(message, []).append(waiter)
        return waiter

    def went_by(self, user: str, message: bytes) -> tuple[str, str] | None:
        """The route and address by which a message went last."""
        return next(iter(self._conversation(user).went.get(message, {}).values()), None)

    def reachable(self, user: str) -> bool:
        """Whether some device of ``user`` can be sent to now."""
        conversation = self._conversations.get(user)
        return conversation is not None and conversation.sending.lanes > 0

    def users(self) -> list[str]:
        """For whom something waits."""
        return [user for user, conversation in self._conversations.items() if len(conversation.sending)]

    def refresh(self, user: str) -> None:
        """The ways to ``user`` may have changed: send what must go (again)."""
        conversation = self._conversations.get(user)
        if conversation is None or self._stopped:
            return
        ways = self._routes.ways(user)
        for device in set(conversation.sending.devices()) - set(ways):
            conversation.sending.set_ways(device, {})
        for device, by in ways.items():
            conversation.sending.set_ways(device, by)
        self._pump(conversation)

    def refresh_all(self) -> None:
        """The same for everyone for whom something waits."""
        for user in list(self._conversations):
            self.refresh(user)

    def nobody_there(self, user: str) -> None:
        """``user`` is away: whoever waits for receipts is told that the messages wait too."""
        conversation = self._conversations.get(user)
        for message in conversation.sending if conversation is not None else ():
            self._resolve(message.id, Settled("waiting", "relay", ""))

    def withdraw(self, user: str, message: bytes, error: P2pimError) -> None:
        """Give a message up, since ``error`` will not go away."""
        conversation = self._conversations.get(user)
        if conversation is None or conversation.sending.remove(message) is None:
            return
        conversation.went.pop(message, None)
        self._journal("message", user, f"given up: {error.message}")
        saved = self._store.settle(user, [message], "failed", "", "", round(self._wall() * 1000))
        saved.addErrback(lambda failure: self.log.failure("cannot note a failed message", failure))
        for waiter in self._waiters.pop(message, []):
            waiter.errback(error)

    def all_to(self, user: str) -> list[bytes]:
        """The messages that wait for ``user``."""
        conversation = self._conversations.get(user)
        return [message.id for message in conversation.sending] if conversation is not None else []

    def direct_only(self, user: str) -> list[bytes]:
        """The messages to ``user`` that wait for a direct channel."""
        conversation = self._conversations.get(user)
        return [m.id for m in conversation.sending if m.route == DIRECT] if conversation is not None else []

    # --- receipts

    def receipt(self, user: str, device: bytes, ids: Sequence[bytes], state: str, route: str) -> None:
        """``device`` of ``user`` says that it stored, or a person read, these messages."""
        if state == "delivered":
            self._delivered(user, device, ids)
        elif state == "read":
            read = self._store.confirm_read(user, ids, round(self._wall() * 1000))
            read.addCallback(lambda changed: self._read(user, [id for id, _ in changed], route))
            read.addErrback(lambda failure: self.log.failure("cannot note a read receipt", failure))

    def _delivered(self, user: str, device: bytes, ids: Sequence[bytes]) -> None:
        conversation = self._conversations.get(user)
        if conversation is None:
            return
        by_route: dict[tuple[str, str], list[bytes]] = {}
        for id in ids:
            if conversation.sending.remove(id) is not None:
                went = conversation.went.pop(id, {}).get(device, ("relay", ""))
                by_route.setdefault(went, []).append(id)
        now = round(self._wall() * 1000)
        for (route, address), confirmed in by_route.items():
            saved = self._store.settle(user, confirmed, "delivered", route, address, now)
            saved.addCallbacks(
                self._settled,
                self._not_settled,
                callbackArgs=(user, confirmed, route, address),
                errbackArgs=(user, confirmed),
            )
            saved.addErrback(lambda failure: self.log.failure("after noting a receipt", failure))
        self._pump(conversation)

    def _settled(self, result: None, user: str, ids: list[bytes], route: str, address: str) -> None:
        for id in ids:
            self._journal("message", user, f"delivered by {route}" + (f" to {address}" if address else ""))
            self._emit(
                ReceiptReceived(at=self._wall(), id=show_message_id(id), user=user, state="delivered", route=route)
            )
            self._resolve(id, Settled("delivered", route, address))

    def _not_settled(self, failure: Failure, user: str, ids: list[bytes]) -> None:
        """They have arrived, but would go again after a restart; the other side drops them then."""
        self._journal("error", user, f"a receipt could not be noted: {failure.getErrorMessage()}")
        for id in ids:
            for waiter in self._waiters.pop(id, []):
                waiter.errback(failure)

    def _read(self, user: str, ids: list[bytes], route: str) -> None:
        for id in ids:
            self._emit(ReceiptReceived(at=self._wall(), id=show_message_id(id), user=user, state="read", route=route))

    # --- the machine's wishes

    def _pump(self, conversation: _Conversation) -> None:
        if self._stopped:
            return
        for dispatch in conversation.sending.to_send(self._clock.seconds()):
            self._send(conversation, dispatch)
        self._cancel_timer(conversation)
        due = conversation.sending.next_due()
        if due is not None:
            wait = max(0.0, due - self._clock.seconds())
            conversation.timer = self._clock.callLater(wait, self._pump, conversation)

    def _send(self, conversation: _Conversation, dispatch: Dispatch) -> None:
        user, device, message = conversation.user, dispatch.device, dispatch.message
        chat = ChatMessage(message.id, message.seq, message.text, message.sent_at, dispatch.oldest)
        failed = lambda error: self._failed(conversation, device, message, error)  # noqa: E731
        went = self._routes.send_message(user, device, chat, dispatch.way, failed)
        conversation.went.setdefault(message.id, {})[device] = went
        self._journal("message", user, f"{'sent again' if dispatch.again else 'sent'} by {went[0]} to {went[1]}")

    def _failed(self, conversation: _Conversation, device: bytes, message: Outgoing, error: P2pimError) -> None:
        """The server could not forward an envelope."""
        self._journal("message", conversation.user, f"not forwarded: {error.message}")
        if isinstance(error, FINAL_FAILURES):
            self.withdraw(conversation.user, message.id, error)
        elif isinstance(error, Offline):
            self._gone(conversation.user, device)
        else:
            conversation.sending.busy(device, message.id, error.retry_after, self._clock.seconds())
            self._pump(conversation)

    def _conversation(self, user: str) -> _Conversation:
        if user not in self._conversations:
            self._conversations[user] = _Conversation(user)
        return self._conversations[user]

    @staticmethod
    def _cancel_timer(conversation: _Conversation) -> None:
        if conversation.timer is not None and conversation.timer.active():
            conversation.timer.cancel()
        conversation.timer = None

    # --- those who wait

    def _resolve(self, message: bytes, settled: Settled) -> None:
        for waiter in self._waiters.pop(message, []):
            waiter.callback(settled)

    def _drop_waiter(self, message: bytes, waiter: Deferred[Settled]) -> None:
        waiters = self._waiters.get(message, [])
        if waiter in waiters:
            waiters.remove(waiter)
        if not waiters:
            self._waiters.pop(message, None)
        waiter.errback(CancelledError())
