"""What a signed-in device may ask for, envelopes excepted: contacts, look-ups, presence, splices."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.names import canonical_name
from p2pim.core.presence import STATUSES
from p2pim.errors import (
    BadMessage,
    BadName,
    Blocked,
    DatabaseDown,
    NoSuchUser,
    P2pimError,
    PeerRefused,
    RateLimited,
    UnexpectedMessage,
)
from p2pim.server.names import KnownNames
from p2pim.server.sessions import Session
from p2pim.server.splices import SpliceDesk
from p2pim.server.store import Store
from p2pim.server.users import Users
from p2pim.storage import accounts
from p2pim.wire.messages import (
    AddContact,
    BlockUser,
    Done,
    Failed,
    Found,
    Got,
    LookUp,
    Message,
    OpenSplice,
    Ping,
    Pong,
    RemoveContact,
    SendToGroup,
    SetStatus,
    SignOut,
    SpliceTickets,
    WhoIsOnline,
)

_log = Logger()
Answer = Callable[[Session, Any], Coroutine[Any, Any, Message]]


def _canonical(name: str) -> str:
    """A name in a request: one that cannot exist belongs to no user."""
    try:
        return canonical_name(name)
    except BadName:
        raise NoSuchUser(f"There is no user {name!r} on this server.") from None


class Requests:
    """Carries out requests and answers them.

    :param got: takes the confirmations of forwarded mail.
    :param to_group: takes messages to groups.
    :param answers: who answers what is not answered here, by the type of the request.
    """

    def __init__(
        self,
        clock: IReactorTime,
        store: Store,
        users: Users,
        names: KnownNames,
        splices: SpliceDesk,
        got: Callable[[Session, Got], None],
        to_group: Callable[[Session, SendToGroup], None],
        answers: Mapping[type[Message], Answer],
    ) -> None:
        self._clock = clock
        self._store = store
        self._users = users
        self._announcer = users.announcer
        self._names = names
        self._splices = splices
        self._got = got
        self._to_group = to_group
        self._answers: dict[type[Message], Answer] = {
            AddContact: self._add_contact,
            RemoveContact: self._remove_contact,
            BlockUser: self._block,
            LookUp: self._look_up,
            WhoIsOnline: self._who_is_online,
            OpenSplice: self._open_splice,
            **answers,
        }

    def handle(self, session: Session, message: Message) -> None:
        """Carry out what ``session`` asks.

        :raises UnexpectedMessage: it is nothing that may be asked now.
        """
        if isinstance(message, Ping):
            session.send(Pong(message.nonce))
        elif isinstance(message, Got):
            self._got(session, message)
        elif isinstance(message, SendToGroup):
            self._to_group(session, message)
        elif isinstance(message, SetStatus):
            self._set_status(session, message)
        elif isinstance(message, SignOut):
            self._sign_out(session, message)
        elif type(message) in self._answers:
            self._ask(session, message)
        elif not isinstance(message, Pong):
            raise UnexpectedMessage(f"{type(message).__name__} has no place after the sign-in.")

    # --- without an answer

    def _set_status(self, session: Session, message: SetStatus) -> None:
        if message.status not in STATUSES:
            raise BadMessage("A status is one of " + ", ".join(STATUSES) + ".")
        if message.status != session.status:
            session.status = message.status
            self._announcer.changed(session.user.name)

    def _sign_out(self, session: Session, message: SignOut) -> None:
        self._users.leave(session)
        if message.forget:
            work = partial(accounts.forget_device, name=session.user.name, device=session.device)
            forgotten = Deferred.fromCoroutine(self._store.write(work))
            forgotten.addErrback(lambda failure: _log.failure("a token could not be withdrawn", failure))
            forgotten.addCallback(lambda _: session.client.sign_out("logout", "You signed out."))
        else:
            session.client.sign_out("logout", "You signed out.")

    # --- with an answer

    def _ask(self, session: Session, message: Any) -> None:
        wait = session.bucket.take(self._clock.seconds())
        if wait:
            self._fail(session, message.id, RateLimited(retry_after=wait))
            return
        answer = Deferred.fromCoroutine(self._answers[type(message)](session, message))
        answer.addCallbacks(session.send, self._failed, errbackArgs=(session, message.id))
        answer.addErrback(lambda failure: _log.failure("answering a request failed", failure))

    def _failed(self, failure: Any, session: Session, request: int) -> None:
        error = failure.value
        if not isinstance(error, P2pimError):
            _log.failure("a request failed", failure)
            error = P2pimError("The server met an unexpected error; its operator finds it in the log.")
        elif isinstance(error, DatabaseDown):
            _log.error("a request failed: {reason}", reason=error.message)
        self._fail(session, request, error)

    @staticmethod
    def _fail(session: Session, request: int, error: P2pimError) -> None:
        session.send(Failed(request, error.code, error.message, error.retry_after))

    async def _add_contact(self, session: Session, message: AddContact) -> Message:
        me, other = session.user.name, _canonical(message.user)
        if me == other:
            raise PeerRefused("You need not be your own contact.")
        await self._store.write(partial(accounts.add_contact, owner=me, contact=other))
        graph = self._announcer.graph
        graph.add_contact(me, other)
        if other in graph.audience(me):  # who is listed may see addresses
            self._announcer.tell_one(me, other)
        return Found(message.id, [self._announcer.person(other, me)])

    async def _remove_contact(self, session: Session, message: RemoveContact) -> Message:
        me, other = session.user.name, _canonical(message.user)
        await self._store.write(partial(accounts.remove_contact, owner=me, contact=other))
        self._announcer.graph.remove_contact(me, other)
        return Done(message.id)

    async def _block(self, session: Session, message: BlockUser) -> Message:
        me, other = session.user.name, _canonical(message.user)
        if me == other:
            raise PeerRefused("You cannot block yourself.")
        await self._store.write(partial(accounts.set_blocked, owner=me, other=other, blocked=message.blocked))
        entry = session.user.entry
        if message.blocked and other not in entry.blocked:
            watching = other in self._announcer.graph.audience(me)
            entry.blocked.add(other)
            self._splices.sever(me, other)
        else:
            entry.blocked.discard(other)
            watching = other in self._announcer.graph.audience(me)
        if watching:
            self._announcer.tell_one(me, other)
        return Done(message.id)

    async def _look_up(self, session: Session, message: LookUp) -> Message:
        names = [_canonical(name) for name in message.users]
        for name in names:
            if await self._blocks(name, session.user.name):
                raise Blocked(f"{name} has blocked you.")
        return Found(message.id, [self._announcer.person(name, session.user.name) for name in names])

    async def _blocks(self, name: str, asker: str) -> bool:
        """Whether ``name`` has blocked ``asker``.

        :raises NoSuchUser: there is no ``name``.
        """
        user = self._users.directory.users.get(name)
        if user is not None:
            return asker in user.entry.blocked
        if not await self._names.exists(name):
            raise NoSuchUser(f"There is no user {name!r} on this server.")
        return await self._store.read(partial(accounts.blocks, owner=name, other=asker))

    async def _who_is_online(self, session: Session, message: WhoIsOnline) -> Message:
        return Found(message.id, self._announcer.online(session.user.name))

    async def _open_splice(self, session: Session, message: OpenSplice) -> Message:
        name = _canonical(message.user)
        if name not in self._users.directory.users and not await self._names.exists(name):
            raise NoSuchUser
        mine, theirs, seconds = self._splices.open(session, name, message.device)
        return SpliceTickets(message.id, mine, theirs, seconds)
