"""Mailboxes on the real schema, in a real file: in order, once, and never acknowledged without a commit."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from p2pim.core.limits import MAIL_BATCH, MAIL_TOMBSTONES
from p2pim.errors import DatabaseDown, MailboxFull
from p2pim.storage import accounts, mail
from p2pim.storage.database import Database, prepare_file
from p2pim.storage.mail import Letter, Quota

DEVICE, OTHER = bytes(16), bytes(15) + b"o"
QUOTA = Quota(10_000, 1 << 30)
DAY = 86_400.0


def letter(number: int, to_device: bytes = DEVICE, at: float = 0.0, payload: bytes = b"hi") -> Letter:
    """Alice's message ``number`` for Bob."""
    return Letter("bob", to_device, "alice", DEVICE, 0, number.to_bytes(16, "big"), payload, at)


def make_file(path: Path) -> None:
    """A database with two users, Bob with two devices."""
    prepare_file(path, "server")
    db = sqlite3.connect(path)
    with db:
        accounts.register(db, "alice", "hash", DEVICE, "desk", bytes(32), 1.0, None)
        accounts.register(db, "bob", "hash", DEVICE, "desk", bytes(32), 1.0, None)
        db.execute("INSERT INTO devices (account, id, name, used_at) SELECT 2, ?, 'laptop', 1.0", (OTHER,))
    db.close()


class MailboxTests(SynchronousTestCase):
    def setUp(self) -> None:
        path = Path(self.mktemp())
        make_file(path)
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.execute("PRAGMA foreign_keys = ON")
        self.addCleanup(self.db.close)

    def numbers(self, device: bytes = DEVICE) -> list[int]:
        """What waits."""
        return [item.number for item in mail.page(self.db, "bob", device, 0, 256).items]

    def test_numbers_go_on_where_they_were_however_much_was_removed(self) -> None:
        """A device that remembers a number never sees it again on something else."""
        mail.keep(self.db, [letter(1), letter(2)], QUOTA)
        mail.acknowledge(self.db, "bob", DEVICE, 2)
        mail.keep(self.db, [letter(3), letter(3, OTHER)], QUOTA)
        self.assertEqual((self.numbers(), self.numbers(OTHER)), ([3], [1]))

    def test_the_same_letter_twice_in_one_transaction_is_kept_once(self) -> None:
        """As when it was repeated in one turn."""
        self.assertEqual(mail.keep(self.db, [letter(1), letter(1), letter(1, OTHER)], QUOTA), [True, False, True])

    def test_the_quota_is_of_the_account_and_room_comes_back(self) -> None:
        """All devices together, and in one transaction too."""
        done = mail.keep(self.db, [letter(1), letter(2, OTHER), letter(3)], Quota(2, 1 << 30))
        self.assertEqual(done[:2], [True, True])
        self.assertIsInstance(done[2], MailboxFull)
        mail.acknowledge(self.db, "bob", OTHER, 1)
        self.assertEqual(mail.keep(self.db, [letter(3)], Quota(2, 1 << 30)), [True])

    def test_much_is_removed_in_parts(self) -> None:
        """No single transaction is long; the totals are those of what is left."""
        mail.keep(self.db, [letter(number) for number in range(MAIL_BATCH + 10)], QUOTA)
        first = mail.acknowledge(self.db, "bob", DEVICE, 10**9)
        self.assertEqual((len(first.removed), first.left, first.more), (MAIL_BATCH, 10, True))
        second = mail.acknowledge(self.db, "bob", DEVICE, 10**9)
        self.assertEqual((len(second.removed), second.left, second.more), (10, 0, False))
        self.assertEqual(mail.totals(self.db), {"messages": 0, "bytes": 0, "devices": 0, "oldest": None})
        self.assertEqual(list(mail.problems(self.db)), [])

    def test_ids_are_known_longer_than_mail_waits(self) -> None:
        """And not for ever."""
        mail.keep(self.db, [letter(1)], QUOTA)
        self.assertEqual(mail.expire(self.db, 31 * DAY, 30 * DAY), (1, False))
        self.assertEqual(mail.keep(self.db, [letter(1, at=31 * DAY)], QUOTA), [False])
        mail.expire(self.db, 31 * DAY + MAIL_TOMBSTONES, 30 * DAY)
        self.assertEqual(mail.keep(self.db, [letter(1, at=50 * DAY)], QUOTA), [True])

    def test_totals_that_are_wrong_are_found(self) -> None:
        """For the operator's check."""
        mail.keep(self.db, [letter(1)], QUOTA)
        self.db.execute("DELETE FROM mail")
        self.assertEqual(len(list(mail.problems(self.db))), 1)

    def test_an_account_that_ends_takes_its_mail_along(self) -> None:
        """Nothing is left of it."""
        mail.keep(self.db, [letter(1)], QUOTA)
        accounts.delete_account(self.db, "bob")
        for table in ("mailboxes", "mail", "mail_seen"):
            (count,) = self.db.execute(f"SELECT count(*) FROM {table}").fetchone()
            self.assertEqual(count, 0)


class LockedFileTests(TestCase):
    def test_while_another_holds_the_file_nothing_is_acknowledged_and_then_it_is(self) -> Deferred[None]:
        """A real lock on a real file, and what comes after it."""
        return Deferred.fromCoroutine(self._locked())

    async def _locked(self) -> None:
        path = Path(self.mktemp())
        make_file(path)
        database = Database(reactor, path, "server")
        await database.write(lambda db: db.execute("PRAGMA busy_timeout = 50").fetchall())
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with self.assertRaises(DatabaseDown):
            await database.write(lambda db: mail.keep(db, [letter(1)], QUOTA))
        other.execute("ROLLBACK")
        other.close()
        self.assertEqual(await database.write(lambda db: mail.keep(db, [letter(1)], QUOTA)), [True])
        await database.close()
