"""The datagrams of connectivity checks between peers (RFC 8445, 7): short-term credentials, always fingerprinted."""

from __future__ import annotations

from p2pim.wire.stun import (
    Address,
    Attribute,
    Kind,
    StunMessage,
    pack,
    pack_error,
    pack_types,
    pack_xor_address,
)

ROLE_CONFLICT = 487


def pack_check(
    transaction: bytes,
    key: bytes,
    *,
    username: str,
    priority: int,
    controlling: bool,
    tie_breaker: int,
    nominate: bool = False,
) -> bytes:
    """A check.

    :param priority: what a peer-reflexive candidate that is found by it shall have.
    :param nominate: only the controlling side nominates.
    """
    role = Attribute.ICE_CONTROLLING if controlling else Attribute.ICE_CONTROLLED
    attributes: dict[int, bytes] = {
        Attribute.USERNAME: username.encode(),
        Attribute.PRIORITY: priority.to_bytes(4, "big"),
        role: tie_breaker.to_bytes(8, "big"),
    }
    if nominate:
        attributes[Attribute.USE_CANDIDATE] = b""
    return pack(StunMessage(Kind.REQUEST, transaction, attributes), key=key)


def pack_check_answer(transaction: bytes, key: bytes, seen: Address) -> bytes:
    """The answer to a check that came from ``seen``."""
    value = pack_xor_address(seen.normal(), transaction)
    return pack(StunMessage(Kind.SUCCESS, transaction, {Attribute.XOR_MAPPED_ADDRESS: value}), key=key)


def pack_check_error(transaction: bytes, key: bytes | None, code: int, unknown: tuple[int, ...] = ()) -> bytes:
    """A refusal: 400, 401, 420 with what was not understood, or `ROLE_CONFLICT`."""
    attributes: dict[int, bytes] = {Attribute.ERROR_CODE: pack_error(code)}
    if unknown:
        attributes[Attribute.UNKNOWN_ATTRIBUTES] = pack_types(unknown)
    return pack(StunMessage(Kind.ERROR, transaction, attributes), key=key)


def pack_indication(transaction: bytes) -> bytes:
    """A keep-alive: wants no answer."""
    return pack(StunMessage(Kind.INDICATION, transaction))
