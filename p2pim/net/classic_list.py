"""The user list of the classic protocol over TCP: pushed and closed at the one end, fetched at the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IAddress, IDelayedCall, IPullProducer, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim.core.addresses import normal_host
from p2pim.core.limits import (
    CLASSIC_LIST_BYTES,
    CLASSIC_LIST_LINGER,
    CLASSIC_LIST_TIME,
    CLASSIC_LISTS,
    CLASSIC_LISTS_PER_HOST,
)
from p2pim.errors import BadClassicList, ServerUnreachable
from p2pim.wire.classic import Coding, UserList, list_is_whole, parse_list

MakeList = Callable[[str, str], bytes]
"""The list for the host of the one who asks, at whose end the connection is on the address given second."""


@implementer(IPullProducer)
class ListProtocol(Protocol):
    """One connection: gets the list and is closed. Whoever says anything, or does not read it in time, is cut off.

    It closes when the kernel has taken everything, rather than at once, since a closing connection is not read from.
    """

    def __init__(self, factory: ListFactory, host: str) -> None:
        self._factory = factory
        self._host = host
        self._deadline: IDelayedCall | None = None
        self._given = False

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self._deadline = self._factory.clock.callLater(CLASSIC_LIST_TIME, transport.abortConnection)
        transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Nothing waits to be written: give the list, or it has been given."""
        transport: Any = self.transport
        if self._given:
            transport.unregisterProducer()
            transport.loseConnection()
        else:
            self._given = True
            transport.write(self._factory.make_list(self._host, normal_host(transport.getHost().host)))

    def stopProducing(self) -> None:
        """The connection is gone; `connectionLost` follows."""

    def dataReceived(self, data: bytes) -> None:
        self._factory.talkers += 1
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._factory.closed(self._host)


class ListFactory(Factory):
    """Gives everyone who connects the list.

    :param welcomes: whether a host may connect at all.
    :ivar talkers: connections on which something was said, which nobody should.
    :ivar turned_away: connections that were too many, or not welcome.
    """

    noisy = False

    def __init__(self, clock: IReactorTime, make_list: MakeList, welcomes: Callable[[str], bool]) -> None:
        self.clock = clock
        self.welcomes = welcomes
        self.make_list = make_list
        self.talkers = self.turned_away = 0
        self._open: dict[str, int] = {}

    def buildProtocol(self, addr: IAddress | None) -> ListProtocol | None:
        host = normal_host(getattr(addr, "host", ""))
        here = self._open.get(host, 0)
        full = sum(self._open.values()) >= CLASSIC_LISTS or here >= CLASSIC_LISTS_PER_HOST
        if full or not self.welcomes(host):
            self.turned_away += 1
            return None
        self._open[host] = here + 1
        return ListProtocol(self, host)

    def closed(self, host: str) -> None:
        """A connection is gone."""
        left = self._open[host] - 1
        if left:
            self._open[host] = left
        else:
            del self._open[host]


class _Fetching(Protocol):
    """The other end: reads until the server closes, or has sent a list and says no more."""

    def __init__(self, clock: IReactorTime, done: Deferred[bytes]) -> None:
        self._clock = clock
        self._done = done
        self._data = bytearray()
        self._call: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._wait(CLASSIC_LIST_TIME)

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > CLASSIC_LIST_BYTES:
            self._end(BadClassicList("The user list is longer than any that is read."))
        else:
            self._wait(CLASSIC_LIST_LINGER if list_is_whole(bytes(self._data[-8:])) else CLASSIC_LIST_TIME)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end()

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        self._end()

    def _wait(self, seconds: float) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = self._clock.callLater(seconds, self._end)

    def _end(self, error: BadClassicList | None = None) -> None:
        if self._call is not None and self._call.active():
            self._call.cancel()
        transport: Any = self.transport
        transport.abortConnection()
        if not self._done.called:
            if error is None:
                self._done.callback(bytes(self._data))
            else:
                self._done.errback(error)


async def fetch_list(reactor: Any, host: str, port: int, coding: Coding) -> UserList:
    """The list of the server at ``host``.

    :param coding: of the login.
    :raises ServerUnreachable: it cannot be connected to.
    :raises BadClassicList: what comes is no list.
    """
    done: Deferred[bytes] = Deferred()
    endpoint = HostnameEndpoint(reactor, host, port, timeout=CLASSIC_LIST_TIME)
    factory = Factory.forProtocol(lambda: _Fetching(reactor, done))
    factory.noisy = False
    try:
        connection: Any = await endpoint.connect(factory)
    except (ConnectError, OSError) as error:
        raise ServerUnreachable(f"The user list at TCP {host}:{port} cannot be had: {error}") from None
    try:
        return parse_list(await done, coding)
    finally:
        connection.give_up()
