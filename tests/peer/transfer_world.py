"""Two homes, a server between them and channels in memory, every step of which a test decides.

Whatever would happen by itself (a disk job, a commit, a frame that arrives) waits in a queue: one queue for each thing
that keeps its own order. `World.step` lets the head of one of them happen; `World.settle` all, in turn. Killing a home
drops everything of its that has not happened yet, like kill -9.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim.core.limits import RECONNECT_MAX
from p2pim.errors import ChannelClosed, NoRoute, Offline, WireError
from p2pim.peer.events import Event
from p2pim.peer.interfaces import IChannel
from p2pim.peer.transfer_context import Retry
from p2pim.peer.transfers import Transfers
from p2pim.storage.database import prepare_file
from p2pim.wire.signals import FileAnswer, FileOffer, FileState, RangeRequest, Signal

TRANSFER_SIGNALS = (FileOffer, FileAnswer, RangeRequest, FileState)


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
            self._put_bulk(stream, done, lambda d=data[at : at + self.chunk]: self.end.slice(stream, d))
        self._put_bulk(stream, done, lambda: self._last(stream, done, digest))
        return done

    def _put_bulk(self, stream: int, done: Deferred[None], what: Callable[[], None]) -> None:
        def happen() -> None:
            if self._bulk.get(stream) is done:
                what()

        self._world.put(("bulk", self.number, self.home.user), self.home, happen)

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


class Home:
    """A person's side: what survives (a folder, a database), and `transfers`, which does not."""

    transfers: Transfers

    def __init__(self, world: World, user: str, device: bytes, folder: Path) -> None:
        self.user = user
        self.device = device
        self.folder = folder
        self.downloads = folder / "downloads"
        self.events: list[Event] = []
        self.journal: list[str] = []
        self.alive = False
        self.channels: list[MemoryChannel] = []
        self.other: Home = self
        self.options: dict[str, Any] = {}
        self.tear: int | None = None
        """The disk write (from now on) in the middle of which the process is killed."""
        self._world = world
        self._database: MemoryDatabase | None = None

    # --- life

    def start(self) -> None:
        """A new process."""
        self.folder.mkdir(exist_ok=True)
        self._database = MemoryDatabase(self._world, self, self.folder / "home.db")
        self.alive = True
        self.transfers = Transfers(
            self._world.clock,
            threads=lambda job: self._world.later(self, "disk", lambda: self._torn(job)),
            database=self._database,  # type: ignore[arg-type]
            downloads=self.downloads,
            routes=self,
            emit=self.events.append,
            wall=lambda: 1_700_000_000 + self._world.clock.seconds(),
            journal=lambda kind, user, text: self.journal.append(text),
            piece=self._world.piece,
            **{"accept": "always", **self.options},
        )
        self._world.expect(Deferred.fromCoroutine(self.transfers.start()))

    def kill(self) -> None:
        """kill -9: the descriptors go, and everything that had not happened yet."""
        self.alive = False
        context = self.transfers._context
        for transfer in self.transfers._transfers.values():
            files = getattr(transfer, "_sink", None) or getattr(transfer, "_source", None)
            if files is not None:
                files.close()
        for channel in list(self.channels):
            self._world.cut(channel)
        self._world.drop(self)
        for call in list(self._world.clock.getDelayedCalls()):
            owner = getattr(call.func, "__self__", None)
            if owner is self.transfers or (isinstance(owner, Retry) and owner._action.__self__.context is context):  # type: ignore[attr-defined]
                call.cancel()
        assert self._database is not None
        self._database.connection.close()

    def _torn(self, job: Callable[[], Any]) -> Any:
        if self.tear is None:
            return job()
        real = os.pwritev

        def torn(handle: int, buffers: list[bytes], offset: int) -> int:
            assert self.tear is not None
            self.tear -= 1
            if self.tear >= 0:
                return real(handle, buffers, offset)
            data = b"".join(buffers)
            os.pwrite(handle, data[: len(data) // 2], offset)
            raise Killed

        with mock.patch.object(os, "pwritev", torn):
            return job()

    # --- what transfers ask for

    def send(self, user: str, device: bytes, signal: Signal) -> None:
        if self.channels:
            self.channels[-1].send(signal)
        else:
            self._world.put(("server", self.user), self, lambda: self.other.through_server(self, signal))

    def through_server(self, sender: Home, signal: Signal) -> None:
        if self.alive and not self._world.server_down:
            with suppress(WireError):
                self.signal_received(sender.user, sender.device, signal, None)

    def signal_received(self, user: str, device: bytes, signal: Signal, channel: IChannel | None) -> None:
        assert isinstance(signal, TRANSFER_SIGNALS)
        self._world.signals.append((user, signal))
        self.transfers.signal_received(user, device, signal, channel)

    def bulk_channel(self, user: str, device: bytes, route: str) -> IChannel | None:
        usable = [c for c in self.channels if route == "auto" or (c.kind == "relay") == (route == "relay")]
        return min(usable, key=lambda c: c.kind == "relay", default=None)

    async def need_bulk_channel(self, user: str, device: bytes, route: str) -> IChannel:
        await self._world.later(self, "dial", lambda: None)
        if not self.other.alive or self._world.server_down:
            raise Offline
        if route == "direct" and not self._world.direct:
            raise NoRoute
        kind = "tcp" if self._world.direct and route != "relay" else "relay"
        return self._world.connect(kind, self)

    async def devices_of(self, user: str) -> list[bytes]:
        return [self.other.device] if self.other.alive else []

    # --- what tests look at

    def events_named(self, name: str) -> list[Any]:
        return [event for event in self.events if event.event == name]

    def only(self) -> Any:
        """The one transfer there is."""
        (status,) = self.transfers.list()
        return status


class World:
    """Everything. ``piece`` is small, so that small files have many."""

    def __init__(self, piece: int = 64) -> None:
        self.clock = Clock()
        self.piece = piece
        self.direct = True
        self.server_down = False
        self.broken: list[WireError] = []
        self.signals: list[tuple[str, Signal]] = []
        self._queues: dict[object, deque[tuple[Home, Callable[[], None]]]] = {}
        self._failures: list[Failure] = []
        self._numbers = 0
        self._temporary = tempfile.TemporaryDirectory()
        root = Path(self._temporary.name)
        self.alice = Home(self, "alice", b"A" * 16, root / "alice")
        self.bob = Home(self, "bob", b"B" * 16, root / "bob")
        self.alice.other, self.bob.other = self.bob, self.alice
        self.source = root / "source"
        self.source.mkdir()

    def start(self, **bob: Any) -> None:
        """Both come up."""
        self.bob.options = bob
        self.alice.start()
        self.bob.start()
        self.settle()

    def close(self) -> None:
        for home in (self.alice, self.bob):
            if home.alive:
                home.kill()
        self._temporary.cleanup()

    # --- what will happen

    def put(self, key: object, home: Home, what: Callable[[], None]) -> None:
        if home.alive:
            self._queues.setdefault(key, deque()).append((home, what))

    def later(self, home: Home, kind: str, what: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()

        def happen() -> None:
            try:
                result = what()
            except Exception:  # noqa: BLE001 - it belongs to whoever waits for it
                done.errback(Failure())
            else:
                done.callback(result)

        self.put((home.user, kind), home, happen)
        return done

    def drop(self, home: Home) -> None:
        for key in list(self._queues):
            self._queues[key] = deque(item for item in self._queues[key] if item[0] is not home)

    def _ready(self) -> list[object]:
        return [key for key, queue in self._queues.items() if queue and not self._held(key)]

    def _held(self, key: object) -> bool:
        """Bulk never overtakes control that was sent before it."""
        return isinstance(key, tuple) and key[0] == "bulk" and bool(self._queues.get(("control", *key[1:])))

    def step(self, choice: int = 0) -> bool:
        """Let one thing happen; whether anything was there."""
        ready = self._ready()
        if not ready:
            return False
        home, what = self._queues[ready[choice % len(ready)]].popleft()
        try:
            what()
        except Killed:
            home.tear = None
            home.kill()
        return True

    def settle(self, limit: int = 200_000) -> None:
        """Let everything happen that needs no time."""
        for turn in range(limit):
            if not self.step(turn):
                self.clock.advance(0)
                if not self._ready():
                    break
        else:
            raise AssertionError("it never ends")
        self.check()

    def pass_time(self, seconds: float, by: float = 0.1) -> None:
        """Time goes by, and everything happens that comes due."""
        while seconds > 0:
            self.clock.advance(by)
            self.settle()
            seconds -= by

    def expect(self, deferred: Deferred[Any]) -> None:
        """A failure of ``deferred`` fails the test."""
        deferred.addErrback(self._failures.append)

    def check(self) -> None:
        for failure in self._failures:
            failure.raiseException()

    def result(self, coroutine: Any) -> Any:
        """What a coroutine returns when everything has happened; raises what it raises."""
        outcome: list[Any] = []
        Deferred.fromCoroutine(coroutine).addBoth(outcome.append)
        for turn in range(200_000):
            if outcome or not self.step(turn):
                break
        assert outcome, "it waits for something that does not come"
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        return outcome[0]

    # --- channels

    def connect(self, kind: str, home: Home | None = None) -> MemoryChannel:
        """A channel between both; gives the end of ``home``."""
        self._numbers += 1
        mine = MemoryChannel(self, self.alice, self.bob, kind, self._numbers)
        theirs = MemoryChannel(self, self.bob, self.alice, kind, self._numbers)
        mine.end, theirs.end = theirs, mine
        for end in (mine, theirs):
            end.home.channels.append(end)
            end.home.transfers.route_appeared(end.user, end.device)
        return theirs if home is self.bob else mine

    def cut(self, channel: MemoryChannel) -> None:
        """A channel is no more, and what was on it is lost."""
        for end in (channel, channel.end):
            end.die()

    def meet(self) -> None:
        """Both see each other at the server again."""
        for home in (self.alice, self.bob):
            if home.alive and home.other.alive:
                home.transfers.route_appeared(home.other.user, home.other.device)

    def heal(self) -> None:
        """Everything works, and long enough for the transfers to end."""
        self.server_down = False
        for home in (self.alice, self.bob):
            home.tear = None
            if not home.alive:
                home.start()
        self.settle()
        for _ in range(8):
            self.meet()
            self.settle()
            self.clock.advance(RECONNECT_MAX)
            self.settle()
