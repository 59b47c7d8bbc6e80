"""The UDP socket of a peer: one per address family, shared by STUN, checks and QUIC.

A read descriptor of its own rather than Twisted's `DatagramProtocol`, because QUIC at hundreds of megabytes a second is
decided by how many datagrams go through one system call: the kernel glues incoming datagrams of one sender together
(UDP_GRO) and cuts one large send into many (UDP_SEGMENT). Where it cannot, or where the way out turns out not to
(EIO, EINVAL while running), they go one by one.

Sending never blocks and never fails: what the kernel does not take is kept in a bounded queue, beyond it dropped, and
what the network refuses is lost, as datagrams may be at any time.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections import deque
from collections.abc import Callable, Sequence
from struct import Struct
from struct import error as struct_error
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor, IWriteDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim.core import limits
from p2pim.wire.demux import Batch, Kind, sort_batch

Address = tuple[Any, ...]
"""As the socket gives it: host and port; for IPv6 also flow and scope."""

_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_PROBE_PATH_MTU: Final = 3  # sets "don't fragment" and lets us find the path's size ourselves (RFC 8899)
_LARGEST: Final = 65_536
_SEGMENT_SIZE = Struct("=H")
_GRO_SIZE = Struct("=i")
_ANCILLARY: Final = 64
_OFFLOAD_REFUSED: Final = {errno.EIO, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOPROTOOPT}
_FULL: Final = {errno.EAGAIN, errno.EWOULDBLOCK}


class DatagramSocket(Protocol):
    """What `UdpSocket` is to those who use it; the hooks are explained there."""

    address: Address
    on_stun: Callable[[bytes, Address], None] | None
    on_quic: Callable[[Batch, Address], None] | None
    on_read: Callable[[], None] | None
    on_room: Callable[[], None] | None
    on_lost: Callable[[], None] | None

    @property
    def full(self) -> bool: ...

    def start(self) -> None: ...

    def send(self, datagrams: Sequence[bytes], address: Address) -> None: ...

    def close(self) -> None: ...


def bind_udp(host: str, port: int = 0, *, offload: bool = True) -> socket.socket:
    """A bound UDP socket with large buffers; its family is that of ``host``, a numeric address.

    :raises OSError: the address or port is not to be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        if family == socket.AF_INET6:  # IPv4 has its own socket: no mapped addresses anywhere
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            _try_option(made, socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PROBE_PATH_MTU)
        else:
            _try_option(made, socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE_PATH_MTU)
        _try_option(made, socket.SOL_SOCKET, socket.SO_RCVBUF, limits.UDP_SOCKET_BUFFER)
        _try_option(made, socket.SOL_SOCKET, socket.SO_SNDBUF, limits.UDP_SOCKET_BUFFER)
        if offload:
            _try_option(made, _SOL_UDP, _UDP_GRO, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


def _try_option(made: socket.socket, level: int, option: int, value: int) -> None:
    """Set an option that is good to have and can be done without."""
    with contextlib.suppress(OSError):
        made.setsockopt(level, option, value)


def _segments_offered(made: socket.socket) -> bool:
    """Whether the kernel knows UDP_SEGMENT."""
    try:
        made.getsockopt(_SOL_UDP, _UDP_SEGMENT)
    except (OSError, AttributeError):
        return False
    return hasattr(made, "sendmsg")


def runs_of(datagrams: Sequence[bytes]) -> list[Sequence[bytes]]:
    """``datagrams`` in runs that one send may carry: all of one size but the last, which may be shorter."""
    runs: list[Sequence[bytes]] = []
    start, end = 0, len(datagrams)
    while start < end:
        size = len(datagrams[start])
        most = min(start + limits.UDP_SEGMENTS, start + max(limits.UDP_SEGMENTED_BYTES // max(size, 1), 1), end)
        stop = start + 1
        while stop < most and len(datagrams[stop]) == size:
            stop += 1
        if stop < most and len(datagrams[stop]) < size:
            stop += 1
        runs.append(datagrams[start:stop])
        start = stop
    return runs


@implementer(IReadDescriptor, IWriteDescriptor)
class UdpSocket:
    """A bound socket in a reactor, telling apart what comes in.

    Set the hooks before `start`: `on_stun` and `on_own` get single datagrams, `on_quic` batches, `on_read` is called
    once after each wake-up (the time to answer), `on_room` when a full socket has room again, `on_lost` when the socket
    has broken and is closed.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorFDSet, made: socket.socket, *, offload: bool = True) -> None:
        self._reactor = reactor
        self._socket = made
        self.segmenting = offload and _segments_offered(made)
        self._offload_received = offload and hasattr(made, "recvmsg")
        self.address: Address = made.getsockname()
        self.on_stun: Callable[[bytes, Address], None] | None = None
        self.on_own: Callable[[bytes, Address], None] | None = None
        self.on_quic: Callable[[Batch, Address], None] | None = None
        self.on_read: Callable[[], None] | None = None
        self.on_room: Callable[[], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        self._queue: deque[tuple[Sequence[bytes], Address]] = deque()
        self._queued = 0
        self.received = self.sent = self.dropped = 0
        """Datagrams, but for batches of QUIC, which count once; ``dropped`` are those that never left."""

    @property
    def full(self) -> bool:
        """Whether the kernel takes no more at present: better keep back what can wait for `on_room`."""
        return bool(self._queue)

    @property
    def closed(self) -> bool:
        return self._socket.fileno() < 0

    def start(self) -> None:
        """Begin to read."""
        self._reactor.addReader(self)

    def close(self) -> None:
        """Stop reading and close the socket. Idempotent."""
        if not self.closed:
            self._reactor.removeReader(self)
            self._reactor.removeWriter(self)
            self._socket.close()
        self._queue.clear()
        self._queued = 0

    # --- descriptor

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "UdpSocket"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has found the socket broken."""
        self.close()
        if self.on_lost is not None:
            self._guarded(self.on_lost)

    def doRead(self) -> None:
        """Read what is there, but not for ever."""
        for _ in range(limits.UDP_READS):
            try:
                data, ancillary, address = self._receive()
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error about something sent earlier; the datagram is lost, the socket is not
            self._guarded(self._sort, data, ancillary, address)
            if self.closed:
                return
        if self.on_read is not None:
            self._guarded(self.on_read)

    def _receive(self) -> tuple[bytes, list[tuple[int, int, bytes]], Address]:
        if not self._offload_received:
            data, address = self._socket.recvfrom(_LARGEST)
            return data, [], address
        data, ancillary, _, address = self._socket.recvmsg(_LARGEST, _ANCILLARY)
        return data, ancillary, address

    def _sort(self, data: bytes, ancillary: list[tuple[int, int, bytes]], address: Address) -> None:
        size = _segment_size(ancillary) if ancillary else 0
        for batch in sort_batch(data, size or len(data)):
            self.received += 1
            if batch.kind is Kind.QUIC:
                if self.on_quic is not None:
                    self.on_quic(batch, address)
                continue
            hook = self.on_stun if batch.kind is Kind.STUN else self.on_own if batch.kind is Kind.OWN else None
            if hook is not None:
                for datagram in batch.datagrams():
                    hook(datagram, address)

    def _guarded(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a hook: what goes wrong in it must not cost everybody the socket."""
        try:
            function(*arguments)
        except Exception:  # noqa: BLE001
            self._log.failure("A datagram could not be handled")

    def doWrite(self) -> None:
        """The kernel takes datagrams again."""
        while self._queue:
            datagrams, address = self._queue.popleft()
            self._queued -= sum(map(len, datagrams))
            rest = self._send_run(datagrams, address)
            if rest:
                self._queue.appendleft((rest, address))
                self._queued += sum(map(len, rest))
                return
        self._reactor.removeWriter(self)
        if self.on_room is not None:
            self._guarded(self.on_room)

    # --- sending

    def send(self, datagrams: Sequence[bytes], address: Address) -> None:
        """Send ``datagrams`` to one address, in order, as few system calls as possible."""
        if self.closed:
            return
        for run in runs_of(datagrams):
            if not self._queue:
                run = self._send_run(run, address)
            if run:
                self._keep(run, address)

    def _keep(self, run: Sequence[bytes], address: Address) -> None:
        size = sum(map(len, run))
        if self._queued + size > limits.UDP_SEND_QUEUE:
            self.dropped += len(run)
            return
        if not self._queue:
            self._reactor.addWriter(self)
        self._queue.append((run, address))
        self._queued += size

    def _send_run(self, run: Sequence[bytes], address: Address) -> Sequence[bytes]:
        """Send; what the kernel has no room for comes back."""
        if len(run) > 1 and self.segmenting:
            try:
                self._send_segmented(run, address)
            except OSError as error:
                if error.errno in _FULL:
                    return run
                if error.errno == errno.EMSGSIZE or error.errno in _OFFLOAD_REFUSED:
                    return self._send_singly(run, address, refused=error.errno != errno.EMSGSIZE)
                self.dropped += len(run)
            return ()
        return self._send_singly(run, address)

    def _send_segmented(self, run: Sequence[bytes], address: Address) -> None:
        size = _SEGMENT_SIZE.pack(len(run[0]))
        self._socket.sendmsg(run, [(_SOL_UDP, _UDP_SEGMENT, size)], 0, address)
        self.sent += len(run)

    def _send_singly(self, run: Sequence[bytes], address: Address, *, refused: bool = False) -> Sequence[bytes]:
        """One by one. When they go where the segmented send was ``refused``, there will be no more of those."""
        for index, datagram in enumerate(run):
            try:
                self._socket.sendto(datagram, address)
            except OSError as error:
                if error.errno in _FULL:
                    return run[index:]
                self.dropped += 1  # too long for the link, no route, not permitted: lost
                continue
            self.sent += 1
            if refused and self.segmenting:
                self.segmenting = False
                self._log.info("This way out takes no segmented sends: datagrams go one by one from now on")
        return ()


def _segment_size(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The size of the datagrams that the kernel glued together; 0 when it did not."""
    for level, kind, data in ancillary:
        if level == _SOL_UDP and kind == _UDP_GRO:
            try:
                return max(int(_GRO_SIZE.unpack_from(data)[0]), 0)
            except struct_error:
                return 0
    return 0
