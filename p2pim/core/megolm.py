"""vodozemac's Megolm objects, as the rest sees them: bytes in, bytes out, and what goes wrong as `p2pim.errors`.

Megolm (https://gitlab.matrix.org/matrix-org/olm/-/blob/master/docs/megolm.md) seals once for many: a ratchet that only
its maker moves on and signs with, and that everybody who was given it at some place can follow from there, but not
back. A session's id is the public key of its signatures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from vodozemac import (
    DecodeException,
    ExportedSessionKey,
    GroupSession,
    InboundGroupSession,
    MegolmDecryptionException,
    MegolmMessage,
)

from p2pim.errors import BadKeys, CannotOpen

MEGOLM: Final = 2
"""The ``scheme`` of a message to a group."""


@dataclass(frozen=True, slots=True)
class Started:
    """A new session: ``pickle`` seals, ``mirror`` is the same as others have it, from its beginning on."""

    id: str
    pickle: str
    mirror: str


def start(key: bytes) -> Started:
    """A new session of this device; pickles are encrypted with ``key``."""
    session = GroupSession()
    mirror = InboundGroupSession(session.session_key)
    return Started(session.session_id, session.pickle(key), mirror.pickle(key))


def next_index(pickle: str, key: bytes) -> int:
    """The place of the next message."""
    return GroupSession.from_pickle(pickle, key).message_index


def encrypt(pickle: str, key: bytes, plaintext: bytes) -> tuple[str, bytes]:
    """The session after it, and the message."""
    session = GroupSession.from_pickle(pickle, key)
    message = session.encrypt(plaintext)
    return session.pickle(key), message.to_bytes()


def export(mirror: str, key: bytes, index: int) -> str:
    """What opens all from the message ``index`` on, and nothing before, in base64.

    :raises BadKeys: the mirror does not go back so far.
    """
    exported = InboundGroupSession.from_pickle(mirror, key).export_at(index)
    if exported is None:
        raise BadKeys("The key of a group does not go back so far.")
    return exported.to_base64()


def take(exported: str, id: str, key: bytes) -> tuple[str, int]:
    """What was exported, as a pickle, and from where on it opens.

    :raises BadKeys: it is none, or not of the session ``id``.
    """
    try:
        session = InboundGroupSession.import_session(ExportedSessionKey(exported))
    except ValueError as error:
        raise BadKeys(f"The key of a group is damaged: {error}") from None
    if session.session_id != id:
        raise BadKeys("The key of a group is of another session than it says.")
    return session.pickle(key), session.first_known_index


def first_index(pickle: str, key: bytes) -> int:
    """From where on it opens."""
    return InboundGroupSession.from_pickle(pickle, key).first_known_index


def decrypt(pickle: str, key: bytes, body: bytes) -> tuple[bytes, int]:
    """What is in a message, and its place.

    :raises CannotOpen: it is from before this key, of another session, or was changed.
    """
    try:
        found = InboundGroupSession.from_pickle(pickle, key).decrypt(MegolmMessage.from_bytes(body))
    except (MegolmDecryptionException, DecodeException) as error:
        raise CannotOpen(f"A message to a group cannot be opened: {error}") from None
    return found.plaintext, found.message_index
