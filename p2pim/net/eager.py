"""Writing to a TCP connection at once, where nothing waits there.

Twisted's ``write`` keeps the bytes until the reactor has asked the kernel whether the socket takes them, which it
mostly does: two calls of epoll and a turn for nothing. For protocols that write seldom and much, and never twice in a
turn, sending right away is faster; for those that write little and often it would make many small packets.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Connection


def can_write_at_once(transport: Any) -> bool:
    """Whether `write_at_once` knows its way around ``transport``; others (tests, TLS) have `write` alone."""
    return isinstance(transport, Connection)


def write_at_once(tcp: Connection, data: bytes) -> None:
    """Send ``data`` now as far as the kernel takes it, and the rest as ``tcp.write`` would."""
    if tcp.connected and not (tcp.dataBuffer or tcp._tempDataBuffer or tcp.disconnecting):
        sent = tcp.writeSomeData(data)
        if isinstance(sent, int):  # else the connection is lost, which the reactor finds out by itself
            if sent == len(data):
                return
            data = data[sent:]
    tcp.write(data)
