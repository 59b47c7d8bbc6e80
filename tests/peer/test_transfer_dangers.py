"""Transfers with strangers, and with disks that fail."""

import errno
import os
from typing import Any
from unittest import mock

from p2pim.core.limits import (
    FREE_SPACE_KEPT,
)
from p2pim.errors import (
    P2pimError,
)
from p2pim.peer import transfer_sink
from p2pim.peer.transfer_source import Source
from p2pim.wire.signals import FileAnswer, FileOffer, FileState, RangeRequest
from tests.peer.test_transfer_machine import make_folder
from tests.peer.transfer_case import TransferCase


class StrangerTests(TransferCase):
    """What nobody decent sends."""

    def refused(self, error: type[P2pimError]) -> None:
        self.assertEqual([type(e) for e in self.world.broken], [error])

    def test_what_is_not_known_is_answered_so(self) -> None:
        """A receiver whose sender has lost its memory stops waiting."""
        self.world.start()
        self.offer(self.file())
        self.half()
        self.alice.kill()
        (self.alice.folder / "home.db").unlink()
        self.world.heal()
        self.assertEqual(self.alice.transfers.list(), [])
        self.assertEqual(self.state(self.bob), ("disrupted", "peer-error"))

    def test_another_user_cannot_touch_a_transfer(self) -> None:
        """Knowing an id is not enough."""
        self.world.start(accept="ask")
        id = bytes.fromhex(self.send(self.file()))
        for home in (self.alice, self.bob):
            for signal in (
                FileAnswer(id, True),
                FileAnswer(id, False, "rejected"),
                FileState(id, "cancelled"),
                FileState(id, "completed", digest=b"x" * 32),
                RangeRequest(id, 1, 0, 10),
                FileOffer(id, "x", 1, 1),
            ):
                home.transfers.signal_received("mallory", b"M" * 16, signal, None)
        self.world.settle()
        self.assert_states("offered", "offered")

    def test_another_device_of_the_sender_cannot_end_it(self) -> None:
        """The device that offered is the one that is listened to."""
        self.world.start(accept="ask")
        id = bytes.fromhex(self.send(self.file()))
        self.bob.transfers.signal_received("alice", b"C" * 16, FileState(id, "cancelled"), None)
        self.world.settle()
        self.assert_states("offered", "offered")

    def test_offers_that_make_no_sense_are_refused(self) -> None:
        """A folder without a manifest, a file with one, a list without end."""
        self.world.start()
        for offer in (
            FileOffer(b"1" * 16, "x", 1, 1, folder=True),
            FileOffer(b"2" * 16, "x", 1, 1, manifest_size=5),
            FileOffer(b"3" * 16, "x", 1, 7),
            FileOffer(b"4" * 16, "x", 1, 9_000_000, manifest_size=5, folder=True),
            FileOffer(b"5" * 16, "x", 1, 1, manifest_size=2**30, folder=True),
        ):
            self.bob.transfers.signal_received("alice", b"A" * 16, offer, None)
        self.assertEqual(self.bob.transfers.list(), [])

    def test_no_name_leaves_the_folder(self) -> None:
        """Whatever an offer is called, it arrives inside."""
        self.world.start()
        path = self.file("plain", 100)
        for number, name in enumerate(
            ("../../escape", "/etc/escape", "a\x00b", "x\u202egpj.exe", "..", "n" * 300, "con", "trailing. . ")
        ):
            self.offer(path)
            transfer = self.alice.transfers.get(self.alice.transfers.list()[-1].transfer)
            transfer.record.name = name
            self.alice.transfers.route_appeared("bob", b"B" * 16)
            self.world.settle()
            self.assertEqual(self.bob.transfers.list()[-1].state, "completed", name)
            self.assertEqual(len(list(self.bob.downloads.iterdir())), number + 1)
        beside = {p.name for p in self.bob.folder.iterdir() if not p.name.startswith("home.db")}
        self.assertEqual(beside, {"downloads"})

    def test_a_sender_that_sends_more_than_was_asked_for_loses_its_channel(self) -> None:
        """A size that lies fills no memory."""
        self.world.start()
        self.offer(self.file())
        self.half()
        (stream,) = self.bob.transfers._context.arrivals
        channel = self.bob.channels[0]
        channel.slice(stream, b"x" * 65)
        self.assertEqual(len(self.world.broken), 1)
        self.assertFalse(channel.open)
        self.world.settle()
        self.assertEqual(self.state(self.bob)[0], "completed")

    def test_bytes_nobody_asked_for_are_dropped(self) -> None:
        """An unknown stream costs nothing."""
        self.world.start()
        channel = self.world.connect("tcp", self.bob)
        channel.slice(77, b"x" * 65)
        channel.ended(77, b"d" * 32)
        self.assertEqual(self.world.broken, [])

    def test_content_that_is_not_what_its_digest_says_is_never_stored(self) -> None:
        """A piece is asked for again a few times, and then it is an error at both ends."""
        self.world.start()
        real = Source._taken

        def lying(source: Source, pieces: list[bytes], end: int) -> Any:
            pieces, digest = real(source, pieces, end)
            return ([bytes(len(piece)) for piece in pieces], digest) if end > 320 else (pieces, digest)

        with mock.patch.object(Source, "_taken", lying):
            self.send(self.file())
            self.world.pass_time(10, 1)
        self.assert_states(("disrupted", "peer-error"), ("disrupted", "error"))
        self.assertEqual(self.bob.only().bytes, 320)
        self.assertFalse((self.bob.downloads / "report.pdf").exists())

    def test_a_manifest_that_lies_is_an_error(self) -> None:
        """What was accepted is what is stored, or nothing."""
        self.world.start()
        self.offer(make_folder(self.world.source, [10, 20]))
        transfer = self.alice.transfers.get(self.alice.only().transfer)
        self.until(lambda: bool(self.bob.transfers.list()))
        self.bob.transfers.get(transfer.id).record.files = 9
        self.world.settle()
        self.world.pass_time(5, 1)
        self.assertEqual(self.state(self.bob), ("disrupted", "error"))
        self.assertFalse((self.bob.downloads / "things").exists())


class DiskTests(TransferCase):
    """A disk that does not do what it should."""

    def failing(self, number: int, after: int = 0) -> Any:
        """`os.pwrite` writes half and fails with ``number``, after ``after`` good ones."""
        real, left = os.pwrite, [after]

        def write(handle: int, data: bytes, offset: int) -> int:
            left[0] -= 1
            if left[0] >= 0:
                return real(handle, data, offset)
            real(handle, data[: len(data) // 2], offset)
            raise OSError(number, os.strerror(number))

        return mock.patch.object(os, "pwrite", write)

    def test_a_disk_that_is_full_in_the_middle_pauses_it(self) -> None:
        """With room made, it goes on from where it was; files and folders alike."""
        for folder in (False, True):
            with self.subTest(folder=folder):
                self.setUp()
                self.world.start()
                source = make_folder(self.world.source, [100, 200, 300, 400]) if folder else self.file()
                with self.failing(errno.ENOSPC, after=5):
                    id = self.send(source)
                self.assert_states("paused", ("paused", "no-space"))
                (told,) = self.bob.events_named("disrupted")
                self.assertEqual(told.reason, "error")
                self.assertIn("no-space", told.message)
                self.world.result(self.bob.transfers.resume(id))
                self.world.settle()
                self.assert_arrived(source)

    def test_space_that_runs_out_meanwhile_pauses_it(self) -> None:
        """The last of a disk is never taken."""
        self.world.start()
        path = self.file()
        with mock.patch.object(transfer_sink, "free_bytes", return_value=FREE_SPACE_KEPT - 1):
            id = self.send(path)
        self.assert_states("paused", ("paused", "no-space"))
        self.world.result(self.bob.transfers.resume(id))
        self.world.settle()
        self.assert_arrived(path)

    def test_a_broken_disk_ends_it(self) -> None:
        """`error` here, `peer-error` there."""
        self.world.start()
        with self.failing(errno.EIO, after=3):
            self.send(self.file())
        self.assert_states(("disrupted", "peer-error"), ("disrupted", "error"))
        self.flushLoggedErrors()
