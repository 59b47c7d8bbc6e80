"""Writing to a TCP connection at once, where nothing waits there.

Twisted's ``write`` keeps the bytes until the reactor has asked the kernel whether the socket takes them, which it
mostly does: two calls of epoll and a turn for nothing. For protocols that write seldom and much, and never twice in a
turn, sending right away is faster; for those that write little and often it would make many small packets.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.tcp import Connection

READ_SIZE: Final = 256 * 1024
"""What to read at once where much comes: four times Twisted's, for a third less work at both ends."""


def can_write_at_once(transport: Any) -> bool:
    """Whether `write_at_once` knows its way around ``transport``; others (tests, TLS) have `write` alone."""
    return isinstance(transport, Connection)


def write_at_once(tcp: Connection, data: bytes, *, pause: bool = False) -> None:
    """Send ``data`` now as far as the kernel takes it, and the rest as ``tcp.write`` would.

    :param pause: tell the producer to pause when there is a rest, however small: the kernel has enough.
    """
    if tcp.connected and not (tcp.dataBuffer or tcp._tempDataBuffer or tcp.disconnecting):
        try:
            sent = tcp.socket.send(data)
        except OSError:  # it takes nothing now, or nothing any more, which the reactor finds out by itself
            sent = 0
        if sent == len(data):
            return
        data = data[sent:]
    tcp.write(data)
    producer: Any = tcp.producer
    if pause and tcp.streamingProducer and producer is not None and not tcp.producerPaused:
        tcp.producerPaused = True  # so that the reactor resumes it once the rest is sent
        producer.pauseProducing()


def read_much(tcp: Any) -> None:
    """Let the reactor read up to `READ_SIZE` at once from ``tcp``.

    Twisted bounds what waits to be sent by the same figure, so who writes bulk does it with ``pause``.
    """
    if can_write_at_once(tcp):
        tcp.bufferSize = READ_SIZE
