"""A whole server in memory: its parts put together as in production, on a clock of the test's and with no sockets.

Clients speak frames; TLS is left out here (`tests.net.test_server_tls` has it).
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from p2pim.net.server_tls import ServerTls
from p2pim.server.connection import ServerConnection
from p2pim.server.house import House
from p2pim.server.passwords import Passwords
from p2pim.server.settings import LimitsSection, ServerSection, ServerSettings
from p2pim.storage.database import prepare_file
from p2pim.storage.stored_files import StoredFolder
from p2pim.wire.framing import FrameBuffer, pack_frame, pack_frames
from p2pim.wire.messages import (
    FEATURES,
    PROTOCOL_VERSION,
    FromServer,
    Hello,
    Message,
    Register,
    SignIn,
    Welcome,
    decode_from_server,
    encode,
)

T = TypeVar("T")
PASSWORD = "correct horse"
STRANGER = "198.51.100.7"


class MemoryDatabase:
    """Carries out reads and writes at once; or later, or not at all, when a test says so.

    :ivar broken: every commit fails.
    :ivar held: when a list, work waits in it until `go_on`.
    """

    def __init__(self, path: Path) -> None:
        prepare_file(path, "server")
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA foreign_keys = ON")
        self.connection.execute("PRAGMA synchronous = OFF")
        self.broken = False
        self.held: list[tuple[Callable[[sqlite3.Connection], Any], Deferred[Any]]] | None = None
        self.reads = 0

    def read(self, work: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        """As `Database.read`."""
        self.reads += 1
        return self._run(work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        """As `Database.write`."""
        if self.broken:
            return fail(sqlite3.OperationalError("database or disk is full"))
        return self._run(work)

    def go_on(self) -> None:
        """Do what was held."""
        held, self.held = self.held or [], None
        for work, done in held:
            maybeDeferred(self._in_savepoint, work).chainDeferred(done)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        if self.held is None:
            return maybeDeferred(self._in_savepoint, work)
        done: Deferred[T] = Deferred()
        self.held.append((work, done))
        return done

    def _in_savepoint(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self.connection.execute("SAVEPOINT one")
        try:
            return work(self.connection)
        except BaseException:
            self.connection.execute("ROLLBACK TO one")
            raise
        finally:
            self.connection.execute("RELEASE one")


class PlainTls(ServerTls):
    """Leaves TLS out: the server's connections stand directly on their transports."""

    def __init__(self) -> None:
        self.fingerprint = bytes(32)

    def wrap(self, protocol: Any) -> Any:
        """``protocol`` as it is."""
        return protocol


class Wire(StringTransport):
    """The server's end of a client's TCP connection, on which a test can see and do everything."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", host, port))
        self.protocol: Any = None
        self.aborted = False
        self.wrote_end = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing here."""

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()

    def unregisterProducer(self) -> None:
        """As TCP does it: nothing happens when there is none."""
        self.producer = None

    def loseWriteConnection(self) -> None:
        """The server has finished."""
        self.wrote_end = True


class Client:
    """A client, as a test speaks for it."""

    def __init__(self, world: World, host: str = STRANGER) -> None:
        world.ports += 1
        self.world = world
        self.wire = Wire(host, world.ports)
        protocol = world.house.port.buildProtocol(self.wire.getPeer())
        self.refused = protocol is None
        self.protocol: Any = protocol
        self.frames = FrameBuffer(1 << 24)
        self.device = random.Random(world.ports).randbytes(16)
        if protocol is not None:
            self.wire.protocol = protocol
            protocol.makeConnection(self.wire)

    @property
    def connection(self) -> ServerConnection:
        """The server's side of it, once TLS has begun."""
        connection = self.wire.protocol
        assert isinstance(connection, ServerConnection)
        return connection

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection."""
        return self.wire.disconnecting or self.wire.aborted

    def begin_tls(self) -> None:
        """What `PlainTls` takes for the first bytes of TLS: they are dropped."""
        connection_maker = self.protocol._tls
        self.protocol._hand_over(connection_maker(), b"")

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        if not isinstance(self.wire.protocol, ServerConnection):
            self.begin_tls()
        self.wire.protocol.dataReceived(data)

    def send(self, *messages: Message) -> None:
        """Send messages, all in one read of the server."""
        self.raw(pack_frames([encode(message) for message in messages]))
        self.world.settle()

    def frame(self, body: bytes) -> None:
        """Send the body of one frame."""
        self.raw(pack_frame(body))
        self.world.settle()

    def received(self) -> list[FromServer]:
        """What has come since the last time."""
        self.world.settle()
        data = self.wire.value()
        self.wire.clear()
        return [decode_from_server(body) for body in self.frames.feed(data)]

    def one(self, kind: type[T]) -> T:
        """The one message that has come, of this type."""
        messages = self.received()
        assert len(messages) == 1, messages
        assert isinstance(messages[0], kind), messages
        return messages[0]

    def all(self, kind: type[T]) -> list[T]:
        """Of what has come, the messages of this type."""
        return [message for message in self.received() if isinstance(message, kind)]

    def register(
        self, name: str, password: str = PASSWORD, invite: str = "", features: tuple[str, ...] = FEATURES
    ) -> Client:
        """Make an account and sign in; what it is told then is dropped."""
        self.send(
            Hello(PROTOCOL_VERSION, "", features), Register(name, password, self.device, f"{name}'s device", invite)
        )
        self.welcome = self.one(Welcome)
        return self

    def sign_in(self, name: str, *, device: bytes | None = None, **details: Any) -> Client:
        """Say who it is; the answer is left to be read."""
        if device is not None:
            self.device = device
        self.send(Hello(PROTOCOL_VERSION), SignIn(name, self.device, f"{name}'s device", **details))
        return self

    def lose(self) -> None:
        """The connection breaks."""
        self.wire.protocol.connectionLost(Failure(ConnectionDone()))
        self.world.settle()


class World:
    """The server and its clients."""

    def __init__(self, folder: str, settings: ServerSettings | None = None) -> None:
        self.path = Path(folder)
        self.path.mkdir(parents=True, exist_ok=True)
        self.clock = Clock()
        self.database = MemoryDatabase(self.path / "server.db")
        self.hashing: list[Callable[[], object]] | None = None
        self.random = random.Random(1)
        self.ports = 40_000
        self.wall = 1_700_000_000.0
        self.stored = StoredFolder(self.path / "files")
        self.stored.make()
        self.house = House(
            self.clock,
            settings or ServerSettings(),
            self.database,
            Passwords(self._hash),
            PlainTls(),
            lambda: self.wall,
            self.random.randbytes,
            stored=self.stored,
        )

    def _hash(self, function: Callable[..., T], *arguments: object) -> Deferred[T]:
        """Hash now, or when `hash_now` is called."""
        if self.hashing is None:
            return maybeDeferred(function, *arguments)
        done: Deferred[T] = Deferred()
        self.hashing.append(lambda: maybeDeferred(function, *arguments).chainDeferred(done))
        return done

    def hash_now(self) -> None:
        """Carry out what waits for the password threads."""
        waiting, self.hashing = self.hashing or [], None
        for each in waiting:
            each()
        self.settle()

    def settle(self) -> None:
        """End the reactor's turn."""
        self.clock.advance(0)

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Let time go by, with the sweeps that belong to it."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.clock.advance(min(step, end - self.clock.seconds()))
            self.wall += step
            self.house.sweep()
        self.settle()

    def client(self, host: str = STRANGER) -> Client:
        """A new connection."""
        return Client(self, host)

    def user(self, name: str, host: str = STRANGER) -> Client:
        """A new account, signed in."""
        return self.client(host).register(name)

    def set(self, **server: Any) -> None:
        """Change settings of the section [server] as a reload would."""
        self.house.use(ServerSettings(server=ServerSection(**server), limits=self.house.settings.limits))

    def limit(self, **limits: Any) -> None:
        """Change settings of the section [limits] as a reload would."""
        self.house.use(ServerSettings(server=self.house.settings.server, limits=LimitsSection(**limits)))
