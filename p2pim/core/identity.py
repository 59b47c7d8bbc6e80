"""What the signatures over a device's keys are made over, byte by byte, and how they are checked.

Each part stands after its length (two bytes, big endian), and what is signed begins with what it is for, so that no
signature can be taken for one over something else. All signatures are Ed25519, by the device's own identity key.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def identity_bytes(user: str, device: bytes, ed25519: bytes, curve25519: bytes) -> bytes:
    """What an identity's signature is over: these are the keys of ``device`` (16 bytes) of ``user`` (canonical).

    :param ed25519: the public signing key, 32 bytes.
    :param curve25519: the public key of sessions, 32 bytes.
    """
    return _parts(b"p2pim device identity 1", user.encode(), device, ed25519, curve25519)


def one_time_bytes(user: str, device: bytes, id: str, key: bytes, fallback: bool) -> bytes:
    """What the signature of a one-time or ``fallback`` key is over: the key ``id`` of ``device`` of ``user``.

    :param key: the public key, 32 bytes.
    """
    purpose = b"p2pim fallback key 1" if fallback else b"p2pim one-time key 1"
    return _parts(purpose, user.encode(), device, id.encode(), key)


def signed_by(ed25519: bytes, signature: bytes, content: bytes) -> bool:
    """Whether ``signature`` (64 bytes) over ``content`` was made by the holder of the key ``ed25519``."""
    try:
        Ed25519PublicKey.from_public_bytes(ed25519).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


def _parts(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)
