"""Whether to believe a server that is met for the first time.

A certificate that the system's authorities vouch for needs no question. Otherwise a person decides, as with SSH: by a
fingerprint they were given, by an authority's file, by accepting the first one seen, or by saying yes to the one shown.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import click

from p2pim.cli.invocation import has_terminal
from p2pim.core.limits import HANDSHAKE
from p2pim.errors import ServerUnreachable, UntrustedServer
from p2pim.net.certificates import fingerprint_of_der, format_fingerprint
from p2pim.net.trust import ServerAddress
from p2pim.peer.home import Home


@dataclass(frozen=True)
class TrustChoice:
    """What the options said: at most one of them."""

    fingerprint: str | None = None
    ca_file: Path | None = None
    first_use: bool = False

    @property
    def made(self) -> bool:
        """Whether there is anything left to ask."""
        return bool(self.fingerprint or self.ca_file or self.first_use)


def decide_trust(home: Path, server: ServerAddress, choice: TrustChoice) -> TrustChoice:
    """``choice``, or when it is open: what this home knows of the server, the system's authorities, a person's word.

    :raises UntrustedServer: nobody vouches for the certificate, and nobody can be asked or the answer was no.
    :raises ServerUnreachable: the server does not answer.
    """
    if choice.made or known_here(home, server) or vouched_for(server):
        return choice
    fingerprint = fingerprint_text(presented_certificate(server))
    known = f"The certificate of {server} is vouched for by no authority that this machine knows."
    if not has_terminal():
        raise UntrustedServer(
            f"{known} Its fingerprint is {fingerprint}; when the server's operator confirms that, give "
            f"--fingerprint {fingerprint}. (--ca FILE names an authority; --trust-first-use takes the first seen.)"
        )
    click.echo(f"{known}\nIts fingerprint is {fingerprint}.", err=True)
    if not click.confirm("Is that what the server's operator told you, and do you want to go on?", err=True):
        raise UntrustedServer("The server was not trusted, and nothing was sent to it.")
    return TrustChoice(fingerprint=fingerprint)


def known_here(home: Path, server: ServerAddress) -> bool:
    """Whether this home has been signed in at that server before, and keeps its pin or authority."""
    if not (home / "credentials.json").exists():
        return False
    known = Home(home).credentials()
    return known.server == str(server) and bool(known.fingerprint or known.ca_file)


def vouched_for(server: ServerAddress) -> bool:
    """Whether the system's authorities vouch for the server under its name.

    Only whether to ask depends on this: the connection that signs in verifies for itself.
    """
    try:
        _handshake(server, ssl.create_default_context())
    except ssl.SSLCertVerificationError:
        return False
    return True


def presented_certificate(server: ServerAddress) -> bytes:
    """The certificate that the server presents, in DER, unverified."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _handshake(server, context)


def _handshake(server: ServerAddress, context: ssl.SSLContext) -> bytes:
    context.set_alpn_protocols(["p2pim/1"])
    try:
        with (
            socket.create_connection((server.host, server.port), HANDSHAKE) as plain,
            context.wrap_socket(plain, server_hostname=server.host) as secured,
        ):
            return secured.getpeercert(binary_form=True) or b""
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ServerUnreachable(f"{server} cannot be reached: {reason.lower()}.") from None


def fingerprint_text(der: bytes) -> str:
    """The certificate's fingerprint as people read it."""
    return format_fingerprint(fingerprint_of_der(der))
