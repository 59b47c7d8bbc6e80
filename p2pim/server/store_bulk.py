"""An upload to the store or a download from it, on a connection of its own.

Back-pressure goes both ways: an upload is not read while more than `STORE_PENDING` of it waits for the disk, and a
download is not read from the disk while that much waits for the client. Disk jobs run in other threads, one at a time
for each.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from p2pim.core.limits import SEALED_CHUNK, STORE_COMMIT, STORE_PENDING, STORE_STALL
from p2pim.errors import BadMessage, P2pimError, StoredFileGone, StoreFull, UnexpectedMessage
from p2pim.storage.stored_files import StoredFile, write_all
from p2pim.wire.messages import Message
from p2pim.wire.store import BulkReady, Chunk, Committed

_log = Logger()
_BLOCK: Final = 4 * SEALED_CHUNK
"""Bytes read at once: a disk job costs more than a read out of the page cache."""
Threads = Callable[[Callable[[], Any]], Deferred[Any]]


class DiskThreads:
    """A few threads for the store's disk alone, so that neither sign-ins nor the database wait behind it."""

    SIZE: Final = 4
    """More would only queue at the disk."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, self.SIZE, "store")

    def __call__(self, job: Callable[[], Any]) -> Deferred[Any]:
        """Run ``job`` in one of them."""
        return deferToThreadPool(self._reactor, self._pool, job)

    def start(self) -> None:
        """Threads are made when they are needed."""
        self._pool.start()

    def stop(self) -> None:
        """Wait for what is running."""
        self._pool.stop()


class BulkConnection(Protocol):
    """The connection, as bulk needs it."""

    output_bytes: int
    backlog_since: float | None
    """Since when the client does not read; None while it does."""

    def send(self, message: Message) -> None:
        """Say this."""

    def read_on(self, on: bool) -> None:
        """Read from the client, or not for now."""

    def refuse(self, error: Any) -> None:
        """Say why this ends, and close."""


class BulkDesk(Protocol):
    """Who looks after the rows."""

    threads: Threads
    uploaded: int
    """Bytes received from senders since the server started."""

    def seconds(self) -> float:
        """The clock's time."""

    def later(self, call: Callable[[], None]) -> None:
        """At the next turn."""

    async def grown(self, file: bytes, committed: int) -> bool:
        """Commit how far an upload is; whether it is still wanted."""

    def over(self, bulk: Bulk) -> None:
        """It has let go of its file."""


class Bulk:
    """What both have in common.

    :param desk: keeps the rows.
    :param user: whose connection it is.
    """

    def __init__(self, desk: BulkDesk, connection: BulkConnection, user: str, file: StoredFile) -> None:
        self.user = user
        self.file = file
        self.over: Deferred[None] = Deferred()
        """Fires when it has let go of its file."""
        self._desk = desk
        self._connection: BulkConnection | None = connection
        self._descriptor = -1
        self._moved = desk.seconds()

    def begin(self, work: Any) -> None:
        """Run the coroutine ``work``; an error ends the connection with its reason."""
        Deferred.fromCoroutine(self._guarded(work)).addErrback(lambda f: _log.failure("bulk failed", f))

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except P2pimError as error:
            self.cut(error)
        except OSError as error:
            _log.error("the store's disk: {reason}", reason=str(error))
            self.cut(StoreFull("The server's disk reported an error; try again later."))

    def cut(self, error: P2pimError) -> None:
        """End it here, and say why."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.refuse(error)

    def overdue(self, now: float) -> str:
        """Why it must be cut now, or nothing."""
        return "too-slow: no bytes moved" if now - self._moved > STORE_STALL else ""

    def received(self, message: Message) -> None:
        """Anything that the client says. Raises a `WireError`."""
        raise UnexpectedMessage

    def resume(self) -> None:
        """The client reads again."""

    def lost(self) -> None:
        """The connection is gone."""
        raise NotImplementedError

    async def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            await self._desk.threads(partial(os.close, descriptor))
        self._desk.over(self)
        self.over.callback(None)


class Upload(Bulk):
    """From a sender's device to the disk."""

    def __init__(self, desk: BulkDesk, connection: BulkConnection, user: str, file: StoredFile) -> None:
        super().__init__(desk, connection, user, file)
        self._received = self._written = self._committed = 0
        self._pending: list[bytes] = []
        self._waiting = 0
        self._writing = True
        self._lost = False
        self._broken = False

    async def start(self, descriptor: int, committed: int) -> None:
        """The file is open, and ``committed`` bytes are in it."""
        self._descriptor = descriptor
        self._received = self._written = self._committed = committed
        if self._connection is not None:
            self._connection.send(BulkReady(committed))
        self._writing = False
        if self._lost:
            await self._close()

    def received(self, message: Message) -> None:
        if not isinstance(message, Chunk) or self._descriptor < 0:
            raise UnexpectedMessage
        if self._broken:
            return
        if message.offset != self._received or message.offset + len(message.data) > self.file.size:
            raise BadMessage("A chunk came that does not follow the one before it.")
        self._moved = self._desk.seconds()
        self._received += len(message.data)
        self._desk.uploaded += len(message.data)
        self._pending.append(message.data)
        self._waiting += len(message.data)
        if self._waiting > STORE_PENDING and self._connection is not None:
            self._connection.read_on(False)
        self._go_on()

    def _go_on(self) -> None:
        if not self._writing:
            self._writing = True
            self.begin(self._write())

    async def _write(self) -> None:
        """Everything that waits; committed now and then, at the end, and when the client is gone."""
        try:
            while self._pending:
                await self._write_pending()
            if self._lost:
                await self._commit()
        except BaseException:
            self._broken, self._pending = True, []  # what came after what is missing has no place
            raise
        finally:
            self._writing = False
            if self._lost:
                await self._close()

    async def _write_pending(self) -> None:
        parts, self._pending = self._pending, []
        self._written = await self._desk.threads(partial(write_all, self._descriptor, parts, self._written))
        self._waiting = sum(map(len, self._pending))
        self._moved = self._desk.seconds()
        if self._written - self._committed >= STORE_COMMIT or self._written == self.file.size:
            await self._commit()
        if self._connection is not None:
            self._connection.read_on(True)

    async def _commit(self) -> None:
        if self._written == self._committed:
            return
        at = self._written
        await self._desk.threads(partial(os.fdatasync, self._descriptor))
        if not await self._desk.grown(self.file.id, at):
            raise StoredFileGone("This file is not wanted any more.")
        self._committed = at
        if self._connection is not None:
            self._connection.send(Committed(at))

    def lost(self) -> None:
        self._connection = None
        if not self._lost:
            self._lost = True
            if self._descriptor >= 0:
                self._go_on()

    def not_started(self) -> None:
        """There is no file to write to."""
        self._writing = False
        self._desk.over(self)
        self.over.callback(None)


class Download(Bulk):
    """From the disk to a recipient's device."""

    def __init__(self, desk: BulkDesk, connection: BulkConnection, user: str, file: StoredFile, offset: int) -> None:
        super().__init__(desk, connection, user, file)
        self._position = offset
        self._reading = True
        self._lost = False

    async def start(self, descriptor: int) -> None:
        """The file is open."""
        self._descriptor = descriptor
        self._reading = False
        if self._connection is not None:
            self._connection.send(BulkReady(self._position))
        if self._lost:
            await self._close()
        else:
            self.resume()

    def resume(self) -> None:
        ready = self._connection is not None and self._connection.backlog_since is None and not self._reading
        if ready and self._position < self.file.size and self._descriptor >= 0:
            self._reading = True
            self.begin(self._read())

    async def _read(self) -> None:
        try:
            length = min(_BLOCK, self.file.size - self._position)
            data: bytes = await self._desk.threads(partial(os.pread, self._descriptor, length, self._position))
            if len(data) < length:
                raise OSError("a stored file has become shorter")
        finally:
            self._reading = False
            if self._lost:
                await self._close()
        self._send(data)
        connection = self._connection
        if connection is not None and connection.output_bytes < STORE_PENDING:
            self.resume()
        elif connection is not None and connection.backlog_since is None:
            self._desk.later(self.resume)

    def _send(self, data: bytes) -> None:
        if self._connection is None:
            return
        self._moved = self._desk.seconds()
        for start in range(0, len(data), SEALED_CHUNK):
            part = data[start : start + SEALED_CHUNK]
            self._connection.send(Chunk(self._position, part))
            self._position += len(part)

    def lost(self) -> None:
        self._connection = None
        if not self._lost:
            self._lost = True
            if not self._reading:
                self.begin(self._close())

    def not_started(self) -> None:
        """There is no file to read."""
        self._reading = False
        self._desk.over(self)
        self.over.callback(None)
