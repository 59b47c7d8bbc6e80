"""The first bytes of a connection to the server's port, and the splice of two connections into one.

A client that speaks TLS begins with 0x16; a relayed channel begins with a preface and a ticket. `FirstBytes` looks and
hands the connection over for good: from then on it is as if the next protocol had been there from the start.

`SpliceEnd` is one end of a relayed channel. It waits for its counterpart without reading, and once joined copies bytes
with back-pressure both ways: each end reads only while the other can take more. An end that has finished sending has
that passed on, and the other direction goes on. The server sees the peers' TLS records and cannot read them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim.net.eager import can_write_at_once, read_much, write_at_once
from p2pim.wire.channel import SPLICE_PREFACE, SPLICE_PREFACE_BYTES, SPLICE_READY, TICKET_BYTES

TLS_HANDSHAKE: Final = 0x16
"""The content type of a TLS ClientHello record (RFC 8446, section 5.1)."""


class FirstBytes(Protocol):
    """Decides by its first bytes what a connection is.

    :param tls: makes the protocol of a client that speaks TLS.
    :param splice: makes the protocol for a ticket, or None when the ticket is no good.
    :param gone: called with a reason when the connection ends here, undecided or refused.
    """

    def __init__(
        self,
        tls: Callable[[], Protocol],
        splice: Callable[[bytes], Protocol | None],
        gone: Callable[[str], None],
    ) -> None:
        self._tls = tls
        self._splice = splice
        self._gone: Callable[[str], None] | None = gone
        self._first = b""
        self._next: Protocol | None = None

    def dataReceived(self, data: bytes) -> None:
        if self._next is not None:
            self._next.dataReceived(data)
        elif self._gone is not None:
            self._first += data
            self._decide()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._next is not None:
            self._next.connectionLost(reason)
        else:
            self._end("it ended before it said anything")

    def cut(self, reason: str) -> None:
        """End the connection here and now."""
        transport: Any = self.transport
        self._end(reason)
        transport.abortConnection()

    def _decide(self) -> None:
        first = self._first
        if first[0] == TLS_HANDSHAKE:
            self._hand_over(self._tls(), first)
        elif not first.startswith(SPLICE_PREFACE[: len(first)]):
            self._refuse("it speaks neither TLS nor the preface of a splice")
        elif len(first) >= SPLICE_PREFACE_BYTES:
            self._decide_splice(first)

    def _decide_splice(self, first: bytes) -> None:
        ticket = first[len(SPLICE_PREFACE) : len(SPLICE_PREFACE) + TICKET_BYTES]
        if first[SPLICE_PREFACE_BYTES - 1 : SPLICE_PREFACE_BYTES] != b"\n":
            self._refuse("the preface of its splice is malformed")
            return
        end = self._splice(ticket)
        if end is None:
            self._refuse("its ticket is unknown, expired or already used")
        else:
            self._hand_over(end, first[SPLICE_PREFACE_BYTES:])

    def _hand_over(self, protocol: Protocol, data: bytes) -> None:
        """From here on the transport speaks to ``protocol`` directly; where it cannot be told, bytes are passed on."""
        transport: Any = self.transport
        self._first, self._gone = b"", None
        self._next = protocol
        if getattr(transport, "protocol", None) is self:
            transport.protocol = protocol
        protocol.makeConnection(transport)
        if data:
            protocol.dataReceived(data)

    def _refuse(self, reason: str) -> None:
        assert self.transport is not None
        self.transport.loseConnection()
        self._end(reason)

    def _end(self, reason: str) -> None:
        gone, self._gone, self._first = self._gone, None, b""
        if gone is not None:
            gone(reason)


@implementer(IHalfCloseableProtocol)
class SpliceEnd(Protocol):
    """One end of a splice.

    :param ready: called when this end is connected.
    :param ended: called when this end's connection is gone.
    """

    def __init__(self, ready: Callable[[SpliceEnd], None], ended: Callable[[SpliceEnd], None]) -> None:
        self._ready = ready
        self._ended = ended
        self._early = b""
        self._tcp: Any = None
        self.other: SpliceEnd | None = None
        self.received = 0
        """Bytes that came in at this end since they were last counted."""
        self.finished = False
        """Nothing more comes from this end."""

    def connectionMade(self) -> None:
        self._tcp = self.transport
        self._eager = can_write_at_once(self._tcp)
        read_much(self._tcp)
        self._tcp.setTcpNoDelay(True)
        self._tcp.pauseProducing()
        self._ready(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += len(data)
        if self.other is None:
            self._early += data  # at most what one read brought with the preface: reading is paused
        else:
            self.other.pass_on(data)

    def readConnectionLost(self) -> None:
        """The machine at this end has finished; what it said last is still on its way to the other."""
        self.finished = True
        if self.other is None:
            self.close()
            return
        self.other._tcp.unregisterProducer()
        self.other._tcp.loseWriteConnection()
        if self.other.finished:
            self.other._tcp.loseConnection()
            self._tcp.loseConnection()

    def writeConnectionLost(self) -> None:
        """All that this end was to be told has been told."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        other, self.other = self.other, None
        self._tcp.unregisterProducer()
        self._ended(self)
        if other is not None:
            other.end()

    def pass_on(self, data: bytes) -> None:
        """Bytes of the other end for the machine at this one."""
        if self._eager:
            write_at_once(self._tcp, data, pause=True)
        else:
            self._tcp.write(data)

    def join(self, other: SpliceEnd) -> None:
        """Copy from this end to ``other`` from now on, as fast as that one takes it."""
        self.other = other
        other._tcp.registerProducer(self._tcp, True)

    def begin(self) -> None:
        """Tell the machine at this end that it speaks to the other one now, and let it."""
        self._tcp.write(SPLICE_READY)

    def release(self) -> None:
        """Pass on what came early, then read."""
        early, self._early = self._early, b""
        if early and self.other is not None:
            self.other.pass_on(early)
        self._tcp.resumeProducing()

    def end(self) -> None:
        """The other end is gone: say what is left to say, and close."""
        self.other = None
        self._tcp.unregisterProducer()
        self._tcp.loseConnection()

    def close(self) -> None:
        """Cut the connection; the other end follows."""
        self._tcp.abortConnection()


def join(one: SpliceEnd, two: SpliceEnd) -> None:
    """Make one connection of two."""
    one.join(two)
    two.join(one)
    one.begin()
    two.begin()
    one.release()
    two.release()
