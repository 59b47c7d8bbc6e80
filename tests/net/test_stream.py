"""Frames are collected, and written once for each connection, whatever becomes of one of them."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from p2pim.net.stream import Flusher, FramedProtocol
from p2pim.wire.framing import pack_frame, pack_frames
from tests.net.test_splice import Tcp


class Listener(FramedProtocol):
    """Passes what it hears on to everyone."""

    def __init__(self, flusher: Flusher, everyone: list[Listener]) -> None:
        super().__init__(flusher, 1000)
        self.everyone = everyone

    def frame_received(self, body: bytes) -> None:
        for each in self.everyone:
            each.send_frame(body)


class Broken(Tcp):
    """Cannot be written to."""

    def write(self, data: bytes) -> None:
        raise ZeroDivisionError


class FlusherTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.flusher = Flusher(self.clock)
        self.everyone: list[Listener] = []
        self.wires: list[StringTransport] = []

    def join(self, wire: StringTransport) -> Listener:
        """One more who hears what is said."""
        listener = Listener(self.flusher, self.everyone)
        self.everyone.append(listener)
        self.wires.append(wire)
        listener.makeConnection(wire)
        return listener

    def test_what_a_read_causes_goes_out_when_it_ends(self) -> None:
        """Several frames together, and to all."""
        first, _ = self.join(Tcp()), self.join(Tcp())
        frames = pack_frames([b"one", b"two"])
        first.dataReceived(frames)
        self.assertEqual([wire.value() for wire in self.wires], [frames, frames])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_cannot_be_written_to_is_cut_and_the_others_get_theirs(self) -> None:
        """Now and afterwards."""
        first, _, _ = self.join(Tcp()), self.join(Broken()), self.join(Tcp())
        first.dataReceived(pack_frame(b"one"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([wire.value() for wire in self.wires[::2]], [pack_frame(b"one")] * 2)
        broken = self.wires[1]
        assert isinstance(broken, Broken)
        self.assertTrue(broken.aborted)

    def test_what_is_for_one_who_does_not_read_is_kept(self) -> None:
        """And counted, so that others can tell how much it is."""
        first = self.join(Tcp())
        first.backlog_since = 0.0
        first.dataReceived(pack_frame(b"one"))
        self.assertEqual((self.wires[0].value(), first.output_bytes), (b"", 3))
        first.backlog_since = None
        first.write_out()
        self.assertEqual((self.wires[0].value(), first.output_bytes), (pack_frame(b"one"), 0))
