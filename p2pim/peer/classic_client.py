"""A client of the classic text protocol: signs in, keeps the list, and talks straight to the others.

It works against any server of the grammar. Against p2pim's gateway it also answers ``Alive``, which no other server
says, and logs in again when a gateway that used to ask falls silent, as after a restart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from p2pim.core.classic_client import Came, Said, UserBook, Went
from p2pim.core.limits import CLASSIC_ASK_AFTER, CLASSIC_ASKS, CLASSIC_LOGIN_RETRY, CLASSIC_LOGIN_TIME
from p2pim.errors import BadClassicLine, ClassicRefused, P2pimError, ServerUnreachable
from p2pim.net.classic_list import fetch_list
from p2pim.net.classic_udp import ClassicSocket, bind_classic
from p2pim.net.own_addresses import source_towards
from p2pim.peer.events import rfc3339
from p2pim.wire.classic import (
    Accept,
    Alive,
    Coding,
    Endpoint,
    Line,
    Login,
    Logout,
    Refuse,
    Talk,
    check_name,
    decode_text,
    encode,
    parse,
)

_log = Logger()
SILENCE: Final = (CLASSIC_ASKS + 1) * CLASSIC_ASK_AFTER
"""Seconds after which a gateway that has asked before has lost us."""
_LOOK: Final = 10.0


class ClassicClient:
    """One user at one server.

    :param server: its numeric address and port.
    :param emit: told what happens, as the objects of ``docs/cli.md``.
    :param wall: the time in seconds since 1970.
    :param port: of its own UDP socket; 0 picks one.
    :raises BadClassicName: ``name`` is none in this protocol.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        server: Endpoint,
        emit: Callable[[dict[str, Any]], None],
        wall: Callable[[], float],
        *,
        coding: Coding = Coding.UTF8,
        port: int = 0,
    ) -> None:
        self._reactor = reactor
        self.name = check_name(name)
        self.server = server
        self._emit = emit
        self._wall = wall
        self._coding = coding
        self._port = port
        self.book = UserBook(name, server.host, coding)
        self._socket: ClassicSocket | None = None
        self._answer: Deferred[int] | None = None
        self._watch = LoopingCall(self._look)
        self._watch.clock = reactor
        self._asked_at = 0.0
        self.address = Endpoint("", 0)
        """Where this client is, as its login says."""
        self.ended: Deferred[None] = Deferred()
        """Fails when the server does not want this name any more."""

    # --- coming and going

    async def sign_in(self) -> None:
        """Log in, and get the list.

        :raises ClassicRefused: the server does not want the name.
        :raises ServerUnreachable: it does not answer.
        :raises BadClassicList: its list is none.
        """
        host = source_towards(self.server)
        if host is None:
            raise ServerUnreachable(f"There is no way to {self.server}.")
        wildcard = "::" if ":" in host else "0.0.0.0"  # noqa: S104 - others talk to this socket, from wherever
        try:
            bound = bind_classic(host if host in ("127.0.0.1", "::1") else wildcard, self._port)
        except OSError as error:
            raise ServerUnreachable(f"UDP port {self._port} cannot be had: {error.strerror}.") from None
        self._socket = ClassicSocket(self._reactor, bound, self._received)
        self._socket.start()
        self.address = Endpoint(host, self._socket.port)
        await self._log_in()
        self._watch.start(_LOOK, now=False).addErrback(lambda failure: _log.failure("watching failed", failure))

    async def _log_in(self) -> None:
        port = await self._accepted()
        self.book.asking()
        self._emit({"event": "accepted", "at": self._now(), "server": str(self.server), "port": port,
                    "user": self.name, "address": str(self.address)})  # fmt: skip
        found = await fetch_list(self._reactor, self.server.host, port, self._coding)
        self.book.take_list(found.users)
        if found.bad:
            _log.warn("{count} entries of the list could not be read", count=found.bad)
        self.show_list()

    async def _accepted(self) -> int:
        """Say the login until it is answered; the port of the list."""
        answer: Deferred[int] = Deferred()
        self._answer = answer
        wait, end = CLASSIC_LOGIN_RETRY, self._reactor.seconds() + CLASSIC_LOGIN_TIME
        calls: list[Any] = []

        def again() -> None:
            nonlocal wait
            if self._reactor.seconds() >= end:
                if not answer.called:
                    answer.errback(ServerUnreachable(f"{self.server} does not answer on UDP."))
                return
            self._send(Login(self.name, self.address), self.server)
            calls.append(self._reactor.callLater(min(wait, end - self._reactor.seconds()), again))
            wait *= 2

        again()
        try:
            return await answer
        finally:
            self._answer = None
            for call in calls:
                if call.active():
                    call.cancel()

    def leave(self) -> None:
        """Log out, and end. Idempotent."""
        if self._watch.running:
            self._watch.stop()
        if self._socket is not None and not self._socket.closed:
            self._send(Logout(self.name, self.address), self.server)
            self._socket.close()
        self.ended.addErrback(lambda failure: None)

    def _look(self) -> None:
        """When a gateway that used to ask falls silent, it has forgotten us: log in again."""
        if self._asked_at and self._reactor.seconds() - self._asked_at > SILENCE and self._answer is None:
            reason = f"{self.server} is silent"
            self._emit({"event": "interrupted", "at": self._now(), "reason": reason})
            again = Deferred.fromCoroutine(self._log_in())
            again.addCallbacks(self._back, self._not_back)

    def _back(self, _: None) -> None:
        self._asked_at = self._reactor.seconds()

    def _not_back(self, failure: Any) -> None:
        if failure.check(ClassicRefused):
            self._end(failure.value)
        elif not failure.check(P2pimError):
            _log.failure("logging in again failed", failure)

    def _end(self, error: P2pimError) -> None:
        if not self.ended.called:
            self.ended.errback(error)

    # --- lines

    def _received(self, data: bytes, source: tuple[str, int]) -> None:
        try:
            text, coding = decode_text(data)
            line = parse(text)
        except BadClassicLine as error:
            _log.debug("a datagram from {host} is no line: {reason}", host=source[0], reason=error.message)
            return
        where = Endpoint(*source)
        if where.host == self.server.host and isinstance(line, Accept | Refuse | Alive):
            self._from_server(line)
        else:
            self._tell(self.book.take(line, coding, where))

    def _from_server(self, line: Accept | Refuse | Alive) -> None:
        if isinstance(line, Alive):
            if line.name == self.name:
                self._asked_at = self._reactor.seconds()
                self._send(Login(self.name, self.address), self.server)
        elif self._answer is not None and not self._answer.called:
            if isinstance(line, Accept):
                self._answer.callback(line.port)
            else:
                self._answer.errback(self._refused(line.reason))
        elif isinstance(line, Refuse):
            self._end(self._refused(line.reason))

    def _refused(self, reason: str) -> ClassicRefused:
        return ClassicRefused(f"{self.server} refused the name {self.name!r}: {reason}.")

    def _tell(self, happening: Came | Went | Said | None) -> None:
        at = self._now()
        match happening:
            case Came(name, endpoint):
                self._emit({"event": "login", "at": at, "user": name, "address": str(endpoint)})
            case Went(name, endpoint):
                self._emit({"event": "logout", "at": at, "user": name, "address": str(endpoint)})
            case Said(name, said_at, text, source, listed):
                self._emit({"event": "talk", "at": at, "user": name, "text": text, "time": said_at,
                            "address": str(source), "listed": listed})  # fmt: skip

    # --- talking

    def say(self, name: str, text: str) -> None:
        """``text`` for ``name``, straight to where the list has them.

        :raises NoSuchUser: it has them nowhere.
        :raises BadClassicLine: it cannot be said.
        """
        endpoint, coding = self.book.where(name)
        self._send(Talk(time.strftime("%H:%M:%S", time.localtime(self._wall())), self.name, text), endpoint, coding)
        self._emit({"event": "sent", "at": self._now(), "user": name, "text": text, "address": str(endpoint)})

    def show_list(self) -> None:
        """Emit who is there, by name."""
        users = [{"user": name, "address": str(endpoint)} for name, endpoint in sorted(self.book.users.items())]
        self._emit({"event": "list", "at": self._now(), "users": users})

    def _send(self, line: Line, where: Endpoint, coding: Coding | None = None) -> None:
        if self._socket is not None:
            self._socket.send(encode(line, coding or self._coding), where)

    def _now(self) -> str:
        return rfc3339(self._wall())
