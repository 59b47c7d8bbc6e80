"""TLS of channels: what stands between a TCP transport and a channel's protocol.

Like Twisted's own, on pyOpenSSL in memory, because a channel's proof needs the session's keying material, which the
standard library does not export. Unlike Twisted's it encrypts a write as a whole, takes the result in one piece, and
hands it to the kernel at once where nothing waits there; a file costs a third less work at the sender that way
(``docs/decisions/0007-tls-of-channels.md``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from OpenSSL import SSL, crypto
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory, ITransport
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim.net.eager import can_write_at_once, read_much, write_at_once
from p2pim.net.over_tcp import OverTcp

RECORD: Final = 16 * 1024
"""The most plaintext in one record (RFC 8446, section 5.1): a read gives no more."""
_ROOM: Final = 4 * 1024
"""What encryption may add to a write of any size that channels make; a little more than it needs is never wrong."""
_AT_ONCE: Final = RECORD
"""Writes below this size wait for the reactor's next turn, so that several share one packet."""


@implementer(ITransport)
class TlsTransport(OverTcp):
    """The protocol of a TCP connection, and the transport of ``wrapped``.

    :param tls: a new connection without a socket, its side of the handshake chosen.
    """

    def __init__(self, tls: SSL.Connection, wrapped: IProtocol) -> None:
        self.wrapped: Any = wrapped
        self._tls = tls
        self._eager = False
        self._established = False
        self._closing = False
        self._gone = False
        """Nothing more is taken from the other end."""
        self._holding = True
        """Small writes are kept for `_release`: until TLS stands, and while a read is being handled."""
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._reason: Failure | None = None

    # --- as the TCP connection's protocol

    def makeConnection(self, transport: ITransport) -> None:
        self._tcp = transport
        self._eager = can_write_at_once(transport)
        read_much(transport)
        super().makeConnection(transport)  # type: ignore[no-untyped-call]
        self.wrapped.makeConnection(self)
        if not self._gone:
            self._guarded(self._shake_hands)

    def dataReceived(self, data: bytes) -> None:
        if self._gone:
            return
        self._tls.bio_write(data)
        self._guarded(self._read if self._established else self._shake_hands)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        cut_off = reason.check(ConnectionDone) and not (self._gone or self._closing)
        self._gone = self._closing = True
        self._held = []
        self.wrapped.connectionLost(self._reason or (Failure(ConnectionLost()) if cut_off else reason))

    def _guarded(self, step: Callable[[], None]) -> None:
        """Take ``step``, which ends where TLS needs more bytes, has come to its end, or is broken."""
        try:
            step()
        except SSL.WantReadError:
            if not self._established:
                self._send()
        except SSL.ZeroReturnError:
            self._take_leave()
        except SSL.Error:
            self._fail()

    def _shake_hands(self) -> None:
        self._tls.do_handshake()
        self._established = True
        self._send()
        self.wrapped.handshakeCompleted()
        self._release()
        self._read()

    def _read(self) -> None:
        recv = self._tls.recv
        received = self.wrapped.dataReceived
        self._holding = True
        try:
            while not self._gone:
                received(recv(RECORD))
        finally:
            self._release()

    # --- the end

    def _take_leave(self) -> None:
        """The other end has said that nothing more comes: say the same, and close."""
        self._gone = True
        if not self._closing:
            self._end_tls()
        self._close()

    def _fail(self) -> None:
        """The other end does not speak TLS as it should: send the alert, if there is one, and close."""
        self._reason = self._reason or Failure()
        self._gone = self._closing = True
        self._send()
        self._close()

    def _end_tls(self) -> None:
        self._release()
        self._closing = True
        with suppress(SSL.Error):
            self._tls.shutdown()
        self._send()

    def _close(self) -> None:
        self._tcp.unregisterProducer()
        self._tcp.loseConnection()

    # --- as the protocol's transport

    def write(self, data: bytes) -> None:
        """Encrypt and send: once TLS stands, and what is said in answer to a read together. Nothing after
        `loseConnection`."""
        if self._closing:
            return
        if self._holding and (len(data) < RECORD or not self._established):
            self._held.append(data)
            self._held_bytes += len(data)
            if self._held_bytes < RECORD or not self._established:
                return
            data = b""
        self._encrypt(self._taken() + data)

    def _release(self) -> None:
        """Write what was kept."""
        self._holding = False
        if self._held and not self._closing:
            self._encrypt(self._taken())

    def _taken(self) -> bytes:
        if not self._held:
            return b""
        held, self._held, self._held_bytes = self._held, [], 0
        return b"".join(held)

    def _encrypt(self, data: bytes) -> None:
        try:
            self._tls.sendall(data)
        except SSL.Error:
            self._fail()
        else:
            self._send(len(data) + _ROOM)

    def writeSequence(self, data: Iterable[bytes]) -> None:  # noqa: N802 - Twisted's name
        """As `write`."""
        self.write(b"".join(data))

    def _send(self, size: int = RECORD + _ROOM) -> None:
        """Hand what TLS has to say to TCP."""
        with suppress(SSL.WantReadError):
            while True:
                data = self._tls.bio_read(size)
                if self._eager and len(data) >= _AT_ONCE:
                    write_at_once(self._tcp, data, pause=True)
                else:
                    self._tcp.write(data)
                if len(data) < size:
                    return

    def loseConnection(self) -> None:
        """Say that nothing more comes, and close when the other end has said so too.

        It is for the one who closes to end the wait with `abortConnection`.
        """
        if self._closing:
            return
        if self._established:
            self._end_tls()
        else:
            self.abortConnection()

    def abortConnection(self) -> None:
        """Close now, whatever waits."""
        self._gone = self._closing = True
        self._tcp.abortConnection()

    def getHandle(self) -> SSL.Connection:  # noqa: N802 - Twisted's name
        """The TLS connection."""
        return self._tls

    def getPeerCertificate(self) -> crypto.X509 | None:  # noqa: N802 - Twisted's name
        """The certificate that the other end showed."""
        return self._tls.get_peer_certificate()


class TlsFactory(Factory):
    """The protocols of ``factory`` inside TLS.

    :param new_connection: makes one end's TLS connection.
    """

    noisy = False

    def __init__(self, new_connection: Callable[[], SSL.Connection], factory: IProtocolFactory) -> None:
        self._new_connection = new_connection
        self._factory = factory

    def buildProtocol(self, addr: IAddress | None) -> TlsTransport | None:
        wrapped = self._factory.buildProtocol(addr)  # type: ignore[arg-type]
        return None if wrapped is None else TlsTransport(self._new_connection(), wrapped)
