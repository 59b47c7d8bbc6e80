"""What two people compare to know that nobody stands between them: a safety number, or pictures.

A **safety number** is 60 digits, the same on both sides as long as both know the same devices of both users with the
same keys. Each user's half is a slow hash over the keys of all their devices (as in Signal's numeric fingerprints);
the smaller half comes first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from p2pim.wire.keys import Identity

ROUNDS: Final = 5200
"""Of SHA-512 per half, as in Signal: what makes looking for keys with a given number dear."""
GROUPS: Final = 6
"""Groups of five digits in a half: 100 bits."""

_NAMES: Final = """
    dog cat lion horse unicorn pig elephant rabbit panda rooster penguin turtle fish octopus butterfly flower tree
    cactus mushroom globe moon cloud fire banana apple strawberry corn pizza cake heart smiley robot hat glasses
    spanner santa thumbs-up umbrella hourglass clock gift light-bulb book pencil paperclip scissors lock key hammer
    telephone flag train bicycle aeroplane rocket trophy ball guitar trumpet bell anchor headphones folder pin
"""
EMOJI: Final = tuple(_NAMES.split())
"""The names of the 64 pictures of a short authentication string, in the order of Matrix's table."""


def safety_number(users: Iterable[tuple[str, Iterable[Identity]]]) -> str:
    """Sixty digits in groups of five, over (user, identities of all their devices) of the two."""
    return " ".join(sorted(_half(user, identities) for user, identities in users))


def _half(user: str, identities: Iterable[Identity]) -> str:
    keys = b"".join(sorted(each.ed25519 + each.curve25519 for each in identities))
    content = b"p2pim safety number 1" + len(user.encode()).to_bytes(2, "big") + user.encode() + keys
    digest = hashlib.sha512(content).digest()
    for _ in range(ROUNDS - 1):
        digest = hashlib.sha512(digest + keys).digest()
    groups = (int.from_bytes(digest[5 * n : 5 * n + 5], "big") % 100_000 for n in range(GROUPS))
    return " ".join(f"{group:05d}" for group in groups)


def fingerprint(identity: Identity) -> str:
    """A device's Ed25519 key, in hexadecimal groups of four."""
    text = identity.ed25519.hex()
    return " ".join(text[n : n + 4] for n in range(0, len(text), 4))
