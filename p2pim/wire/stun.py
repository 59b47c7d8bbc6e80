"""STUN messages, bytes to values and back (RFC 8489; the attributes of RFC 5780 and of ICE, RFC 8445).

::

     0                   1                   2                   3
    |0 0|  type (method and kind)   |      length, a multiple of 4  |
    |                    magic cookie 0x2112A442                    |
    |                   transaction, 96 random bits                 |
    |      attribute type           |        value's length         |
    |      value, padded to a multiple of 4 …

`parse` reads one datagram and `pack` writes one. Whatever the bytes, `parse` gives a message or raises `NotStun` or
`BadStun`: nothing else comes out of it. A FINGERPRINT is checked while reading; MESSAGE-INTEGRITY needs the key and
so has its own call, `check_integrity`. Attributes that stand behind the integrity are not covered by it and are not
even kept (RFC 8489, 14.5).

The shortcuts for plain questions, which are most of what a server sees, are in `p2pim.wire.stun_binding`.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from p2pim.errors import BadIntegrity, BadStun, NotStun

MAGIC: Final = 0x2112A442
MAGIC_BYTES: Final = MAGIC.to_bytes(4, "big")
BINDING: Final = 0x001
HEADER_BYTES: Final = 20
ATTRIBUTES: Final = 64
"""Attributes in one message; the longest useful one has a dozen, and each costs the reader time."""
FINGERPRINT_XOR: Final = 0x5354554E
SHA1_BYTES: Final = 20
SHA256_BYTES: Final = 32
SHA256_LEAST: Final = 16
"""A truncated MESSAGE-INTEGRITY-SHA256 has at least so many bytes (RFC 8489, 14.6)."""

_HEADER = Struct(">HHI12s")
_ATTRIBUTE = Struct(">HH")
_WORD = Struct(">I")


class Kind(IntEnum):
    """The class of a message."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Attribute(IntEnum):
    """Attribute types. Those below 0x8000 must be understood by whom they reach; the others may be passed over."""

    MAPPED_ADDRESS = 0x0001
    CHANGE_REQUEST = 0x0003
    SOURCE_ADDRESS = 0x0004  # RFC 3489 only
    CHANGED_ADDRESS = 0x0005  # RFC 3489 only
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    REALM = 0x0014
    NONCE = 0x0015
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    PASSWORD_ALGORITHM = 0x001D
    USERHASH = 0x001E
    XOR_MAPPED_ADDRESS = 0x0020
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    PADDING = 0x0026
    RESPONSE_PORT = 0x0027
    PASSWORD_ALGORITHMS = 0x8002
    ALTERNATE_DOMAIN = 0x8003
    OLD_XOR_MAPPED_ADDRESS = 0x8020  # drafts of RFC 5389
    SOFTWARE = 0x8022
    ALTERNATE_SERVER = 0x8023
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A
    RESPONSE_ORIGIN = 0x802B
    OTHER_ADDRESS = 0x802C
    COOKIE = 0xD2C0  # ours: see docs/decisions/0003-p2p-server-cookies.md


class Address(NamedTuple):
    """An IP address in network order (4 or 16 bytes) and a port."""

    ip: bytes
    port: int

    def normal(self) -> Address:
        """The same, with an IPv4-mapped IPv6 address turned into the IPv4 address that it means."""
        if len(self.ip) == 16 and self.ip.startswith(_MAPPED):
            return Address(self.ip[12:], self.port)
        return self


_MAPPED: Final = bytes(10) + b"\xff\xff"
_FAMILY: Final = {4: 1, 16: 2}
_IP_BYTES: Final = {1: 4, 2: 16}


@dataclass(frozen=True, slots=True)
class StunMessage:
    """One message. Of an attribute that comes twice the first counts (RFC 8489, 14)."""

    kind: Kind
    transaction: bytes
    """12 bytes; 16 in a message of RFC 3489, which has no magic cookie."""
    attributes: Mapping[int, bytes] = field(default_factory=dict)
    method: int = BINDING
    raw: bytes = field(default=b"", compare=False, repr=False)
    """The datagram that it was read from."""
    covered: Mapping[int, int] = field(default_factory=dict, compare=False, repr=False)
    """Where in ``raw`` the integrity attributes begin."""

    @property
    def classic(self) -> bool:
        """Whether this is a message of RFC 3489."""
        return len(self.transaction) == 16

    @property
    def fingerprinted(self) -> bool:
        """Whether a (checked) FINGERPRINT came with it."""
        return Attribute.FINGERPRINT in self.attributes

    def address(self, kind: Attribute) -> Address | None:
        """The value of an attribute that holds an address in clear.

        :raises BadStun: it is none.
        """
        value = self.attributes.get(kind)
        return None if value is None else unpack_address(value)

    def mapped_address(self) -> Address | None:
        """Where the answerer saw the question come from.

        :raises BadStun: the attribute holds no address.
        """
        for kind in (Attribute.XOR_MAPPED_ADDRESS, Attribute.OLD_XOR_MAPPED_ADDRESS):
            value = self.attributes.get(kind)
            if value is not None:
                return unpack_xor_address(value, self.transaction)
        return self.address(Attribute.MAPPED_ADDRESS)

    def number(self, kind: Attribute, size: int) -> int | None:
        """The value of an attribute that holds an unsigned number of ``size`` bytes.

        :raises BadStun: it has another length.
        """
        value = self.attributes.get(kind)
        if value is None:
            return None
        if len(value) != size:
            raise BadStun(f"The attribute {kind.name} has {len(value)} bytes in place of {size}.")
        return int.from_bytes(value, "big")

    def error(self) -> tuple[int, str] | None:
        """Code and reason of ERROR-CODE.

        :raises BadStun: the attribute is malformed or the code out of range.
        """
        value = self.attributes.get(Attribute.ERROR_CODE)
        if value is None:
            return None
        if len(value) < 4 or not 3 <= value[2] & 7 <= 6 or value[3] > 99:
            raise BadStun("The attribute ERROR-CODE is malformed.")
        return (value[2] & 7) * 100 + value[3], value[4:].decode("utf-8", "replace")

    def unknown_attributes(self) -> tuple[int, ...]:
        """The types that the answerer did not understand.

        :raises BadStun: the attribute has an odd length.
        """
        value = self.attributes.get(Attribute.UNKNOWN_ATTRIBUTES, b"")
        if len(value) % 2:
            raise BadStun("The attribute UNKNOWN-ATTRIBUTES is malformed.")
        return tuple(int.from_bytes(value[at : at + 2], "big") for at in range(0, len(value), 2))

    def change_request(self) -> tuple[bool, bool]:
        """Whether an answer is wanted from the other address, and from the other port (RFC 5780, 7.2).

        :raises BadStun: the attribute is malformed.
        """
        flags = self.number(Attribute.CHANGE_REQUEST, 4) or 0
        return bool(flags & 4), bool(flags & 2)


# --- reading


def is_stun(datagram: bytes) -> bool:
    """Whether this looks like STUN (RFC 8489) and nothing else that may share the socket (RFC 9443)."""
    return len(datagram) >= HEADER_BYTES and datagram[0] < 4 and datagram[4:8] == MAGIC_BYTES


def parse(datagram: bytes, *, classic: bool = False) -> StunMessage:
    """The message in one datagram.

    :param classic: also take messages of RFC 3489, which have no magic cookie.
    :raises NotStun: it is something else.
    :raises BadStun: it has STUN's header, but what follows is broken, or its FINGERPRINT does not fit.
    """
    if len(datagram) < HEADER_BYTES or datagram[0] > 3:
        raise NotStun
    kind_bits, length, magic, transaction = _HEADER.unpack_from(datagram)
    old = magic != MAGIC
    if old and not classic:
        raise NotStun
    if length % 4 or length != len(datagram) - HEADER_BYTES:
        raise BadStun("The length in the header is not the datagram's.")
    attributes, covered = _parse_attributes(datagram, old)
    kind, method = split_type(kind_bits)
    return StunMessage(kind, datagram[4:20] if old else transaction, attributes, method, datagram, covered)


def split_type(bits: int) -> tuple[Kind, int]:
    """Kind and method of a message type (RFC 8489, figure 3; methods end at 0xFF, RFC 9443)."""
    kind = (bits & 0x100) >> 7 | (bits & 0x10) >> 4
    return Kind(kind), (bits & 0x200) >> 2 | (bits & 0xE0) >> 1 | bits & 0xF


def join_type(kind: Kind, method: int) -> int:
    """The message type of kind and method."""
    return (method & 0x80) << 2 | (method & 0x70) << 1 | method & 0xF | (kind & 2) << 7 | (kind & 1) << 4


def _parse_attributes(datagram: bytes, old: bool) -> tuple[dict[int, bytes], dict[int, int]]:
    attributes: dict[int, bytes] = {}
    covered: dict[int, int] = {}
    position, size, count = HEADER_BYTES, len(datagram), 0
    while position < size:
        kind, length = _ATTRIBUTE.unpack_from(datagram, position)
        end = position + 4 + length
        following = end + (-length & 3)
        count += 1
        if following > size or count > ATTRIBUTES:
            raise BadStun("An attribute is longer than the message." if count <= ATTRIBUTES else "Too many attributes.")
        if not old:
            if kind == Attribute.FINGERPRINT:
                _check_fingerprint(datagram, position, length)
            elif kind in _INTEGRITY and kind not in covered and _may_follow(kind, covered):
                covered[kind] = position
            elif covered:
                position = following
                continue
        attributes.setdefault(kind, datagram[position + 4 : end])
        position = following
    return attributes, covered


_INTEGRITY: Final = frozenset({Attribute.MESSAGE_INTEGRITY, Attribute.MESSAGE_INTEGRITY_SHA256})


def _may_follow(kind: int, covered: Mapping[int, int]) -> bool:
    """Behind MESSAGE-INTEGRITY only the SHA-256 one counts, behind that none (RFC 8489, 14.6)."""
    return not covered or (kind == Attribute.MESSAGE_INTEGRITY_SHA256 and len(covered) == 1)


def _check_fingerprint(datagram: bytes, position: int, length: int) -> None:
    if length != 4 or position + 8 != len(datagram):
        raise BadStun("FINGERPRINT is not the last attribute, or has another length.")
    if _WORD.unpack_from(datagram, position + 4)[0] != crc32(datagram[:position]) ^ FINGERPRINT_XOR:
        raise BadStun("The FINGERPRINT does not fit the message.")


def check_integrity(message: StunMessage, key: bytes) -> None:
    """Make sure that who wrote ``message`` has ``key``; of two integrity attributes the stronger is checked.

    :raises BadIntegrity: there is none, or it was made with another key or for another text.
    """
    for kind, algorithm, least, most in (
        (Attribute.MESSAGE_INTEGRITY_SHA256, "sha256", SHA256_LEAST, SHA256_BYTES),
        (Attribute.MESSAGE_INTEGRITY, "sha1", SHA1_BYTES, SHA1_BYTES),
    ):
        start = message.covered.get(kind)
        if start is None:
            continue
        value = message.attributes[kind]
        if not least <= len(value) <= most or len(value) % 4:
            raise BadIntegrity(f"The attribute {kind.name} has {len(value)} bytes.")
        if not hmac.compare_digest(_digest(message.raw[:start], len(value), key, algorithm), value):
            raise BadIntegrity
        return
    raise BadIntegrity("The message carries no integrity.")


def _digest(text: bytes, size: int, key: bytes, algorithm: str) -> bytes:
    """The HMAC over ``text``, its header's length set as if the integrity attribute ended the message."""
    length = len(text) - HEADER_BYTES + 4 + size
    return hmac.digest(key, text[:2] + length.to_bytes(2, "big") + text[4:], algorithm)[:size]


# --- writing


def pack(message: StunMessage, *, key: bytes | None = None, sha256: bool = False, fingerprint: bool = True) -> bytes:
    """The datagram of ``message``.

    :param key: adds MESSAGE-INTEGRITY with this key, or with ``sha256`` the SHA-256 one.
    :param fingerprint: adds a FINGERPRINT; never to messages of RFC 3489, whose readers do not know it.
    """
    body = b"".join(pack_attribute(kind, value) for kind, value in message.attributes.items())
    head = join_type(message.kind, message.method).to_bytes(2, "big")
    transaction = message.transaction if message.classic else MAGIC_BYTES + message.transaction
    text = head + len(body).to_bytes(2, "big") + transaction + body
    if key is not None:
        text = _with_integrity(text, key, sha256)
    return with_fingerprint(text) if fingerprint and not message.classic else _with_length(text)


def _with_integrity(text: bytes, key: bytes, sha256: bool) -> bytes:
    if sha256:
        value = _digest(text, SHA256_BYTES, key, "sha256")
        return text + pack_attribute(Attribute.MESSAGE_INTEGRITY_SHA256, value)
    return text + pack_attribute(Attribute.MESSAGE_INTEGRITY, _digest(text, SHA1_BYTES, key, "sha1"))


def _with_length(text: bytes) -> bytes:
    return text[:2] + (len(text) - HEADER_BYTES).to_bytes(2, "big") + text[4:]


def with_fingerprint(text: bytes) -> bytes:
    """``text``, a message without one, with a FINGERPRINT behind it and its length set right."""
    text = text[:2] + (len(text) - HEADER_BYTES + 8).to_bytes(2, "big") + text[4:]
    return text + pack_attribute(Attribute.FINGERPRINT, _WORD.pack(crc32(text) ^ FINGERPRINT_XOR))


def pack_attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) & 3)


def pack_address(address: Address) -> bytes:
    """The value of an attribute that holds ``address`` in clear."""
    return bytes((0, _FAMILY[len(address.ip)])) + address.port.to_bytes(2, "big") + address.ip


def unpack_address(value: bytes) -> Address:
    """The address in such a value.

    :raises BadStun: it holds none.
    """
    if len(value) < 4 or len(value) - 4 != _IP_BYTES.get(value[1]):
        raise BadStun("An attribute should hold an address and does not.")
    return Address(value[4:], int.from_bytes(value[2:4], "big"))


def pack_xor_address(address: Address, transaction: bytes) -> bytes:
    """The value of an attribute that holds ``address`` hidden from rewriting NATs (RFC 8489, 14.2)."""
    return pack_address(_xored(address, transaction))


def unpack_xor_address(value: bytes, transaction: bytes) -> Address:
    """The address in such a value.

    :raises BadStun: it holds none.
    """
    return _xored(unpack_address(value), transaction)


def _xored(address: Address, transaction: bytes) -> Address:
    mask = transaction if len(transaction) == 16 else MAGIC_BYTES + transaction
    size = len(address.ip)
    ip = int.from_bytes(address.ip, "big") ^ int.from_bytes(mask[:size], "big")
    return Address(ip.to_bytes(size, "big"), address.port ^ int.from_bytes(mask[:2], "big"))


def pack_error(code: int, reason: str = "") -> bytes:
    """The value of ERROR-CODE."""
    return bytes((0, 0, code // 100, code % 100)) + reason.encode()


def pack_types(types: Iterable[int]) -> bytes:
    """The value of UNKNOWN-ATTRIBUTES."""
    return b"".join(kind.to_bytes(2, "big") for kind in types)
