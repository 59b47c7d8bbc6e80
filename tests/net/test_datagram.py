"""The UDP socket: what comes in goes where it belongs, what goes out goes in as few calls as possible."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from struct import pack
from typing import Any
from unittest import SkipTest

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from p2pim.core import limits
from p2pim.net.datagram import Address, UdpSocket, bind_udp, runs_of
from p2pim.wire.demux import Batch

THERE = ("192.0.2.9", 9)


class FakeReactor:
    """Knows who reads and who wants to write."""

    def __init__(self) -> None:
        self.readers: list[object] = []
        self.writers: list[object] = []

    def addReader(self, reader: object) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: object) -> None:
        self.readers = [other for other in self.readers if other is not reader]

    def addWriter(self, writer: object) -> None:
        self.writers.append(writer)

    def removeWriter(self, writer: object) -> None:
        self.writers = [other for other in self.writers if other is not writer]


class FakeSocket:
    """A kernel of which a test decides what it does."""

    def __init__(self) -> None:
        self.incoming: list[Any] = []
        self.single: list[bytes] = []
        self.segmented: list[list[bytes]] = []
        self.refuse_segmented = 0
        self.refuse: dict[int, int] = {}
        """Errors for single sends, by the number of sends before."""
        self.room = 10**9
        self.number = 7

    def getsockname(self) -> Address:
        return ("127.0.0.1", 1)

    def getsockopt(self, level: int, option: int) -> int:
        return 0

    def fileno(self) -> int:
        return self.number

    def close(self) -> None:
        self.number = -1

    def recvmsg(self, size: int, ancillary: int) -> Any:
        if not self.incoming:
            raise BlockingIOError
        item = self.incoming.pop(0)
        if isinstance(item, Exception):
            raise item
        return item

    def _take_room(self, count: int) -> None:
        if self.room < count:
            raise BlockingIOError(errno.EAGAIN, "full")
        self.room -= count

    def sendmsg(self, run: Sequence[bytes], ancillary: Any, flags: int, address: Address) -> None:
        if self.refuse_segmented:
            raise OSError(self.refuse_segmented, "no")
        self._take_room(len(run))
        self.segmented.append([bytes(datagram) for datagram in run])

    def sendto(self, datagram: bytes, address: Address) -> None:
        error = self.refuse.pop(len(self.single), 0)
        if error:
            raise OSError(error, "no")
        self._take_room(1)
        self.single.append(bytes(datagram))


def glued(datagrams: Sequence[bytes]) -> Any:
    """What recvmsg gives for datagrams that the kernel glued together."""
    return b"".join(datagrams), [(17, 104, pack("=i", len(datagrams[0])))], 0, THERE


class RunTests(SynchronousTestCase):
    @given(st.lists(st.sampled_from([0, 1, 5, 1200, 1472, 9000, 65000, 65507]), max_size=200))
    def test_runs_keep_every_datagram_and_what_the_kernel_asks(self, sizes: list[int]) -> None:
        """One size but for a shorter last, at most 64 and 65,000 bytes; nothing lost, nothing moved."""
        datagrams = [bytes([index % 256]) * size for index, size in enumerate(sizes)]
        runs = runs_of(datagrams)
        self.assertEqual([datagram for run in runs for datagram in run], datagrams)
        for run in runs:
            self.assertLessEqual(len(run), limits.UDP_SEGMENTS)
            if len(run) > 1:
                self.assertLessEqual(sum(map(len, run)), limits.UDP_SEGMENTED_BYTES)
                self.assertEqual({len(datagram) for datagram in run[:-1]}, {len(run[0])})
                self.assertLessEqual(len(run[-1]), len(run[0]))

    def test_a_file_goes_in_few_runs(self) -> None:
        """A hundred equal datagrams and a shorter one are three sends of at most 64,000 bytes."""
        runs = runs_of([bytes(1472)] * 100 + [bytes(10)])
        self.assertEqual([len(run) for run in runs], [44, 44, 13])


class SocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor, self.kernel = FakeReactor(), FakeSocket()
        self.socket = UdpSocket(self.reactor, self.kernel)  # type: ignore[arg-type]
        self.events: list[Any] = []
        self.socket.on_stun = lambda data, address: self.events.append(("stun", data))
        self.socket.on_own = lambda data, address: self.events.append(("own", data))
        self.socket.on_quic = self.quic
        self.socket.on_read = lambda: self.events.append("read")
        self.socket.on_room = lambda: self.events.append("room")
        self.socket.start()

    def quic(self, batch: Batch, address: Address) -> None:
        self.events.append(("quic", batch.data, batch.size))

    def test_it_is_a_descriptor(self) -> None:
        """A reactor can use it."""
        verifyObject(IReadDescriptor, self.socket)
        verifyObject(IWriteDescriptor, self.socket)
        self.assertEqual(self.reactor.readers, [self.socket])

    def test_each_kind_goes_to_its_hook(self) -> None:
        """Noise to none; and once all is read, that is said once."""
        for first in (b"\x00", b"\x80", b"\x40", b"\xc0", b"\x20"):
            self.kernel.incoming.append((first + b"x", [], 0, THERE))
        self.socket.doRead()
        expected = [("stun", b"\x00x"), ("own", b"\x80x"), ("quic", b"\x40x", 2), ("quic", b"\xc0x", 2), "read"]
        self.assertEqual(self.events, expected)

    def test_a_socket_that_the_reactor_finds_broken_is_closed_and_said_to_be(self) -> None:
        """So that its owner opens another; closing it oneself is no news."""
        self.socket.on_lost = lambda: self.events.append("lost")
        self.socket.close()
        self.assertEqual(self.events, [])
        self.setUp()
        self.socket.on_lost = lambda: self.events.append("lost")
        self.socket.connectionLost(Failure(OSError(19, "No such device")))
        self.assertEqual((self.events, self.reactor.readers, self.socket.closed), (["lost"], [], True))

    def test_glued_datagrams_come_as_one_batch(self) -> None:
        """That is what makes it fast."""
        self.kernel.incoming.append(glued([b"\x40" + bytes(9)] * 5 + [b"\x40ab"]))
        self.socket.doRead()
        self.assertEqual(self.events, [("quic", (b"\x40" + bytes(9)) * 5 + b"\x40ab", 10), "read"])

    def test_a_check_glued_to_quic_is_not_missed(self) -> None:
        """The kernel glues whatever one sender sends."""
        self.kernel.incoming.append(glued([b"\x40aa", b"\x00bb", b"\x40c"]))
        self.socket.doRead()
        self.assertEqual(self.events, [("quic", b"\x40aa", 3), ("stun", b"\x00bb"), ("quic", b"\x40c", 3), "read"])

    def test_one_wake_up_reads_a_bounded_many(self) -> None:
        """A flood does not keep timers from running."""
        self.kernel.incoming = [(b"\x00", [], 0, THERE)] * 100
        self.socket.doRead()
        self.assertEqual(len(self.kernel.incoming), 100 - limits.UDP_READS)

    def test_errors_of_earlier_sends_end_nothing(self) -> None:
        """An ICMP error may surface at a read."""
        self.kernel.incoming = [ConnectionRefusedError(), (b"\x00", [], 0, THERE)]
        self.socket.doRead()
        self.assertEqual(self.events, [("stun", b"\x00"), "read"])

    def test_a_hook_that_fails_costs_one_datagram(self) -> None:
        """The socket belongs to everybody."""
        self.socket.on_stun = lambda data, address: [][1]
        self.kernel.incoming = [(b"\x00", [], 0, THERE), (b"\x80", [], 0, THERE)]
        self.socket.doRead()
        self.assertEqual(self.events, [("own", b"\x80"), "read"])
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)

    def test_equal_datagrams_go_in_one_call(self) -> None:
        """And others by themselves."""
        self.socket.send([b"aaaa", b"bbbb", b"cc", b"dddd"], THERE)
        self.assertEqual((self.kernel.segmented, self.kernel.single), ([[b"aaaa", b"bbbb", b"cc"]], [b"dddd"]))

    def test_a_way_out_without_segmentation_is_found_out(self) -> None:
        """EIO and EINVAL come only when sending; nothing is lost, and it is not tried again."""
        for refusal in (errno.EIO, errno.EINVAL):
            self.setUp()
            self.kernel.refuse_segmented = refusal
            self.socket.send([b"aaaa", b"bbbb"], THERE)
            self.kernel.refuse_segmented = 0
            self.socket.send([b"cccc", b"dddd"], THERE)
            self.assertEqual(self.kernel.single, [b"aaaa", b"bbbb", b"cccc", b"dddd"])
            self.assertFalse(self.socket.segmenting)

    def test_datagrams_too_long_for_the_link_are_lost_alone(self) -> None:
        """They are what probes of the path's size are for; segmentation goes on."""
        self.kernel.refuse_segmented = errno.EINVAL
        self.kernel.refuse = {0: errno.EMSGSIZE}
        self.socket.send([b"aaaa"] * 2, THERE)
        self.kernel.refuse_segmented = errno.EMSGSIZE
        self.assertEqual(self.socket.dropped, 1)

    def test_no_error_of_the_network_surfaces(self) -> None:
        """No route, no permission: the datagram is lost, as any may be."""
        for number, error in enumerate((errno.ENETUNREACH, errno.EPERM, errno.EHOSTUNREACH, errno.ENOBUFS)):
            self.kernel.refuse = {0: error}
            self.socket.send([b"a"], THERE)
            self.assertEqual(self.socket.dropped, number + 1)
        self.assertFalse(self.socket.full)

    def test_a_full_socket_keeps_what_waits_and_sends_it_in_order(self) -> None:
        """And says when there is room again."""
        self.kernel.room = 1
        self.socket.send([b"a", b"bb", b"ccc"], THERE)
        self.socket.send([b"d"], THERE)
        self.assertTrue(self.socket.full)
        self.assertEqual(self.reactor.writers, [self.socket])
        self.kernel.room = 2
        self.socket.doWrite()
        self.assertTrue(self.socket.full)
        self.kernel.room = 100
        self.socket.doWrite()
        self.assertEqual(self.kernel.single, [b"a", b"bb", b"ccc", b"d"])
        self.assertEqual((self.reactor.writers, self.events, self.socket.full), ([], ["room"], False))

    def test_the_queue_of_a_full_socket_is_bounded(self) -> None:
        """Beyond that datagrams are dropped."""
        self.kernel.room = 0
        for _ in range(2000):
            self.socket.send([bytes(1000)], THERE)
        self.assertEqual(self.socket.dropped, 2000 - limits.UDP_SEND_QUEUE // 1000)

    def test_a_closed_socket_is_silent(self) -> None:
        """Closing twice and sending afterwards are harmless."""
        self.socket.close()
        self.socket.close()
        self.socket.send([b"a"], THERE)
        self.assertEqual((self.reactor.readers, self.kernel.single), ([], []))


class KernelTests(SynchronousTestCase):
    """Against the real kernel, on loopback, without a reactor: reads and writes are called by hand."""

    def pair(self, host: str, offload: bool) -> tuple[UdpSocket, UdpSocket, list[bytes]]:
        got: list[bytes] = []
        sockets = []
        for _ in range(2):
            try:
                made = bind_udp(host, offload=offload)
            except OSError as error:
                raise SkipTest(f"no {host} here") from error
            sockets.append(UdpSocket(FakeReactor(), made, offload=offload))  # type: ignore[arg-type]
            self.addCleanup(sockets[-1].close)
        sockets[1].on_quic = lambda batch, address: got.extend(batch.datagrams())
        return sockets[0], sockets[1], got

    def carry(self, host: str, offload: bool) -> None:
        one, other, got = self.pair(host, offload)
        sent = [b"\x40" + bytes([number]) * 1199 for number in range(100)] + [b"\x40end"]
        one.send(sent, other.address)
        for _ in range(20):
            other.doRead()
        self.assertEqual(got, sent)

    def test_what_is_sent_is_received_with_offload(self) -> None:
        """Glued together and taken apart by the kernel."""
        self.carry("127.0.0.1", True)

    def test_what_is_sent_is_received_without_offload(self) -> None:
        """One by one."""
        self.carry("127.0.0.1", False)

    def test_what_is_sent_is_received_over_ipv6(self) -> None:
        """With a socket of its own."""
        self.carry("::1", True)

    def test_a_taken_port_is_an_error(self) -> None:
        """And leaves no socket open."""
        made = bind_udp("127.0.0.1")
        self.addCleanup(made.close)
        with self.assertRaises(OSError):
            bind_udp("127.0.0.1", made.getsockname()[1])

    def test_an_ipv6_socket_takes_no_ipv4(self) -> None:
        """So no address is ever a mapped one."""
        try:
            made = bind_udp("::")
        except OSError as error:
            raise SkipTest("no IPv6 here") from error
        self.addCleanup(made.close)
        self.assertEqual(made.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY), 1)
