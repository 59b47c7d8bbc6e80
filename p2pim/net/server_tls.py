"""TLS at the server's side of the server connection.

TLS 1.2 with forward secrecy and authenticated ciphers, and 1.3. Sessions are resumed by tickets, which spares a client
that comes back the certificate and the server most of a handshake; that needs a session id context, which Twisted's own
options leave out. The context is replaced as a whole when the certificate is reloaded; connections that exist keep
theirs.
"""

from __future__ import annotations

from typing import Any, Final

from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IProtocolFactory, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from p2pim.errors import BadConfig
from p2pim.net.certificates import CertificateAndKey, fingerprint_of_der
from p2pim.wire.messages import ALPN

CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL:!MD5:!DSS"
_SESSION_CONTEXT: Final = b"p2pim-server"


def make_context(pair: CertificateAndKey) -> SSL.Context:
    """A server's TLS context for a certificate (followed by its chain, if any) and key.

    :raises BadConfig: they cannot be read or do not belong together.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(CIPHERS)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # an idle connection keeps no buffers: 32 KiB less each
    context.set_session_id(_SESSION_CONTEXT)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets instead: the client keeps them
    context.set_alpn_select_callback(_choose_protocol)
    _use(context, pair)
    return context


def _use(context: SSL.Context, pair: CertificateAndKey) -> None:
    try:
        first, *chain = _split_chain(pair.cert_pem)
        context.use_certificate(first)
        for certificate in chain:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, pair.key_pem, b""))
        context.check_privatekey()
    except (SSL.Error, crypto.Error, ValueError) as error:
        raise BadConfig(
            f"The certificate and its key cannot be used: {error or 'they do not belong together'}."
        ) from None


def _split_chain(pem: bytes) -> list[crypto.X509]:
    end = b"-----END CERTIFICATE-----"
    parts = [part + end for part in pem.split(end)[:-1]]
    if not parts:
        raise ValueError("there is no certificate in it")
    return [crypto.load_certificate(crypto.FILETYPE_PEM, part) for part in parts]


def _choose_protocol(connection: SSL.Connection, offered: list[bytes]) -> bytes | Any:
    return ALPN if ALPN in offered else SSL.NO_OVERLAPPING_PROTOCOLS


def certificate_fingerprint(pair: CertificateAndKey) -> bytes:
    """SHA-256 of the certificate that clients will see."""
    certificate = _split_chain(pair.cert_pem)[0]
    return fingerprint_of_der(crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate))


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """Makes the TLS side of accepted connections, with the certificate that is current."""

    def __init__(self, pair: CertificateAndKey) -> None:
        self.use(pair)

    def use(self, pair: CertificateAndKey) -> None:
        """Take this certificate for connections from now on.

        :raises BadConfig: it cannot be used, and the one before stays.
        """
        context = make_context(pair)
        self.fingerprint = certificate_fingerprint(pair)
        self._context = context

    def serverConnectionForTLS(self, tlsProtocol: Protocol) -> SSL.Connection:  # noqa: N803 - Twisted's name
        """The OpenSSL state of one connection."""
        return SSL.Connection(self._context, None)


class ServerTlsFactory(TLSMemoryBIOFactory):
    """Wraps the protocols of ``wrapped`` in TLS.

    Twisted's own collects small writes for a turn of the reactor; ours are collected already (`p2pim.net.stream`).
    """

    protocol = TLSMemoryBIOProtocol

    def __init__(self, tls: ServerTls, wrapped: IProtocolFactory, clock: IReactorTime) -> None:
        super().__init__(tls, False, wrapped, clock)

    def wrap(self, protocol: Protocol) -> TLSMemoryBIOProtocol:
        """``protocol`` inside TLS, yet to be connected."""
        make: Any = self.protocol
        wrapped: TLSMemoryBIOProtocol = make(self, protocol)
        return wrapped
