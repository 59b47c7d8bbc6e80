"""Telling datagrams apart on the one UDP socket that everything shares, by their first byte (RFC 9443, RFC 7983).

==========  =====================================================================================
first byte  what it is here
==========  =====================================================================================
0–3         STUN: requests to and answers from a P2P server, and connectivity checks in its format
64–127      QUIC, short header
128–191     a format of our own (RTP's range, which is never spoken here)
192–255     QUIC, long header
others      noise: DTLS, ZRTP and TURN channels are not spoken here
==========  =====================================================================================

QUIC always has its fixed bit here: nobody negotiates RFC 9287. A kernel with receive offload hands over several
datagrams of one sender glued together (`Batch`), all of one size but the last, which may be shorter. It does not look
inside, so a check can be glued to QUIC packets: each datagram of a batch is told apart, all at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from itertools import groupby
from typing import Final, NamedTuple

CONNECTION_ID_BYTES: Final = 8
"""The length of the connection ids that we choose, so that a short header can be read without any state."""
QUIC_V1: Final = 1
SMALLEST_INITIAL: Final = 1200
"""A client's Initial fills at least so many bytes (RFC 9000, 14.1), so that no answer is larger than its question."""

_LONG_HEADER: Final = 0x80
_INITIAL_TYPE: Final = 0x30


class Kind(IntEnum):
    """What a datagram is."""

    STUN = 0
    QUIC = 1
    OWN = 2
    NOISE = 3


def _kind(first: int) -> Kind:
    if first <= 3:
        return Kind.STUN
    if first & 0x40:
        return Kind.QUIC
    if first & 0x80:
        return Kind.OWN
    return Kind.NOISE


_KINDS: Final = bytes(_kind(first) for first in range(256))


def kind_of(datagram: bytes) -> Kind:
    """What ``datagram`` is; an empty one is noise."""
    return Kind(_KINDS[datagram[0]]) if datagram else Kind.NOISE


class Batch(NamedTuple):
    """Datagrams of one sender and one kind, end to end in ``data``: each ``size`` bytes, the last perhaps less."""

    kind: Kind
    data: bytes
    size: int

    def datagrams(self) -> Iterator[bytes]:
        """Each by itself."""
        data, size = self.data, self.size
        if len(data) <= size:
            return iter((data,))
        return (data[start : start + size] for start in range(0, len(data), size))

    def first_bytes(self) -> bytes:
        """The first byte of each."""
        return self.data[:: self.size]


def sort_batch(data: bytes, size: int) -> list[Batch]:
    """``data`` as batches of one kind each, in order. Nearly always it is one, and then nothing is copied."""
    if not data:
        return []
    kinds = data[:: max(size, 1)].translate(_KINDS)
    first = kinds[:1]
    if kinds.count(first) == len(kinds):
        return [Batch(Kind(kinds[0]), data, size)]
    batches, start = [], 0
    for kind, run in groupby(kinds):
        end = start + size * sum(1 for _ in run)
        batches.append(Batch(Kind(kind), data[start:end], size))
        start = end
    return batches


def has_long_header(batch: Batch) -> bool:
    """Whether any QUIC packet in ``batch`` has a long header (a handshake, or a stranger's)."""
    return max(batch.first_bytes()) >= _LONG_HEADER | 0x40


def short_header_connection(datagram: bytes) -> bytes:
    """The destination connection id of a QUIC packet with a short header; whatever bytes are there otherwise."""
    return datagram[1 : 1 + CONNECTION_ID_BYTES]


class LongHeader(NamedTuple):
    """The invariant part of a long header (RFC 8999), and whether it is a version 1 Initial, with its token."""

    version: int
    destination: bytes
    source: bytes
    initial: bool
    token: bytes


def read_long_header(datagram: bytes) -> LongHeader | None:
    """The long header of a QUIC packet, or None when it is none or is cut off."""
    try:
        if datagram[0] & 0xC0 != 0xC0:
            return None
        version = int.from_bytes(datagram[1:5])
        destination, position = _connection_id(datagram, 5)
        source, position = _connection_id(datagram, position)
        initial = version == QUIC_V1 and datagram[0] & _INITIAL_TYPE == 0
        token = _token(datagram, position) if initial else b""
    except (IndexError, ValueError):
        return None
    return LongHeader(version, destination, source, initial, token)


def _connection_id(datagram: bytes, position: int) -> tuple[bytes, int]:
    length = datagram[position]
    end = position + 1 + length
    if length > 20 or end > len(datagram):
        raise ValueError("a connection id that is too long")
    return datagram[position + 1 : end], end


def _token(datagram: bytes, position: int) -> bytes:
    """The token of an Initial: a variable-length integer (RFC 9000, 16) and so many bytes."""
    width = 1 << (datagram[position] >> 6)
    length = int.from_bytes(datagram[position : position + width]) & ((1 << (8 * width - 2)) - 1)
    start = position + width
    if start + length > len(datagram):
        raise ValueError("a token that is cut off")
    return datagram[start : start + length]
