"""A P2P server on loopback whose reading is done when the test says so, and sockets that ask it."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.trial.unittest import SynchronousTestCase

from p2pim.p2pserver.service import P2pService
from p2pim.p2pserver.sockets import P2pSettings
from p2pim.wire import stun
from p2pim.wire.stun import StunMessage, parse

PLAIN_HEAD = b"\0\1\0\0" + stun.MAGIC_BYTES


def plain() -> bytes:
    """A plain question."""
    return PLAIN_HEAD + os.urandom(12)


class ManualReactor:
    """Keeps the readers; `turn` lets each of them read."""

    def __init__(self) -> None:
        self.readers: list[IReadDescriptor] = []

    def addReader(self, reader: IReadDescriptor) -> None:
        """As `IReactorFDSet.addReader`."""
        self.readers.append(reader)

    def removeReader(self, reader: IReadDescriptor) -> None:
        """As `IReactorFDSet.removeReader`."""
        self.readers.remove(reader)

    def turn(self) -> None:
        """All that has arrived is read: on loopback a datagram has arrived when sending it returns."""
        for reader in list(self.readers):
            reader.doRead()


class ServerCase(SynchronousTestCase):
    """Starts servers and asks them."""

    def serve(self, **settings: Any) -> P2pService:
        """A server that runs until the test ends."""
        self.manual = ManualReactor()
        self.now = 1000.0
        given = P2pSettings(**{"port": 0, "interface": "127.0.0.1", **settings})
        service = P2pService(self.manual, given, lambda: self.now, os.urandom)  # type: ignore[arg-type]
        service.startService()
        self.addCleanup(self.stop, service)
        return service

    def stop(self, service: P2pService) -> None:
        """Stop it, if it was not."""
        if service.running:
            service.stopService()

    def asker(self, host: str = "127.0.0.1", port: int = 0) -> socket.socket:
        """A socket that asks."""
        udp = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(udp.close)
        udp.bind((host, port))
        udp.setblocking(False)
        return udp

    def ask(self, udp: socket.socket, question: bytes, *to: Any) -> tuple[StunMessage, tuple[str, int]]:
        """The answer, and where it came from."""
        udp.sendto(question, to)
        self.manual.turn()
        data, source = udp.recvfrom(4096)
        return parse(data, classic=True), source[:2]

    def assert_silent(self, udp: socket.socket) -> None:
        """Nothing came."""
        self.assertRaises(BlockingIOError, udp.recv, 4096)
