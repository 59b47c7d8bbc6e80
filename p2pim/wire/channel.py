"""Frames on a stream channel (``tcp`` and ``relay``), inside its TLS.

Each frame is ``length (4 bytes, big endian) | kind (1 byte) | body``, where the length counts kind and body:

========  =======================================  ==============================================
kind      body                                     meaning
========  =======================================  ==============================================
0         a signal (`p2pim.wire.signals`)          control; goes before any waiting bulk
1         stream (4 bytes) and data                a chunk of the range being sent on ``stream``
2         stream (4 bytes) and digest (32 bytes)   the range is complete; ``digest`` is the BLAKE3
                                                   of everything up to its end
========  =======================================  ==============================================
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from p2pim.wire.signals import Signal, encode_signal

CONTROL: Final = 0
BULK: Final = 1
BULK_END: Final = 2

CONTROL_HEADER = Struct(">IB")
BULK_HEADER = Struct(">IBI")
DIGEST_BYTES: Final = 32


def pack_control(signal: Signal) -> bytes:
    """A control frame."""
    body = encode_signal(signal)
    return CONTROL_HEADER.pack(1 + len(body), CONTROL) + body


def pack_bulk_header(stream: int, size: int) -> bytes:
    """What goes before ``size`` bytes of bulk on ``stream``."""
    return BULK_HEADER.pack(5 + size, BULK, stream)


def pack_bulk_end(stream: int, digest: bytes) -> bytes:
    """The frame that ends a range."""
    return BULK_HEADER.pack(5 + len(digest), BULK_END, stream) + digest


SPLICE_PREFACE: Final = b"P2PIM-SPLICE/1 "
"""What a relayed connection says instead of a TLS ClientHello: this, the ticket (32 bytes), and a line feed."""
TICKET_BYTES: Final = 32


def pack_splice_preface(ticket: bytes) -> bytes:
    """The first bytes of a relayed connection."""
    return SPLICE_PREFACE + ticket + b"\n"


SPLICE_PREFACE_BYTES: Final = len(SPLICE_PREFACE) + TICKET_BYTES + 1
SPLICE_READY: Final = b"\x06"
"""What the server says to both ends once they are joined; everything after it is the other end's."""
