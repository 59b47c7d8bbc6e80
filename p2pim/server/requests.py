"""What a signed-in device may ask for, envelopes excepted: look-ups, presence, splices; contacts are next door."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.presence import STATUSES, UNKNOWN
from p2pim.errors import (
    BadMessage,
    Blocked,
    DatabaseDown,
    NoSuchUser,
    P2pimError,
    RateLimited,
    UnexpectedMessage,
)
from p2pim.server.contacts import ContactDesk
from p2pim.server.names import KnownNames, canonical_user
from p2pim.server.sessions import Session
from p2pim.server.splices import SpliceDesk
from p2pim.server.store import Store
from p2pim.server.users import Users
from p2pim.storage import accounts, contacts
from p2pim.wire.messages import (
    AddContact,
    BlockUser,
    Device,
    Failed,
    Found,
    LookUp,
    Message,
    OpenSplice,
    Person,
    Ping,
    Pong,
    RemoveContact,
    SetStatus,
    SignOut,
    SpliceTickets,
    WhoIsOnline,
)

_log = Logger()
Answer = Callable[[Session, Any], Coroutine[Any, Any, Message]]
"""Gives the answer to a request of a session; a `P2pimError` becomes `Failed`."""


class Requests:
    """Carries out requests and answers them.

    :param notices: who takes what is not answered, or not by ``id``, by the type of the message.
    :param answers: who answers what is not answered here, by the type of the request.
    """

    def __init__(
        self,
        clock: IReactorTime,
        store: Store,
        users: Users,
        names: KnownNames,
        splices: SpliceDesk,
        notices: Mapping[type[Message], Callable[[Session, Any], None]],
        answers: Mapping[type[Message], Answer],
    ) -> None:
        self._clock = clock
        self._store = store
        self._users = users
        self._announcer = users.announcer
        self._names = names
        self._splices = splices
        self._notices: dict[type[Message], Callable[[Session, Any], None]] = {
            SetStatus: self._set_status,
            SignOut: self._sign_out,
            **notices,
        }
        desk = ContactDesk(clock, store, users.announcer, splices)
        self._answers: dict[type[Message], Answer] = {
            AddContact: desk.add,
            RemoveContact: desk.remove,
            BlockUser: desk.block,
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
        elif type(message) in self._notices:
            self._notices[type(message)](session, message)
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

    async def _look_up(self, session: Session, message: LookUp) -> Message:
        names = [canonical_user(name) for name in message.users]
        for name in names:
            if await self._blocks(name, session.user.name):
                raise Blocked(f"{name} has blocked you.")
        return Found(message.id, [await self._person(name, session.user.name) for name in names])

    async def _person(self, name: str, viewer: str) -> Person:
        """What ``viewer`` sees of ``name``. Of strangers only which devices they have, signed in or not, so that they
        can be written to."""
        person = self._announcer.person(name, viewer)
        if person.status != UNKNOWN:
            return person
        ids = await self._store.read(partial(contacts.device_ids, name=name))
        return Person(name, UNKNOWN, [Device(id, "") for id in ids], person.relation)

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
        name = canonical_user(message.user)
        if name not in self._users.directory.users and not await self._names.exists(name):
            raise NoSuchUser
        mine, theirs, seconds = self._splices.open(session, name, message.device)
        return SpliceTickets(message.id, mine, theirs, seconds)
