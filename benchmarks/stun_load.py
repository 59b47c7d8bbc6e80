"""Asks a STUN server as fast as it answers, from as many loopback addresses as wanted, and counts the answers.

One process, one socket: the source address of each question is chosen by ``IP_PKTINFO``, and everything is laid out
beforehand, so that a turn costs two system calls for 64 questions. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import select
import socket
import struct
import time

BATCH = 64
HEADER = struct.Struct("@PIxxxxPPPPIxxxxIxxxx")
VECTOR = struct.Struct("@PP")
REMARK = struct.Struct("@NiiI4s4s4x")
QUESTION = struct.Struct(">HHI12s")
LIBRARY = ctypes.CDLL(None, use_errno=True)
for call in (LIBRARY.sendmmsg, LIBRARY.recvmmsg):
    call.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]


def address(memory: bytearray, offset: int = 0) -> int:
    """Where ``memory`` is."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory, offset))


class Questions:
    """One batch of questions, ready to be sent."""

    def __init__(self, first: int, addresses: int, port: int) -> None:
        self._texts = bytearray(b"".join(QUESTION.pack(1, 0, 0x2112A442, os.urandom(12)) for _ in range(BATCH)))
        self._name = bytearray(
            struct.pack("@H", socket.AF_INET) + port.to_bytes(2, "big") + bytes((127, 0, 0, 1)) + bytes(8)
        )
        self._remarks, self._vectors = bytearray(BATCH * REMARK.size), bytearray(BATCH * VECTOR.size)
        self._heads = bytearray(BATCH * HEADER.size)
        for at in range(BATCH):
            source = (127 << 24 | 1 << 16) + (first + at) % addresses
            remark, vector = at * REMARK.size, at * VECTOR.size
            REMARK.pack_into(self._remarks, remark, 28, 0, 8, 0, source.to_bytes(4, "big"), bytes(4))
            VECTOR.pack_into(self._vectors, vector, address(self._texts, at * 20), 20)
            ends = address(self._vectors, vector), 1, address(self._remarks, remark), REMARK.size
            HEADER.pack_into(self._heads, at * HEADER.size, address(self._name), 16, *ends, 0, 0)
        self.at = address(self._heads)


class Answers:
    """Room for one batch of answers."""

    def __init__(self) -> None:
        self._texts, self._vectors = bytearray(BATCH * 256), bytearray(BATCH * VECTOR.size)
        self._heads = bytearray(BATCH * HEADER.size)
        for at in range(BATCH):
            VECTOR.pack_into(self._vectors, at * VECTOR.size, address(self._texts, at * 256), 256)
            HEADER.pack_into(
                self._heads, at * HEADER.size, 0, 0, address(self._vectors, at * VECTOR.size), 1, 0, 0, 0, 0
            )
        self.at = address(self._heads)

    def right(self) -> bool:
        """Whether the first of them is a success with a mapped address."""
        return self._texts[:2] == b"\x01\x01" and b"\x00\x20\x00\x08\x00\x01" in self._texts[:64]


def run(port: int, addresses: int, seconds: float, total: int, window: int) -> dict[str, float]:
    """Ask for so many seconds, or until so many questions have been asked."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("0.0.0.0", 0))
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        udp.setsockopt(socket.SOL_SOCKET, option, 4 << 20)
    udp.setblocking(False)
    batches = [Questions(first, addresses, port) for first in range(0, addresses, BATCH)]
    room, descriptor, asked, answered, turn = Answers(), udp.fileno(), 0, 0, 0
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    start = time.perf_counter()
    end, outstanding = start + seconds, 0
    while time.perf_counter() < end and (asked < total or outstanding > 0):
        while outstanding < window and asked < total:
            sent = LIBRARY.sendmmsg(descriptor, batches[turn % len(batches)].at, BATCH, 0, None)
            turn, asked, outstanding = turn + 1, asked + max(sent, 0), outstanding + max(sent, 0)
        if not poll.poll(50):
            outstanding = 0  # lost: ask on
        while (got := LIBRARY.recvmmsg(descriptor, room.at, BATCH, 0x40, None)) > 0:
            answered, outstanding = answered + got, outstanding - got
    took = time.perf_counter() - start
    return {"asked": asked, "answered": answered, "seconds": took, "rate": answered / took, "right": room.right()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--addresses", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--total", type=int, default=1 << 60)
    parser.add_argument("--window", type=int, default=192)
    given = parser.parse_args()
    print(json.dumps(run(given.port, given.addresses, given.seconds, given.total, given.window)))
