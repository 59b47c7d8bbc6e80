"""vodozemac's objects, as the rest sees them: bytes in, bytes out, and what goes wrong as `p2pim.errors`.

Olm (https://gitlab.matrix.org/matrix-org/olm/-/blob/master/docs/olm.md) seals for one device; `position` reads from
the outside of a message where in its session it stands, which is all that is needed to keep what an overtaking message
would push out.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from vodozemac import (
    Account,
    AnyOlmMessage,
    Curve25519PublicKey,
    DecodeException,
    OlmDecryptionException,
    PreKeyMessage,
    Session,
    SessionCreationException,
)

from p2pim.errors import CannotOpen, Replayed

PRE_KEY: Final = 0
"""The ``scheme`` of a message that begins a session, and of a further one."""
NORMAL: Final = 1

_USED_KEY: Final = "message key with the given key can't be created"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a message stands: in the chain of the ratchet key ``chain``, after ``index`` others."""

    chain: bytes
    index: int


def unpadded(text: str) -> bytes:
    """The bytes of vodozemac's unpadded base64."""
    return base64.b64decode(text + "=" * (-len(text) % 4))


def read_message(scheme: int, body: bytes) -> AnyOlmMessage:
    """An Olm message.

    :raises CannotOpen: it is none.
    """
    try:
        return AnyOlmMessage.from_parts(scheme, body)
    except DecodeException as error:
        raise CannotOpen(f"A sealed message is damaged: {error}") from None


def pre_key(message: AnyOlmMessage) -> PreKeyMessage:
    """What begins a session."""
    found = message.to_pre_key()
    if found is None:
        raise CannotOpen("A sealed message does not begin a session, as it says.")
    return found


def begin(account: Account, curve25519: bytes, message: PreKeyMessage) -> tuple[Session, bytes]:
    """The session that the holder of ``curve25519`` begins with ``message``, and what that says.

    :raises CannotOpen: it is another's, its one-time key is not here (any more), or it was changed.
    """
    try:
        session, plaintext = account.create_inbound_session(Curve25519PublicKey.from_bytes(curve25519), message)
    except (SessionCreationException, ValueError) as error:
        raise CannotOpen(f"A sealed message begins no session here: {error}") from None
    return session, plaintext


def decrypt(session: Session, message: AnyOlmMessage) -> bytes:
    """What is in a message of ``session``.

    :raises Replayed: its key is used up.
    :raises CannotOpen: it is of another session or state, or was changed.
    """
    try:
        return session.decrypt(message)
    except OlmDecryptionException as error:
        if _USED_KEY in str(error):
            raise Replayed from None
        raise CannotOpen(f"A sealed message cannot be opened: {error}") from None


def position(scheme: int, body: bytes) -> Position:
    """Where a message stands, by its protobuf: field 1 the ratchet key, field 2 the index; in a first message all of it
    is field 4.

    :raises CannotOpen: there is no such thing in it.
    """
    try:
        fields = _fields(body[1:])
        if scheme == PRE_KEY:
            inner = fields[4]
            assert isinstance(inner, bytes)
            fields = _fields(inner[1:-8])
        chain, index = fields[1], fields[2]
    except (IndexError, KeyError, AssertionError):
        raise CannotOpen("A sealed message is damaged.") from None
    if not isinstance(chain, bytes) or not isinstance(index, int):
        raise CannotOpen("A sealed message is damaged.")
    return Position(chain, index)


def _fields(body: bytes) -> dict[int, bytes | int]:
    """The fields of a protobuf by number; what follows the last whole one (a MAC) is left alone."""
    fields: dict[int, bytes | int] = {}
    at = 0
    while at < len(body) and not {1, 2, 4} <= fields.keys():
        tag, at = _varint(body, at)
        value, at = _varint(body, at)
        if tag & 7 == 2:
            fields[tag >> 3] = body[at : at + value]
            at += value
        elif tag & 7 == 0:
            fields[tag >> 3] = value
        else:
            break
    return fields


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise IndexError
