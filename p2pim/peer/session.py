"""Being signed in, and staying so.

A session lives through many connections::

    register/sign_in --> signed in --(connection ends)--> interrupted --(wait)--> reconnecting --> signed in
                             |                                                        |
                             +--- replaced, kicked, logout ----> signed out <--- refused

It comes back by itself once `Session.start` was called, after waits that grow and differ between clients. It does not
come back when the server said that it should not, or is not the server any more that it was.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError, UserError
from twisted.internet.interfaces import IDelayedCall, IProtocol, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.core.backoff import Backoff
from p2pim.core.candidates import Endpoint
from p2pim.errors import (
    NotSignedIn,
    P2pimError,
    ServerStopping,
    ServerUnreachable,
    SignInError,
    UnexpectedMessage,
    from_wire,
)
from p2pim.net.server_connection import ServerConnection, call_server, server_endpoint
from p2pim.net.trust import ServerAddress, ServerTls, Trust
from p2pim.peer.interfaces import ISessionUser
from p2pim.peer.pushes import push
from p2pim.peer.requests import OnFailed, OnStored, Requests
from p2pim.peer.session_rules import ANSWERS, FAREWELLS, NO_CONNECTION, SOFTWARE, TRY_AGAIN, State, heartbeat, words
from p2pim.wire.messages import (
    FEATURES,
    PROTOCOL_VERSION,
    Failed,
    FromServer,
    Hello,
    Message,
    Ping,
    Pong,
    Refused,
    Register,
    Send,
    SignedOut,
    SignIn,
    SignOut,
    Stored,
    Welcome,
)

__all__ = ["ISessionUser", "ServerAddress", "Session", "Trust"]


class Session:
    """One device's session at one server.

    :param device: 16 bytes, the same for the life of the home.
    :param rng: for the waits before reconnecting.
    :param endpoint: the way to the server; None makes one from ``server``.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        *,
        server: ServerAddress,
        trust: Trust,
        device: bytes,
        device_name: str,
        rng: random.Random,
        user: ISessionUser,
        endpoint: IStreamClientEndpoint | None = None,
    ) -> None:
        self.server = server
        self.trust = trust
        """How the server is believed; after a first use, with the fingerprint that was found."""
        self.fingerprint = b""
        """Of the server's certificate, as of the last connection."""
        self.welcome: Welcome | None = None
        """What the server said on the last sign-in."""
        self.status = "online"  # what the next sign-in says of me
        self._reactor = reactor
        self._device = device
        self._device_name = device_name
        self._user = user
        self._endpoint = endpoint or server_endpoint(reactor, server)
        self._backoff = Backoff(rng)
        self._requests = Requests(reactor)
        self._state = State.AWAY
        self._kept = False
        self._paused = False
        self._name = ""
        self._token = b""
        self._connection: ServerConnection | None = None
        self._greeting: Message | None = None
        self._arrival: Deferred[Welcome] | None = None
        self._calling: Deferred[IProtocol] | None = None
        self._retry: IDelayedCall | None = None
        self._since = 0.0
        self._gone: list[Deferred[None]] = []

    @property
    def connected(self) -> bool:
        """Whether it is signed in at this moment."""
        return self._state is State.SIGNED_IN

    @property
    def local_address(self) -> Endpoint:
        """This end of the server connection; ("", 0) without one."""
        return self._connection.local_address if self._connection is not None else ("", 0)

    @property
    def server_address(self) -> Endpoint:
        """The other end of the server connection, as an IP address; ("", 0) without one."""
        return self._connection.remote_address if self._connection is not None else ("", 0)

    # --- coming and going

    async def register(self, name: str, password: str, invite: str = "") -> Welcome:
        """Make the account ``name`` and sign in.

        :raises SignInError: it was refused, or the server is not to be trusted.
        :raises ServerUnreachable: there was nobody to ask.
        """
        self._name = name
        return await self._introduce(Register(name, password, self._device, self._device_name, invite))

    async def sign_in(self, name: str, password: str | None = None, token: bytes | None = None) -> Welcome:
        """Sign in with the password, or with the token of an earlier `Welcome`. Raises as `register` does."""
        self._name = name
        return await self._introduce(SignIn(name, self._device, self._device_name, password, token, self.status))

    def start(self, name: str = "", token: bytes = b"") -> None:
        """Stay signed in from now on; with ``name`` and ``token`` also without an earlier `sign_in`."""
        self._name, self._token = name or self._name, token or self._token
        if self._state is State.ENDED or self._kept:
            return
        self._kept = True
        if self._state is State.AWAY and not self._paused:
            self._try("starting")

    async def stop(self, forget: bool = False) -> None:
        """Leave. ``forget``: the device's token ends as well, and `signed_out` is heard with "logout"."""
        was, self._state = self._state, State.ENDED
        self._kept = False
        self._stop_waiting()
        if self._calling is not None:
            self._calling.cancel()
        if self._connection is not None:
            await self._hang_up(self._connection, forget)
        if forget and was is not State.ENDED:
            self._user.signed_out("logout", "")

    def pause(self, reason: str) -> None:
        """Leave for a while: there is no session before `resume`."""
        self._paused = True
        self._stop_waiting()
        if self._calling is not None:
            self._calling.cancel()
        if self._connection is not None:
            self._connection.end(ServerUnreachable(reason))

    def resume(self, reason: str) -> None:
        """Come back, if it has been kept at all."""
        self._paused = False
        if self._kept and self._state is State.AWAY and self._retry is None:
            self._try(reason)

    async def _hang_up(self, connection: ServerConnection, forget: bool) -> None:
        gone: Deferred[None] = Deferred()
        self._gone.append(gone)
        connection.send(SignOut(forget))
        connection.leave()
        await gone

    # --- asking

    async def request(self, message_factory: Callable[[int], Message]) -> Message:
        """Send the message that ``message_factory`` makes with an id, and wait for its answer.

        :raises NotSignedIn: there is no connection, or it ended meanwhile.
        :raises TimedOut: no answer came.
        :raises P2pimError: the server said why not.
        """
        connection = self._signed_in_connection()
        number, answer = self._requests.open()
        connection.send(message_factory(number))
        return await answer

    def send_envelope(
        self,
        user: str,
        device: bytes,
        kind: int,
        payload: bytes,
        on_failed: OnFailed | None = None,
        message: bytes = b"",
        on_stored: OnStored | None = None,
    ) -> None:
        """Hand an envelope to the server; with the id of a ``message`` it is mail.

        ``on_failed`` hears (later, never from within) when the server could not take it, ``on_stored`` when it has put
        it into a mailbox; it says nothing when it forwarded it.
        """
        self.send_numbered(lambda id: Send(id, user, device, kind, payload, message), on_failed, on_stored)

    def send_numbered(
        self, message: Callable[[int], Message], on_failed: OnFailed | None = None, on_stored: OnStored | None = None
    ) -> None:
        """Hand over an envelope, made with the id under which the server answers; as for `send_envelope`."""
        if self._state is not State.SIGNED_IN or self._connection is None:
            if on_failed is not None:
                self._reactor.callLater(0, on_failed, NotSignedIn(NO_CONNECTION))
            return
        number = self._requests.next_id()
        if on_failed is not None or on_stored is not None:
            self._requests.remember(number, on_failed, on_stored)
        self._connection.send(message(number))

    def send(self, message: Message) -> None:
        """Send a message that has no answer, such as `SetStatus`.

        :raises NotSignedIn: there is no connection.
        """
        self._signed_in_connection().send(message)

    async def ping(self) -> float:
        """Seconds to the server and back; raises as `request` does."""
        began = self._reactor.seconds()
        await self.request(Ping)
        return self._reactor.seconds() - began

    def _signed_in_connection(self) -> ServerConnection:
        if self._state is not State.SIGNED_IN or self._connection is None:
            raise NotSignedIn(NO_CONNECTION)
        return self._connection

    # --- calling the server

    async def _introduce(self, greeting: Message) -> Welcome:
        if self._state is not State.AWAY:
            raise SignInError("This session is signed in already, or has ended.")
        self._state = State.CALLING
        self._stop_waiting()
        self._greeting = greeting
        arrival: Deferred[Welcome] = Deferred()
        self._arrival = arrival
        try:
            await self._call()
            return await arrival
        finally:
            self._arrival = self._greeting = None
            if self._state is State.CALLING:
                self._state = State.AWAY

    def _stop_waiting(self) -> None:
        retry, self._retry = self._retry, None
        if retry is not None and retry.active():
            retry.cancel()

    async def _call(self) -> None:
        tls = ServerTls(self.server, self.trust)
        self._calling = call_server(self._reactor, self._endpoint, tls, self)
        try:
            await self._calling
        except (CancelledError, ConnectingCancelledError):
            raise ServerUnreachable("The sign-in was given up.") from None
        except (ConnectError, DNSLookupError, UserError, OSError, ValueError) as error:
            raise ServerUnreachable(f"{self.server} cannot be reached: {words(error)}") from None
        finally:
            self._calling = None

    def _try(self, reason: str) -> None:
        self._retry = None
        self._user.reconnecting(reason)
        if self._state is not State.AWAY:
            return
        greeting = SignIn(self._name, self._device, self._device_name, None, self._token, self.status)
        attempt = Deferred.fromCoroutine(self._introduce(greeting))
        attempt.addErrback(self._attempt_failed)
        attempt.addErrback(lambda failure: self._log.failure("An attempt to reconnect broke.", failure))

    def _attempt_failed(self, failure: Failure) -> None:
        failure.trap(P2pimError)
        error = failure.value
        assert isinstance(error, P2pimError)
        if isinstance(error, SignInError) and not isinstance(error, TRY_AGAIN):
            self.give_up("refused", error.message)
        else:
            self._come_back(error.message, error.retry_after)

    def _come_back(self, reason: str, at_least: float = 0.0) -> None:
        if self._kept and self._state is State.AWAY and self._retry is None and not self._paused:
            self._retry = self._reactor.callLater(self._backoff.next(at_least), self._try, reason)

    def give_up(self, reason: str, message: str) -> None:
        """Leave for good, for a reason that no other attempt would change."""
        if self._state is not State.ENDED:
            self._state = State.ENDED
            self._kept = False
            self._user.signed_out(reason, message)
        if self._connection is not None:
            self._connection.leave()

    # --- what the connection says

    def connection_trusted(self, connection: ServerConnection) -> None:
        """TLS stands: introduce this device."""
        if self._state is not State.CALLING or self._greeting is None or self._connection is not None:
            connection.end(ServerUnreachable("Not needed any more."))
            return
        self._connection = connection
        self.fingerprint = connection.fingerprint
        self.trust = self.trust.pinned(connection.fingerprint)
        connection.send(Hello(PROTOCOL_VERSION, SOFTWARE, FEATURES))
        connection.send(self._greeting)

    def message_received(self, connection: ServerConnection, message: FromServer) -> None:
        """One message of the server."""
        if self._state is State.CALLING:
            self._answered(connection, message)
        elif self._state is State.SIGNED_IN:
            self._take(connection, message)

    def connection_ended(self, connection: ServerConnection, reason: P2pimError) -> None:
        """The connection is over; what that means depends on how far it had come."""
        if connection is self._connection:
            self._connection = None
        elif self._connection is not None:
            return
        self._requests.fail_all(NotSignedIn("The connection to the server was lost."))
        if self._arrival is not None and not self._arrival.called:
            self._arrival.errback(reason)
        elif self._state is State.SIGNED_IN:
            self._state = State.AWAY
            self._backoff.succeeded(self._reactor.seconds() - self._since)
            self._user.interrupted(reason.message)
            self._come_back(reason.message)
        gone, self._gone = self._gone, []
        for waiting in gone:
            waiting.callback(None)

    def _answered(self, connection: ServerConnection, message: FromServer) -> None:
        """The answer to the introduction."""
        arrival = self._arrival
        if arrival is None or arrival.called:
            return
        if isinstance(message, Welcome):
            self._welcomed(connection, message)
            arrival.callback(message)
        elif isinstance(message, Refused):
            connection.end(from_wire(message.code, message.message, message.retry_after))
        elif isinstance(message, SignedOut):
            connection.end(ServerUnreachable(message.message or "The server is stopping."))
        else:
            raise UnexpectedMessage

    def _welcomed(self, connection: ServerConnection, welcome: Welcome) -> None:
        self._state = State.SIGNED_IN
        self._since = self._reactor.seconds()
        self.welcome = welcome
        self._token = welcome.token
        connection.start_heartbeat(*heartbeat(welcome))
        self._user.signed_in(welcome)

    def _take(self, connection: ServerConnection, message: FromServer) -> None:
        if push(self._user, message):
            return
        if isinstance(message, Stored):
            for number in message.ids:
                self._requests.stored(number)
            return
        if isinstance(message, ANSWERS):
            self._requests.answered(message.nonce if isinstance(message, Pong) else message.id, message)
        elif isinstance(message, Failed):
            self._requests.failed(message.id, from_wire(message.code, message.message, message.retry_after))
        elif isinstance(message, SignedOut):
            self._dismissed(connection, message)
        else:
            raise UnexpectedMessage

    def _dismissed(self, connection: ServerConnection, message: SignedOut) -> None:
        final = FAREWELLS.get(message.reason)
        if final is not None:
            self.give_up(final, message.message)
        else:
            text = message.message or f"The server says: {message.reason}."
            connection.end(ServerStopping(text) if message.reason == "stopping" else ServerUnreachable(text))
