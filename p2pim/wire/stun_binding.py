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

HEAD_4: Final = Struct(">HHI12sHHHHI")
HEAD_6: Final = Struct(">HHI12sHHHH16s")
TAIL: Final = Struct(">HHI")
SUCCESS: Final = 0x0101
MAPPED_4: Final = 12
MAPPED_6: Final = 24
PORT_MASK: Final = MAGIC >> 16


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


def quick_answer_4(transaction: bytes, ip: int, port: int, tail: bytes) -> bytes:
    """The answer to a plain question that came from this IPv4 address.

    :param tail: further attributes, packed; the FINGERPRINT comes behind them.
    """
    size = MAPPED_4 + len(tail) + 8
    xor_port, xor_ip = port ^ PORT_MASK, ip ^ MAGIC
    body = HEAD_4.pack(SUCCESS, size, MAGIC, transaction, Attribute.XOR_MAPPED_ADDRESS, 8, 1, xor_port, xor_ip) + tail
    return body + TAIL.pack(Attribute.FINGERPRINT, 4, crc32(body) ^ FINGERPRINT_XOR)


def quick_answer_6(transaction: bytes, ip: bytes, port: int, tail: bytes) -> bytes:
    """The same for an IPv6 address."""
    size = MAPPED_6 + len(tail) + 8
    mask = int.from_bytes(transaction, "big") | MAGIC << 96
    hidden = (int.from_bytes(ip, "big") ^ mask).to_bytes(16, "big")
    kind = Attribute.XOR_MAPPED_ADDRESS
    body = HEAD_6.pack(SUCCESS, size, MAGIC, transaction, kind, 20, 2, port ^ PORT_MASK, hidden) + tail
    return body + TAIL.pack(Attribute.FINGERPRINT, 4, crc32(body) ^ FINGERPRINT_XOR)
