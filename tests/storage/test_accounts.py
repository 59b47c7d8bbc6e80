"""What the server keeps of people, on the real schema."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.counters import Increase
from p2pim.errors import AccountDisabled, BadToken, InviteNeeded, NameTaken, NoSuchUser, UnknownUser
from p2pim.storage import accounts, contacts
from p2pim.storage.database import prepare_file

DEVICE, TOKEN = bytes(16), bytes(32)


class AccountTests(SynchronousTestCase):
    def setUp(self) -> None:
        path = Path(self.mktemp())
        prepare_file(path, "server")
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.execute("PRAGMA foreign_keys = ON")
        self.addCleanup(self.db.close)
        for name in ("alice", "bob"):
            accounts.register(self.db, name, "hash", DEVICE, "desk", TOKEN, 100.0, None)

    def count(self, table: str) -> int:
        """How many rows ``table`` has."""
        (count,) = self.db.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)

    def test_a_name_is_taken_once(self) -> None:
        """Accounts are known by their name."""
        with self.assertRaises(NameTaken):
            accounts.add_account(self.db, "alice", "hash", 1.0)

    def test_resuming_gives_the_lists(self) -> None:
        """All that a sign-in needs, in one visit to the database."""
        contacts.add_contact(self.db, "alice", "bob")
        accounts.set_blocked(self.db, "alice", "bob", True)
        resumed = accounts.resume(self.db, "alice", DEVICE, TOKEN, 101.0)
        self.assertEqual((resumed.lists.requested, resumed.lists.blocked, resumed.touch), (["bob"], ["bob"], False))

    def test_resuming_is_refused_for_its_reasons(self) -> None:
        """No account, another token, another device, a disabled account."""
        for name, device, token, error in (
            ("nobody", DEVICE, TOKEN, UnknownUser),
            ("alice", DEVICE, bytes(31) + b"x", BadToken),
            ("alice", DEVICE, b"", BadToken),
            ("alice", bytes(15) + b"x", TOKEN, BadToken),
        ):
            with self.assertRaises(error):
                accounts.resume(self.db, name, device, token, 101.0)
        accounts.set_disabled(self.db, "alice", True)
        with self.assertRaises(AccountDisabled):
            accounts.resume(self.db, "alice", DEVICE, TOKEN, 101.0)

    def test_a_password_given_anew_signs_every_device_out(self) -> None:
        """Whoever knew the old one is out."""
        accounts.set_password(self.db, "alice", "other")
        with self.assertRaises(BadToken):
            accounts.resume(self.db, "alice", DEVICE, TOKEN, 101.0)

    def test_a_deleted_account_leaves_nothing(self) -> None:
        """Not on others' lists either."""
        contacts.add_contact(self.db, "alice", "bob")
        contacts.add_contact(self.db, "bob", "alice")
        accounts.set_blocked(self.db, "bob", "alice", True)
        accounts.delete_account(self.db, "alice")
        self.assertEqual([self.count(table) for table in ("accounts", "devices", "contacts", "blocks")], [1, 1, 0, 0])

    def test_a_name_registered_again_is_another_account(self) -> None:
        """Nothing of the old one comes with it."""
        contacts.add_contact(self.db, "bob", "alice")
        accounts.delete_account(self.db, "alice")
        accounts.register(self.db, "alice", "hash", b"d" * 16, "desk", b"t" * 32, 1.0, None)
        bob = accounts.find_account(self.db, "bob")
        self.assertEqual(contacts.load_lists(self.db, bob.id), contacts.Lists())

    def test_changing_somebody_who_does_not_exist_says_so(self) -> None:
        """An operator's typing mistake is not a success."""
        for change in (
            lambda: accounts.delete_account(self.db, "nobody"),
            lambda: accounts.set_disabled(self.db, "nobody", True),
            lambda: accounts.set_password(self.db, "nobody", "x"),
            lambda: contacts.add_contact(self.db, "alice", "nobody"),
            lambda: accounts.set_blocked(self.db, "alice", "nobody", True),
        ):
            with self.assertRaises(NoSuchUser):
                change()

    def test_counts_are_added_and_times_only_set_by_what_happened(self) -> None:
        """An upload does not change the time of the last download."""
        accounts.add_increases(
            self.db, [Increase("alice", 2, 20, 0, 0, 5, 200.0), Increase("bob", 0, 0, 2, 20, 0, 200.0)]
        )
        accounts.add_increases(
            self.db, [Increase("alice", 0, 0, 1, 1, 0, 300.0), Increase("nobody", 1, 1, 1, 1, 1, 1.0)]
        )
        alice, bob = accounts.list_accounts(self.db)
        self.assertEqual((alice["uploads"], alice["upload_bytes"], alice["last_up"]), (2, 20, 200.0))
        self.assertEqual((alice["downloads"], alice["last_down"], alice["spliced_bytes"]), (1, 300.0, 5))
        self.assertEqual((bob["downloads"], bob["download_bytes"], bob["last_up"]), (2, 20, None))

    def test_old_invitations_are_cleared_away(self) -> None:
        """The table does not grow for ever."""
        accounts.add_invite(self.db, "old", 0.0, 10.0)
        accounts.add_invite(self.db, "new", 20.0, 30.0)
        self.assertEqual(self.count("invites"), 1)
        with self.assertRaises(InviteNeeded):
            accounts.register(self.db, "carol", "hash", DEVICE, "desk", TOKEN, 21.0, "old")
