"""The outbox: every message and its sealed copies are on disk before they are sent, and stay until they are confirmed.

A message goes as one copy for each device of its recipient, there or not, and one for each other device of mine (see
`p2pim.core.delivery`). It leaves the outbox when each device has said that it has its copy; what the server has put
into a mailbox is not sent again meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.core.delivery import DELIVERED, DIRECT, RELAY, SENT, STORED, Outgoing, Target
from p2pim.core.limits import OUTBOX, RESEND_MAX
from p2pim.core.message_ids import make_message_id, show_message_id
from p2pim.errors import Blocked, MailboxFull, NoSuchDevice, NoSuchUser, NotSignedIn, Offline, P2pimError, TooMany
from p2pim.peer.copies import Copies
from p2pim.peer.dispatches import Conversation, Dispatches, MessageRoutes, cancel_timer
from p2pim.peer.events import Event, MessageUndelivered, ReceiptReceived
from p2pim.peer.targets import Recipients, Targets
from p2pim.peer.waiters import Settled, Waiters
from p2pim.storage.outbox import Confirmed, Copy, OutboxStore

__all__ = ["FINAL_FAILURES", "Outbox", "Settled"]
FINAL_FAILURES = (NoSuchUser, Blocked)
"""What the server may answer to an envelope that no later try would change."""


class Outbox:
    """The sending side of delivery.

    :param wall: the time in seconds since 1970.
    :param random_bytes: for message ids.
    :param gone: told when the server says that a device of a user is not there.
    :param doubted: told when the server stores for a user who seemed to be there; calls `nobody_there` if not.
    :param me: my user name, and this device.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        wall: Callable[[], float],
        store: OutboxStore,
        routes: MessageRoutes,
        recipients: Recipients,
        emit: Callable[[Event], None],
        journal: Callable[[str, str, str], None],
        random_bytes: Callable[[int], bytes],
        gone: Callable[[str, bytes], None],
        doubted: Callable[[str], None],
        me: Target,
    ) -> None:
        self._clock = clock
        self._wall, self._store = wall, store
        self._routes = routes
        self._targets = Targets(recipients, routes, journal, me)
        self._copies = Copies(store, recipients, routes, journal, me, self.refresh)
        self._dispatches = Dispatches(clock, store, routes, journal, self._answered)
        self._emit = emit
        self._journal = journal
        self._random_bytes = random_bytes
        self._gone = gone
        self._doubted = doubted
        self._me = me
        self._conversations: dict[str, Conversation] = {}
        self._where: dict[bytes, Conversation] = {}
        self._waiters = Waiters()
        self._stopped = False

    async def load(self) -> None:
        """Take up what earlier runs left."""
        for left in await self._store.unsettled():
            conversation = self._conversation(left.conversation)
            theirs = [target for target in left.copies if target[0] == left.conversation]
            mine = [target for target in left.copies if target[0] != left.conversation]
            state = {"waiting": SENT, STORED: STORED}.get(left.state, DELIVERED)
            conversation.sending.add(left.message, theirs, mine, state=state)
            self._where[left.message.id] = conversation
            for target, copy in left.copies.items():
                if copy == STORED:
                    conversation.sending.in_mailbox(target, left.message.id)

    def stop(self) -> None:
        """Send nothing any more; what waits is on disk."""
        self._stopped = True
        self._copies.stop()
        self._dispatches.stop()
        for conversation in self._conversations.values():
            cancel_timer(conversation)
        self._waiters.stop()

    # --- sending

    def turn(self, user: str) -> DeferredLock:
        """Held by whoever still has to find out something before `put`, so that nobody overtakes them."""
        return self._conversation(user).turn

    async def put(self, user: str, text: str, route: str) -> bytes:
        """Put a message into the outbox; once it is on disk, send it wherever it can go. Gives its id.

        :raises TooMany: too many wait for this user already.
        :raises NoKeys: (or `NoSuchUser`, `Blocked`, `IdentityChanged`) nothing can be sealed for this user.
        """
        conversation = self._conversation(user)
        waiting = conversation.sending.waiting + conversation.coming
        if waiting >= OUTBOX:
            raise TooMany(f"{waiting} messages wait for {user} already; more are taken when some have gone.")
        conversation.coming += 1
        try:
            return await self._write(conversation, text, route)
        finally:
            conversation.coming -= 1

    async def _write(self, conversation: Conversation, text: str, route: str) -> bytes:
        """On disk and out, in the order in which it was asked for, whatever the keys of the recipient take."""
        await conversation.order.acquire()
        try:
            targets = await self._targets.of_message(conversation.user, route)
            theirs = any(user == conversation.user for user, _ in targets)
            if theirs and conversation.behind:
                await self._catch_up(conversation)
            now = round(self._wall() * 1000)
            message = Outgoing(make_message_id(now, self._random_bytes(10)), 0, text, now, route)
            written = self._store.enqueue(message, conversation.user, targets)
            out = written.addCallback(lambda copies: self._written(conversation, copies))
            if not theirs:
                return await out
        finally:
            conversation.order.release()
        return await out

    async def _catch_up(self, conversation: Conversation) -> None:
        """What was written while nobody could be found comes first: else it would be overtaken."""
        try:
            await self.complete(conversation.user)
        except P2pimError as error:
            self._journal("message", conversation.user, f"what was written before waits: {error.message}")
        conversation.behind = bool(conversation.sending.homeless())

    def _written(self, conversation: Conversation, copies: list[Copy]) -> bytes:
        message, copies = copies[0].message, [copy for copy in copies if copy.sealed]
        user, targets = conversation.user, [copy.target for copy in copies]
        theirs = [target for target in targets if target[0] == user]
        conversation.behind = conversation.behind or not theirs
        conversation.sending.add(message, theirs, [target for target in targets if target[0] != user])
        self._where[message.id] = conversation
        conversation.keep_fresh(copies)
        self.refresh(user)
        return message.id

    def wait(self, user: str, message: bytes) -> Deferred[Settled]:
        """Fires when a device of ``user`` has the message, or when they are away and it is in their mailbox.

        :raises Blocked: (and `NoSuchUser`) it will never be taken.
        :raises MailboxFull: not now; it is kept here.
        """
        waiter = self._waiters.add(message)
        if self._state(message) == STORED and not self._routes.is_there(user):
            self._waiters.resolve(message, self._stored_by(user, message))
        return waiter

    def so_far(self, user: str, message: bytes) -> Settled:
        """What has become of a message until now."""
        if self._state(message) == STORED:
            return self._stored_by(user, message)
        return Settled("waiting", *(self.went_by(user, message) or (RELAY, "")))

    def went_by(self, user: str, message: bytes) -> tuple[str, str] | None:
        """The route and address by which a message went last to a device of ``user``."""
        ways = self._conversation(user).went.get(message, {}).items()
        return next((way for target, way in ways if target[0] == user), None)

    def reachable(self, user: str) -> bool:
        """Whether there is a way to some device of ``user`` or to its mailbox now."""
        return any(conversation.sending.reachable() for conversation in self._to(user))

    def users(self) -> list[str]:
        """To whom something is on its way."""
        return [user for user, each in self._conversations.items() if len(each.sending)]

    def homeless(self) -> list[str]:
        """For whom something waits for which there is no copy yet."""
        return [user for user, each in self._conversations.items() if each.sending.homeless()]

    def refresh(self, user: str) -> None:
        """The ways to ``user`` may have changed: send what must go (again)."""
        if self._stopped:
            return
        for conversation in list(self._conversations.values()) if user == self._me[0] else self._to(user):
            for target in conversation.sending.targets():
                conversation.sending.set_ways(target, self._routes.copy_ways(*target))
            self._dispatches.pump(conversation)

    def refresh_all(self) -> None:
        """The same for everyone for whom something waits."""
        for user in list(self._conversations):
            self.refresh(user)

    def nobody_there(self, user: str) -> None:
        """``user`` is away: whoever waits for receipts is told what is known."""
        for message in [each for conversation in self._to(user) for each in conversation.sending.undelivered()]:
            if self._state(message.id) == STORED or not self.reachable(user):
                self._waiters.resolve(message.id, self.so_far(user, message.id))

    def withdraw(self, user: str, message: bytes, error: P2pimError) -> None:
        """Give a message up, since ``error`` will not go away."""
        conversation = self._conversations.get(user)
        if conversation is None or conversation.sending.state_of(message) in (None, DELIVERED):
            return
        conversation.sending.remove(message)
        self._forget(conversation, message)
        self._journal("message", user, f"given up: {error.message}")
        saved = self._store.fail(user, [message])
        saved.addErrback(lambda failure: self.log.failure("cannot note a failed message", failure))
        self._undelivered(user, message, error, waits=False)

    def _undelivered(self, user: str, message: bytes, error: P2pimError, *, waits: bool) -> None:
        self._waiters.fail(message, error)
        event = MessageUndelivered(
            at=self._wall(), id=show_message_id(message), user=user, reason=error.code, message=error.message,
            waits=waits,
        )  # fmt: skip
        self._emit(event)

    def direct_only(self, user: str) -> list[bytes]:
        """The messages to ``user`` that wait for a direct channel."""
        return [each.id for to in self._to(user) for each in to.sending.undelivered() if each.route == DIRECT]

    # --- devices that come and go, and what must be sealed again

    async def complete(self, user: str) -> None:
        """Copies for those devices of ``user`` that have none of what nobody has confirmed yet.

        :raises P2pimError: their devices cannot be found out now.
        """
        conversation = self._conversations.get(user)
        if conversation is None or not conversation.sending.undelivered():
            return
        try:
            await self._copies.complete(conversation)
        except FINAL_FAILURES as error:
            for message in conversation.sending.homeless():
                self.withdraw(user, message.id, error)

    async def seal_again(self, user: str, device: bytes, messages: Sequence[bytes]) -> None:
        """``device`` could not open these."""
        for id in messages:
            conversation = self._where.get(id)
            if conversation is not None and conversation.sending.has_copy((user, device), id):
                self._journal("message", user, "sealed again, since it could not be opened")
                await self._copies.seal(conversation, [((user, device), id)])

    # --- what others say of it

    def receipt(self, user: str, device: bytes, ids: Sequence[bytes], state: str, route: str) -> None:
        """``device`` of ``user`` says that it stored, or a person read, these messages."""
        if state == "delivered":
            by_conversation: dict[str, list[bytes]] = {}
            for id in ids:
                conversation = self._where.get(id)
                if conversation is not None and conversation.sending.has_copy((user, device), id):
                    by_conversation.setdefault(conversation.user, []).append(id)
            for name, several in by_conversation.items():
                self._delivered(self._conversations[name], (user, device), several)
        elif state == "read":
            read = self._store.confirm_read(user, ids, round(self._wall() * 1000))
            read.addCallback(lambda changed: self.read(user, [id for id, _ in changed], route))
            read.addErrback(lambda failure: self.log.failure("cannot note a read receipt", failure))

    def confirmed(self, user: str, device: bytes, receipts: Sequence[tuple[str, Confirmed]]) -> None:
        """The same for receipts that were noted already, as they came."""
        for name, confirmed in receipts:
            conversation = self._conversations.get(name)
            if conversation is not None:
                conversation.sending.settle((user, device), confirmed.id, DELIVERED, self._clock.seconds())
                self._tell(conversation, [confirmed])
                self._dispatches.pump(conversation)

    def _delivered(self, conversation: Conversation, target: Target, ids: Sequence[bytes]) -> None:
        now, receipts = self._clock.seconds(), []
        for id in ids:
            went = conversation.went.get(id, {}).get(target, (RELAY, ""))
            receipts.append((id, *went))
            conversation.sending.settle(target, id, DELIVERED, now)
        saved = self._store.confirm(conversation.user, target, receipts, round(self._wall() * 1000))
        saved.addCallbacks(
            lambda confirmed: self._tell(conversation, confirmed),
            self._not_settled,
            errbackArgs=(conversation.user, ids),
        )
        saved.addErrback(lambda failure: self.log.failure("after noting a receipt", failure))
        self._dispatches.pump(conversation)

    def _tell(self, conversation: Conversation, confirmed: Sequence[Confirmed]) -> None:
        for each in confirmed:
            if each.news:
                to = f" to {each.address}" if each.address else ""
                self._journal("message", conversation.user, f"delivered by {each.route}{to}")
                self._say(conversation.user, each.id, DELIVERED, each.route)
                self._waiters.resolve(each.id, Settled(DELIVERED, each.route, each.address))
            if each.id not in conversation.sending:
                self._forget(conversation, each.id)

    def _not_settled(self, failure: Failure, user: str, ids: Sequence[bytes]) -> None:
        """They have arrived, but would go again after a restart; the other side drops them then."""
        self._journal("error", user, f"a receipt could not be noted: {failure.getErrorMessage()}")
        for id in ids:
            self._waiters.fail(id, failure)

    def read(self, user: str, ids: Sequence[bytes], route: str) -> None:
        """A person has read these, which is noted."""
        for id in ids:
            self._say(user, id, "read", route)

    def _answered(
        self, conversation: Conversation, target: Target, message: Outgoing, error: P2pimError | None
    ) -> None:
        """The server has stored a copy, or could not take it."""
        if error is None:
            self._stored(conversation, target, message)
            return
        self._journal("message", target[0], f"not taken by the server: {error.message}")
        now, wait = self._clock.seconds(), error.retry_after
        if isinstance(error, FINAL_FAILURES) and target[0] == conversation.user:
            self.withdraw(conversation.user, message.id, error)
            return
        if isinstance(error, NoSuchDevice):
            self._copies.drop(conversation, target)
            self._complete_later(conversation.user)
        elif isinstance(error, Offline):
            self._gone(*target)
        elif isinstance(error, MailboxFull):
            wait = max(wait, RESEND_MAX)
            if target[0] == conversation.user:
                self._undelivered(conversation.user, message.id, error, waits=True)
        if not isinstance(error, NotSignedIn):
            conversation.sending.busy(target, message.id, wait, now)
        self._dispatches.pump(conversation)

    def _complete_later(self, user: str) -> None:
        done = Deferred.fromCoroutine(self.complete(user))
        done.addErrback(lambda failure: self._journal("message", user, failure.getErrorMessage()))

    def _stored(self, conversation: Conversation, target: Target, message: Outgoing) -> None:
        if not conversation.sending.has_copy(target, message.id):
            return
        news = conversation.sending.settle(target, message.id, STORED, self._clock.seconds())
        _, address = conversation.went.get(message.id, {}).get(target, (RELAY, ""))
        ids = [message.id] if news == STORED else []
        saved = self._store.stored(conversation.user, [(target, message.seq)], ids, address)
        saved.addCallback(lambda _: self._told_stored(conversation, ids))
        saved.addErrback(lambda failure: self.log.failure("cannot note what is stored", failure))
        self._dispatches.pump(conversation)

    def _told_stored(self, conversation: Conversation, ids: list[bytes]) -> None:
        for id in ids:
            if self._state(id) == STORED:
                self._journal("message", conversation.user, "in their mailbox")
                self._say(conversation.user, id, STORED, "mailbox")
                if self._routes.is_there(conversation.user):
                    self._doubted(conversation.user)
                else:
                    self._waiters.resolve(id, self._stored_by(conversation.user, id))

    def _say(self, user: str, id: bytes, state: str, route: str) -> None:
        self._emit(ReceiptReceived(at=self._wall(), id=show_message_id(id), user=user, state=state, route=route))

    # --- keeping house

    def _conversation(self, user: str) -> Conversation:
        return self._conversations.setdefault(user, Conversation(user))

    def _to(self, user: str) -> list[Conversation]:
        return [self._conversations[user]] if user in self._conversations else []

    def _state(self, message: bytes) -> str | None:
        conversation = self._where.get(message)
        return None if conversation is None else conversation.sending.state_of(message)

    def _stored_by(self, user: str, message: bytes) -> Settled:
        _, address = self.went_by(user, message) or (RELAY, "")
        return Settled(STORED, "mailbox", address)

    def _forget(self, conversation: Conversation, message: bytes) -> None:
        conversation.went.pop(message, None)
        self._where.pop(message, None)
