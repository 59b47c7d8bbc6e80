"""Many connections behind one descriptor: real sockets on loopback, a reactor that does nothing itself."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable
from typing import Any
from unittest import SkipTest

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorFDSet, IReadDescriptor
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from p2pim.net import poll as poll_module
from p2pim.net.poll import AVAILABLE, Poll
from p2pim.net.stream import Flusher, FramedProtocol
from p2pim.wire.framing import FrameBuffer, pack_frame

PATIENCE = 30.0
MUCH = 16 * 1024 * 1024
"""More than the kernel keeps for anyone who does not read."""


class Reactor(Clock):
    """Knows whom it would watch."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[object] = []

    def addReader(self, reader: object) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        self.readers.remove(reader)


class Speaker(FramedProtocol):
    """Does with each frame what its test says, and notes how its writes and its end were."""

    def __init__(self, test: PollTests) -> None:
        super().__init__(test.flusher, MUCH)
        self.test = test
        self.got: list[bytes] = []
        self.ends: list[Any] = []
        self.writes = 0
        self.flow: list[str] = []
        test.speakers.append(self)

    @property
    def tcp(self) -> Any:
        """Twisted's connection."""
        return self.transport

    def dataReceived(self, data: bytes) -> None:
        self.take(data)

    def frame_received(self, body: bytes) -> None:
        self.got.append(body)
        self.test.heard(self, body)

    def write_out(self) -> None:
        self.writes += 1
        super().write_out()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ends.append(reason.type)

    def pauseProducing(self) -> None:
        self.flow.append("pause")

    def resumeProducing(self) -> None:
        self.flow.append("resume")

    def stopProducing(self) -> None:
        """Its end is noted elsewhere."""


@implementer(IHalfCloseableProtocol)
class HalfSpeaker(Speaker):
    """Goes on when the other side has finished."""

    def readConnectionLost(self) -> None:
        self.ends.append("read")

    def writeConnectionLost(self) -> None:
        self.ends.append("write")


class PollTests(SynchronousTestCase):
    kind = Speaker

    def setUp(self) -> None:
        if not AVAILABLE:
            raise SkipTest("this system has no epoll")
        self.reactor = Reactor()
        self.flusher = Flusher(self.reactor)
        self.poll = Poll(self.reactor, self.flusher)
        self.speakers: list[Speaker] = []
        self.heard: Callable[[Speaker, bytes], None] = lambda speaker, body: None
        factory = Factory.forProtocol(lambda: self.kind(self))
        factory.noisy = False
        self.port = self.poll.listen_tcp(0, factory, backlog=50, interface="127.0.0.1")
        self.clients: list[socket.socket] = []
        self.addCleanup(self.clean)

    def clean(self) -> None:
        """Leave nothing open."""
        for client in self.clients:
            client.close()
        if self.reactor.readers:
            self.poll.close()

    def turn(self) -> None:
        """As the reactor does it when there is news."""
        ready, _, _ = select.select([self.poll], [], [], PATIENCE)
        self.assertEqual(ready, [self.poll])
        self.poll.doRead()

    def turns_until(self, done: Callable[[], object]) -> None:
        """As many turns as it takes."""
        while not done():
            self.turn()
            self.reactor.advance(0)

    def connect(self, number: int) -> None:
        """So many clients; those of the server's side are `speakers`, in the same order."""
        for _ in range(number):
            wanted = len(self.speakers) + 1
            self.clients.append(socket.create_connection(self.port.socket.getsockname(), PATIENCE))
            self.turns_until(lambda wanted=wanted: len(self.speakers) == wanted)  # type: ignore[misc]

    def say(self, index: int, body: bytes = b"x") -> None:
        """A client sends a frame; it has arrived when this returns."""
        self.clients[index].sendall(pack_frame(body))
        self.assertEqual(len(select.select([self.speakers[index].tcp.socket], [], [], PATIENCE)[0]), 1)

    def read_frame(self, index: int) -> bytes:
        """What a client is told next, with the turns that the server needs to write it."""
        frames, client = FrameBuffer(MUCH), self.clients[index]
        bodies: list[bytes] = []
        while not bodies:
            self.turns_until(lambda: select.select([client], [], [], 0)[0] or not self.poll.getWriters())
            bodies = frames.feed(client.recv(1 << 16))
        return bodies[0]

    def test_a_reactor_and_its_connections_can_use_it(self) -> None:
        """Towards the one it is a descriptor, towards the others a reactor."""
        verifyObject(IReadDescriptor, self.poll)
        verifyObject(IReactorFDSet, self.poll)
        self.assertEqual(self.reactor.readers, [self.poll])
        self.assertEqual((self.poll.getReaders(), self.poll.getWriters()), ([self.port], []))

    def test_what_many_say_in_one_turn_reaches_each_in_one_write(self) -> None:
        """After all have been read, and without the reactor's clock."""
        self.connect(4)
        self.heard = lambda speaker, body: self.speakers[0].send_frame(body)
        for index in range(4):
            self.say(index, b"from %d" % index)
        self.turn()
        self.assertEqual([speaker.writes for speaker in self.speakers], [1, 0, 0, 0])
        self.assertEqual(self.read_frame(0)[:5], b"from ")
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_one_that_fails_costs_itself_alone(self) -> None:
        """The others are read and answered in the same turn."""
        self.connect(3)

        def heard(speaker: Speaker, body: bytes) -> None:
            if body == b"fail":
                raise ZeroDivisionError
            speaker.send_frame(body)

        self.heard = heard
        for index, body in enumerate((b"good", b"fail", b"good")):
            self.say(index, body)
        self.turn()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([speaker.ends for speaker in self.speakers], [[], [ZeroDivisionError], []])
        self.assertEqual((self.read_frame(0), self.read_frame(2)), (b"good", b"good"))

    def test_one_that_another_has_cut_in_this_turn_is_not_read(self) -> None:
        """Though the kernel had said that there was something."""
        self.connect(2)
        self.heard = lambda speaker, body: self.speakers[1 - self.speakers.index(speaker)].tcp.abortConnection()
        self.say(0)
        self.say(1)
        self.turn()
        self.assertEqual(sum(len(speaker.got) for speaker in self.speakers), 1)

    def test_a_client_that_leaves_is_gone(self) -> None:
        """And is watched no more."""
        self.connect(1)
        self.clients[0].close()
        self.turns_until(lambda: self.speakers[0].ends)
        self.assertEqual((self.speakers[0].ends, self.poll.getReaders()), ([ConnectionDone], [self.port]))

    def test_a_client_that_resets_is_gone_whatever_waited_for_it(self) -> None:
        """A rest that can never be written does not keep its connection."""
        self.connect(1)
        self.speakers[0].tcp.write(bytes(MUCH))
        self.turn()
        self.clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.clients[0].close()
        self.turns_until(lambda: self.speakers[0].ends)
        self.assertEqual((self.speakers[0].ends, self.poll.getWriters()), ([ConnectionLost], []))

    def test_what_a_slow_reader_does_not_take_waits_and_its_producer_pauses(self) -> None:
        """And all of it comes in the end."""
        self.connect(1)
        speaker, client = self.speakers[0], self.clients[0]
        speaker.tcp.registerProducer(speaker, True)
        speaker.tcp.write(bytes(MUCH))
        self.turn()
        self.assertEqual((speaker.flow, self.poll.getWriters()), (["pause"], [speaker.tcp]))
        taken = 0
        client.setblocking(False)
        while taken < MUCH:
            if select.select([client], [], [], 0)[0]:
                taken += len(client.recv(1 << 20))
            elif self.poll.getWriters():
                self.turn()
        self.assertEqual((speaker.flow, self.poll.getWriters()), (["pause", "resume"], []))

    def test_one_that_is_paused_is_not_read(self) -> None:
        """Until it is resumed."""
        self.connect(2)
        self.speakers[0].tcp.pauseProducing()
        self.say(0)
        self.say(1)
        self.turn()
        self.assertEqual([speaker.got for speaker in self.speakers], [[], [b"x"]])
        self.speakers[0].tcp.resumeProducing()
        self.turn()
        self.assertEqual(self.speakers[0].got, [b"x"])

    def test_a_crowd_is_served_in_turns_and_nobody_is_left_out(self) -> None:
        """So many at a time; those who keep talking come again after the others."""
        self.patch(poll_module, "POLL_EVENTS", 2)
        self.connect(5)
        served: list[int] = []
        self.heard = lambda speaker, body: served.append(self.speakers.index(speaker))
        for index in range(5):
            self.say(index)
        for _ in range(3):
            self.turn()
            self.assertLessEqual(len(served), 6)
            self.say(served[-1])
        self.assertEqual(set(served), set(range(5)))

    def test_what_is_sent_outside_of_turns_goes_out_with_the_reactor_s_next(self) -> None:
        """Timers and answers of the database have no turn of the poll's."""
        self.connect(1)
        self.speakers[0].send_frame(b"news")
        self.assertEqual(self.speakers[0].writes, 0)
        self.reactor.advance(0)
        self.assertEqual(self.read_frame(0), b"news")

    def test_closing_cuts_everyone_off_and_leaves_the_reactor(self) -> None:
        """Ports too."""
        self.connect(2)
        self.poll.close()
        self.assertEqual([speaker.ends for speaker in self.speakers], [[ConnectionLost]] * 2)
        self.assertEqual((self.reactor.readers, self.poll.getReaders()), ([], []))
        self.assertEqual([client.recv(1) for client in self.clients], [b"", b""])

    def test_a_connection_from_nowhere_else_is_accepted_while_others_talk(self) -> None:
        """Ports take their turns like everybody."""
        self.connect(1)
        self.say(0)
        self.clients.append(socket.create_connection(self.port.socket.getsockname(), PATIENCE))
        self.turns_until(lambda: len(self.speakers) == 2 and self.speakers[0].got)


class HalfClosePollTests(PollTests):
    """The same for protocols that know half-closed connections."""

    kind = HalfSpeaker

    def test_a_client_that_leaves_is_gone(self) -> None:
        """It has only finished speaking, for all that is known; what it is told then goes on."""
        self.connect(1)
        self.clients[0].shutdown(socket.SHUT_WR)
        self.turns_until(lambda: self.speakers[0].ends)
        self.assertEqual(self.speakers[0].ends, ["read"])
        self.speakers[0].send_frame(b"still here")
        self.reactor.advance(0)
        self.assertEqual(self.read_frame(0), b"still here")
        self.speakers[0].tcp.loseConnection()
        self.turns_until(lambda: len(self.speakers[0].ends) > 1)
        self.assertEqual((self.speakers[0].ends[-1], self.poll.getReaders()), (ConnectionDone, [self.port]))
