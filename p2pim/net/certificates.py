"""Self-made certificates and their fingerprints.

A server makes its certificate on its first run; a peer makes an ephemeral one for its channels. Neither is signed by
anybody: what is trusted is the fingerprint, the SHA-256 of the certificate in DER, which people read and type in the
form that SSH uses, ``SHA256:`` and base64 without padding.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FINGERPRINT_BYTES: Final = 32
TEN_YEARS: Final = 3653
"""Days; a self-made certificate is pinned, so that an early end would only frighten people."""

_PREFIX: Final = "SHA256:"


class CertificateAndKey(NamedTuple):
    """A certificate and its private key, both PEM."""

    cert_pem: bytes
    key_pem: bytes


def make_certificate(common_name: str, days: int = TEN_YEARS) -> CertificateAndKey:
    """A new ECDSA P-256 key and a self-signed certificate for it, valid from an hour ago for ``days``.

    :param common_name: what the certificate is called, at most 64 characters (RFC 5280, ub-common-name).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    begin = datetime.now(UTC) - timedelta(hours=1)  # clocks differ
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return CertificateAndKey(certificate.public_bytes(serialization.Encoding.PEM), key_pem)


def fingerprint_of_der(der: bytes) -> bytes:
    """SHA-256 of a certificate in DER, 32 bytes."""
    return hashlib.sha256(der).digest()


def fingerprint_of_pem(pem: bytes) -> bytes:
    """The fingerprint of the first certificate in ``pem``.

    :raises ValueError: there is none.
    """
    certificate = x509.load_pem_x509_certificate(pem)
    return fingerprint_of_der(certificate.public_bytes(serialization.Encoding.DER))


def format_fingerprint(fingerprint: bytes) -> str:
    """``SHA256:`` and base64 without padding, as SSH writes it."""
    return _PREFIX + base64.b64encode(fingerprint).decode("ascii").rstrip("=")


def parse_fingerprint(text: str) -> bytes:
    """The 32 bytes behind `format_fingerprint`'s text; hexadecimal, with or without colons, is taken as well.

    :raises ValueError: it is no fingerprint.
    """
    body = text.strip()
    if body[: len(_PREFIX)].upper() == _PREFIX:
        body = body[len(_PREFIX) :]
    digits = body.replace(":", "")
    try:
        if len(digits) == 2 * FINGERPRINT_BYTES:
            return bytes.fromhex(digits)
        fingerprint = base64.b64decode(body.rstrip("=") + "=", validate=True)
    except (ValueError, binascii.Error):
        fingerprint = b""
    if len(fingerprint) != FINGERPRINT_BYTES:
        raise ValueError(f"{text!r} is no fingerprint: SHA256: and 43 characters of base64, or 64 hexadecimal digits")
    return fingerprint


def ensure_certificate(cert_path: Path, key_path: Path, common_name: str) -> CertificateAndKey:
    """What the two files hold; made and written (mode 0600) when neither is there.

    :raises OSError: they cannot be read or written, or only one of the two is there.
    """
    if not cert_path.exists() and not key_path.exists():
        made = make_certificate(common_name)
        _write_private(key_path, made.key_pem)
        _write_private(cert_path, made.cert_pem)
    return CertificateAndKey(cert_path.read_bytes(), key_path.read_bytes())


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    aside = path.with_name(path.name + ".new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
