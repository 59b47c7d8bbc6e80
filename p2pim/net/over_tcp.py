"""What TLS transports of ours leave to the TCP connection below them."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol


class OverTcp(Protocol):
    """A protocol of the TCP connection ``_tcp``, and a transport itself."""

    _tcp: Any = None

    def getPeer(self) -> IAddress:
        """The other end's address."""
        address: IAddress = self._tcp.getPeer()
        return address

    def getHost(self) -> IAddress:
        """This end's address."""
        address: IAddress = self._tcp.getHost()
        return address

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Tell ``producer`` when the other end does not read."""
        self._tcp.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Tell nobody."""
        self._tcp.unregisterProducer()

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802 - Twisted's name
        """As TCP's."""
        self._tcp.setTcpNoDelay(enabled)
