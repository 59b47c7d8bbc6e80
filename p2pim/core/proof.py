"""How the two ends of a new channel prove that they are who negotiated it.

Offer and answer carry a secret of each side. Both together give a key that only the two devices know; a MAC with it
over keying material exported from the TLS session (RFC 8446, section 7.5) can be made for no other session, so a
proof that somebody recorded or relayed is worth nothing. The role in it keeps a proof from being sent back to whoever
made it.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

EXPORTER_LABEL: Final = b"EXPORTER-p2pim-channel"
EXPORTER_BYTES: Final = 32
DIALLER: Final = b"dialler"
DIALLED: Final = b"dialled"


def channel_key(offerer_secret: bytes, answerer_secret: bytes) -> bytes:
    """The key that both sides of a negotiation know."""
    return hmac.digest(offerer_secret, answerer_secret, hashlib.sha256)


def check_key(offerer_secret: bytes) -> bytes:
    """The key of a negotiation's connectivity checks. The offerer's secret alone makes it, so the answerer's first
    check can be answered before the answer has arrived."""
    return hmac.digest(offerer_secret, b"p2pim connectivity checks", hashlib.sha256)


def make_proof(key: bytes, role: bytes, exported: bytes) -> bytes:
    """What the side in ``role`` says in its `Prove`."""
    return hmac.digest(key, role + exported, hashlib.sha256)


def is_proof(mac: bytes, key: bytes, role: bytes, exported: bytes) -> bool:
    """Whether ``mac`` is that; takes the same time for every wrong one."""
    return hmac.compare_digest(mac, make_proof(key, role, exported))
