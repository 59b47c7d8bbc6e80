"""A file over Twisted's TLS with nothing around it: the speed that a stream channel could have at best.

    python bare_tls.py receive PORT CERTIFICATE KEY FILE     # stays; writes each file that comes over the last
    python bare_tls.py send PORT FILE                        # ends when the copy is confirmed

TLS 1.3, writes of 64 KiB from a push producer, the receiver writes what comes to the disk. Eight bytes of length first;
one byte back when the file is closed. No verification besides TLS's own.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO

from OpenSSL import SSL
from twisted.internet import interfaces, reactor, ssl
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from zope.interface import implementer

CHUNK = 64 * 1024
LENGTH = struct.Struct(">Q")
the_reactor: Any = reactor


@implementer(interfaces.IPushProducer)
class Sender(Protocol):
    """Sends the file and waits for the byte."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb", buffering=0)
        self._size = path.stat().st_size
        self._paused = False
        self.confirmed = False

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.write(LENGTH.pack(self._size))
        transport.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self) -> None:
        """Writes until told to pause."""
        transport: Any = self.transport
        self._paused = False
        while not self._paused:
            data = self._file.read(CHUNK)
            if not data:
                transport.unregisterProducer()
                return
            transport.write(data)

    def pauseProducing(self) -> None:
        self._paused = True

    def stopProducing(self) -> None:
        self._paused = True

    def dataReceived(self, data: bytes) -> None:
        self.confirmed = True
        the_reactor.stop()

    def connectionLost(self, reason: object = None) -> None:
        if not self.confirmed:
            os._exit(1)


class Receiver(Protocol):
    """Writes what comes, and confirms it when it is whole."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._head = b""
        self._left = -1

    def dataReceived(self, data: bytes) -> None:
        if self._left < 0:
            self._head += data
            if len(self._head) < LENGTH.size:
                return
            (self._left,), data = LENGTH.unpack(self._head[: LENGTH.size]), self._head[LENGTH.size :]
        while data:
            written = os.write(self._file, data)
            self._left -= written
            data = data[written:]
        if self._left == 0:
            os.close(self._file)
            transport: Any = self.transport
            transport.write(b"k")


class ReceiverFactory(Factory):
    """A receiver a connection."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def buildProtocol(self, _address: object) -> Protocol:
        return Receiver(self._path)


class SenderFactory(ClientFactory):
    """One sender."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def buildProtocol(self, _address: object) -> Protocol:
        return Sender(self._path)


def main() -> None:
    role, port, *rest = sys.argv[1:]
    if role == "receive":
        certificate, key, path = rest
        context: Any = ssl.DefaultOpenSSLContextFactory(key, certificate, SSL.TLS_METHOD)
        the_reactor.listenSSL(int(port), ReceiverFactory(Path(path)), context, interface="127.0.0.1")
    else:
        options = ssl.CertificateOptions(verify=False, raiseMinimumTo=ssl.TLSVersion.TLSv1_3)
        the_reactor.connectSSL("127.0.0.1", int(port), SenderFactory(Path(rest[0])), options)
    the_reactor.run()


if __name__ == "__main__":
    main()
