"""A server on a machine in memory: real TLS and real messages, and it does only what a test tells it."""

from __future__ import annotations

from collections.abc import Callable

from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IAddress, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from p2pim.core.limits import CLIENT_FRAME
from p2pim.net.certificates import CertificateAndKey, fingerprint_of_pem, make_certificate
from p2pim.net.stream import Flusher, FramedProtocol
from p2pim.wire.messages import (
    ALPN,
    Hello,
    Limits,
    Message,
    Ping,
    Pong,
    Register,
    SignIn,
    Welcome,
    decode_from_client,
    encode,
)
from tests.peer.memory_network import MemoryReactor

TOKEN = b"t" * 32


def a_welcome(user: str = "alice", heartbeat: float = 5.0, patience: float = 30.0) -> Welcome:
    limits = Limits(131072, 98304, 1000)
    return Welcome(b"s" * 16, user, "10.0.0.2:40001", None, heartbeat, patience, limits, TOKEN, [], "fake")


class FakeConnection(FramedProtocol):
    """One client's connection: everything it said, and what the test sends."""

    def __init__(self, server: FakeServer) -> None:
        super().__init__(Flusher(server.machine), CLIENT_FRAME)
        self.server = server
        self.heard: list[Message] = []
        self.gone = False

    def frame_received(self, body: bytes) -> None:
        message = decode_from_client(body)
        self.heard.append(message)
        if self.server.deaf:
            return
        if isinstance(message, Ping):
            self.send(Pong(message.nonce))
        elif isinstance(message, SignIn | Register):
            self.server.introduced(self, message)

    def send(self, message: Message) -> None:
        self.send_frame(encode(message))

    def close(self) -> None:
        assert self.transport is not None
        self.write_out()
        self.transport.loseConnection()

    def of(self, kind: type[Message]) -> list[Message]:
        return [message for message in self.heard if isinstance(message, kind)]

    def connectionLost(self, reason: object = None) -> None:
        self.gone = True


@implementer(IOpenSSLServerConnectionCreator)
class _Tls:
    def __init__(self, certificate: CertificateAndKey, alpn: bytes) -> None:
        self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.use_certificate(crypto.load_certificate(crypto.FILETYPE_PEM, certificate.cert_pem))
        self.context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, certificate.key_pem))
        self.context.set_alpn_select_callback(lambda connection, offered: alpn)

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(self.context, None)


class FakeServer(Factory):
    """Welcomes everyone, unless ``answer`` says otherwise."""

    noisy = False

    def __init__(self, machine: MemoryReactor, port: int = 4530, alpn: bytes = ALPN) -> None:
        self.machine = machine
        self.port = port
        self.alpn = alpn
        self.deaf = False
        self.connections: list[FakeConnection] = []
        self.answer: Callable[[Message], list[Message]] = lambda message: [a_welcome()]
        self.certificate = make_certificate("server")
        self.start()

    @property
    def fingerprint(self) -> bytes:
        return fingerprint_of_pem(self.certificate.cert_pem)

    @property
    def last(self) -> FakeConnection:
        return self.connections[-1]

    def start(self) -> None:
        self.machine.listenTCP(
            self.port, TLSMemoryBIOFactory(_Tls(self.certificate, self.alpn), False, self, self.machine)
        )

    def stop(self) -> None:
        """As when its process is killed."""
        self.machine.ports.clear()
        for connection in self.connections:
            if not connection.gone and connection.transport is not None:
                connection.transport.abortConnection()  # type: ignore[attr-defined]

    def buildProtocol(self, addr: IAddress | None) -> FakeConnection:
        connection = FakeConnection(self)
        self.connections.append(connection)
        return connection

    def introduced(self, connection: FakeConnection, message: Message) -> None:
        assert isinstance(connection.heard[0], Hello)
        for answer in self.answer(message):
            connection.send(answer)
