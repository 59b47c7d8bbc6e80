"""Whose program is at the other end of a connection inside this machine (Linux)."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from typing import Final

from p2pim.core.candidates import Endpoint

TABLES: Final = Path("/proc/net")
_ESTABLISHED: Final = b"01"


def socket_owner(theirs: Endpoint, ours: Endpoint, tables: Path = TABLES) -> int | None:
    """The user id of the socket at ``theirs`` that is connected to ``ours``; None where that cannot be told.

    :param tables: the folder of the kernel's tables ``tcp`` and ``tcp6`` (proc(5)).
    """
    for name, needle in _needles(theirs, ours):
        try:
            content = (tables / name).read_bytes()
        except OSError:
            continue
        owner = _owner_in(content, needle)
        if owner is not None:
            return owner
    return None


def _needles(theirs: Endpoint, ours: Endpoint) -> list[tuple[str, bytes]]:
    """What stands in which table where a socket's own and its other address do."""
    try:
        ends = [(ipaddress.ip_address(host), port) for host, port in (theirs, ours)]
    except ValueError:
        return []
    if any(address.version != ends[0][0].version for address, _ in ends):
        return []
    if ends[0][0].version == 6:
        return [("tcp6", _needle([(_words(address.packed), port) for address, port in ends]))]
    plain = [(_words(address.packed), port) for address, port in ends]
    mapped = [(_words(bytes(10) + b"\xff\xff" + address.packed), port) for address, port in ends]
    return [("tcp", _needle(plain)), ("tcp6", _needle(mapped))]


def _needle(ends: list[tuple[str, int]]) -> bytes:
    return " ".join(f"{address}:{port:04X}" for address, port in ends).encode() + b" "


def _words(packed: bytes) -> str:
    """Words of 32 bits in the machine's own byte order, as the kernel prints them."""
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def _owner_in(content: bytes, needle: bytes) -> int | None:
    at = content.find(needle)
    if at < 0:
        return None
    fields = content[at + len(needle) :].split(b"\n", 1)[0].split()
    if len(fields) < 5 or fields[0] != _ESTABLISHED or not fields[4].isdigit():
        return None
    return int(fields[4])
