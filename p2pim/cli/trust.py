"""Whether to believe a server that is met for the first time.

A certificate that the system's authorities vouch for needs no question. Otherwise a person decides, as with SSH: by a
fingerprint they were given, by an authority's file, by accepting the first one seen, or by saying yes to the one shown.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import click

from p2pim.cli.invocation import has_terminal
from p2pim.core.limits import HANDSHAKE
from p2pim.errors import ServerUnreachable, UntrustedServer, Usage

DEFAULT_PORT = 4530


@dataclass(frozen=True)
class Account:
    """``NAME@HOST[:PORT]``, taken apart."""

    name: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.name}@{host}:{self.port}"


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


def parse_account(text: str) -> Account:
    """The parts of ``NAME@HOST[:PORT]``; an IPv6 host stands in brackets.

    :raises Usage: it has no such form.
    """
    name, at, server = text.rpartition("@")
    host, port_text = _split_port(server)
    if not at or not name or not host or not port_text.isdecimal() or not 0 < int(port_text) < 65536:
        raise Usage(f"{text!r} is no NAME@HOST[:PORT], such as alice@chat.example.org:4530.")
    return Account(name, host, int(port_text))


def _split_port(server: str) -> tuple[str, str]:
    if server.startswith("["):
        host, _, rest = server[1:].partition("]")
        return host, rest[1:] if rest.startswith(":") else str(DEFAULT_PORT)
    host, colon, port = server.partition(":")
    return host, port if colon else str(DEFAULT_PORT)


def decide_trust(account: Account, choice: TrustChoice) -> TrustChoice:
    """``choice``, or when it is open: the system's authorities if they vouch for the server, else the person's word.

    :raises UntrustedServer: nobody vouches for the certificate, and nobody can be asked or the answer was no.
    :raises ServerUnreachable: the server does not answer.
    """
    if choice.made or vouched_for(account):
        return choice
    fingerprint = fingerprint_text(presented_certificate(account))
    known = f"The certificate of {account.host}:{account.port} is vouched for by no authority this machine knows."
    if not has_terminal():
        raise UntrustedServer(
            f"{known} Its fingerprint is {fingerprint}; when the server's operator confirms that, give "
            f"--fingerprint {fingerprint}. (--ca FILE names an authority; --trust-first-use takes the first seen.)"
        )
    click.echo(f"{known}\nIts fingerprint is {fingerprint}.", err=True)
    if not click.confirm("Is that what the server's operator told you, and do you want to go on?", err=True):
        raise UntrustedServer("The server was not trusted, and nothing was sent to it.")
    return TrustChoice(fingerprint=fingerprint)


def vouched_for(account: Account) -> bool:
    """Whether the system's authorities vouch for the server under its name.

    Only whether to ask depends on this: the connection that signs in verifies for itself.
    """
    try:
        _handshake(account, ssl.create_default_context())
    except ssl.SSLCertVerificationError:
        return False
    return True


def presented_certificate(account: Account) -> bytes:
    """The certificate that the server presents, in DER, unverified."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _handshake(account, context)


def _handshake(account: Account, context: ssl.SSLContext) -> bytes:
    context.set_alpn_protocols(["p2pim/1"])
    try:
        with (
            socket.create_connection((account.host, account.port), HANDSHAKE) as plain,
            context.wrap_socket(plain, server_hostname=account.host) as secured,
        ):
            return secured.getpeercert(binary_form=True) or b""
    except ssl.SSLCertVerificationError:
        raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ServerUnreachable(f"{account.host}:{account.port} cannot be reached: {reason}.") from None


def fingerprint_text(der: bytes) -> str:
    """``SHA256:`` and the digest in Base64 without padding, as SSH writes it."""
    from p2pim.net.certificates import format_fingerprint

    return format_fingerprint(hashlib.sha256(der).digest())
