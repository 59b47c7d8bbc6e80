"""Writes of one turn share one commit, a failing one undoes only itself, and nothing is acknowledged uncommitted."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from p2pim.errors import DatabaseDown, SchemaTooNew, StorageError
from p2pim.storage.database import Database, prepare_file


def insert(name: str) -> Callable[[sqlite3.Connection], None]:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO thing VALUES (?)", (name,))

    return work


class DatabaseTests(TestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    async def opened(self) -> Database:
        database = Database(reactor, self.path, "peer")
        self.addCleanup(lambda: database.close())
        await database.write(lambda c: c.execute("CREATE TABLE thing (name TEXT PRIMARY KEY)") and None)
        return database

    def names(self) -> list[str]:
        """What another process would see."""
        with sqlite3.connect(self.path) as connection:
            return [row[0] for row in connection.execute("SELECT name FROM thing ORDER BY name")]

    async def test_what_is_acknowledged_can_be_read_by_another_process(self) -> None:
        """The Deferred fires after the commit."""
        database = await self.opened()
        await database.write(insert("a"))
        self.assertEqual(self.names(), ["a"])

    async def test_a_failing_write_undoes_only_itself(self) -> None:
        """The others of its commit are kept, and it gets its own error."""
        database = await self.opened()
        first, twice, other = (database.write(insert(name)) for name in ("a", "a", "b"))
        await first
        await self.assertFailure(twice, sqlite3.IntegrityError)
        await other
        self.assertEqual(self.names(), ["a", "b"])

    async def test_writes_of_one_turn_share_one_commit(self) -> None:
        """Grouping is what makes durable writes cheap."""
        database = await self.opened()
        commits: list[str] = []

        def trace(connection: sqlite3.Connection) -> None:
            connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)

        await database.write(trace)
        commits.clear()
        await gatherResults([database.write(insert(str(n))) for n in range(50)])
        await database.write(lambda c: c.set_trace_callback(None))
        self.assertEqual(len(commits), 1)

    async def test_when_the_commit_fails_nobody_is_told_otherwise(self) -> None:
        """A lock held by someone else is an error to every writer of the group, and they can try again."""
        database = await self.opened()
        await database.write(lambda c: c.execute("PRAGMA busy_timeout = 1") and None)
        blocker = sqlite3.connect(self.path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        await self.assertFailure(database.write(insert("a")), DatabaseDown)
        blocker.execute("ROLLBACK")
        blocker.close()
        await database.write(insert("a"))
        self.assertEqual(self.names(), ["a"])

    async def test_a_closed_database_refuses_writes(self) -> None:
        """And commits what it had been given before."""
        database = await self.opened()
        pending = database.write(insert("a"))
        await database.close()
        await pending
        await self.assertFailure(database.write(insert("b")), DatabaseDown)
        self.assertEqual(self.names(), ["a"])

    async def test_a_probe_tells_whether_something_can_be_written(self) -> None:
        """It commits something, and changes nothing."""
        database = await self.opened()
        await database.write(lambda c: c.execute("PRAGMA busy_timeout = 0") and None)
        await database.probe()
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        version = other.execute("PRAGMA user_version").fetchone()
        other.execute("BEGIN IMMEDIATE")
        with self.assertRaises(DatabaseDown):
            await database.probe()
        other.execute("ROLLBACK")
        await database.probe()
        self.assertEqual(other.execute("PRAGMA user_version").fetchone(), version)


class FileTests(TestCase):
    def test_the_file_is_for_its_owner_alone(self) -> None:
        """Mode 0600."""
        path = Path(self.mktemp())
        prepare_file(path, "peer")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)

    def test_a_file_of_a_newer_version_is_refused_and_untouched(self) -> None:
        """A downgrade must not destroy what it does not understand."""
        path = Path(self.mktemp())
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 9999")
        connection.close()
        with self.assertRaises(SchemaTooNew):
            prepare_file(path, "peer")

    def test_a_file_that_is_no_database_is_a_clear_error(self) -> None:
        """It names the file."""
        path = Path(self.mktemp())
        path.write_bytes(b"this is not a database, whatever its name says" * 100)
        with self.assertRaises(StorageError) as caught:
            prepare_file(path, "peer")
        self.assertIn(str(path), caught.exception.message)

    def test_opening_twice_changes_nothing(self) -> None:
        """Migrations run once."""
        path = Path(self.mktemp())
        prepare_file(path, "peer")
        prepare_file(path, "peer")
