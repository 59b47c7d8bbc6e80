"""Bytes over p2pim's ``udp`` channel: the socket, the connection, proof, lanes and ranges, as in a transfer.

    python udp_channel.py receive PORT CERTIFICATE KEY [FILE]   # one copy, to FILE or to nowhere
    python udp_channel.py send PORT MIB FINGERPRINT [FILE]      # from FILE or from memory; prints the seconds it took

With BENCH_PINGS set it also prints the median seconds of pings before the copy and during it. BENCH_BIND and BENCH_HOST
are the addresses of this and the other end.

Ranges of 1 MiB, eight in flight. With a file the sender reads and hashes (BLAKE3) in threads, the receiver hashes,
compares and writes in threads, as the transfers do; from memory neither hashes.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import time
from typing import Any

from blake3 import blake3
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from zope.interface import implementer

from p2pim.core.proof import DIALLED, DIALLER, is_proof, make_proof
from p2pim.net.certificates import CertificateAndKey
from p2pim.net.datagram import UdpSocket, bind_udp
from p2pim.net.interfaces import IChannelUser
from p2pim.net.quic import QuicChannel
from p2pim.net.quic_factory import UdpChannelFactory
from p2pim.wire.signals import AnySignal, Nominate, Prove, Typing

MIB = 1024 * 1024
IN_FLIGHT = 8
HOST = os.environ.get("BENCH_HOST", "127.0.0.1")
KEY = b"k" * 32
NONE = bytes(32)
the_reactor: Any = reactor


@implementer(IChannelUser)
class Peer:
    """One end: decides about links, and uses the channel."""

    def __init__(self, certificate: CertificateAndKey | None, port: int) -> None:
        the_reactor.seconds = time.monotonic
        self.factory = UdpChannelFactory(
            the_reactor,
            certificate or CertificateAndKey(b"", b""),
            self,
            random.Random(),
            time.time,
        )
        self.socket = UdpSocket(the_reactor, bind_udp(os.environ.get("BENCH_BIND", "127.0.0.1"), port))
        self.factory.attach(self.socket)
        self.socket.start()

    # a link

    def link_secured(self, link: QuicChannel) -> None:
        link.send(Prove(b"n" * 16, make_proof(KEY, DIALLER if link.dialler else DIALLED, link.exported_key())))

    def link_signal(self, link: QuicChannel, signal: AnySignal) -> None:
        if isinstance(signal, Prove):
            assert is_proof(signal.mac, KEY, DIALLED if link.dialler else DIALLER, link.exported_key())
            link.trust()
            if link.dialler:
                link.send(Nominate())
        if link.dialler or isinstance(signal, Nominate):
            link.adopt("peer", b"p" * 16, self, same_lan=True, closed=self.channel_closed)
            self.opened(link)

    def link_lost(self, link: QuicChannel, reason: str) -> None:
        print("lost:", reason, file=sys.stderr)
        the_reactor.stop()

    # a channel

    def opened(self, channel: QuicChannel) -> None:
        """It stands."""

    def channel_opened(self, channel: Any) -> None:
        """See `IChannelUser`."""

    def channel_closed(self, channel: Any, reason: str) -> None:
        the_reactor.callLater(0.1, the_reactor.stop)

    def signal_received(self, user: str, device: bytes, signal: AnySignal, channel: Any) -> None:
        """See `IChannelUser`."""

    def bulk_received(self, channel: Any, stream: int, data: bytes) -> None:
        """See `IChannelUser`."""

    def bulk_ended(self, channel: Any, stream: int, digest: bytes) -> None:
        """See `IChannelUser`."""


class Receiver(Peer):
    """Takes ranges until an end with no bytes before it."""

    def __init__(self, certificate: CertificateAndKey, port: int, path: str | None) -> None:
        super().__init__(certificate, port)
        self.factory.strangers = True
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) if path else -1
        self.hasher = blake3()
        self.slices: list[bytes] = []
        self.offset = 0
        self.writing: list[tuple[list[bytes], bytes]] = []
        self.busy = False
        self.finished: Any = None

    def bulk_received(self, channel: Any, stream: int, data: bytes) -> None:
        if self.file >= 0:
            self.slices.append(data)

    def bulk_ended(self, channel: Any, stream: int, digest: bytes) -> None:
        if stream == 5:
            self.finished = channel
        else:
            slices, self.slices = self.slices, []
            self.writing.append((slices, digest))
        self.next()

    def next(self) -> None:
        """One range at a time goes to the disk."""
        if self.busy:
            return
        if self.writing and self.file >= 0:
            self.busy = True
            deferToThread(self.write, *self.writing.pop(0)).addCallback(self.wrote)
        elif self.finished is not None:
            self.finished.send(Typing())

    def write(self, slices: list[bytes], digest: bytes) -> None:
        """In a thread."""
        for data in slices:
            self.hasher.update(data)
        assert self.hasher.digest() == digest
        self.offset += os.pwritev(self.file, slices[:1000], self.offset)

    def wrote(self, _: None) -> None:
        self.busy = False
        self.next()


class Sender(Peer):
    """Sends ranges and waits for the confirmation."""

    def __init__(self, port: int, mib: int, fingerprint: bytes, path: str | None) -> None:
        super().__init__(None, 0)
        self.left = mib
        self.offset = 0
        self.file = os.open(path, os.O_RDONLY) if path else -1
        self.hasher = blake3()
        self.memory = bytes(MIB)
        self.began = 0.0
        self.reading = False
        self.in_flight = 0
        self.factory.dial(self.socket, (HOST, port), fingerprint, self)

    def opened(self, channel: QuicChannel) -> None:
        self.channel = channel
        self.pings: list[list[float]] = [[], []]
        if "BENCH_PINGS" in os.environ:
            the_reactor.callLater(0.5, self.ping)
            the_reactor.callLater(2.0, self.begin)
        else:
            self.begin()

    def begin(self) -> None:
        """The copy itself."""
        self.began = time.monotonic()
        self.next()

    def ping(self) -> None:
        """Ten a second, apart from those that were sent as the copy began."""
        measured = self.pings[1] if self.began else self.pings[0]
        self.channel.ping().addCallbacks(measured.append, lambda failure: None)
        the_reactor.callLater(0.1, self.ping)

    def next(self, _: object = None) -> None:
        """Keep `IN_FLIGHT` ranges waiting."""
        while self.left and self.in_flight < IN_FLIGHT and not self.reading:
            self.left -= 1
            self.in_flight += 1
            if self.file < 0:
                self.bring((self.memory, NONE))
            else:
                self.reading = True
                deferToThread(self.read, self.offset).addCallback(self.bring)
                self.offset += MIB

    def read(self, offset: int) -> tuple[bytes, bytes]:
        """In a thread."""
        data = os.pread(self.file, MIB, offset)
        self.hasher.update(data)
        return data, self.hasher.digest()

    def bring(self, piece: tuple[bytes, bytes]) -> None:
        self.reading = False
        self.channel.send_bulk(1, [piece[0]], piece[1]).addCallback(self.sent)
        if self.file >= 0:
            self.next()

    def sent(self, _: None) -> None:
        self.in_flight -= 1
        if not self.left and not self.in_flight:
            self.channel.send_bulk(5, [], NONE)  # shares the lane of stream 1, so it comes last
        the_reactor.callLater(0, self.next)

    def signal_received(self, user: str, device: bytes, signal: AnySignal, channel: Any) -> None:
        print(time.monotonic() - self.began, *(statistics.median(each) for each in self.pings if each), flush=True)
        self.channel.close("done")
        the_reactor.callLater(0.05, the_reactor.stop)


def main() -> None:
    role, port, *rest = sys.argv[1:]
    if role == "receive":
        with open(rest[0], "rb") as certificate, open(rest[1], "rb") as key:
            pair = CertificateAndKey(certificate.read(), key.read())
        Receiver(pair, int(port), rest[2] if len(rest) > 2 else None)
    else:
        Sender(int(port), int(rest[0]), bytes.fromhex(rest[1]), rest[2] if len(rest) > 2 else None)
    the_reactor.run()


if __name__ == "__main__":
    main()
