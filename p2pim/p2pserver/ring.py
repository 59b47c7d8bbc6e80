"""Many datagrams by one system call: ``recvmmsg`` and ``sendmmsg`` over memory that is laid out once.

Python has no binding for the two, so their structures are built here, as the C library lays them out on 64-bit Linux:
``mmsghdr`` is eight words ``name, namelen, iov, iovlen, control, controllen, flags, len``, the second, the seventh and
the last of them half filled. Where that does not hold, `available` is false and `OneByOne
<p2pim.p2pserver.sockets.OneByOne>` takes its place.
"""

from __future__ import annotations

import ctypes
import errno
import sys
from struct import Struct
from typing import Any, Final

from p2pim.core.limits import STUN_BATCH, STUN_DATAGRAM

NAME_STRIDE: Final = 32
CONTROL_STRIDE: Final = 64
HEADER_WORDS: Final = 8
HEADER_BYTES: Final = 8 * HEADER_WORDS
NAME_BYTES: Final = {4: 16, 6: 28}
"""Sizes of ``sockaddr_in`` and ``sockaddr_in6``."""

_HEADER = Struct("@PIxxxxPPPPIxxxxIxxxx")
_VECTOR = Struct("@PP")
_DROPPED_BY_KERNEL: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.EBADF})


def _library() -> Any:
    """The C library, or None where it has not the two calls in the layout that is known here."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    try:
        library = ctypes.CDLL(None, use_errno=True)
        for call, extra in ((library.recvmmsg, [ctypes.c_void_p]), (library.sendmmsg, [])):
            call.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, *extra]
            call.restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    return library


_LIBRARY: Final = _library()
available: Final = _LIBRARY is not None


def _address(memory: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class Ring:
    """Memory for one batch, in and out; one serves all sockets of its address family.

    :param version: 4 or 6.

    After `receive` the datagram ``at`` begins at ``at * STUN_DATAGRAM`` of ``data``, its sender's ``sockaddr`` at
    ``at * NAME_STRIDE`` of ``names``, the kernel's remarks at ``at * CONTROL_STRIDE`` of ``control``. Its answer is
    written to the same place of ``out`` and its size to ``at * 2 + 1`` of ``out_sizes``, or `skip` says that it gets
    none; `send` sends all answers.

    :param handed_back: bytes of ``control`` that go out with the answer: the kernel's remark on the way in is an order
        on the way out, to send from the address that the question reached.
    """

    def __init__(self, version: int, handed_back: int, count: int = STUN_BATCH) -> None:
        self.count = count
        self.data = bytearray(count * STUN_DATAGRAM)
        self.names = bytearray(count * NAME_STRIDE)
        self.control = bytearray(count * CONTROL_STRIDE)
        self.out = bytearray(count * STUN_DATAGRAM)
        self._in_vectors = _vectors(_address(self.data), count)
        self._out_vectors = _vectors(_address(self.out), count)
        name_bytes = NAME_BYTES[version]
        self._heads_in = self._headers(self._in_vectors, name_bytes, CONTROL_STRIDE)
        self._heads_out = self._headers(self._out_vectors, name_bytes, handed_back)
        self._fresh = bytes(self._heads_in)
        self._in_address, self._out_address = _address(self._heads_in), _address(self._heads_out)
        words = memoryview(self._heads_in).cast("I")
        self._sizes, self._flags, self._control_sizes = (
            words[14::16],
            words[12::16],
            memoryview(self._heads_in).cast("Q"),
        )
        self.control_words = memoryview(self.control).cast("I")
        self.out_sizes = memoryview(self._out_vectors).cast("Q")
        self._skipped: list[int] = []
        self.unsent = 0
        """Answers that the kernel did not take; their askers ask again."""

    def _headers(self, vectors: bytearray, name_bytes: int, control_bytes: int) -> bytearray:
        heads = bytearray(self.count * HEADER_BYTES)
        first, names, control = _address(vectors), _address(self.names), _address(self.control)
        for at in range(self.count):
            name, remark = names + at * NAME_STRIDE, control + at * CONTROL_STRIDE
            vector = first + at * _VECTOR.size
            _HEADER.pack_into(heads, at * HEADER_BYTES, name, name_bytes, vector, 1, remark, control_bytes, 0, 0)
        return heads

    def receive(self, descriptor: int) -> list[int]:
        """The sizes of the datagrams that were waiting, at most one batch of them."""
        self._heads_in[:] = self._fresh
        count: int = _LIBRARY.recvmmsg(descriptor, self._in_address, self.count, 0x40, None)  # MSG_DONTWAIT
        return self._sizes[:count].tolist() if count > 0 else []

    def truncated(self, at: int) -> bool:
        """Whether the datagram was longer than what is kept of it."""
        return bool(self._flags[at] & 0x20)  # MSG_TRUNC

    def control_bytes(self, at: int) -> int:
        """How many bytes of remarks the kernel added."""
        return self._control_sizes[at * HEADER_WORDS + 5]

    def put(self, at: int, answer: bytes) -> None:
        """The answer to datagram ``at``."""
        start = at * STUN_DATAGRAM
        self.out[start : start + len(answer)] = answer
        self.out_sizes[at * 2 + 1] = len(answer)

    def skip(self, at: int) -> None:
        """Datagram ``at`` gets no answer; to be called in their order."""
        self._skipped.append(at)

    def send(self, descriptor: int, count: int) -> None:
        """Send the answers to the first ``count`` datagrams, except to those skipped."""
        if self._skipped:
            first = 0
            for at in self._skipped:
                self._send(descriptor, first, at)
                first = at + 1
            self._skipped.clear()
            self._send(descriptor, first, count)
        else:
            self._send(descriptor, 0, count)

    def _send(self, descriptor: int, position: int, end: int) -> None:
        """What the kernel has no room for is dropped, what it cannot send is passed over."""
        while position < end:
            start = self._out_address + position * HEADER_BYTES
            sent: int = _LIBRARY.sendmmsg(descriptor, start, end - position, 0x40)  # MSG_DONTWAIT
            if sent > 0:
                position += sent
                continue
            lost = end - position if ctypes.get_errno() in _DROPPED_BY_KERNEL else 1
            self.unsent += lost
            position += lost


def _vectors(first: int, count: int) -> bytearray:
    vectors = bytearray(count * _VECTOR.size)
    for at in range(count):
        _VECTOR.pack_into(vectors, at * _VECTOR.size, first + at * STUN_DATAGRAM, STUN_DATAGRAM)
    return vectors
