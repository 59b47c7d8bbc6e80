"""A UDP and a TCP port of one number, as the classic protocol has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory

from p2pim.core.addresses import normal_host
from p2pim.core.limits import CLASSIC_PORT_TRIES
from p2pim.net.classic_udp import Address, ClassicSocket, OnDatagram, bind_classic


class Pair:
    """The two ports, open.

    :param host: an address of this machine; ``0.0.0.0`` or ``::`` for all.
    :param port: their number; 0 picks one that is free for both.
    :param factory: makes what answers on the TCP port.
    :raises CannotListenError: they cannot be had.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        factory: Factory,
        received: OnDatagram,
        unreachable: Callable[[Address], None],
    ) -> None:
        for _ in range(1 if port else CLASSIC_PORT_TRIES):
            self._tcp = reactor.listenTCP(port, factory, interface=host)
            self.address: Address = (normal_host(self._tcp.getHost().host), self._tcp.getHost().port)
            try:
                bound = bind_classic(host, self.address[1])
                break
            except OSError as error:
                self._tcp.stopListening()
                problem = error
        else:
            raise CannotListenError(host, port or "any", problem)
        self.udp = ClassicSocket(reactor, bound, received, unreachable)
        self.udp.start()

    def close(self) -> Deferred[object]:
        """Close both; fires when the TCP port listens no more."""
        self.udp.close()
        return maybeDeferred(self._tcp.stopListening)
