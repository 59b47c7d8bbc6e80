"""Retry tokens: a stranger's address is proved before anything is kept for it (RFC 9000, section 8.1.2).

A token says when it was made, which connection id the Retry gave out and which the stranger had chosen, under a MAC
that covers its address. Whoever sends it back has received it there, so the address is no victim's. Nothing is
remembered.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from struct import Struct
from typing import Final, NamedTuple

from qh3.quic.packet import encode_quic_retry

from p2pim.core import limits
from p2pim.wire.demux import CONNECTION_ID_BYTES, QUIC_V1, LongHeader

_HEAD = Struct(f">Q{CONNECTION_ID_BYTES}s")
_MAC_BYTES: Final = 16


class Proved(NamedTuple):
    """What a good token says."""

    original_destination: bytes
    retry_source: bytes


class RetryTokens:
    """Makes and checks tokens under a key that nobody else ever sees."""

    def __init__(self) -> None:
        self._key = os.urandom(32)

    def retry(self, header: LongHeader, address: tuple[object, ...], now: float) -> bytes:
        """The Retry packet that answers the Initial with ``header`` from ``address``."""
        source = os.urandom(CONNECTION_ID_BYTES)
        content = _HEAD.pack(int(now * 1000), source) + header.destination
        return encode_quic_retry(
            version=QUIC_V1,
            source_cid=source,
            destination_cid=header.source,
            original_destination_cid=header.destination,
            retry_token=content + self._mac(content, address),
        )

    def check(self, header: LongHeader, address: tuple[object, ...], now: float) -> Proved | None:
        """What the token in an Initial says, or None when it is not ours, not this address's, or old."""
        content, mac = header.token[:-_MAC_BYTES], header.token[-_MAC_BYTES:]
        if len(content) < _HEAD.size or not hmac.compare_digest(mac, self._mac(content, address)):
            return None
        made, source = _HEAD.unpack_from(content)
        if now - made / 1000 > limits.QUIC_TOKEN_TIME or source != header.destination:
            return None
        return Proved(content[_HEAD.size :], source)

    def _mac(self, content: bytes, address: tuple[object, ...]) -> bytes:
        bound = f"{address[0]} {address[1]} ".encode() + content
        return hmac.digest(self._key, bound, hashlib.sha256)[:_MAC_BYTES]
