"""Bytes over qh3 with nothing around it: the speed that a QUIC channel could have at best.

    python bare_quic.py receive PORT CERTIFICATE KEY [FILE]   # one copy, to FILE or to nowhere; ends with it
    python bare_quic.py send PORT MIB [FILE]                  # from FILE or from memory; prints the seconds it took

One stream, one process a side, a loop around epoll, UDP_GRO and UDP_SEGMENT, one transmit per wake-up, send buffer of
1 MiB, socket buffers of 4 MiB. Only what qh3 documents is called. No verification besides QUIC's own.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import struct
import sys
import time
from typing import Any

from qh3.quic.configuration import QuicConfiguration
from qh3.quic.connection import QuicConnection
from qh3.quic.events import ConnectionTerminated, HandshakeCompleted, StreamDataReceived

MIB = 1024 * 1024
SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
now = time.monotonic


class Loop:
    """A socket, a connection, and what to do with its events."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(SOL_UDP, UDP_GRO, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self.socket.setsockopt(socket.SOL_SOCKET, option, 4 * MIB)
        self.socket.bind(("127.0.0.1", port))
        self.quic: QuicConnection | None = None
        self.done = False

    def event(self, event: object) -> None:
        """Something happened."""

    def refill(self) -> None:
        """Time to bring data."""

    def run(self) -> None:
        """Until `done`."""
        poll = select.epoll()
        poll.register(self.socket, select.EPOLLIN)
        while not self.done:
            at = self.quic.get_timer() if self.quic is not None else None
            ready = poll.poll(-1 if at is None else max(at - now(), 0))
            if ready:
                self._read()
            elif self.quic is not None:
                self.quic.handle_timer(now())
            self._work()

    def _read(self) -> None:
        for _ in range(16):
            try:
                data, ancillary, _, address = self.socket.recvmsg(65536, 64)
            except BlockingIOError:
                return
            size = struct.unpack("=i", ancillary[0][2])[0] if ancillary else len(data)
            if self.quic is None:
                self.start(data[:size])
            assert self.quic is not None
            self.quic.receive_gro_buffer(data, size, address, now())

    def start(self, first: bytes) -> None:
        """The first datagram of a caller came."""

    def _work(self) -> None:
        if self.quic is None:
            return
        while (event := self.quic.next_event()) is not None:
            self.event(event)
        self.refill()
        run: list[bytes] = []
        for data, address in self.quic.datagrams_to_send(now()):
            if run and (len(run) == 64 or len(data) > len(run[0]) or len(run[-1]) < len(run[0])
                        or (len(run) + 1) * len(run[0]) > 65000):  # fmt: skip
                self._send(run, address)
                run = []
            run.append(data)
        if run:
            self._send(run, address)

    def _send(self, run: list[bytes], address: Any) -> None:
        with contextlib.suppress(OSError):
            self.socket.sendmsg(run, [(SOL_UDP, UDP_SEGMENT, struct.pack("=H", len(run[0])))], 0, address)


class Receiver(Loop):
    """Takes one stream."""

    def __init__(self, port: int, configuration: QuicConfiguration, path: str | None) -> None:
        super().__init__(port)
        self.configuration = configuration
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) if path else -1

    def start(self, first: bytes) -> None:
        self.quic = QuicConnection(
            configuration=self.configuration, original_destination_connection_id=first[6 : 6 + first[5]]
        )

    def event(self, event: object) -> None:
        if isinstance(event, StreamDataReceived):
            data = event.data
            while self.file >= 0 and data:
                data = data[os.write(self.file, data) :]
            if event.end_stream and self.quic is not None:
                self.quic.send_stream_data(event.stream_id, b"k", end_stream=True)
        elif isinstance(event, ConnectionTerminated):
            self.done = True


class Sender(Loop):
    """Sends one stream and waits for the answer."""

    def __init__(self, port: int, configuration: QuicConfiguration, size: int, path: str | None) -> None:
        super().__init__(0)
        self.left = size
        self.file = os.open(path, os.O_RDONLY) if path else -1
        self.memory = bytes(256 * 1024)
        self.quic = QuicConnection(configuration=configuration)
        self.quic.connect(("127.0.0.1", port), now())
        self.began = 0.0
        self._work()

    def event(self, event: object) -> None:
        if isinstance(event, HandshakeCompleted):
            self.began = now()
        elif isinstance(event, StreamDataReceived):
            print(now() - self.began, flush=True)
            self.done = True

    def refill(self) -> None:
        assert self.quic is not None
        while self.began and self.left and self.quic.get_send_buffer_size(0) < MIB:
            size = min(len(self.memory), self.left)
            data = os.read(self.file, size) if self.file >= 0 else self.memory[:size]
            self.left -= len(data)
            self.quic.send_stream_data(0, data, end_stream=not self.left)


def main() -> None:
    role, port, *rest = sys.argv[1:]
    configuration = QuicConfiguration(
        is_client=role == "send", alpn_protocols=["x"], max_data=16 * MIB, max_stream_data=16 * MIB
    )
    if role == "receive":
        configuration.load_cert_chain(rest[0], rest[1])
        Receiver(int(port), configuration, rest[2] if len(rest) > 2 else None).run()
        return
    configuration.verify_mode = ssl.CERT_NONE
    sender = Sender(int(port), configuration, int(rest[0]) * MIB, rest[1] if len(rest) > 1 else None)
    sender.run()
    assert sender.quic is not None
    sender.quic.close()
    sender._work()


if __name__ == "__main__":
    main()
