"""Message ids: UUIDs of version 7 (RFC 9562, section 5.7), which sort by the time they were made."""

from __future__ import annotations

from uuid import UUID


def make_message_id(milliseconds: int, randomness: bytes) -> bytes:
    """A UUIDv7.

    :param milliseconds: since 1970.
    :param randomness: 10 random bytes, of which 74 bits are used.
    """
    head = (milliseconds & 0xFFFFFFFFFFFF).to_bytes(6, "big")
    tail = bytearray(randomness[:10])
    tail[0] = 0x70 | (tail[0] & 0x0F)
    tail[2] = 0x80 | (tail[2] & 0x3F)
    return head + bytes(tail)


def show_message_id(raw: bytes) -> str:
    """The usual text form, as in events and ``--json`` output."""
    return str(UUID(bytes=raw))


def read_message_id(text: str) -> bytes | None:
    """The id that `show_message_id` wrote, or None when ``text`` is none."""
    try:
        return UUID(text).bytes
    except ValueError:
        return None
