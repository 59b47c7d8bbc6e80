"""What all transfers of a peer share, and what they ask of the rest of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from p2pim.core.limits import PIECE, TRANSFERS_RUNNING, TRANSFERS_RUNNING_PER_USER
from p2pim.errors import P2pimError
from p2pim.peer.events import Event
from p2pim.peer.interfaces import IChannel
from p2pim.storage.transfers import TransferStore
from p2pim.wire.signals import Signal

if TYPE_CHECKING:
    from p2pim.peer.transfer_arrival import Arrival

T = TypeVar("T")
Threads = Callable[[Callable[[], Any]], Deferred[Any]]
"""Runs a job that blocks in another thread; the Deferred fires in the reactor's."""


class DiskPool:
    """A few threads for disk jobs alone, so that nothing else waits behind a slow disk."""

    SIZE: Final = 4
    """More would only queue at the disk."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = cast("IReactorFromThreads", reactor)
        self._pool = ThreadPool(0, self.SIZE, "transfers")

    def __call__(self, job: Callable[[], Any]) -> Deferred[Any]:
        """Run ``job`` in one of them."""
        return deferToThreadPool(self._reactor, self._pool, job)

    def start(self) -> None:
        """Threads are made when they are needed."""
        self._pool.start()

    def stop(self) -> None:
        """Wait for what is running."""
        self._pool.stop()


class TransferRoutes(Protocol):
    """How transfers reach the other side."""

    def send(
        self, user: str, device: bytes, signal: Signal, on_failed: Callable[[P2pimError], None] | None = None
    ) -> None:
        """Send a signal by the best way there is; it may get lost. ``on_failed`` hears when the server says so."""

    def bulk_channel(self, user: str, device: bytes, route: str) -> IChannel | None:
        """The channel for bulk by ``route`` ("auto", "direct", "relay"), if it stands."""

    async def need_bulk_channel(self, user: str, device: bytes, route: str) -> IChannel:
        """The same, made when it does not stand. Raises a `P2pimError` when it cannot be."""

    async def devices_of(self, user: str) -> list[bytes]:
        """The devices of ``user`` that can be reached. Raises a `P2pimError` when nobody can be asked."""


class Lane:
    """The disk jobs of one transfer, one after another: its hasher and descriptors are never in two threads."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._jobs: deque[tuple[Callable[[], Any], Deferred[Any]]] = deque()
        self.busy = False
        """Whether a job is running or waiting."""

    def run(self, job: Callable[[], T]) -> Deferred[T]:
        """What ``job`` returns, once those before it have run."""
        done: Deferred[T] = Deferred()
        self._jobs.append((job, done))
        if not self.busy:
            self.busy = True
            self._next()
        return done

    def _next(self) -> None:
        job, done = self._jobs[0]
        self._threads(job).addBoth(self._settle, done)

    def _settle(self, result: Any, done: Deferred[Any]) -> None:
        """Fire ``done`` before the next job begins; what it causes to be run comes after what waits already."""
        self._jobs.popleft()
        if isinstance(result, Failure):
            done.errback(result)
        else:
            done.callback(result)
        if self._jobs:
            self._next()
        else:
            self.busy = False


class Retry:
    """Calls ``action`` later: at once, or after a wait that doubles from ``first`` to ``most`` until it is `reset`."""

    def __init__(self, clock: IReactorTime, action: Callable[[], None], first: float, most: float) -> None:
        self._clock = clock
        self._action = action
        self._first = self._wait = first
        self._most = most
        self._call: IDelayedCall | None = None

    @property
    def pending(self) -> bool:
        """Whether it will call."""
        return self._call is not None

    def soon(self) -> None:
        """At the next turn of the reactor."""
        self._after(0)

    def later(self) -> None:
        """After the wait."""
        self._after(self._wait)
        self._wait = min(2 * self._wait, self._most)

    def reset(self) -> None:
        """The next wait is the first one again."""
        self._wait = self._first

    def cancel(self) -> None:
        """Not any more."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _after(self, wait: float) -> None:
        self.cancel()
        self._call = self._clock.callLater(wait, self._due)

    def _due(self) -> None:
        self._call = None
        self._action()


class Slots:
    """Who may receive now: a bound on memory, and no user takes all of it."""

    def __init__(self, total: int = TRANSFERS_RUNNING, per_user: int = TRANSFERS_RUNNING_PER_USER) -> None:
        self._total = total
        self._per_user = per_user
        self._held: dict[bytes, str] = {}

    def take(self, transfer: bytes, user: str) -> bool:
        """A slot for ``transfer``; whether there is one."""
        held = list(self._held.values())
        if len(held) >= self._total or held.count(user) >= self._per_user:
            return False
        self._held[transfer] = user
        return True

    def give_back(self, transfer: bytes) -> None:
        """It no longer needs its slot."""
        self._held.pop(transfer, None)


@dataclass
class TransferContext:
    """Handed to every transfer."""

    clock: IReactorTime
    wall: Callable[[], float]
    threads: Threads
    store: TransferStore
    routes: TransferRoutes
    emit: Callable[[Event], None]
    journal: Callable[[str, str, str], None]
    slot_free: Callable[[], None] = lambda: None
    """Called when a slot has become free."""
    arrivals: dict[int, Arrival] = field(default_factory=dict)
    """The pulls under way, by their streams."""
    piece: int = PIECE
    slots: Slots = field(default_factory=Slots)
    stream: int = 0
    log: Logger = field(default_factory=lambda: Logger(namespace="p2pim.peer.transfers"))

    def next_stream(self) -> int:
        """A number for a pull, different from those of all others for a long time."""
        self.stream = self.stream % (2**32 - 1) + 1
        return self.stream

    def spawn(self, what: Coroutine[Deferred[Any], Any, Any]) -> None:
        """Run it beside everything else; a failure that it did not expect is logged."""
        self.watch(Deferred.fromCoroutine(what))

    def watch(self, deferred: Deferred[Any]) -> None:
        """Nobody waits for it; a failure is logged."""
        deferred.addErrback(lambda failure: self.log.failure("a transfer's step failed", failure))
