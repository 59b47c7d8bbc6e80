"""What surrounds transfers, in memory: a database whose commits and channels whose frames a test lets happen."""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from p2pim.errors import ChannelClosed, WireError
from p2pim.peer.interfaces import IChannel
from p2pim.storage.database import prepare_file
from p2pim.wire.signals import Signal

if TYPE_CHECKING:
    from tests.peer.transfer_world import Home, World


class Killed(BaseException):
    """The process is no more, in the middle of a disk job."""


@cache
def _empty_database() -> Path:
    """Made once: an empty home's database."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    path = Path(folder) / "empty.db"
    prepare_file(path, "peer")
    return path


class MemoryDatabase:
    """The interface of `p2pim.storage.database.Database`, with commits that a test lets happen."""

    def __init__(self, world: World, home: Home, path: Path) -> None:
        if not path.exists():
            shutil.copy(_empty_database(), path)
        self._world = world
        self._home = home
        self.connection = sqlite3.connect(path)
        self.connection.row_factory = sqlite3.Row
        self.connection.isolation_level = None
        self.connection.execute("PRAGMA foreign_keys = ON")
        self.connection.execute("PRAGMA synchronous = OFF")

    def read(self, work: Callable[[sqlite3.Connection], Any]) -> Deferred[Any]:
        return self._world.later(self._home, "read", lambda: work(self.connection))

    def write(self, work: Callable[[sqlite3.Connection], Any]) -> Deferred[Any]:
        return self._world.later(self._home, "commit", lambda: self._commit(work))

    def _commit(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(self.connection)
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        return result


@implementer(IChannel)
class MemoryChannel:
    """One end of a channel."""

    address = local_address = "memory"
    same_lan = True
    sent = received = 0
    since = 0.0

    def __init__(self, world: World, home: Home, other: Home, kind: str, number: int) -> None:
        self.kind = kind
        self.user = other.user
        self.device = other.device
        self.rtt: float | None = 0.001
        self.number = number
        self.open = True
        self.home = home
        self.end: MemoryChannel = self
        self.chunk = 20
        self._world = world
        self._bulk: dict[int, Deferred[None]] = {}

    def send(self, signal: Signal) -> None:
        if self.open:
            self._world.put(("control", self.number, self.home.user), self.home, lambda: self.end.control(signal))

    def control(self, signal: Signal) -> None:
        if self.open:
            self.guard(lambda: self.home.signal_received(self.user, self.device, signal, self))

    def send_bulk(self, stream: int, pieces: list[bytes], digest: bytes) -> Deferred[None]:
        if not self.open:
            return fail(ChannelClosed())
        assert stream not in self._bulk
        done: Deferred[None] = Deferred()
        self._bulk[stream] = done
        data = b"".join(pieces)
        for at in range(0, len(data), self.chunk):
            self._put_bulk(stream, done, partial(self._slice, stream, data[at : at + self.chunk]))
        self._put_bulk(stream, done, lambda: self._last(stream, done, digest))
        return done

    def _put_bulk(self, stream: int, done: Deferred[None], what: Callable[[], None]) -> None:
        def happen() -> None:
            if self._bulk.get(stream) is done:
                what()

        self._world.put(("bulk", self.number, self.home.user), self.home, happen)

    def _slice(self, stream: int, data: bytes) -> None:
        self.end.slice(stream, data)

    def slice(self, stream: int, data: bytes) -> None:
        if self.open:
            self.received += len(data)
            self.guard(lambda: self.home.transfers.bulk_received(self, stream, data))

    def _last(self, stream: int, done: Deferred[None], digest: bytes) -> None:
        del self._bulk[stream]
        self.end.ended(stream, digest)
        done.callback(None)

    def ended(self, stream: int, digest: bytes) -> None:
        if self.open:
            self.guard(lambda: self.home.transfers.bulk_ended(self, stream, digest))

    def guard(self, what: Callable[[], None]) -> None:
        """A broken protocol ends the channel, as the real one does it."""
        if not self.home.alive:
            return
        try:
            what()
        except WireError as error:
            self._world.broken.append(error)
            self._world.cut(self)

    def cancel_bulk(self, stream: int) -> None:
        done = self._bulk.pop(stream, None)
        if done is not None:
            done.errback(ChannelClosed())

    def ping(self) -> Deferred[float]:
        return succeed(0.001)

    def close(self, reason: str) -> None:
        self._world.cut(self)

    def die(self) -> None:
        """It is over at this end."""
        if not self.open:
            return
        self.open = False
        self.home.channels.remove(self)
        waiting, self._bulk = self._bulk, {}
        for done in waiting.values():
            if self.home.alive:
                done.errback(ChannelClosed())
        if self.home.alive:
            self.home.transfers.route_lost(self)
