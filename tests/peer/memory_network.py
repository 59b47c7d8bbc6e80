"""Machines in memory: each has a reactor with TCP, all share one clock, and connections can be cut without a word.

Nothing happens until the clock is advanced, and everything that can happen at one moment then does, in order. Networks
take no time unless they are given a `MemoryNetwork.delay`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import CannotListenError, ConnectionAborted, ConnectionDone, ConnectionLost, TimeoutError
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.interfaces import IReactorPluggableNameResolver, IReactorTCP, IReactorTime, ITCPTransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

BUFFER = 64 * 1024
EPHEMERAL = 40_000


@implementer(ITCPTransport)
class MemoryTransport:
    """One end of a connection. It delivers at most `BUFFER` bytes a turn and pauses its producer above that.

    ``delay`` is how long a turn takes: the network's, unless this way is slower.
    """

    disconnecting = False
    producer: Any = None
    protocol: Any = None
    other: MemoryTransport

    def __init__(self, network: MemoryNetwork, here: IPv4Address, there: IPv4Address, delay: float = 0.0) -> None:
        self.network = network
        self.delay = delay or network.delay
        self.here, self.there = here, there
        self.buffer = b""
        self.connected = True
        self.paused = False
        self.written = 0
        self._scheduled = False

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if self.connected and data:
            self.buffer += data
            self.written += len(data)
            if self.producer is not None and len(self.buffer) > BUFFER and not self.paused:
                self.paused = True
                self.producer.pauseProducing()
            self._schedule()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self.network.clock.callLater(self.delay, self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        if not self.connected or self.network.is_cut(self.here.host, self.there.host):
            return
        if self.other.stalled:
            return
        data, self.buffer = self.buffer[:BUFFER], self.buffer[BUFFER:]
        if data and self.other.connected:
            self.other.protocol.dataReceived(data)
        if self.buffer:
            self._schedule()
        elif self.paused and self.producer is not None:
            self.paused = False
            self.producer.resumeProducing()
        if self.disconnecting and not self.buffer and self.connected:
            self.lost(ConnectionDone())

    stalled = False

    def resume_reading(self) -> None:
        self.stalled = False
        self.other._schedule()

    def lost(self, reason: Exception) -> None:
        if self.connected:
            self.connected = False
            producer, self.producer = self.producer, None
            if producer is not None:
                producer.stopProducing()
            if not self.network.is_cut(self.here.host, self.there.host):
                clean = isinstance(reason, ConnectionDone)
                lost = ConnectionDone() if clean else ConnectionLost()
                self.network.clock.callLater(self.delay, self.other.lost, lost)
            self.protocol.connectionLost(Failure(reason))

    def loseConnection(self) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            self._schedule()

    def abortConnection(self) -> None:
        self.disconnecting = True
        self.network.clock.callLater(0, self.lost, ConnectionAborted())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None
        if self.disconnecting:
            self._schedule()

    def getHost(self) -> IPv4Address:
        return self.here

    def getPeer(self) -> IPv4Address:
        return self.there

    def setTcpNoDelay(self, enabled: bool) -> None: ...

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None: ...

    def getTcpKeepAlive(self) -> bool:
        return False

    def loseWriteConnection(self) -> None:
        raise NotImplementedError


class _Port:
    def __init__(self, machine: MemoryReactor, address: IPv4Address, factory: Any) -> None:
        self.machine, self.address, self.factory = machine, address, factory

    def getHost(self) -> IPv4Address:
        return self.address

    def startListening(self) -> None: ...

    def stopListening(self) -> None:
        self.machine.ports.pop((self.address.host, self.address.port), None)


@implementer(IReactorTCP, IReactorTime, IReactorPluggableNameResolver)
class MemoryReactor:
    """One machine with one address (and its own loopback)."""

    def __init__(self, network: MemoryNetwork, host: str) -> None:
        self.network, self.host = network, host
        self.ports: dict[tuple[str, int], _Port] = {}
        self.taken: set[int] = set()
        """Ports that cannot be listened on."""
        self.dialled: list[tuple[str, int]] = []
        self.names: dict[str, str] = {}
        self.incoming: list[MemoryTransport] = []
        self._next = EPHEMERAL
        self.nameResolver = self

    # --- time

    def seconds(self) -> float:
        return float(self.network.clock.seconds())

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> Any:
        return self.network.clock.callLater(delay, callable, *args, **kw)

    def getDelayedCalls(self) -> Any:
        return self.network.clock.getDelayedCalls()

    # --- names

    def resolveHostName(self, receiver: Any, name: str, portNumber: int = 0, *args: Any, **kw: Any) -> Any:
        receiver.resolutionBegan(None)
        host = self.names.get(name, name)
        if host.replace(".", "").isdigit():
            receiver.addressResolved(IPv4Address("TCP", host, portNumber))
        receiver.resolutionComplete()

    def installNameResolver(self, resolver: Any) -> Any:
        raise NotImplementedError

    # --- TCP

    def free_port(self) -> int:
        self._next += 1
        return self._next

    def listenTCP(self, port: Any, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        number = port if isinstance(port, int) else port._port
        host = interface or self.host
        if number in self.taken or (host, number) in self.ports:
            raise CannotListenError(interface, number, OSError("taken"))
        address = IPv4Address("TCP", host, number or self.free_port())
        listening = _Port(self, address, factory)
        factory.doStart()
        self.ports[host, address.port] = listening
        return listening

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> Any:
        self.dialled.append((host, port))
        factory.doStart()
        call = _Call(self, host, port, factory, timeout)
        factory.startedConnecting(call)
        return call


class _Call:
    """A connection being made (Twisted's connector)."""

    def __init__(self, machine: MemoryReactor, host: str, port: int, factory: Any, timeout: float) -> None:
        self.machine, self.host, self.port, self.factory = machine, host, port, factory
        self.over = False
        self.late = machine.callLater(timeout, self.fail, TimeoutError())
        machine.callLater(0, self.arrive)

    def stopConnecting(self) -> None:
        self.fail(ConnectionAborted())

    disconnect = stopConnecting

    def getDestination(self) -> IPv4Address:
        return IPv4Address("TCP", self.host, self.port)

    def fail(self, reason: Exception) -> None:
        if not self.over:
            self.over = True
            if self.late.active():
                self.late.cancel()
            self.factory.clientConnectionFailed(self, Failure(reason))

    def arrive(self) -> None:
        network, here = self.machine.network, self.machine.host
        if self.over:
            return
        machine = self.machine if self.host.startswith("127.") else network.machines.get(self.host)
        if machine is None or network.is_cut(here, self.host) or (here, self.host) in network.one_way:
            return
        port = machine.ports.get((self.host, self.port))
        if port is None:
            self.fail(RefusedError())
            return
        self.over = True
        self.late.cancel()
        source = self.host if self.host.startswith("127.") else here
        network.join(self.machine, machine, source, port, self.factory)


class MemoryNetwork:
    """All machines and the clock."""

    def __init__(self, clock: Clock | None = None, delay: float = 0.0) -> None:
        self.clock = clock or Clock()
        self.delay = delay
        """Seconds that 64 KiB take from one end of a connection to the other."""
        self.machines: dict[str, MemoryReactor] = {}
        self.transports: list[MemoryTransport] = []
        self.cuts: set[frozenset[str]] = set()
        self.one_way: set[tuple[str, str]] = set()
        """(caller, called) pairs between which calls are lost."""

    def machine(self, host: str) -> MemoryReactor:
        self.machines[host] = MemoryReactor(self, host)
        return self.machines[host]

    def cut(self, one: str, other: str) -> None:
        """From now on nothing passes between the two, and neither is told."""
        self.cuts.add(frozenset((one, other)))

    def is_cut(self, one: str, other: str) -> bool:
        return frozenset((one, other)) in self.cuts

    def run(self, seconds: float = 0.0, step: float = 0.05) -> None:
        """Let ``seconds`` pass."""
        self.clock.advance(0)
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def join(self, caller: MemoryReactor, called: MemoryReactor, source: str, port: _Port, factory: Any) -> None:
        here = IPv4Address("TCP", source, caller.free_port())
        one = MemoryTransport(self, here, port.address)
        other = MemoryTransport(self, port.address, here)
        self.make(one, other, called, port, factory)

    def make(
        self, one: MemoryTransport, other: MemoryTransport, called: MemoryReactor, port: _Port, factory: Any
    ) -> None:
        """A connection, of whose two ends ``one`` is the caller's."""
        theirs = port.factory.buildProtocol(other.there)
        one.other, other.other = other, one
        self.transports += [one, other]
        if theirs is None:
            one.connected = other.connected = False
            mine = factory.buildProtocol(one.there)
            if mine is not None:
                one.protocol, one.connected = mine, True
                mine.makeConnection(one)
                self.clock.callLater(0, one.lost, ConnectionLost())
            return
        called.incoming.append(other)
        other.protocol = theirs
        mine = factory.buildProtocol(one.there)
        one.protocol = mine
        theirs.makeConnection(other)
        if mine is None:
            other.lost(ConnectionLost())
        else:
            mine.makeConnection(one)
