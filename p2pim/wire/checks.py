"""Connectivity checks between peers: STUN Binding requests with the attributes of ICE (RFC 8445, section 7.1).

Every one carries MESSAGE-INTEGRITY-SHA256 under the negotiation's key and a FINGERPRINT, so whoever sees or forges
datagrams without knowing the offer's secret changes nothing. USERNAME names the negotiation.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from p2pim.errors import BadStun, NotStun
from p2pim.wire.stun import (
    Address,
    Attribute,
    Kind,
    StunMessage,
    check_integrity,
    pack,
    pack_error,
    pack_xor_address,
    parse,
)

Endpoint = tuple[str, int]
ROLE_CONFLICT: Final = 487


@dataclass(frozen=True, slots=True)
class Check:
    """A question: does this path work?"""

    transaction: bytes
    username: str
    priority: int
    controlling: bool
    tie_breaker: int


@dataclass(frozen=True, slots=True)
class CheckResponse:
    """It does; ``mapped`` is where the question came from."""

    transaction: bytes
    mapped: Endpoint


@dataclass(frozen=True, slots=True)
class RoleConflict:
    """Both sides think that they control; the asker must change its role."""

    transaction: bytes


def pack_check(check: Check, key: bytes) -> bytes:
    """The datagram of a check."""
    role = Attribute.ICE_CONTROLLING if check.controlling else Attribute.ICE_CONTROLLED
    attributes: dict[int, bytes] = {
        Attribute.USERNAME: check.username.encode(),
        Attribute.PRIORITY: check.priority.to_bytes(4, "big"),
        role: check.tie_breaker.to_bytes(8, "big"),
    }
    return pack(StunMessage(Kind.REQUEST, check.transaction, attributes), key=key, sha256=True)


def pack_response(transaction: bytes, mapped: Endpoint, key: bytes) -> bytes:
    """The answer to a check that came from ``mapped``."""
    address = Address(ip_address(mapped[0]).packed, mapped[1]).normal()
    attributes: dict[int, bytes] = {Attribute.XOR_MAPPED_ADDRESS: pack_xor_address(address, transaction)}
    return pack(StunMessage(Kind.SUCCESS, transaction, attributes), key=key, sha256=True)


def pack_conflict(transaction: bytes, key: bytes) -> bytes:
    """The answer to a check whose sender has the wrong role."""
    attributes: dict[int, bytes] = {Attribute.ERROR_CODE: pack_error(ROLE_CONFLICT, "Role Conflict")}
    return pack(StunMessage(Kind.ERROR, transaction, attributes), key=key, sha256=True)


def check_username(data: bytes) -> str | None:
    """Which negotiation a check says it belongs to, before any key is tried; None for responses and everything else."""
    try:
        message = parse(data)
    except (NotStun, BadStun):
        return None
    if message.kind is not Kind.REQUEST:
        return None
    return message.attributes.get(Attribute.USERNAME, b"").decode("utf-8", "replace") or None


def read_check(
    data: bytes, key: bytes, awaited: Container[bytes] | None = None
) -> Check | CheckResponse | RoleConflict:
    """The check or answer in a datagram.

    :param awaited: the transactions to which an answer may belong; others are refused before any key is tried.
    :raises NotStun: it is something else.
    :raises BadStun: it is broken, or not what peers say to each other.
    :raises BadIntegrity: its sender does not have ``key``.
    """
    message = parse(data)
    if awaited is not None and message.kind is not Kind.REQUEST and message.transaction not in awaited:
        raise BadStun("Nobody waits for this answer.")
    check_integrity(message, key)
    if message.kind is Kind.REQUEST:
        return _read_question(message)
    if message.kind is Kind.SUCCESS:
        mapped = message.mapped_address()
        if mapped is None:
            raise BadStun("A response to a check names no address.")
        return CheckResponse(message.transaction, (str(ip_address(mapped.ip)), mapped.port))
    error = message.error()
    if error is None or error[0] != ROLE_CONFLICT:
        raise BadStun("A check was answered with an error that is none of ICE's.")
    return RoleConflict(message.transaction)


def _read_question(message: StunMessage) -> Check:
    controlling = message.number(Attribute.ICE_CONTROLLING, 8)
    tie_breaker = controlling if controlling is not None else message.number(Attribute.ICE_CONTROLLED, 8)
    priority = message.number(Attribute.PRIORITY, 4)
    if tie_breaker is None or priority is None:
        raise BadStun("A check lacks its role or priority.")
    username = message.attributes.get(Attribute.USERNAME, b"").decode("utf-8", "replace")
    return Check(message.transaction, username, priority, controlling is not None, tie_breaker)
