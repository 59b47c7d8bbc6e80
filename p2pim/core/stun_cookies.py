"""Cookies by which an asker proves that answers reach it, without the server keeping anything.

A cookie is ``slot (4 bytes) | MAC (12 bytes)`` where the MAC is taken over the slot and the address and port that it
was sent to, with a key that only this process knows. Whoever shows it has read a datagram that went there.
"""

from __future__ import annotations

import hashlib
import hmac

from p2pim.core.limits import STUN_COOKIE_SLOT
from p2pim.wire.stun import Address

COOKIE_BYTES = 16


class Cookies:
    """Makes and checks cookies.

    :param key: 32 random bytes, kept for the life of the process.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, address: Address, now: float) -> bytes:
        """The cookie for ``address``."""
        return self._cookie(address, int(now // STUN_COOKIE_SLOT))

    def proves(self, cookie: bytes, address: Address, now: float) -> bool:
        """Whether ``cookie`` was sent to ``address`` in this slot of time or the one before."""
        if len(cookie) < COOKIE_BYTES:
            return False
        slot, current = int.from_bytes(cookie[:4], "big"), int(now // STUN_COOKIE_SLOT) & 0xFFFFFFFF
        if slot not in (current, current - 1):
            return False
        return hmac.compare_digest(self._cookie(address, slot), cookie[:COOKIE_BYTES])

    def _cookie(self, address: Address, slot: int) -> bytes:
        head = (slot & 0xFFFFFFFF).to_bytes(4, "big")
        text = head + address.port.to_bytes(2, "big") + address.ip
        return head + hashlib.blake2s(text, key=self._key, digest_size=12).digest()
