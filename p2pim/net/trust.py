"""Whom to believe when a server shows its certificate.

A server is trusted because its certificate is the one that was pinned (as SSH does it), because it is the first one
seen, or because a root vouches for it and it names the right host. In the last case a bad one fails the handshake; a
pin is compared when the handshake is done, before anything is said inside it.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL
from OpenSSL.crypto import X509
from service_identity import CertificateError, VerificationError
from service_identity.pyopenssl import verify_hostname, verify_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from p2pim.core.addresses import format_address
from p2pim.core.candidates import parse_host
from p2pim.errors import UntrustedServer
from p2pim.net.certificates import fingerprint_of_der, format_fingerprint
from p2pim.wire.messages import ALPN

_FAULTS: Final = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "it ends at an unknown root",
    20: "its issuer is unknown",
    21: "its issuer is unknown",
}
"""OpenSSL's verification errors that people meet."""


@dataclass(frozen=True)
class ServerAddress:
    """Where a server is: a host name or IP address, and its TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return format_address(self.host, self.port)


@dataclass(frozen=True)
class Trust:
    """How a server is believed to be the right one.

    With a ``fingerprint`` (SHA-256 of its certificate) it must have exactly that; else, with ``first_use``, whatever it
    has is taken and from then on pinned; else its certificate must be valid for its name, by the system's roots or by
    those in ``ca_file``.
    """

    fingerprint: bytes | None = None
    ca_file: Path | None = None
    first_use: bool = False

    @property
    def by_roots(self) -> bool:
        """Whether roots decide."""
        return self.fingerprint is None and not self.first_use

    def pinned(self, fingerprint: bytes) -> Trust:
        """The trust from now on, after a connection to the server with ``fingerprint``."""
        return self if self.by_roots else replace(self, fingerprint=fingerprint, first_use=False)


@dataclass
class _Seen:
    """What the verification of one connection found."""

    fault: str = ""
    fingerprint: bytes = b""


@implementer(IOpenSSLClientConnectionCreator)
class ServerTls:
    """Makes TLS connections to one server and judges what it shows.

    :raises UntrustedServer: the CA file cannot be used.
    """

    def __init__(self, server: ServerAddress, trust: Trust) -> None:
        self._server = server
        self._trust = trust
        self._seen: WeakKeyDictionary[SSL.Connection, _Seen] = WeakKeyDictionary()
        self._context = self._make_context()

    def _make_context(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_alpn_protos([ALPN])
        if self._trust.by_roots:
            self._load_roots(context)
            context.set_verify(SSL.VERIFY_PEER, self._note)
        else:
            context.set_verify(SSL.VERIFY_NONE)  # no chain; `judge` compares the fingerprint
        return context

    def _load_roots(self, context: SSL.Context) -> None:
        if self._trust.ca_file is None:
            context.set_default_verify_paths()
            return
        try:
            context.load_verify_locations(str(self._trust.ca_file))
        except SSL.Error:
            raise UntrustedServer(f"The CA file {self._trust.ca_file} cannot be read.") from None

    def clientConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:  # noqa: N803
        """A new TLS connection (Twisted's name for it)."""
        connection = SSL.Connection(self._context, None)
        self._seen[connection] = _Seen()
        if parse_host(self._server.host) is None:
            connection.set_tlsext_host_name(self._server.host.encode("idna"))
        return connection

    def judge(self, connection: SSL.Connection) -> bytes:
        """The fingerprint of the server at the other end of a finished handshake.

        :raises UntrustedServer: it is not to be believed.
        """
        certificate = connection.get_peer_certificate()
        if certificate is None:
            raise UntrustedServer("The server has no certificate.")
        found = _fingerprint(certificate)
        if self._trust.fingerprint is not None:
            self._compare(self._trust.fingerprint, found)
        elif self._trust.by_roots:
            fault = self._name_fault(connection)
            if fault:
                raise self._unverified(fault, found)
        return found

    def fault_of(self, connection: SSL.Connection) -> UntrustedServer | None:
        """Why the handshake of ``connection`` failed, when the server's certificate was the reason."""
        seen = self._seen[connection]
        return self._unverified(seen.fault, seen.fingerprint) if seen.fault else None

    def _note(self, connection: SSL.Connection, certificate: X509, number: int, depth: int, good: int) -> bool:
        """OpenSSL's verification asks about each certificate: keep what was wrong, and change nothing."""
        seen = self._seen[connection]
        if depth == 0:
            seen.fingerprint = _fingerprint(certificate)
        if not good:
            seen.fault = seen.fault or _FAULTS.get(number, f"OpenSSL says error {number}")
        return bool(good)

    def _compare(self, pinned: bytes, found: bytes) -> None:
        if not hmac.compare_digest(pinned, found):
            raise UntrustedServer(
                f"The certificate of {self._server} is not the one pinned: expected "
                f"{format_fingerprint(pinned)}, found {format_fingerprint(found)}. Somebody may be listening in, or "
                "the server was set up anew. If its operator confirms the new fingerprint, sign in again and give it "
                "with --fingerprint."
            )

    def _unverified(self, fault: str, found: bytes) -> UntrustedServer:
        known = f" Its fingerprint is {format_fingerprint(found)}; i" if found else " I"
        return UntrustedServer(
            f"The certificate of {self._server} could not be verified: {fault}.{known}f its operator confirms the "
            "fingerprint, give it with --fingerprint, or take what is there with --trust-first-use."
        )

    def _name_fault(self, connection: SSL.Connection) -> str:
        try:
            if parse_host(self._server.host) is None:
                verify_hostname(connection, self._server.host)
            else:
                verify_ip_address(connection, self._server.host)
        except (VerificationError, CertificateError):
            return f"it is not for {self._server.host}"
        return ""


def _fingerprint(certificate: X509) -> bytes:
    return fingerprint_of_der(certificate.to_cryptography().public_bytes(serialization.Encoding.DER))
