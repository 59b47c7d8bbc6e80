"""The readable log: a line for each thing that happened, on one line each, and not for ever."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import JOURNAL_FILES
from p2pim.peer.journal import Journal, plain, read_line


class JournalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def journal(self, limit: int = 10_000) -> Journal:
        journal = Journal(self.path, lambda: 1_700_000_000.5, limit)
        self.addCleanup(journal.close)
        return journal

    def test_a_line_has_time_kind_user_and_text(self) -> None:
        """A person can read it, and so can a program."""
        journal = self.journal()
        journal.write("channel", "bob", "tcp channel opened")
        journal.write("session", "", "signed in")
        self.assertEqual(
            self.path.read_text().splitlines()[0],
            "2023-11-14T22:13:20.500Z  channel    bob              tcp channel opened",
        )
        self.assertEqual([(e["kind"], e["user"]) for e in journal.last(10)], [("channel", "bob"), ("session", "")])
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_old_files_are_renamed_aside_and_the_oldest_go(self) -> None:
        """The log of years takes a bounded place."""
        journal = self.journal(limit=1000)
        for number in range(200):
            journal.write("message", "bob", f"line {number}")
        files = sorted(self.path.parent.glob(f"{self.path.name}*"))
        self.assertEqual(len(files), JOURNAL_FILES + 1)
        self.assertLess(max(file.stat().st_size for file in files), 1200)
        self.assertEqual(journal.last(1)[0]["text"], "line 199")
        self.assertEqual([e["text"] for e in journal.last(20)], [f"line {n}" for n in range(180, 200)])

    def test_followers_get_what_is_written_from_then_on(self) -> None:
        """Until they have had enough."""
        journal, seen = self.journal(), []
        journal.write("message", "bob", "before")
        unfollow = journal.follow(lambda entry: seen.append(entry["text"]))
        journal.write("message", "bob", "after")
        unfollow()
        journal.write("message", "bob", "later")
        self.assertEqual(seen, ["after"])

    def test_a_full_disk_ends_nothing(self) -> None:
        """It is only a log."""
        self.path.mkdir()
        self.journal().write("message", "bob", "text")
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    @given(st.text())
    def test_what_strangers_chose_stays_on_its_line(self, text: str) -> None:
        """No reason or name can forge a second line or move the cursor."""
        self.assertTrue(plain(text).isprintable())

    @given(st.text(min_size=1))
    def test_every_line_comes_back(self, text: str) -> None:
        """Or is told not to be one."""
        line = f"2023-11-14T22:13:20.500Z  message    bob              {plain(text)}\n"
        entry = read_line(line)
        assert entry is not None
        self.assertEqual(entry["user"], "bob")
