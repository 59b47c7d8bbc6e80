"""The first bytes decide; two ends become one connection, at the pace of the slower, until both have finished."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from p2pim.net.splice import FirstBytes, SpliceEnd, join
from p2pim.wire.channel import SPLICE_READY, pack_splice_preface

TICKET = bytes(range(32))


class Tcp(StringTransport):
    """A TCP transport with the parts that `StringTransport` leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.wrote_end = False
        self.aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing here."""

    def loseWriteConnection(self) -> None:
        """No more will be written."""
        self.wrote_end = True

    def abortConnection(self) -> None:
        self.aborted = True

    def unregisterProducer(self) -> None:
        self.producer = None


class Recorder(Protocol):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.data = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.lost = True


class FirstBytesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tls, self.end = Recorder(), Recorder()
        self.tickets: list[bytes] = []
        self.gone: list[str] = []
        self.tcp = Tcp()
        self.first = FirstBytes(lambda: self.tls, self.take, self.gone.append)
        self.tcp.protocol = self.first
        self.first.makeConnection(self.tcp)

    def take(self, ticket: bytes) -> Protocol | None:
        """The desk: one ticket is good."""
        self.tickets.append(ticket)
        return self.end if ticket == TICKET else None

    def feed(self, data: bytes, cuts: list[int] | None = None) -> None:
        """Let ``data`` come in pieces."""
        for size in [*(cuts or []), len(data)]:
            piece, data = data[:size], data[size:]
            if piece and not self.tcp.disconnecting:
                self.tcp.protocol.dataReceived(piece)

    def test_tls_is_handed_over_with_its_first_bytes(self) -> None:
        """As if TLS had been there from the start; later reads do not even pass through."""
        self.feed(b"\x16\x03\x01hello")
        self.assertEqual(self.tls.data, b"\x16\x03\x01hello")
        self.assertIs(self.tcp.protocol, self.tls)

    @given(st.lists(st.integers(1, 30), max_size=20), st.binary(max_size=40))
    def test_a_preface_is_understood_however_it_is_cut(self, cuts: list[int], early: bytes) -> None:
        """And what came with it is the first that the end gets."""
        self.setUp()
        self.feed(pack_splice_preface(TICKET) + early, cuts)
        self.assertEqual((self.tickets, self.end.data, self.gone), ([TICKET], early, []))

    @given(st.binary(min_size=1, max_size=80))
    def test_anything_else_is_refused_with_a_reason_or_waited_for(self, data: bytes) -> None:
        """And never handed to anybody."""
        self.setUp()
        if data[0] == 0x16:
            return
        self.feed(data)
        if not self.tcp.disconnecting:
            self.assertLess(len(data), 48)
        self.assertEqual((self.tls.data, self.end.data), (b"", b""))
        self.assertEqual(len(self.gone), int(self.tcp.disconnecting))

    def test_a_bad_ticket_is_refused_with_its_reason(self) -> None:
        """Unknown, expired and used ones are alike from outside."""
        self.feed(pack_splice_preface(bytes(32)))
        self.assertTrue(self.tcp.disconnecting)
        self.assertIn("ticket", self.gone[0])

    def test_a_preface_without_its_line_feed_is_refused(self) -> None:
        """Before its ticket is looked at, which stays good."""
        self.feed(pack_splice_preface(TICKET)[:-1] + b"x")
        self.assertEqual((self.tickets, len(self.gone)), ([], 1))

    def test_ending_before_anything_was_said_is_told_once(self) -> None:
        """A port scan leaves one line."""
        self.first.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(len(self.gone), 1)

    def test_a_transport_that_cannot_be_told_is_served_all_the_same(self) -> None:
        """Bytes and the end are passed on by hand."""
        self.tcp.protocol = None
        self.first.dataReceived(b"\x16a")
        self.first.dataReceived(b"b")
        self.first.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((self.tls.data, self.tls.lost, self.gone), (b"\x16ab", True, []))


class SpliceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ended: list[SpliceEnd] = []
        self.one, self.tcp_one = self.connect()
        self.two, self.tcp_two = self.connect()

    def connect(self) -> tuple[SpliceEnd, Tcp]:
        """One end, connected."""
        end, tcp = SpliceEnd(lambda end: None, self.ended.append), Tcp()
        end.makeConnection(tcp)
        return end, tcp

    def test_an_end_is_not_read_from_until_it_has_its_other(self) -> None:
        """Nothing is hoarded for somebody who may never come."""
        self.assertEqual(self.tcp_one.producerState, "paused")
        join(self.one, self.two)
        self.assertEqual((self.tcp_one.producerState, self.tcp_two.producerState), ("producing", "producing"))

    def test_both_are_told_before_anything_of_the_other_comes(self) -> None:
        """Also what came too early goes after it."""
        self.one.dataReceived(b"early")
        join(self.one, self.two)
        self.assertEqual((self.tcp_one.value(), self.tcp_two.value()), (SPLICE_READY, SPLICE_READY + b"early"))

    @given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=99)), max_size=30))
    def test_what_goes_in_at_one_end_comes_out_at_the_other(self, said: list[tuple[bool, bytes]]) -> None:
        """All of it, in order, both ways, and counted where it came in."""
        self.setUp()
        join(self.one, self.two)
        for first, data in said:
            (self.one if first else self.two).dataReceived(data)
        of_one = b"".join(data for first, data in said if first)
        of_two = b"".join(data for first, data in said if not first)
        self.assertEqual(self.tcp_two.value(), SPLICE_READY + of_one)
        self.assertEqual(self.tcp_one.value(), SPLICE_READY + of_two)
        self.assertEqual((self.one.received, self.two.received), (len(of_one), len(of_two)))

    def test_each_end_is_read_as_fast_as_the_other_takes_it(self) -> None:
        """The sender of one is the producer of the other."""
        join(self.one, self.two)
        self.assertIs(self.tcp_two.producer, self.tcp_one)
        self.assertIs(self.tcp_one.producer, self.tcp_two)

    def test_a_half_close_is_carried_through_and_the_other_way_goes_on(self) -> None:
        """Until the other side has finished too."""
        join(self.one, self.two)
        IHalfCloseableProtocol(self.one).readConnectionLost()
        self.assertTrue(self.tcp_two.wrote_end)
        self.assertFalse(self.tcp_one.disconnecting or self.tcp_two.disconnecting)
        self.two.dataReceived(b"the rest")
        self.assertTrue(self.tcp_one.value().endswith(b"the rest"))
        IHalfCloseableProtocol(self.two).readConnectionLost()
        self.assertTrue(self.tcp_one.disconnecting and self.tcp_two.disconnecting)

    def test_an_end_that_finishes_before_it_is_joined_is_closed(self) -> None:
        """There is nothing to carry."""
        IHalfCloseableProtocol(self.one).readConnectionLost()
        self.assertTrue(self.tcp_one.aborted)

    def test_when_one_end_is_lost_the_other_is_closed_after_what_was_still_to_be_said(self) -> None:
        """Both ends are gone in the end, and each is told once."""
        join(self.one, self.two)
        self.one.dataReceived(b"last words")
        self.one.connectionLost(Failure(ConnectionDone()))
        self.assertTrue(self.tcp_two.value().endswith(b"last words"))
        self.assertTrue(self.tcp_two.disconnecting)
        self.two.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.ended, [self.one, self.two])
