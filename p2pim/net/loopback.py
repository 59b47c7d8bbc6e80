"""Whose connection it is that came over this machine's loopback: what Linux tells in ``/proc/net/tcp`` (proc(5)).

Cookies of 127.0.0.1 are sent to all of its ports, whoever listens there, so another user's program can get hold of one.
It cannot connect as somebody else.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
ROOT: Final = 0
_NO_INODE: Final = "0"
"""Of a connection whose program has closed it; its user is shown as root's then."""


def is_own(transport: Any) -> bool:
    """Whether the other end of ``transport`` belongs to the user of this process (or to root).

    A program that has closed its end is nobody's: the kernel shows root for it, or nothing, and what it left to be read
    must not count. Where there are no tables, as on other systems, everybody is taken to be our own: what else is asked
    of whoever connects decides.
    """
    peer, own = transport.getPeer(), transport.getHost()
    lines = list(_lines())
    user = connecting_user((peer.host, peer.port), (own.host, own.port), lines)
    return not lines or user in (ROOT, os.getuid())


def connecting_user(peer: tuple[str, int], own: tuple[str, int], lines: Iterable[str]) -> int | None:
    """The user id of the connection from ``peer`` to ``own``, by ``lines`` of the kernel's tables; None: unknown."""
    ends = {f"{near} {far}" for near, far in zip(_spelt(*peer), _spelt(*own), strict=True)}
    for line in lines:
        fields = line.split()
        if len(fields) > 9 and f"{fields[1]} {fields[2]}" in ends:
            return int(fields[7]) if fields[9] != _NO_INODE else None
    return None


def _spelt(host: str, port: int) -> list[str]:
    """An address as the tables have it: words in the machine's own order; an IPv4 one also as a mapped one."""
    if ":" in host:
        raw = socket.inet_pton(socket.AF_INET6, host)
        return [_words(raw, port)]
    raw = socket.inet_pton(socket.AF_INET, host)
    return [_words(raw, port), _words(bytes(10) + b"\xff\xff" + raw, port)]


def _words(raw: bytes, port: int) -> str:
    return "".join(f"{word:08X}" for (word,) in struct.iter_unpack("=I", raw)) + f":{port:04X}"


def _lines() -> Iterator[str]:
    for table in TABLES:
        try:
            yield from table.read_text("ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
