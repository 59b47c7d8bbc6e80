"""The client's end of the server connection: TLS, frames, heartbeats.

What the server is told is another's to decide (`p2pim.peer.session`), and whom to believe is `p2pim.net.trust`'s;
here a connection is opened, its certificate is judged before a single byte is said, and messages go in and out until
it ends, for one reason that is told once.
"""

from __future__ import annotations

from typing import Final, Protocol, cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IProtocol,
    IReactorTime,
    IStreamClientEndpoint,
    ISystemHandle,
    ITCPTransport,
    ITLSTransport,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.tcp import makeBinding
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim.core.candidates import Endpoint
from p2pim.core.heartbeat import Beat, Heartbeat
from p2pim.core.limits import CHANNEL_CLOSING, HANDSHAKE, SERVER_FRAME
from p2pim.errors import (
    HandshakeTimeout,
    HeartbeatTimeout,
    P2pimError,
    ServerUnreachable,
    UntrustedServer,
    WireError,
)
from p2pim.net.stream import Flusher, FramedProtocol
from p2pim.net.trust import ServerAddress, ServerTls
from p2pim.wire.messages import ALPN, FromServer, Message, Ping, Pong, decode_from_server, encode

CONNECT_TIME: Final = 10.0
"""Seconds for one address to take the call."""


class ServerListener(Protocol):
    """Who uses a server connection."""

    def connection_trusted(self, connection: ServerConnection) -> None:
        """TLS stands and the server is the right one: introduce yourself."""

    def message_received(self, connection: ServerConnection, message: FromServer) -> None:
        """Any message but `Ping`. A `p2pim.errors.WireError` raised here ends the connection."""

    def connection_ended(self, connection: ServerConnection, reason: P2pimError) -> None:
        """It is over; the last call."""


@implementer(IHandshakeListener)
class ServerConnection(FramedProtocol):
    """One connection to the server. It ends itself when the introduction takes longer than `HANDSHAKE`, and when the
    server has been silent for too long (see `start_heartbeat`)."""

    fingerprint = b""

    def __init__(self, clock: IReactorTime, tls: ServerTls, listener: ServerListener) -> None:
        super().__init__(Flusher(clock), SERVER_FRAME)
        self._clock = clock
        self._tls = tls
        self._listener: ServerListener | None = listener
        self._heartbeat: Heartbeat | None = None
        self._timer: IDelayedCall | None = None

    @property
    def local_address(self) -> Endpoint:
        """This end's address and port."""
        return _endpoint(self._transport().getHost())

    @property
    def remote_address(self) -> Endpoint:
        """The server's address and port."""
        return _endpoint(self._transport().getPeer())

    def send(self, message: Message) -> None:
        """Send ``message`` at the end of this read or turn of the reactor."""
        self.send_frame(encode(message))

    def introduced(self) -> None:
        """The introduction is done, and no heartbeats are wanted."""
        self._stop_timer()

    def start_heartbeat(self, interval: float, patience: float) -> None:
        """The introduction is done: ping every ``interval`` seconds, give up after ``patience`` seconds of silence."""
        self._stop_timer()
        self._heartbeat = Heartbeat(interval, patience, self._clock.seconds())
        self._timer = self._clock.callLater(interval, self._beat)

    def leave(self) -> None:
        """Write what is waiting, and close; the listener hears when it is over."""
        self.write_out()
        self._transport().loseConnection()
        self._stop_timer()
        self._timer = self._clock.callLater(CHANNEL_CLOSING, self._cut)

    def end(self, reason: P2pimError) -> None:
        """Cut it, for ``reason``."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._cut()
        listener.connection_ended(self, reason)

    # --- Twisted's side

    def connectionMade(self) -> None:
        cast(ITCPTransport, self.transport).setTcpNoDelay(True)  # a receipt must not wait for an acknowledgement
        self._timer = self._clock.callLater(HANDSHAKE, self._too_late)

    def handshakeCompleted(self) -> None:
        if self._listener is None:
            return
        try:
            handle = self._tls_handle()
            self.fingerprint = self._tls.judge(handle)
        except UntrustedServer as error:
            self.end(error)
            return
        if handle.get_alpn_proto_negotiated() != ALPN:
            self.end(ServerUnreachable("What answers there is no p2pim server."))
            return
        self._listener.connection_trusted(self)

    def dataReceived(self, data: bytes) -> None:
        if self._heartbeat is not None:
            self._heartbeat.heard = True
        super().dataReceived(data)

    def frame_received(self, body: bytes) -> None:
        if self._listener is None:
            return
        message = decode_from_server(body)
        if isinstance(message, Ping):
            self.send(Pong(message.nonce))
        else:
            self._listener.message_received(self, message)

    def refuse(self, error: WireError) -> None:
        self.end(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_timer()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.connection_ended(self, self._lost(reason))

    # --- inside

    def _tls_handle(self) -> SSL.Connection:
        return cast(SSL.Connection, cast(ISystemHandle, self.transport).getHandle())

    def _lost(self, reason: Failure) -> P2pimError:
        if not reason.check(SSL.Error):
            return ServerUnreachable("The connection to the server was lost.")
        return self._tls.fault_of(self._tls_handle()) or ServerUnreachable(
            "What answers there speaks no TLS that p2pim could use."
        )

    def _transport(self) -> ITLSTransport:
        return cast(ITLSTransport, self.transport)

    def _beat(self) -> None:
        self._timer = None
        if self._heartbeat is None:
            return
        if self._heartbeat.beat(self._clock.seconds()) is Beat.DEAD:
            self.end(HeartbeatTimeout("The server has been silent for too long."))
            return
        self._timer = self._clock.callLater(self._heartbeat.interval, self._beat)
        self.send(Ping())

    def _too_late(self) -> None:
        self._timer = None
        self.end(HandshakeTimeout("The server did not answer the introduction in time."))

    def _cut(self) -> None:
        self._stop_timer()
        self._transport().abortConnection()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def _endpoint(address: IAddress) -> Endpoint:
    return getattr(address, "host", ""), getattr(address, "port", 0)


class _ConnectionFactory(Factory):
    noisy = False

    def __init__(self, clock: IReactorTime, tls: ServerTls, listener: ServerListener) -> None:
        self._arguments = clock, tls, listener

    def buildProtocol(self, addr: IAddress | None) -> ServerConnection:
        return ServerConnection(*self._arguments)


def server_endpoint(reactor: IReactorTime, server: ServerAddress) -> IStreamClientEndpoint:
    """The way to ``server``, from a local port that a listener may have as well."""
    binding = makeBinding("", 0, reuseAddress=True, reusePort=True)
    return HostnameEndpoint(reactor, server.host, server.port, timeout=CONNECT_TIME, bindAddress=binding)


def call_server(
    clock: IReactorTime, endpoint: IStreamClientEndpoint, tls: ServerTls, listener: ServerListener
) -> Deferred[IProtocol]:
    """Connect by ``endpoint``; ``listener`` hears the rest. Fails as the endpoint does, when nobody takes the call."""
    factory = _ConnectionFactory(clock, tls, listener)
    return endpoint.connect(TLSMemoryBIOFactory(tls, True, factory, clock))
