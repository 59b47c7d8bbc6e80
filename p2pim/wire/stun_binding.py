"""Binding questions to a P2P server, and the shortcut for answering plain ones.

A *plain* question is what most clients send: the header alone, 20 bytes. It is recognised and answered with two
structs and no object in between.

Our own peers ask with a `COOKIE <p2pim.wire.stun.Attribute.COOKIE>` attribute: at first all zero, which asks for a
cookie, then with the one received. They make the attribute long, since a server gives a stranger no more bytes than it
got from it.
"""

from __future__ import annotations

from struct import Struct
from typing import Final
from zlib import crc32

from p2pim.wire.stun import FINGERPRINT_XOR, HEADER_BYTES, MAGIC, Attribute, Kind, StunMessage, pack

PLAIN_TYPE: Final = 0x0001
PLAIN_BYTES: Final = HEADER_BYTES
PLAIN_HEADER: Final = Struct(">HHI12s")
"""Type, length (0), magic cookie, transaction."""
QUESTION_ROOM: Final = 160
"""Bytes of a peer's first question: room for an answer with three IPv6 addresses and a cookie."""

SUCCESS: Final = 0x0101
MAPPED_4: Final = Struct(">HHI12sIHHI")
"""A success and its mapped IPv4 address: type, length, cookie, transaction, `MAPPED_4_TYPE`, 1, port, address."""
MAPPED_4_TYPE: Final = Attribute.XOR_MAPPED_ADDRESS << 16 | 8
MAPPED_6: Final = Struct(">HHI12sIHH16s")
MAPPED_6_TYPE: Final = Attribute.XOR_MAPPED_ADDRESS << 16 | 20
FINGERPRINT_TYPE: Final = Attribute.FINGERPRINT << 16 | 4
PORT_MASK: Final = MAGIC >> 16
_FINGERPRINT = Struct(">II")


def pack_question(
    transaction: bytes, cookie: bytes = b"", *, change_ip: bool = False, change_port: bool = False
) -> bytes:
    """A peer's question.

    :param cookie: as it came in an earlier answer; without it the question asks for one.
    """
    attributes: dict[int, bytes] = {}
    if change_ip or change_port:
        attributes[Attribute.CHANGE_REQUEST] = (change_ip * 4 | change_port * 2).to_bytes(4, "big")
    attributes[Attribute.COOKIE] = cookie or bytes(QUESTION_ROOM - HEADER_BYTES - 12)
    return pack(StunMessage(Kind.REQUEST, transaction, attributes))


def plain_answer(transaction: bytes, ip: bytes, port: int, tail: bytes) -> bytes:
    """The answer to a plain question that came from this address.

    :param tail: further attributes, packed; the FINGERPRINT comes behind them.
    """
    mask = int.from_bytes(transaction, "big") | MAGIC << 96
    if len(ip) == 4:
        hidden = int.from_bytes(ip, "big") ^ MAGIC
        size = MAPPED_4.size - HEADER_BYTES + len(tail) + 8
        body = MAPPED_4.pack(SUCCESS, size, MAGIC, transaction, MAPPED_4_TYPE, 1, port ^ PORT_MASK, hidden) + tail
    else:
        hidden_6 = (int.from_bytes(ip, "big") ^ mask).to_bytes(16, "big")
        size = MAPPED_6.size - HEADER_BYTES + len(tail) + 8
        body = MAPPED_6.pack(SUCCESS, size, MAGIC, transaction, MAPPED_6_TYPE, 2, port ^ PORT_MASK, hidden_6) + tail
    return body + _FINGERPRINT.pack(FINGERPRINT_TYPE, crc32(body) ^ FINGERPRINT_XOR)
