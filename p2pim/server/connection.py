"""One client's connection, from its first frame to its last.

What a frame may be depends on where the connection stands: ``hello`` → ``introduction`` → ``signing in`` →
``signed in`` → ``closing``. Each stand is a method that takes the next message, and the current one is `_stand`.
Whatever has no place there ends the connection with its reason.

Output: frames are collected and written when the turn ends (`p2pim.net.poll`). While the transport says that the
client does not read, they stay here, where `output_bytes` tells others how much waits; when that is too much nothing is
read from this client either, and when it lasts too long the connection is cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim import __version__
from p2pim.core.addresses import format_address
from p2pim.core.limits import (
    CLIENT_FRAME,
    CLOSE_WAIT,
    CONTACTS,
    READ_PAUSE,
    SEND_BACKLOG,
    SEND_BACKLOG_SECONDS,
    UNAUTHENTICATED_FRAME,
)
from p2pim.errors import (
    BadTicket,
    HandshakeTimeout,
    P2pimError,
    ServerStopping,
    UnexpectedMessage,
    VersionTooNew,
    VersionTooOld,
)
from p2pim.net.stream import Flusher, FramedProtocol
from p2pim.server.gate import Admission
from p2pim.server.sessions import Session
from p2pim.server.settings import ServerSettings
from p2pim.server.signin import Admitted, Origin
from p2pim.server.store_bulk import Bulk
from p2pim.wire.messages import (
    OLDEST_VERSION,
    PROTOCOL_VERSION,
    SERVER_FEATURES,
    Hello,
    Limits,
    Message,
    Ping,
    Pong,
    Refused,
    Register,
    Send,
    SignedOut,
    SignIn,
    Welcome,
    decode_from_client,
    encode,
)
from p2pim.wire.store import UseTicket

_log = Logger()

PAYLOAD = 96 * 1024
"""The longest payload of an envelope, as `p2pim.wire.messages.Payload` has it."""


class Complain(Protocol):
    """As `p2pim.server.gate.Gate.complain`."""

    def __call__(self, host: str, reason: str, code: str = "", user: str = "") -> None: ...


class IHouse(Protocol):
    """What a connection needs of the server behind it."""

    clock: IReactorTime
    settings: ServerSettings

    @property
    def flusher(self) -> Flusher:
        """Writes what was collected."""

    @property
    def forward(self) -> Callable[[Session, Send], None]:
        """Passes an envelope on."""

    @property
    def request(self) -> Callable[[Session, Message], None]:
        """Carries out any other request."""

    @property
    def take_bulk(self) -> Callable[[bytes, ServerConnection], Bulk]:
        """What a ticket is good for; raises `BadTicket`."""

    @property
    def complain(self) -> Complain:
        """Logs that a host was refused, and why."""

    def enter(self, message: SignIn | Register, origin: Origin) -> Deferred[Admitted]:
        """Sign in or register."""

    def contacts_of(self, session: Session) -> list[Any]:
        """What a newcomer is told of others."""

    def p2p_server(self) -> str | None:
        """What a newcomer is told of a P2P server."""

    def welcomed(self, admitted: Admitted, connection: ServerConnection) -> None:
        """The device has been told how it stands."""

    def leave(self, session: Session) -> None:
        """The session ends."""

    def opened(self, connection: ServerConnection) -> None:
        """Watch over this connection."""

    def closed(self, connection: ServerConnection) -> None:
        """It is gone."""


@implementer(IPushProducer)
class ServerConnection(FramedProtocol):
    """A client's connection."""

    def __init__(self, house: IHouse, admission: Admission) -> None:
        super().__init__(house.flusher, UNAUTHENTICATED_FRAME)
        self._house = house
        self._admission = admission
        self._forward = house.forward
        self._seconds = house.clock.seconds
        self._stand: Callable[[Any], None] = self._hello
        self._tls: Any = None
        self._entering: Deferred[None] | None = None
        self._reading_paused = False
        self._cut_at: float | None = None
        self._features: frozenset[str] = frozenset()
        self._claimed = ""
        self.session: Session | None = None
        self.bulk: Bulk | None = None
        """What this connection is for, when it is for bulk alone."""
        self.last_heard = admission.began

    # --- the transport

    def connectionMade(self) -> None:
        self._tls = self.transport
        self._tls.setTcpNoDelay(True)
        self._tls.registerProducer(self, True)
        self._house.opened(self)

    def dataReceived(self, data: bytes) -> None:
        self.last_heard = self._seconds()
        if self._cut_at is not None:
            return
        self.take(data)
        if self.backlog_since is not None and self.output_bytes > READ_PAUSE and self._cut_at is None:
            self.read_on(False)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        was_closing, self._cut_at = self._cut_at is not None, 0.0
        if not was_closing:
            self._log_end(reason)
        self._end_session()
        if self.bulk is not None:
            self.bulk.lost()
        self._admission.release()
        self._house.closed(self)

    def _log_end(self, reason: Failure) -> None:
        if self.session is not None:
            _log.info(
                "{user} disconnected from {address}: {reason}",
                user=self.session.user.name, address=self.session.address, reason=reason.getErrorMessage(),
            )  # fmt: skip
        elif self.bulk is None:
            why = f"left before signing in: {reason.getErrorMessage()}"
            code = "no-handshake" if self._stand == self._hello else "left"
            self._house.complain(self._admission.host, why, code, self._claimed)

    def pauseProducing(self) -> None:
        """The client does not read: keep what comes."""
        if self.backlog_since is None:
            self.backlog_since = self._seconds()

    def resumeProducing(self) -> None:
        """The client reads again."""
        self.backlog_since = None
        if self._cut_at is not None:
            return
        self.write_out()
        if self.bulk is not None:
            self.bulk.resume()
        elif self.backlog_since is None:
            self.read_on(True)

    def read_on(self, on: bool) -> None:
        """Read what the client sends, or not for now."""
        if on == self._reading_paused and self._cut_at is None:
            self._reading_paused = not on
            if on:
                self.last_heard = self._seconds()
                self._tls.resumeProducing()
            else:
                self._tls.pauseProducing()

    def stopProducing(self) -> None:
        """The connection is going; `connectionLost` follows."""

    # --- frames

    def frame_received(self, body: bytes) -> None:
        self._stand(decode_from_client(body))

    def _hello(self, message: Message) -> None:
        if not isinstance(message, Hello):
            raise UnexpectedMessage("The first message must be Hello.")
        if message.version < OLDEST_VERSION:
            self._refuse(VersionTooOld())
        elif message.version > PROTOCOL_VERSION:
            self._refuse(VersionTooNew())
        else:
            self._features = frozenset(message.features)
            self._stand = self._introduction

    def _introduction(self, message: Message) -> None:
        if isinstance(message, UseTicket):
            self._take_bulk(message)
            return
        if not isinstance(message, (SignIn, Register)):
            raise UnexpectedMessage(f"{type(message).__name__} came before the sign-in.")
        self._stand, self._claimed = self._signing_in, message.name
        admitted = self._house.enter(message, Origin(self._admission.host, self._admission.port, self))
        self._entering = admitted.addCallbacks(self._welcome, self._not_welcome)
        self._entering.addErrback(self._broken)

    def _take_bulk(self, message: UseTicket) -> None:
        try:
            self.bulk = self._house.take_bulk(message.ticket, self)
        except BadTicket as error:
            self._refuse(error)
            return
        self._admission.authenticated()
        self.frames.limit = CLIENT_FRAME
        self._stand = self.bulk.received

    def _signing_in(self, message: Message) -> None:
        if isinstance(message, Ping):
            self.send(Pong(message.nonce))
        elif not isinstance(message, Pong):
            raise UnexpectedMessage(f"{type(message).__name__} came before the sign-in was answered.")

    def _signed_in(self, message: Message) -> None:
        assert self.session is not None
        if type(message) is Send:
            self._forward(self.session, message)
        else:
            self._house.request(self.session, message)

    def _closing(self, message: Message) -> None:
        """Nothing that comes now counts."""

    def send(self, message: Message) -> None:
        """Send a message with what else goes out this turn."""
        self.send_frame(encode(message))

    def tell(self, feature: str, message: Message) -> None:
        """Push a message to a client that is signed in, if it is one that understands ``feature``."""
        if self.session is not None and self._cut_at is None and feature in self._features:
            self.send(message)

    # --- sign-in

    def _welcome(self, admitted: Admitted) -> None:
        self._entering = None
        self.session = session = admitted.session
        if self._cut_at is not None:  # gone while the password was being verified
            self._end_session()
            return
        self._admission.authenticated()
        self.frames.limit = CLIENT_FRAME
        self._stand = self._signed_in
        limits = self._house.settings.limits
        self.send(
            Welcome(
                session=session.id, user=session.user.name, address=session.address,
                p2p_server=self._house.p2p_server(),
                heartbeat=limits.heartbeat, patience=limits.patience,
                limits=Limits(CLIENT_FRAME, PAYLOAD, CONTACTS), token=admitted.token,
                contacts=self._house.contacts_of(session), software=f"p2pim/{__version__}",
                keys_left=admitted.standing.keys_left, mail=admitted.standing.mail, features=SERVER_FEATURES,
            )
        )  # fmt: skip
        self._house.welcomed(admitted, self)
        _log.info("{user} signed in from {address}", user=session.user.name, address=session.address)

    def _not_welcome(self, failure: Failure) -> None:
        self._entering = None
        if isinstance(failure.value, P2pimError):
            self._refuse(failure.value)
        else:
            failure.raiseException()

    def _broken(self, failure: Failure) -> None:
        self._entering = None
        _log.failure("a sign-in failed in an unexpected way", failure)
        self._refuse(P2pimError("The server met an unexpected error; its operator finds it in the log."))

    # --- ends

    def refuse(self, error: P2pimError) -> None:
        """It ends here: say why, and close."""
        self._refuse(error)

    def _refuse(self, error: P2pimError) -> None:
        """Say why this client is not wanted, and close."""
        if self._cut_at is not None:
            return
        why = f"{self._whose()}{error.code}: {error.message}"
        self._house.complain(self._admission.host, why, "" if self.session else error.code, self._claimed)
        if self.session is None:
            self._close(Refused(error.code, error.message, error.retry_after))
        else:
            self._close(SignedOut(error.code, error.message))

    def sign_out(self, reason: str, message: str) -> None:
        """The session ends here: tell the client why, and close."""
        if self._cut_at is None:
            _log.info("{whose}signed out: {reason}", whose=self._whose(), reason=reason)
            self._close(self._last_word(reason, message))

    def _last_word(self, reason: str, message: str) -> Message:
        """A stranger is told only when the server stops."""
        return SignedOut(reason, message) if self.session is not None else Refused(ServerStopping.code, message)

    def _close(self, last: Message) -> None:
        self.send(last)
        self._stand = self._closing
        self._end_session()
        self.backlog_since = None
        self.write_out()
        self._cut_at = self._seconds() + CLOSE_WAIT
        self._tls.unregisterProducer()
        self._tls.loseConnection()

    def abort(self, reason: str) -> None:
        """Cut the connection; whoever is there would not read why."""
        if self._cut_at is None:
            self._house.complain(self._admission.host, self._whose() + reason)
        self._cut_at = self._seconds()
        self._end_session()
        self._tls.unregisterProducer()
        self._tls.abortConnection()

    def check(self, now: float) -> None:
        """Called every second or so: end what takes too long."""
        if self._cut_at is not None:
            if now >= self._cut_at:
                self._tls.abortConnection()
        elif self.bulk is not None:
            reason = self.bulk.overdue(now)
            if reason:
                self.abort(reason)
        elif self.session is None:
            if now - self._admission.began > self._house.settings.limits.handshake and self._entering is None:
                self._refuse(HandshakeTimeout())
        elif self.backlog_since is not None and (
            now - self.backlog_since > SEND_BACKLOG_SECONDS or self.output_bytes > 2 * SEND_BACKLOG
        ):
            self.abort("too-slow: it does not read what is sent to it")
        elif not self._reading_paused and now - self.last_heard > self._house.settings.limits.patience:
            self.abort("heartbeat-timeout: nothing was heard from it for too long")

    def _end_session(self) -> None:
        if self.session is not None:
            self._house.leave(self.session)

    def _whose(self) -> str:
        return f"{self.session.user.name}: " if self.session is not None else ""

    def address(self) -> str:
        """The client's address."""
        return format_address(self._admission.host, self._admission.port)
