"""The server's TLS, spoken to by the standard library's client over memory."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import BadConfig
from p2pim.net.certificates import ensure_certificate, fingerprint_of_der, make_certificate
from p2pim.net.server_tls import ServerTls, TlsServerTransport, make_context
from tests.net.test_splice import Tcp


class Echo(Protocol):
    """Sends back what it gets, and notes each call."""

    def __init__(self) -> None:
        self.reads: list[bytes] = []
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.reads.append(data)
        assert self.transport is not None
        self.transport.write(data)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.lost = reason


class TlsClient:
    """A TLS client and its connection to a server's transport."""

    def __init__(self, tls: ServerTls, context: ssl.SSLContext | None = None, session: Any = None) -> None:
        context = context or client_context()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, session=session)
        self.echo, self.tcp = Echo(), Tcp()
        self.server: TlsServerTransport = tls.wrap(self.echo)
        self.server.makeConnection(self.tcp)

    def pump(self, step: int = 1 << 20) -> None:
        """Carry bytes both ways, ``step`` at a time, until there are none."""
        while self.outgoing.pending or self.tcp.value():
            data = self.outgoing.read()
            for begin in range(0, len(data), step):
                self.server.dataReceived(data[begin : begin + step])
            self.incoming.write(self.tcp.value())
            self.tcp.clear()
            if not self._is_shaken():
                self.shake()

    def _is_shaken(self) -> bool:
        return self.tls.version() is not None and self.tls.cipher() is not None

    def shake(self) -> TlsClient:
        """Shake hands, as far as it goes now."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return self
        return self

    def connect(self, step: int = 1 << 20) -> TlsClient:
        """The whole handshake."""
        self.shake()
        for _ in range(4):
            self.pump(step)
            self.shake()
        self.pump(step)
        return self

    def read(self) -> bytes:
        """What has come."""
        data = b""
        try:
            while True:
                chunk = self.tls.read(1 << 20)
                if not chunk:
                    return data
                data += chunk
        except ssl.SSLWantReadError:
            return data


def client_context(**alpn: list[str]) -> ssl.SSLContext:
    """A client that looks at no certificate: these tests do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(alpn.get("alpn", ["p2pim/1"]))
    return context


class ServerTlsTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        ensure_certificate(self.certificate, self.key, "test")
        self.tls = ServerTls(self.certificate, self.key)

    def test_a_client_speaks_and_is_answered(self) -> None:
        """TLS 1.3, our protocol's name, and the certificate with the fingerprint told."""
        client = TlsClient(self.tls).connect()
        client.tls.write(b"hello")
        client.pump()
        self.assertEqual((client.read(), client.echo.reads), (b"hello", [b"hello"]))
        self.assertEqual((client.tls.version(), client.tls.selected_alpn_protocol()), ("TLSv1.3", "p2pim/1"))
        der = client.tls.getpeercert(binary_form=True)
        assert der is not None
        self.assertEqual(fingerprint_of_der(der), self.tls.fingerprint)

    def test_reads_that_cut_the_records_anywhere_lose_nothing(self) -> None:
        """TCP knows no records."""
        client = TlsClient(self.tls).connect(step=7)
        data = bytes(range(256)) * 300
        client.tls.write(data)
        client.pump(step=1_001)
        self.assertEqual((b"".join(client.echo.reads), client.read()), (data, data))

    def test_many_records_of_one_read_come_in_one_piece(self) -> None:
        """So that what a read brought is answered in one write."""
        client = TlsClient(self.tls).connect()
        for _ in range(50):
            client.tls.write(b"x" * 1000)
        client.pump()
        self.assertEqual(client.echo.reads, [b"x" * 50_000])

    def test_old_versions_are_refused(self) -> None:
        """TLS 1.2 is the oldest."""
        context = client_context()
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.assertEqual(TlsClient(self.tls, context).connect().tls.version(), "TLSv1.2")
        self.assertEqual(make_context(self.certificate, self.key).minimum_version, ssl.TLSVersion.TLSv1_2)

    def test_ciphers_of_tls_1_2_have_forward_secrecy_and_are_authenticated(self) -> None:
        """None of the old ones is left."""
        names = [cipher["name"] for cipher in make_context(self.certificate, self.key).get_ciphers()]
        for name in names:
            self.assertTrue(name.startswith(("TLS_", "ECDHE-")), name)
            self.assertTrue("GCM" in name or "POLY1305" in name, name)

    def test_a_client_that_comes_back_resumes_its_session(self) -> None:
        """Which spares the signature and the certificate."""
        context = client_context()
        first = TlsClient(self.tls, context).connect()
        first.tls.write(b"x")
        first.pump()
        first.read()
        again = TlsClient(self.tls, context, session=first.tls.session).connect()
        self.assertTrue(again.tls.session_reused)

    def test_garbage_instead_of_a_handshake_closes_with_the_reason(self) -> None:
        """And never reaches the protocol."""
        client = TlsClient(self.tls)
        client.server.dataReceived(b"\x16\x03\x01\x00\x05hello")
        self.assertTrue(client.tcp.disconnecting)
        client.server.connectionLost(Failure(ConnectionDone()))
        assert client.echo.lost is not None
        self.assertIsInstance(client.echo.lost.value, ssl.SSLError)
        self.assertEqual(client.echo.reads, [])

    def test_garbage_after_the_handshake_closes_too(self) -> None:
        """A record that does not authenticate is the end."""
        client = TlsClient(self.tls).connect()
        client.server.dataReceived(b"\x17\x03\x03\x00\x20" + bytes(32))
        self.assertTrue(client.tcp.disconnecting)
        self.assertEqual(client.echo.reads, [])

    def test_closing_tells_the_client_after_what_was_said_last(self) -> None:
        """The client reads the last words, then the end; then it is the client's turn to close."""
        client = TlsClient(self.tls).connect()
        client.server.write(b"last words")
        client.server.loseConnection()
        client.server.write(b"too late")
        self.assertTrue(client.tcp.wrote_end)
        self.assertFalse(client.tcp.disconnecting)
        client.pump()
        self.assertEqual(client.read(), b"last words")
        with contextlib.suppress(ssl.SSLError):
            client.tls.unwrap()
        client.pump()
        self.assertTrue(client.tcp.disconnecting)

    def test_what_a_client_says_after_it_was_told_the_end_is_not_heard(self) -> None:
        """The protocol has finished with it."""
        client = TlsClient(self.tls).connect()
        client.server.loseConnection()
        client.tls.write(b"but")
        client.pump()
        self.assertEqual(client.echo.reads, [])

    def test_a_client_that_closes_is_answered_and_closed(self) -> None:
        """What it said before still counts."""
        client = TlsClient(self.tls).connect()
        client.tls.write(b"bye")
        with contextlib.suppress(ssl.SSLError):
            client.tls.unwrap()
        client.pump()
        self.assertEqual(client.echo.reads, [b"bye"])
        self.assertTrue(client.tcp.disconnecting)

    def test_closing_before_the_handshake_is_done_cuts(self) -> None:
        """There is nobody yet to take leave of."""
        client = TlsClient(self.tls)
        client.server.write(b"never sent")
        client.server.loseConnection()
        self.assertEqual((client.tcp.aborted, client.tcp.value()), (True, b""))

    # --- the certificate

    def test_another_certificate_is_for_connections_from_now_on(self) -> None:
        """Those that stand keep theirs."""
        before = TlsClient(self.tls).connect()
        made = make_certificate("new", 1)
        self.certificate.write_bytes(made.cert_pem)
        self.key.write_bytes(made.key_pem)
        old = self.tls.fingerprint
        self.tls.use(self.certificate, self.key)
        self.assertNotEqual(self.tls.fingerprint, old)
        after = TlsClient(self.tls).connect()
        der = after.tls.getpeercert(binary_form=True)
        assert der is not None
        self.assertEqual(fingerprint_of_der(der), self.tls.fingerprint)
        before.tls.write(b"still")
        before.pump()
        self.assertEqual(before.read(), b"still")

    def test_a_certificate_that_cannot_be_used_is_told_and_the_old_one_stays(self) -> None:
        """A key of another certificate, rubbish, nothing at all."""
        old = self.tls.fingerprint
        other = make_certificate("other", 1)
        for content in (other.key_pem, b"rubbish", b""):
            self.key.write_bytes(content)
            with self.assertRaises(BadConfig) as caught:
                self.tls.use(self.certificate, self.key)
            self.assertIn("key.pem", caught.exception.message)
        self.assertEqual(self.tls.fingerprint, old)
        self.assertIsInstance(TlsClient(self.tls).connect().tls.version(), str)
