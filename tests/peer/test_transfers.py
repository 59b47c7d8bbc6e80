"""Transfers between two homes, every step in memory but the disk: files and folders."""

import os
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

from p2pim.core.limits import (
    PIECES_IN_FLIGHT,
    PIECES_IN_FLIGHT_MAX,
)
from p2pim.errors import (
    FileUnreadable,
)
from p2pim.peer import transfer_files, transfer_sink
from tests.peer.test_transfer_machine import make_folder, tree
from tests.peer.transfer_case import TransferCase


class FileTests(TransferCase):
    """A single file."""

    def test_a_file_arrives(self) -> None:
        """Content, time and name are what they were, and both ends are told."""
        self.world.start()
        path = self.file()
        path.chmod(0o755)
        os.utime(path, ns=(0, 1_500_000_000_123_456_789))
        self.send(path, comment="for you")
        self.assert_arrived(path)
        for home in (self.alice, self.bob):
            self.assertEqual([e.event for e in home.events], ["offer", "progress", "completed"])
        (offer,) = self.bob.events_named("offer")
        self.assertEqual((offer.user, offer.size, offer.comment, offer.direction), ("alice", 1_000, "for you", "in"))
        (done,) = self.bob.events_named("completed")
        (sent,) = self.alice.events_named("completed")
        self.assertEqual((done.blake3, done.route, done.bytes), (sent.blake3, "tcp", 1_000))
        self.assertEqual(done.path, str(self.bob.downloads / "report.pdf"))

    def test_an_empty_file_arrives(self) -> None:
        """Nothing to pull is not nothing to do."""
        self.world.start()
        path = self.file(size=0)
        self.send(path)
        self.assert_arrived(path)

    def test_nothing_is_ever_overwritten(self) -> None:
        """A second report is ``report (1).pdf``, whatever has the first name: a file, a folder or a dangling link."""
        self.world.start()
        self.bob.downloads.mkdir()
        (self.bob.downloads / "report.pdf").write_bytes(b"mine")
        (self.bob.downloads / "report (1).pdf").symlink_to("/nowhere/at/all")
        (self.bob.downloads / "report (2).pdf").mkdir()
        path = self.file()
        self.send(path)
        self.assertEqual((self.bob.downloads / "report.pdf").read_bytes(), b"mine")
        self.assert_arrived(path, "report (3).pdf")

    def test_a_name_taken_in_the_last_moment_is_left_alone(self) -> None:
        """Between choosing a name and giving it, somebody else may have taken it."""
        self.world.start()
        path = self.file()
        self.offer(path)
        real = transfer_files.rename_new

        def slow(*names: Any) -> None:
            (self.bob.downloads / "report.pdf").touch()
            real(*names)

        with mock.patch.object(transfer_sink, "rename_new", slow):
            self.world.settle()
        self.assert_arrived(path, "report (1).pdf")
        self.assertEqual((self.bob.downloads / "report.pdf").read_bytes(), b"")

    def test_a_link_in_the_partials_place_is_not_followed(self) -> None:
        """Whoever may write to the downloads cannot have other files overwritten."""
        self.world.start()
        victim = self.world.source / "victim"
        victim.write_bytes(b"precious")
        self.bob.downloads.mkdir()
        (self.bob.downloads / "report.pdf.p2pim-part").symlink_to(victim)
        path = self.file()
        self.send(path)
        self.assertEqual(victim.read_bytes(), b"precious")
        self.assertEqual(tree(self.bob.downloads / "report.pdf"), tree(path))

    def test_a_partial_that_became_a_link_ends_the_transfer(self) -> None:
        """Not even after a restart is a link followed."""
        self.world.start()
        victim = self.world.source / "victim"
        victim.write_bytes(b"precious" * 200)
        self.offer(self.file())
        self.half()
        self.bob.kill()
        part = self.bob.downloads / "report.pdf.p2pim-part"
        part.unlink()
        part.symlink_to(victim)
        self.world.heal()
        self.assertEqual(victim.read_bytes(), b"precious" * 200)
        self.assertEqual(self.state(self.bob), ("disrupted", "error"))
        self.assertEqual(self.state(self.alice), ("disrupted", "peer-error"))

    def test_what_cannot_be_read_is_not_offered(self) -> None:
        """The sender learns it before anybody else."""
        self.world.start()
        os.mkfifo(self.world.source / "pipe")
        for name in ("missing", "pipe"):
            with self.assertRaises(FileUnreadable):
                self.offer(self.world.source / name)
        self.assertEqual(self.alice.transfers.list(), [])

    def test_a_file_that_changes_is_an_error_at_both_ends(self) -> None:
        """Half of one version and half of another are never put together."""
        for change in ("longer", "touched", "gone"):
            with self.subTest(change):
                self.setUp()
                self.world.start()
                path = self.file()
                self.offer(path)
                self.half()
                if change == "gone":
                    path.unlink()
                    self.alice.kill()
                elif change == "longer":
                    path.write_bytes(path.read_bytes() + b"x")
                else:
                    os.utime(path, ns=(0, 0))
                self.world.heal()
                self.assertEqual(self.state(self.alice), ("disrupted", "error"))
                self.assertIn("file-changed", self.alice.only().message)
                self.assertEqual(self.state(self.bob), ("disrupted", "peer-error"))
                self.assertFalse((self.bob.downloads / "report.pdf").exists())

    def test_progress_is_told_four_times_a_second_at_most(self) -> None:
        """Whoever watches is not flooded."""
        self.world.start()
        self.offer(self.file(size=10_000))
        for turn in range(100_000):
            self.world.step(turn)
            if turn % 10 == 0:
                self.world.clock.advance(0.01)
            if self.bob.only().state == "completed":
                break
        for home in (self.alice, self.bob):
            times = [event.at for event in home.events_named("progress")]
            self.assertGreater(len(times), 3)
            self.assertTrue(all(later - at >= 0.2499 for at, later in pairwise(times)))

    def test_a_long_way_has_more_pieces_in_flight(self) -> None:
        """The window grows with the delay, up to its bound."""
        self.world.start()
        for rtt, expected in ((0.0001, PIECES_IN_FLIGHT), (1e6, PIECES_IN_FLIGHT_MAX)):
            self.world.connect("tcp")
            for end in (self.alice.channels[-1], self.bob.channels[-1]):
                end.rtt = rtt
            self.offer(self.file(f"{rtt}", size=20_000))
            most = 0
            for turn in range(100_000):
                self.world.step(turn)
                self.world.clock.advance(0.0001)
                for arrival in self.bob.transfers._context.arrivals.values():
                    most = max(most, arrival._pull.outstanding)
                if self.alice.transfers.list()[-1].state == "completed":
                    break
            self.assertEqual(most, expected)
            self.world.cut(self.alice.channels[-1])


class FolderTests(TransferCase):
    """A folder."""

    def test_a_folder_arrives_with_everything_that_matters(self) -> None:
        """Empty files and folders, times and executable bits are kept."""
        self.world.start()
        folder = make_folder(self.world.source, [0, 1, 63, 64, 65, 500, 0, 200])
        self.send(folder)
        self.assert_arrived(folder)
        (done,) = self.bob.events_named("completed")
        self.assertEqual(done.bytes, sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()))

    def test_an_empty_folder_arrives(self) -> None:
        """A manifest of nothing is a manifest."""
        self.world.start()
        folder = self.world.source / "empty"
        folder.mkdir()
        self.send(folder)
        self.assert_arrived(folder)

    def test_a_second_one_gets_a_number(self) -> None:
        """Folders are never merged."""
        self.world.start()
        folder = make_folder(self.world.source, [10])
        self.bob.downloads.mkdir()
        (self.bob.downloads / "things").mkdir()
        self.send(folder)
        self.assertEqual(list((self.bob.downloads / "things").iterdir()), [])
        self.assert_arrived(folder, "things (1)")

    def test_links_and_special_files_are_left_out_with_a_note(self) -> None:
        """A link is no content, and what it leads to was not offered."""
        self.world.start()
        folder = make_folder(self.world.source, [10])
        before = tree(folder)
        (folder / "inner" / "link").symlink_to("/etc/passwd")
        os.mkfifo(folder / "inner" / "pipe")
        self.send(folder)
        self.assertEqual(set(tree(self.bob.downloads / "things")), set(before))
        notes = " ".join(self.alice.journal)
        self.assertIn("inner/link is a link", notes)
        self.assertIn("inner/pipe is a special file", notes)

    def test_names_that_differ_in_case_alone_both_arrive(self) -> None:
        """Not even on a disk that ignores case does one replace the other."""
        self.world.start()
        folder = self.world.source / "case"
        folder.mkdir()
        (folder / "README").write_bytes(b"1")
        (folder / "readme").write_bytes(b"2")
        self.send(folder)
        names = {p.name: p.read_bytes() for p in (self.bob.downloads / "case").iterdir()}
        self.assertEqual(names, {"README": b"1", "readme (1)": b"2"})

    def test_a_name_that_is_no_text_arrives_as_text(self) -> None:
        """File systems hold bytes; what cannot be read as UTF-8 is marked."""
        self.world.start()
        folder = self.world.source / "odd"
        folder.mkdir()
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9")).write_bytes(b"au lait")
        self.send(folder)
        self.assertEqual((self.bob.downloads / "odd" / "caf\ufffd").read_bytes(), b"au lait")

    def test_a_file_of_the_folder_that_changes_is_an_error(self) -> None:
        """The manifest's sizes and times are what was offered."""
        self.world.start()
        folder = make_folder(self.world.source, [10, 500, 500])
        self.offer(folder)
        (folder / "inner" / "deep" / "file 2").write_bytes(b"another")
        self.world.settle()
        self.assert_states(("disrupted", "error"), ("disrupted", "peer-error"))
