"""TLS between two peers: version 1.3 only, each side with a certificate that lives as long as its process.

The certificates are nobody's but the peer's own: what they are worth is their fingerprint, which offer and answer carry
and the dialling side compares. The dialled side learns who called by a MAC over the session (see `p2pim.core.proof`).
"""

from __future__ import annotations

import hmac
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL
from twisted.internet.interfaces import IProtocolFactory, ITransport

from p2pim.core.proof import EXPORTER_BYTES, EXPORTER_LABEL
from p2pim.net.certificates import fingerprint_of_der, fingerprint_of_pem, make_certificate
from p2pim.net.channel_tls import TlsFactory

CHANNEL_ALPN: Final = b"p2pim-channel/1"
CIPHERSUITES: Final = b"TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
"""AES-128 first: a channel is as fast as its cipher, and 128 bits are enough."""
_PARTIAL_WRITE: Final = 1
"""SSL_MODE_ENABLE_PARTIAL_WRITE, which pyOpenSSL sets and does not name: one call of OpenSSL for each record."""
CERTIFICATE_DAYS: Final = 397
"""Longer than any process lives; a peer whose clock is wrong does not look at it anyway."""


class PeerIdentity:
    """A peer's ephemeral certificate, in memory alone."""

    def __init__(self) -> None:
        made = make_certificate("p2pim peer", CERTIFICATE_DAYS)
        self.fingerprint = fingerprint_of_pem(made.cert_pem)
        """SHA-256 of the certificate in DER: what offers and answers carry."""
        self.pem = made
        """For QUIC, whose library takes it as text."""
        self._certificate = x509.load_pem_x509_certificate(made.cert_pem)
        self._key = serialization.load_pem_private_key(made.key_pem, None)

    def context(self) -> SSL.Context:
        """A context for the side that is dialled."""
        context = _base_context()
        context.use_certificate(self._certificate)
        context.use_privatekey(self._key)  # type: ignore[arg-type]
        context.set_alpn_select_callback(_select_alpn)
        return context


def _base_context() -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(CIPHERSUITES)
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # a proof is bound to one session: none is resumed
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.clear_mode(_PARTIAL_WRITE)
    return context


def _select_alpn(connection: SSL.Connection, offered: list[bytes]) -> Any:
    return CHANNEL_ALPN if CHANNEL_ALPN in offered else SSL.NO_OVERLAPPING_PROTOCOLS


class ChannelTls:
    """Makes the TLS ends of one peer's channels."""

    def __init__(self, identity: PeerIdentity | None = None) -> None:
        self.identity = identity or PeerIdentity()
        self._dialled = self.identity.context()
        self._dialling = _dialling_context()

    def listening(self, factory: IProtocolFactory) -> TlsFactory:
        """``factory``'s protocols inside TLS, at the side that is called."""
        return TlsFactory(self._called, factory)

    def dialling(self, factory: IProtocolFactory) -> TlsFactory:
        """The same at the side that calls."""
        return TlsFactory(self._calling, factory)

    def _called(self) -> SSL.Connection:
        connection = SSL.Connection(self._dialled, None)
        connection.set_accept_state()
        return connection

    def _calling(self) -> SSL.Connection:
        connection = SSL.Connection(self._dialling, None)
        connection.set_connect_state()
        return connection


def _dialling_context() -> SSL.Context:
    context = _base_context()
    # No chain to verify: `is_pinned` compares the fingerprint once the handshake is done, before anything is said.
    context.set_verify(SSL.VERIFY_NONE)
    context.set_alpn_protos([CHANNEL_ALPN])
    return context


def speaks_channel(transport: ITransport) -> bool:
    """Whether the other end of a finished handshake speaks this protocol (RFC 7301). OpenSSL itself goes on without."""
    connection: SSL.Connection = transport.getHandle()  # type: ignore[attr-defined]
    return bool(connection.get_alpn_proto_negotiated() == CHANNEL_ALPN)


def is_pinned(transport: ITransport, fingerprint: bytes) -> bool:
    """Whether the other end of a finished handshake has the certificate with ``fingerprint``."""
    certificate = transport.getPeerCertificate()  # type: ignore[attr-defined]
    if certificate is None:
        return False
    der = certificate.to_cryptography().public_bytes(serialization.Encoding.DER)
    return hmac.compare_digest(fingerprint_of_der(der), fingerprint)


def exported_key(transport: ITransport) -> bytes:
    """The keying material that stands for this TLS session in a proof."""
    connection: SSL.Connection = transport.getHandle()  # type: ignore[attr-defined]
    return bytes(connection.export_keying_material(EXPORTER_LABEL, EXPORTER_BYTES))
