"""Two homes, a server between them and channels in memory, every step of which a test decides.

Whatever would happen by itself (a disk job, a commit, a frame that arrives) waits in a queue: one queue for each thing
that keeps its own order. `World.step` lets the head of one of them happen; `World.settle` all, in turn. Killing a home
drops everything of its that has not happened yet, like kill -9.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from p2pim.core.limits import RECONNECT_MAX
from p2pim.errors import NoRoute, Offline, P2pimError, WireError
from p2pim.peer.events import Event
from p2pim.peer.interfaces import IChannel
from p2pim.peer.transfer_context import Retry
from p2pim.peer.transfers import Transfers
from p2pim.wire.signals import FileAnswer, FileLeft, FileOffer, FileState, RangeRequest, Signal
from tests.peer.transfer_fakes import Killed, MemoryChannel, MemoryDatabase

TRANSFER_SIGNALS = (FileOffer, FileAnswer, RangeRequest, FileState, FileLeft)


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
        self.silent: list[object] = []
        """Channels over which nothing is heard at present."""
        self.other: Home = self
        self.stranger = False
        """Whether the other one's presence is not told here, only which devices they have."""
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
            owner = getattr(call.func, "__self__", None)  # type: ignore[attr-defined]
            if owner is self.transfers or (isinstance(owner, Retry) and owner._action.__self__.context is context):  # type: ignore[attr-defined]
                call.cancel()
        assert self._database is not None
        self._database.connection.close()

    def _torn(self, job: Callable[[], Any]) -> Any:
        if self.tear is None:
            return job()
        real = os.pwrite

        def torn(handle: int, data: bytes, offset: int) -> int:
            assert self.tear is not None
            self.tear -= 1
            if self.tear >= 0:
                return real(handle, data, offset)
            real(handle, data[: len(data) // 2], offset)
            raise Killed

        with mock.patch.object(os, "pwrite", torn):
            return job()

    # --- what transfers ask for

    def send(
        self, user: str, device: bytes, signal: Signal, on_failed: Callable[[P2pimError], None] | None = None
    ) -> None:
        if self.channels:
            self.channels[-1].send(signal)
        else:
            self._world.put(("server", self.user), self, lambda: self.other.through_server(self, signal, on_failed))

    def through_server(
        self, sender: Home, signal: Signal, on_failed: Callable[[P2pimError], None] | None = None
    ) -> None:
        if self.alive and not self._world.server_down:
            with suppress(WireError):
                self.signal_received(sender.user, sender.device, signal, None)
        elif on_failed is not None and not self._world.server_down:
            on_failed(Offline())

    def signal_received(self, user: str, device: bytes, signal: Signal, channel: IChannel | None) -> None:
        assert isinstance(signal, TRANSFER_SIGNALS)
        self._world.signals.append((user, signal))
        self.transfers.signal_received(user, device, signal, channel)

    def bulk_channel(self, user: str, device: bytes, route: str) -> IChannel | None:
        heard = [c for c in self.channels if c not in self.silent]
        usable = [c for c in heard if route == "auto" or (c.kind == "relay") == (route == "relay")]
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
        return [self.other.device] if self.other.alive or self.stranger else []

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
