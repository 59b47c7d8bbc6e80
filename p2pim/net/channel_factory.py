"""Makes the stream channels of one peer: it listens, dials, and meets others in splices.

What comes out are `TcpChannel` connections with TLS begun; to whom they lead is for their `LinkOwner` to find out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IProtocol, IProtocolFactory, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import makeBinding
from twisted.python.failure import Failure

from p2pim.core.candidates import Endpoint
from p2pim.core.limits import CHANNELS_INCOMING_PER_ADDRESS, CHANNELS_INCOMING_UNPROVED
from p2pim.errors import BadTicket
from p2pim.net.channel import LinkOwner, TcpChannel
from p2pim.net.peer_tls import ChannelTls, PeerIdentity
from p2pim.wire.channel import SPLICE_READY, pack_splice_preface

DIAL_TIME: Final = 5.0
"""Seconds for one address to take the call; a negotiation has twice as long."""


class TcpChannelFactory:
    """The stream channels of one peer.

    :param reactor: clock and sockets.
    :param wall: seconds since 1970.
    """

    def __init__(self, reactor: Any, wall: Callable[[], float]) -> None:
        self._reactor = reactor
        self._wall = wall
        self._tls = ChannelTls()
        self._port: IListeningPort | None = None

    @property
    def identity(self) -> PeerIdentity:
        """This peer's certificate and key, which its QUIC links show as well."""
        return self._tls.identity

    @property
    def fingerprint(self) -> bytes:
        """Of this peer's certificate."""
        return self._tls.identity.fingerprint

    def listen(self, endpoint: Endpoint, owner: Callable[[], LinkOwner]) -> Endpoint:
        """Take connections at ``endpoint``, or at a free port of the same host when that one is taken.

        :param owner: makes the owner of each connection.
        :returns: where it listens.
        :raises CannotListenError: the host is not this machine's.
        """
        self.stop_listening()
        host, port = endpoint
        factory = _Incoming(self._tls.listening(_Called(self, owner)))
        try:
            self._port = self._bind(host, port, factory)
        except CannotListenError:
            self._port = self._bind(host, 0, factory)
        return host, self._port.getHost().port  # type: ignore[attr-defined]

    def _bind(self, host: str, port: int, factory: IProtocolFactory) -> IListeningPort:
        # The connection to the server holds the same local address and port, with the same two options.
        binding = makeBinding(host, port, reuseAddress=True, reusePort=port != 0)
        listening: IListeningPort = self._reactor.listenTCP(binding, factory, interface=host)
        return listening

    def stop_listening(self) -> None:
        """Take no more connections; those that exist stay."""
        port, self._port = self._port, None
        if port is not None:
            port.stopListening()

    def dial(self, endpoint: Endpoint, owner: LinkOwner) -> Deferred[TcpChannel]:
        """Call ``endpoint``. The Deferred fires when the call is taken, fails when it is not, and can be cancelled."""
        host, port = endpoint
        calling = TCP4ClientEndpoint(self._reactor, host, port, timeout=DIAL_TIME)
        connected = calling.connect(self._tls.dialling(_Outgoing(self, owner, "tcp")))
        return connected.addCallback(_inside_tls)

    def splice(self, server: Endpoint, ticket: bytes, owner: LinkOwner, *, dialler: bool) -> Deferred[TcpChannel]:
        """Meet whoever has the other ticket at ``server``. The Deferred fires when both are there; as `dial` otherwise.

        :param dialler: which of the two ends of TLS this is.
        """
        inner = _Outgoing(self, owner, "relay")
        factory = self._tls.dialling(inner) if dialler else self._tls.listening(inner)
        calling = TCP4ClientEndpoint(self._reactor, *server, timeout=DIAL_TIME)
        connected = calling.connect(_SpliceEnds(ticket, factory))
        return connected.addCallback(_when_joined).addCallback(_inside_tls)

    def make(self, owner: LinkOwner, kind: str = "tcp") -> TcpChannel:
        """A connection's protocol."""
        return TcpChannel(self._reactor, owner, wall=self._wall, kind=kind)


class _Outgoing(Factory):
    noisy = False

    def __init__(self, channels: TcpChannelFactory, owner: LinkOwner, kind: str) -> None:
        self._channels, self._owner, self._kind = channels, owner, kind

    def buildProtocol(self, addr: IAddress | None) -> TcpChannel:
        return self._channels.make(self._owner, self._kind)


class _Called(Factory):
    noisy = False

    def __init__(self, channels: TcpChannelFactory, owner: Callable[[], LinkOwner]) -> None:
        self._channels, self._owner = channels, owner

    def buildProtocol(self, addr: IAddress | None) -> TcpChannel:
        return self._channels.make(self._owner())


class _Incoming(Factory):
    """Bounds the connections that have not shown yet who they are, in all and from one address."""

    noisy = False

    def __init__(self, tls: IProtocolFactory) -> None:
        self._tls = tls
        self._unproved: Counter[str] = Counter()

    def buildProtocol(self, addr: Any) -> Any:
        host = addr.host
        if self._unproved.total() >= CHANNELS_INCOMING_UNPROVED:
            return None
        if self._unproved[host] >= CHANNELS_INCOMING_PER_ADDRESS:
            return None
        self._unproved[host] += 1
        wrapper = self._tls.buildProtocol(addr)
        _inside_tls(wrapper).when_known(lambda: self._known(host))
        return wrapper

    def _known(self, host: str) -> None:
        self._unproved[host] -= 1
        if not self._unproved[host]:
            del self._unproved[host]


class _SpliceEnd(Protocol):
    """Shows the ticket, waits to be joined, and is only a pipe from then on."""

    def __init__(self, ticket: bytes, factory: IProtocolFactory) -> None:
        self._ticket, self._factory = ticket, factory
        self._inner: IProtocol | None = None
        self.joined: Deferred[IProtocol] = Deferred(lambda _: self._cut())
        """Fires with the protocol inside when both ends are there."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(pack_splice_preface(self._ticket))

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)
        elif data[:1] == SPLICE_READY and not self.joined.called:
            self._join(data[1:])
        else:
            self._give_up("What answers there is no relay.")

    def _join(self, rest: bytes) -> None:
        assert self.transport is not None
        inner = self._factory.buildProtocol(self.transport.getPeer())
        assert inner is not None
        self._inner = inner
        inner.makeConnection(self.transport)
        self.joined.callback(inner)
        if rest:
            inner.dataReceived(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inner is not None:
            self._inner.connectionLost(reason)
        else:
            self._give_up("The relay refused the ticket, or the other side did not come.")

    def _give_up(self, reason: str) -> None:
        if not self.joined.called:
            self.joined.errback(BadTicket(reason))
            self._cut()

    def _cut(self) -> None:
        transport: ITCPTransport = self.transport  # type: ignore[assignment]
        transport.abortConnection()


class _SpliceEnds(Factory):
    noisy = False

    def __init__(self, ticket: bytes, factory: IProtocolFactory) -> None:
        self._ticket, self._factory = ticket, factory

    def buildProtocol(self, addr: IAddress | None) -> _SpliceEnd:
        return _SpliceEnd(self._ticket, self._factory)


def _when_joined(end: IProtocol) -> Deferred[IProtocol]:
    assert isinstance(end, _SpliceEnd)
    return end.joined


def _inside_tls(wrapper: Any) -> TcpChannel:
    channel = wrapper.wrapped
    assert isinstance(channel, TcpChannel)
    return channel
