"""One SQLite file: a single writer whose writes are grouped into one commit, readers beside it, numbered schemas.

`Database.write` takes a function of a connection. All functions handed in while the previous commit was under way, or
during one turn of the reactor, run in one transaction, each inside its own savepoint: one that fails undoes itself
alone. Their Deferreds fire after the commit, so whoever acknowledges a result acknowledges something durable. A commit
costs about 0.15 ms whether it carries one row or a hundred.

A schema is a folder of SQL files named ``0001_*.sql``, ``0002_*.sql``…; ``PRAGMA user_version`` says which have been
applied. Before an upgrade the file is copied beside itself; a file from a newer p2pim is refused.
"""

from __future__ import annotations

import glob
import sqlite3
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from twisted.enterprise import adbapi
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from p2pim.errors import DatabaseDown, SchemaTooNew, StorageError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


def _prepare(connection: sqlite3.Connection) -> None:
    """Settings of every connection; adbapi calls it for each that it opens."""
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.isolation_level = None


def _steps(schema: str) -> list[tuple[int, str]]:
    """The numbered SQL files of a schema, in order."""
    folder = resources.files("p2pim.storage") / "schema" / schema
    return sorted((int(f.name[:4]), f.read_text()) for f in folder.iterdir() if f.name.endswith(".sql"))


def prepare_file(path: Path, schema: str) -> None:
    """Make or upgrade the database file at ``path`` (mode 0600), which blocks; done once at start.

    :raises SchemaTooNew: it was written by a newer p2pim.
    :raises StorageError: it is no database, or cannot be written.
    """
    steps = _steps(schema)
    try:
        path.touch(mode=0o600, exist_ok=True)
        connection = sqlite3.connect(path)
        try:
            _prepare(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            _upgrade(connection, path, steps)
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"The database {path} cannot be used: {error}") from error


def _upgrade(connection: sqlite3.Connection, path: Path, steps: list[tuple[int, str]]) -> None:
    (present,) = connection.execute("PRAGMA user_version").fetchone()
    newest = steps[-1][0]
    if present > newest:
        raise SchemaTooNew(f"{path} has schema {present}, this p2pim knows {newest}; upgrade p2pim.")
    if 0 < present < newest:
        copy = path.with_name(f"{path.name}.before-{newest}")
        copy.touch(mode=0o600)
        backup = sqlite3.connect(copy)
        with backup:
            connection.backup(backup)
        backup.close()
    for number, sql in steps:
        if number > present:
            connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")


class Database:
    """An open database file.

    :param path: made by `prepare_file` when it is not there.
    :param schema: the folder under ``storage/schema``.
    """

    def __init__(self, clock: IReactorTime, path: Path, schema: str) -> None:
        prepare_file(path, schema)
        self.path = path
        self._clock = clock
        self._writer = self._pool(path, 1)
        self._readers = self._pool(path, 2)
        self._waiting: list[tuple[Work[Any], Deferred[Any]]] = []
        self._busy = False
        self._closed = False
        self._idle: list[Deferred[None]] = []

    @staticmethod
    def _pool(path: Path, size: int) -> adbapi.ConnectionPool:
        return adbapi.ConnectionPool(
            "sqlite3", str(path), check_same_thread=False, cp_min=1, cp_max=size, cp_openfun=_prepare, cp_noisy=False
        )

    def read(self, work: Work[T]) -> Deferred[T]:
        """What ``work`` returns, run on a reader's connection in another thread."""
        done: Deferred[T] = self._readers.runWithConnection(work)
        return done

    def probe(self) -> Deferred[None]:
        """Write and commit something that changes nothing: fails as `write` does."""

        def work(connection: sqlite3.Connection) -> None:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute(f"PRAGMA user_version = {int(version)}")

        return self.write(work)

    def write(self, work: Work[T]) -> Deferred[T]:
        """What ``work`` returns, once it is committed.

        :raises DatabaseDown: (through the Deferred) the commit failed, and nothing of the group was kept.
        """
        done: Deferred[T] = Deferred()
        if self._closed:
            done.errback(DatabaseDown("The database is closed."))
            return done
        self._waiting.append((work, done))
        if not self._busy:
            self._busy = True
            self._clock.callLater(0, self._commit)
        return done

    def _commit(self) -> None:
        batch, self._waiting = self._waiting, []
        running = self._writer.runWithConnection(self._run, [work for work, _ in batch])
        running.addCallbacks(self._settle, self._fail, callbackArgs=(batch,), errbackArgs=(batch,))
        running.addBoth(self._next)

    @staticmethod
    def _run(connection: sqlite3.Connection, works: list[Work[Any]]) -> list[tuple[bool, Any]]:
        results: list[tuple[bool, Any]] = []
        connection.execute("BEGIN IMMEDIATE")
        try:
            for work in works:
                connection.execute("SAVEPOINT one")
                try:
                    results.append((True, work(connection)))
                except Exception:  # noqa: BLE001 - whatever it is belongs to the one who handed the work in
                    results.append((False, Failure()))
                    connection.execute("ROLLBACK TO one")
                connection.execute("RELEASE one")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return results

    @staticmethod
    def _settle(results: list[tuple[bool, Any]], batch: list[tuple[Work[Any], Deferred[Any]]]) -> None:
        for (ok, value), (_, done) in zip(results, batch, strict=True):
            if ok:
                done.callback(value)
            else:
                done.errback(value)

    @staticmethod
    def _fail(failure: Failure, batch: list[tuple[Work[Any], Deferred[Any]]]) -> None:
        for _, done in batch:
            done.errback(DatabaseDown(f"The database could not commit: {failure.getErrorMessage()}"))

    def _next(self, result: object) -> None:
        if self._waiting:
            self._commit()
            return
        self._busy = False
        idle, self._idle = self._idle, []
        for waiting in idle:
            waiting.callback(None)

    async def empty_log(self) -> None:
        """Move all that was written into the file itself, and leave nothing of it in the write-ahead log.

        While somebody reads, that waits for them, a few seconds at most; the log is then emptied another time.
        """

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        await self._writer.runWithConnection(work)

    def drop_backups(self) -> None:
        """Remove the copies of the file that were made before upgrades."""
        for copy in self.path.parent.glob(f"{glob.escape(self.path.name)}.before-*"):
            copy.unlink(missing_ok=True)

    async def close(self) -> None:
        """Let what was handed in commit, then close the file; closing it once more is nothing."""
        if self._closed:
            return
        self._closed = True
        if self._busy:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle
        self._writer.close()
        self._readers.close()
