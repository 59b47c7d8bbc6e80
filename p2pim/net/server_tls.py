"""TLS at the server's side of the server connection.

TLS 1.2 with forward secrecy and authenticated ciphers, and 1.3. Sessions are resumed by tickets, which spares a client
that comes back the certificate and the server most of a handshake. The context is replaced as a whole when the
certificate is reloaded; connections that exist keep theirs.

`TlsServerTransport` stands between a TCP transport and a protocol, as Twisted's own TLS does, on the standard library's
``ssl.SSLObject``: a relay gets through half as many messages again that way. It hands on what one read brought in one
piece, and writes to the socket at once where nothing waits there, which spares the reactor two calls of epoll and a
turn; it relies on its user to write seldom and much (`p2pim.net.stream`).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim.errors import BadConfig
from p2pim.net.certificates import fingerprint_of_pem
from p2pim.net.eager import can_write_at_once, write_at_once
from p2pim.net.over_tcp import OverTcp
from p2pim.wire.messages import ALPN

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; all suites of 1.3 are good."""
_RECORD: Final = 16 * 1024
"""The most plaintext in one record (RFC 8446, section 5.1): a read takes one record, and leaves nothing of it."""


def make_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's TLS context for a certificate (followed by its chain, if any) and key, both files in PEM.

    :raises BadConfig: they cannot be read or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 1
    context.set_alpn_protocols([ALPN.decode("ascii")])
    try:
        context.load_cert_chain(certificate, key, password=b"")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise BadConfig(f"The certificate {certificate} and the key {key} cannot be used: {error}.") from None
    return context


class ServerTls:
    """Makes the TLS side of accepted connections, with the certificate that is current.

    :ivar fingerprint: SHA-256 of the certificate that clients see.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self.use(certificate, key)

    def use(self, certificate: Path, key: Path) -> None:
        """Take this certificate for connections from now on.

        :raises BadConfig: it cannot be used, and the one before stays.
        """
        context = make_context(certificate, key)
        self.fingerprint = fingerprint_of_pem(certificate.read_bytes())
        self._context = context

    def wrap(self, protocol: Protocol) -> TlsServerTransport:
        """``protocol`` behind TLS, yet to be connected."""
        return TlsServerTransport(self._context, protocol)


@implementer(ITransport)
class TlsServerTransport(OverTcp):
    """The protocol of a TCP connection, and the transport of ``wrapped``."""

    def __init__(self, context: ssl.SSLContext, wrapped: Protocol) -> None:
        self._wrapped = wrapped
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._established = False
        self._closing = False
        self._reason: Failure | None = None

    # --- as the TCP connection's protocol

    def makeConnection(self, transport: ITransport) -> None:
        self._tcp = transport
        self._eager = can_write_at_once(transport)
        super().makeConnection(transport)  # type: ignore[no-untyped-call]
        self._wrapped.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        self._incoming.write(data)
        try:
            if self._established or self._shake_hands():
                self._read()
        except ssl.SSLWantReadError:
            self._send()
        except ssl.SSLError as error:
            self._fail(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closing = True
        self._wrapped.connectionLost(self._reason or reason)

    def _shake_hands(self) -> bool:
        self._tls.do_handshake()  # what is missing is told as SSLWantReadError
        self._established = True
        self._send()
        return not self._closing

    def _read(self) -> None:
        """Give the protocol all that has come, in one piece."""
        data = last = self._tls.read(_RECORD)
        if last and self._incoming.pending:
            data, last = self._read_on(data)
        if data and not self._closing:
            self._wrapped.dataReceived(data)
        if self._outgoing.pending:
            self._send()
        if not last:
            self._take_leave()

    def _read_on(self, data: bytes) -> tuple[bytes, bytes]:
        """``data`` and what follows it, and the last of it, which is empty at the end of all."""
        chunks = [data]
        with suppress(ssl.SSLWantReadError):
            while chunks[-1] and self._incoming.pending:
                chunks.append(self._tls.read(_RECORD))
        return b"".join(chunks), chunks[-1]

    def _fail(self, error: ssl.SSLError) -> None:
        """The other side does not speak TLS as it should: send the alert, if there is one, and close."""
        self._reason = self._reason or Failure(error)
        self._closing = True
        self._send()
        self._tcp.unregisterProducer()
        self._tcp.loseConnection()

    # --- as the protocol's transport

    def write(self, data: bytes) -> None:
        """Encrypt and send. Before the handshake is done and after `loseConnection`, nothing is sent."""
        if self._established and not self._closing:
            self._tls.write(data)
            self._send()

    def writeSequence(self, data: Iterable[bytes]) -> None:  # noqa: N802 - Twisted's name
        """As `write`."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Say that nothing more comes, and close when the other side has done so too.

        Closing before that would make the kernel drop what was said last, if something unread had come meanwhile. It is
        for the one who closes to end the wait with `abortConnection`.
        """
        if self._closing:
            return
        if not self._established:
            self.abortConnection()
            return
        self._end_tls()
        self._tcp.loseWriteConnection()

    def abortConnection(self) -> None:
        """Close now, whatever waits."""
        self._closing = True
        self._tcp.abortConnection()

    def _take_leave(self) -> None:
        """The other side has said that nothing more comes."""
        if not self._closing:
            self._end_tls()
        self._tcp.unregisterProducer()
        self._tcp.loseConnection()

    def _end_tls(self) -> None:
        self._closing = True
        with suppress(ssl.SSLError):  # the other side's part is still to come
            self._tls.unwrap()
        self._send()

    def _send(self) -> None:
        data = self._outgoing.read()
        if data and self._eager:
            write_at_once(self._tcp, data)
        elif data:
            self._tcp.write(data)

    def pauseProducing(self) -> None:
        """Read nothing more for now."""
        self._tcp.pauseProducing()

    def resumeProducing(self) -> None:
        """Read on."""
        self._tcp.resumeProducing()
