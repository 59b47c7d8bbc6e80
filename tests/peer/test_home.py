"""A home directory: one device, one process, and nothing that others may read."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import HomeLocked, StorageError
from p2pim.peer.home import Home


class HomeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.home = Home(Path(self.mktemp()))
        self.addCleanup(self.home.unlock)

    def test_the_device_is_made_once(self) -> None:
        """And stays the same for the life of the home."""
        first = self.home.credentials()
        self.assertEqual(len(bytes.fromhex(first.device)), 16)
        self.assertEqual(Home(self.home.path).credentials(), first)

    def test_only_its_owner_may_read_it(self) -> None:
        """0600 in 0700, whatever the umask."""
        before = os.umask(0)
        try:
            self.home.lock()
            self.home.credentials()
        finally:
            os.umask(before)
        self.assertEqual(self.home.path.stat().st_mode & 0o777, 0o700)
        self.assertEqual((self.home.path / "credentials.json").stat().st_mode & 0o777, 0o600)
        self.assertEqual((self.home.path / "agent.lock").stat().st_mode & 0o777, 0o600)

    def test_a_home_that_was_open_to_others_is_closed(self) -> None:
        """It holds a token."""
        self.home.path.mkdir(mode=0o755)
        self.home.lock()
        self.assertEqual(self.home.path.stat().st_mode & 0o777, 0o700)

    def test_forgetting_keeps_the_device_and_the_pin(self) -> None:
        """Only the token goes."""
        credentials = replace(self.home.credentials(), user="alice", token="00ff", fingerprint="SHA256:x", pinned=True)
        self.home.save(credentials)
        self.home.forget()
        self.assertEqual(self.home.credentials(), replace(credentials, token=""))

    def test_a_secret_is_not_in_what_is_printed(self) -> None:
        """A traceback shows representations."""
        self.assertNotIn("00ff", repr(replace(self.home.credentials(), token="00ff")))

    def test_the_second_to_come_is_told_that_it_is_in_use(self) -> None:
        """Until the first lets go."""
        self.home.lock()
        second = Home(self.home.path)
        self.assertRaises(HomeLocked, second.lock)
        self.home.unlock()
        second.lock()
        second.unlock()

    def test_credentials_that_are_none_are_an_error_and_not_overwritten(self) -> None:
        """A half-written file must not make a new device."""
        self.home.make()
        file = self.home.path / "credentials.json"
        file.write_text('{"device": 5')
        self.assertRaises(StorageError, self.home.credentials)
        self.assertEqual(file.read_text(), '{"device": 5')

    def test_a_file_in_the_place_of_the_home_is_an_error(self) -> None:
        """With the path in it."""
        self.home.path.write_text("")
        error = self.assertRaises(StorageError, self.home.lock)
        self.assertIn(str(self.home.path), error.message)

    def test_each_account_finds_its_own_database_again(self) -> None:
        """Another one's is put aside, never mixed, never deleted."""
        self.home.make()
        self.home.take_database("alice")
        self.home.database.write_text("alice's")
        self.home.take_database("bob")
        self.assertFalse(self.home.database.exists())
        self.home.database.write_text("bob's")
        self.home.take_database("alice")
        self.assertEqual(self.home.database.read_text(), "alice's")
        self.home.take_database("bob")
        self.assertEqual(self.home.database.read_text(), "bob's")
