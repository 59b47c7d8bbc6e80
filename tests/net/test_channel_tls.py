"""The TLS of channels: both ends over memory, and against Twisted's own."""

from __future__ import annotations

import socket
from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from p2pim.net.channel_tls import TlsTransport
from p2pim.net.eager import READ_SIZE, read_much, write_at_once
from p2pim.net.peer_tls import ChannelTls, exported_key, is_pinned, speaks_channel
from tests.net.test_splice import Tcp


class Inside(Protocol):
    """The protocol inside TLS; ``answer`` may be set to what is to be done with each read."""

    def __init__(self) -> None:
        self.reads: list[bytes] = []
        self.stands = False
        self.lost: Failure | None = None
        self.answer: Any = None

    @property
    def data(self) -> bytes:
        return b"".join(self.reads)

    def handshakeCompleted(self) -> None:
        self.stands = True

    def dataReceived(self, data: bytes) -> None:
        self.reads.append(data)
        if self.answer is not None:
            self.answer(data)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.lost = reason


class End:
    """One end: a protocol, its TLS and its TCP connection."""

    def __init__(self, wrapped: Inside, transport: Any) -> None:
        self.inside, self.tls, self.tcp = wrapped, transport, Tcp()

    def connect(self) -> None:
        self.tls.makeConnection(self.tcp)


class TlsCase(SynchronousTestCase):
    channel_tls = ChannelTls()

    def setUp(self) -> None:
        self.here, self.there = self.end(dialling=True), self.end(dialling=False)

    def end(self, *, dialling: bool) -> End:
        inside = Inside()
        factory = Factory.forProtocol(lambda: inside)
        made = self.channel_tls.dialling(factory) if dialling else self.channel_tls.listening(factory)
        return End(inside, made.buildProtocol(None))

    def connect(self) -> None:
        """The handshake, whole."""
        self.here.connect()
        self.there.connect()
        self.carry()

    def carry(self, step: int = 1 << 20) -> None:
        """Bytes both ways, ``step`` at a time, until there are none."""
        while self.here.tcp.value() or self.there.tcp.value():
            for one, other in ((self.here, self.there), (self.there, self.here)):
                data = one.tcp.value()
                one.tcp.clear()
                for begin in range(0, len(data), step):
                    other.tls.dataReceived(data[begin : begin + step])


class SpeakingTests(TlsCase):
    def test_both_ends_speak_and_know_each_other(self) -> None:
        """TLS 1.3, the protocol's name, the certificate, and keying material that both ends agree on."""
        self.connect()
        self.assertEqual((self.here.inside.stands, self.there.inside.stands), (True, True))
        self.assertEqual(self.here.tls.getHandle().get_protocol_version_name(), "TLSv1.3")
        self.assertTrue(speaks_channel(self.here.tls) and speaks_channel(self.there.tls))
        self.assertTrue(is_pinned(self.here.tls, self.channel_tls.identity.fingerprint))
        self.assertFalse(is_pinned(self.there.tls, self.channel_tls.identity.fingerprint))
        self.assertEqual(exported_key(self.here.tls), exported_key(self.there.tls))

    def test_bytes_cut_anywhere_arrive_whole_both_ways(self) -> None:
        """TCP knows no records."""
        self.here.connect()
        self.there.connect()
        self.carry(step=7)
        data = bytes(range(256)) * 1_000
        self.here.tls.write(data)
        self.there.tls.writeSequence([data[:10], data[10:]])
        self.carry(step=1_001)
        self.assertEqual((self.there.inside.data, self.here.inside.data), (data, data))

    def test_what_is_said_too_early_is_said_once_tls_stands(self) -> None:
        """In order, before what is said afterwards."""
        self.here.connect()
        self.here.tls.write(b"one ")
        self.here.tls.write(b"t" * 20_000)
        self.there.connect()
        self.there.tls.write(b"hello")
        self.carry()
        self.here.tls.write(b" end")
        self.carry()
        self.assertEqual(self.there.inside.data, b"one " + b"t" * 20_000 + b" end")
        self.assertEqual(self.here.inside.data, b"hello")

    def test_answers_to_one_read_leave_together(self) -> None:
        """Many small answers make one record; a large one goes behind those before it."""
        self.connect()
        self.there.inside.answer = lambda data: [self.there.tls.write(b"pong") for _ in range(100)]
        self.here.tls.write(b"ping")
        self.carry()
        self.assertEqual(self.here.inside.reads, [b"pong" * 100])
        self.there.inside.answer = lambda data: [self.there.tls.write(b"a"), self.there.tls.write(b"b" * 70_000)]
        self.here.tls.write(b"ping")
        self.carry()
        self.assertEqual(self.here.inside.data, b"pong" * 100 + b"a" + b"b" * 70_000)

    def test_answers_do_not_pile_up_while_a_read_is_handled(self) -> None:
        """So that a producer is told in time."""
        self.connect()
        written: list[int] = []

        def answer(data: bytes) -> None:
            for _ in range(40):
                self.there.tls.write(b"x" * 1_000)
                written.append(len(self.there.tcp.value()))

        self.there.inside.answer = answer
        self.here.tls.write(b"go")
        self.carry()
        self.assertGreater(written[-1], 16_000)
        self.assertEqual(len(self.here.inside.data), 40_000)

    def test_twisteds_own_tls_is_understood_and_understands(self) -> None:
        """It is TLS, not something of ours."""
        inside = Inside()
        factory = Factory.forProtocol(lambda: inside)
        twisted = TLSMemoryBIOFactory(_Creator(self.channel_tls), False, factory, Clock())
        self.there = End(inside, twisted.buildProtocol(None))
        self.connect()
        self.here.tls.write(b"x" * 100_000)
        self.there.tls.write(b"y" * 100_000)
        self.carry()
        self.assertEqual((inside.data, self.here.inside.data), (b"x" * 100_000, b"y" * 100_000))
        self.here.tls.loseConnection()
        self.carry()
        self.assertTrue(self.there.tcp.disconnecting and self.here.tcp.disconnecting)


@implementer(IOpenSSLServerConnectionCreator)
class _Creator:
    def __init__(self, tls: ChannelTls) -> None:
        self._tls = tls

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return self._tls._called()


class EndTests(TlsCase):
    def test_who_closes_waits_for_the_other_to_close_too(self) -> None:
        """What both said before is delivered; both hear of a clean end."""
        self.connect()
        self.here.tls.write(b"last words")
        self.here.tls.loseConnection()
        self.there.tls.write(b"mine")
        self.assertFalse(self.here.tcp.disconnecting)
        self.carry()
        self.assertEqual(self.there.inside.data, b"last words")
        self.assertTrue(self.here.tcp.disconnecting and self.there.tcp.disconnecting)
        for end in (self.here, self.there):
            end.tls.connectionLost(Failure(ConnectionDone()))
            assert end.inside.lost is not None
            self.assertIs(end.inside.lost.type, ConnectionDone)

    def test_nothing_is_said_after_closing(self) -> None:
        """It would come after the end of the stream."""
        self.connect()
        self.here.tls.loseConnection()
        self.here.tls.loseConnection()
        self.here.tls.write(b"too late")
        self.carry()
        self.assertEqual(self.there.inside.data, b"")

    def test_a_stream_that_is_cut_is_told_from_one_that_ended(self) -> None:
        """A FIN without the end of TLS may be anybody's."""
        self.connect()
        self.here.tls.write(b"half")
        data = self.here.tcp.value()
        self.there.tls.dataReceived(data[:-3])
        self.there.tls.connectionLost(Failure(ConnectionDone()))
        assert self.there.inside.lost is not None
        self.assertIs(self.there.inside.lost.type, ConnectionLost)
        self.assertEqual(self.there.inside.data, b"")

    def test_garbage_ends_it_with_an_alert(self) -> None:
        """What came whole before it is delivered, what comes after is not."""
        self.connect()
        self.here.tls.write(b"good")
        good = self.here.tcp.value()
        self.there.tls.dataReceived(good + b"\x17\x03\x03\x00\x20" + b"\0" * 32)
        self.there.tls.dataReceived(good)
        self.assertEqual(self.there.inside.data, b"good")
        self.assertTrue(self.there.tcp.disconnecting)
        self.there.tls.write(b"into the void")
        self.here.tcp.clear()
        self.carry()
        self.assertEqual(self.here.inside.data, b"")
        self.there.tls.connectionLost(Failure(ConnectionDone()))
        assert self.there.inside.lost is not None
        self.assertIs(self.there.inside.lost.type, SSL.Error)

    def test_garbage_instead_of_a_handshake_ends_it(self) -> None:
        """A stranger, or a machine in between."""
        self.there.connect()
        self.there.tls.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.assertFalse(self.there.inside.stands)
        self.assertTrue(self.there.tcp.disconnecting)

    def test_closing_before_tls_stands_closes_at_once(self) -> None:
        """There is nobody yet to take leave of."""
        self.here.connect()
        self.here.tls.loseConnection()
        self.assertTrue(self.here.tcp.aborted)

    def test_after_an_abort_nothing_more_is_delivered(self) -> None:
        """Not even what came in the same read."""
        self.connect()
        self.there.inside.answer = lambda data: self.there.tls.abortConnection()
        self.here.tls.write(b"one" + b"." * 16_381)
        self.here.tls.write(b"two")
        self.carry()
        self.assertEqual(len(self.there.inside.data), 16_384)
        self.assertTrue(self.there.tcp.aborted)

    def test_closing_in_the_middle_of_a_read_says_first_what_was_said_first(self) -> None:
        """Answers that were kept until the read's end are not lost."""
        self.connect()

        def answer(data: bytes) -> None:
            self.there.tls.write(b"bye")
            self.there.tls.loseConnection()

        self.there.inside.answer = answer
        self.here.tls.write(b"go")
        self.carry()
        self.assertEqual(self.here.inside.data, b"bye")
        self.assertTrue(self.here.tcp.disconnecting)


class PressureTests(SynchronousTestCase):
    """Real sockets, no reactor: what the kernel does not take."""

    def test_the_producer_pauses_when_the_kernel_has_enough(self) -> None:
        """However little is left, and once only; other writers wait for a whole buffer as before."""
        left, right = socket.socketpair()
        self.addCleanup(left.close)
        self.addCleanup(right.close)
        left.setblocking(False)
        reactor = _Reactor()
        tcp: Any = Connection(left, Protocol(), reactor)  # type: ignore[arg-type]
        tcp.connected = True
        read_much(tcp)
        self.assertEqual(tcp.bufferSize, READ_SIZE)
        producer = _Producer()
        tcp.registerProducer(producer, True)
        while not producer.calls:
            write_at_once(tcp, b"x" * 10_000, pause=True)
        write_at_once(tcp, b"y" * 10, pause=True)
        self.assertEqual(producer.calls, ["pause"])
        self.assertLess(len(tcp.dataBuffer) + tcp._tempDataLen, 10_011)
        right.recv(1 << 24)
        tcp.doWrite()
        self.assertEqual(producer.calls, ["pause", "resume"])

    def test_only_twisteds_own_connections_are_told(self) -> None:
        """Others have no such buffer."""
        tcp: Any = Tcp()
        read_much(tcp)
        self.assertFalse(hasattr(tcp, "bufferSize"))
        self.assertIsInstance(TlsTransport(ChannelTls()._calling(), Inside()), Protocol)


class _Reactor:
    def addWriter(self, writer: object) -> None: ...
    def removeWriter(self, writer: object) -> None: ...
    def addReader(self, reader: object) -> None: ...


class _Producer:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")
