"""Transfers by way of the server's store, with the store and everything else in memory."""

from __future__ import annotations

import os
from pathlib import Path

from p2pim.core.file_sealing import sealed_size
from p2pim.core.limits import SEALED_CHUNK
from p2pim.errors import NoStore, StoreQuota, TransferError
from tests.peer.store_fakes import MemoryAccess, MemoryStore
from tests.peer.transfer_case import TransferCase

SIZE = 5 * SEALED_CHUNK + 1_234


class LeftCase(TransferCase):
    """Alice is there, bob is away."""

    def setUp(self) -> None:
        super().setUp()
        self.world.piece = SEALED_CHUNK
        self.store = MemoryStore(self.world)
        self.world.direct = True
        for home in (self.alice, self.bob):
            home.options = {"access": MemoryAccess(self.store, home)}
        self.alice.start()
        self.world.settle()

    def come(self, **options: object) -> None:
        """Bob comes, and finds his mail."""
        self.bob.options.update(options)
        self.bob.start()
        self.world.settle()
        self.store.deliver(self.bob)
        self.world.settle()

    def away(self) -> None:
        self.bob.kill()

    def leave(self, path: Path, leave: str = "auto") -> str:
        return self.send(path, leave=leave)

    def sealed(self) -> bytearray:
        (kept,) = self.store.files.values()
        return kept.data

    def until_half_is_there(self, size: int = SIZE) -> None:
        self.until(lambda: bool(self.store.files) and len(self.sealed()) > size // 2)

    def fetched(self, path: Path) -> None:
        """The recipient has it, the server has not, and the sender knows."""
        self.assert_arrived(path)
        self.assertEqual([kept.outcome for kept in self.store.files.values()], ["fetched"])
        for home in (self.alice, self.bob):
            self.assertEqual(home.events_named("completed")[-1].route, "mailbox")


class TestDeclining(LeftCase):
    """A device that accepts nothing."""

    def outcomes(self) -> list[str]:
        return [kept.outcome for kept in self.store.files.values()]

    def test_what_a_device_never_accepts_is_declined_and_its_sender_hears_that(self) -> None:
        """As when both are there; nothing is shown, and nothing takes room at the server."""
        self.leave(self.file(size=SIZE))
        self.come(accept="never")
        self.assertEqual(self.outcomes(), ["rejected"])
        self.assertEqual(self.state(self.alice), ("disrupted", "rejected"))
        self.assertEqual(self.bob.transfers.list(), [])

    def test_it_is_declined_later_when_the_server_cannot_be_told_at_once(self) -> None:
        """The offer came, and the session ended."""
        self.leave(self.file(size=SIZE))
        self.store.down = True
        self.come(accept="never")
        self.assertEqual(self.outcomes(), [""])
        self.store.down = False
        self.bob.transfers.left.server_appeared()
        self.world.settle()
        self.assertEqual(self.outcomes(), ["rejected"])

    def test_where_there_are_other_devices_it_is_left_to_them(self) -> None:
        """The setting is this device's, not the person's."""
        self.bob.options["access"].others = True
        self.leave(self.file(size=SIZE))
        self.come(accept="never")
        self.assertEqual(self.outcomes(), [""])


class TestLeaving(LeftCase):
    """The sender's end."""

    def test_a_file_for_somebody_who_is_away_goes_to_the_server_and_on_to_them(self) -> None:
        """Sealed: nothing of it is to be seen there."""
        path = self.file(size=SIZE)
        self.leave(path)
        self.assertEqual(self.state(self.alice), ("stored", ""))
        self.assertEqual(len(self.sealed()), sealed_size(SIZE))
        self.assertNotIn(path.read_bytes()[:40], self.sealed())
        self.come()
        self.fetched(path)

    def test_a_file_for_a_stranger_who_turns_out_to_be_away_goes_to_the_server(self) -> None:
        """Whether they are there is not told: it is offered to their devices, and none of them is there."""
        self.alice.stranger = True
        path = self.file(size=SIZE)
        self.leave(path)
        self.assertEqual(self.state(self.alice), ("stored", ""))
        self.come()
        self.fetched(path)

    def test_a_file_for_a_stranger_that_is_not_to_be_left_waits(self) -> None:
        """And people are told why."""
        self.alice.stranger = True
        self.leave(self.file(size=SIZE), leave="never")
        self.assertEqual(self.state(self.alice), ("offered", "peer-offline"))
        self.assertEqual(self.store.files, {})

    def test_folders_and_empty_files_go_the_same_way(self) -> None:
        """A folder's manifest and content are one stream, and an empty stream is one chunk."""
        self.leave(self.file("empty", size=0))
        self.come()
        self.assertEqual((self.bob.downloads / "empty").read_bytes(), b"")
        self.away()
        folder = self.world.source / "photos"
        (folder / "2026").mkdir(parents=True)
        (folder / "2026" / "one").write_bytes(b"1" * 100_000)
        (folder / "none").write_bytes(b"")
        self.leave(folder)
        self.come()
        self.assertEqual((self.bob.downloads / "photos" / "2026" / "one").read_bytes(), b"1" * 100_000)
        self.assertTrue((self.bob.downloads / "photos" / "none").exists())

    def test_an_upload_goes_on_after_a_break_and_after_kill_9(self) -> None:
        """From what the server has committed; chunks of several attempts make one file."""
        path = self.file(size=SIZE)
        self.offer(path, leave="auto")
        self.until_half_is_there()
        self.store.cut()
        self.world.pass_time(3)
        self.alice.kill()
        self.alice.start()
        self.world.settle()
        self.alice.transfers.left.server_appeared()
        self.world.settle()
        self.assertEqual(self.state(self.alice), ("stored", ""))
        self.come()
        self.fetched(path)

    def test_a_file_that_changed_while_the_sender_was_down_is_not_sent_on(self) -> None:
        """Also when its size and its time are as they were."""
        size = 40 * SEALED_CHUNK
        path = self.file(size=size)
        known = path.stat()
        self.offer(path, leave="auto")
        self.until_half_is_there(size)
        self.alice.kill()
        path.write_bytes(bytes(size))
        os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))
        self.alice.start()
        self.world.settle()
        self.alice.transfers.left.server_appeared()
        self.world.settle()
        self.assertEqual(self.state(self.alice), ("disrupted", "error"))
        self.assertIn("file-changed", self.alice.only().message)

    def test_without_room_at_the_server_it_waits_for_the_recipient(self) -> None:
        """By "auto"; the reason is told. "always" fails instead."""
        self.store.refusal = StoreQuota("No room.")
        path = self.file(size=SIZE)
        self.leave(path)
        self.assertEqual(self.state(self.alice), ("offered", "peer-offline"))
        self.assertIn("No room.", self.alice.events_named("disrupted")[-1].message)
        self.come()
        self.world.meet()
        self.world.settle()
        self.assert_arrived(path)

    def test_always_means_always(self) -> None:
        """It fails when there is no room, and does not wait."""
        self.store.refusal = StoreQuota("No room.")
        self.leave(self.file(size=SIZE), "always")
        self.assertEqual(self.state(self.alice), ("disrupted", "error"))

    def test_where_there_is_no_store_nothing_can_be_left(self) -> None:
        """By "auto" it waits."""
        self.alice.kill()
        self.alice.options = {}
        self.alice.start()
        self.world.settle()
        with self.assertRaises(NoStore):
            self.offer(self.file(), leave="always")
        self.leave(self.file("other"))
        self.assertEqual(self.state(self.alice), ("offered", "peer-offline"))

    def test_a_waiting_transfer_can_be_left_afterwards(self) -> None:
        """The same transfer goes on by another way; what has arrived is not fetched again."""
        path = self.file(size=SIZE)
        self.come()
        id = self.offer(path)
        self.half()
        self.away()
        self.world.settle()
        self.assertEqual(self.alice.only().state, "waiting")
        self.world.result(self.alice.transfers.leave(id))
        self.world.settle()
        self.assertEqual(self.state(self.alice), ("stored", ""))
        self.come()
        self.fetched(path)
        with self.assertRaises(TransferError):
            self.world.result(self.alice.transfers.leave(id))

    def test_a_withdrawn_file_is_deleted_and_its_recipient_hears_it(self) -> None:
        """`cancel` at the sender's end."""
        id = self.leave(self.file(size=SIZE))
        self.come(accept="ask")
        self.world.result(self.alice.transfers.cancel(id))
        self.world.settle()
        self.assert_states(("disrupted", "cancelled"), ("disrupted", "peer-cancelled"))
        self.assertEqual(self.sealed(), b"")

    def test_what_is_cancelled_while_a_place_is_asked_for_takes_none(self) -> None:
        """The server hears that it is not wanted as soon as it has an id."""
        id = self.offer(self.file(size=SIZE), leave="auto")
        self.world.result(self.alice.transfers.cancel(id))
        self.world.settle()
        self.assertEqual(self.state(self.alice), ("disrupted", "cancelled"))
        self.assertEqual([kept.outcome for kept in self.store.files.values()], ["withdrawn"] * len(self.store.files))

    def test_an_upload_can_be_paused_and_goes_on(self) -> None:
        """From where it was."""
        path = self.file(size=SIZE)
        id = self.offer(path, leave="auto")
        self.until_half_is_there()
        self.world.result(self.alice.transfers.pause(id))
        self.world.settle()
        self.assertEqual(self.state(self.alice), ("paused", ""))
        self.assertLess(len(self.sealed()), sealed_size(SIZE))
        self.world.result(self.alice.transfers.resume(id))
        self.world.settle()
        self.come()
        self.fetched(path)


class TestFetching(LeftCase):
    """The receiver's end."""

    def test_a_rejection_is_told_to_the_sender(self) -> None:
        """And deletes the file."""
        id = self.leave(self.file(size=SIZE))
        self.come(accept="ask")
        self.assertEqual(self.state(self.bob), ("offered", ""))
        self.world.result(self.bob.transfers.reject(id))
        self.world.settle()
        self.assert_states(("disrupted", "rejected"), ("disrupted", "rejected"))
        self.assertEqual(self.sealed(), b"")

    def test_a_download_goes_on_after_a_break_and_after_kill_9(self) -> None:
        """What is written is a proven prefix."""
        path = self.file(size=40 * SEALED_CHUNK)
        self.leave(path)
        self.bob.start()
        self.world.settle()
        self.store.deliver(self.bob)
        self.half()
        self.store.cut()
        self.world.pass_time(3)
        if self.bob.only().state != "completed":
            self.away()
            self.come()
        self.fetched(path)

    def test_what_the_server_changed_is_found_out(self) -> None:
        """Nothing of a forged chunk is written."""
        self.leave(self.file(size=SIZE))
        self.sealed()[3 * SEALED_CHUNK] ^= 1
        self.come()
        self.assertEqual(self.state(self.bob), ("disrupted", "error"))
        self.assertIn("seal-broken", self.bob.only().message)

    def test_what_expired_is_told_to_both(self) -> None:
        """Also to those who ask only when they come."""
        id = self.leave(self.file(size=SIZE))
        self.come(accept="ask")
        self.away()
        self.store.end(bytes.fromhex(id), "expired")
        self.world.settle()
        self.bob.start()
        self.world.settle()
        self.bob.transfers.left.server_appeared()
        self.world.settle()
        self.assert_states(("disrupted", "expired"), ("disrupted", "expired"))

    def test_another_device_may_have_been_quicker(self) -> None:
        """Then this one does not fetch it, and its person knows why."""
        id = self.leave(self.file(size=SIZE))
        self.come(accept="ask")
        self.store.end(bytes.fromhex(id), "fetched")
        self.world.settle()
        self.assert_states("completed", ("disrupted", "elsewhere"))

    def test_an_offer_that_came_just_before_a_crash_is_not_lost(self) -> None:
        """It is stored in the transaction that opens it, which cannot be done twice."""
        path = self.file(size=SIZE)
        self.leave(path)
        self.bob.start()
        self.world.settle()
        self.store.deliver(self.bob)
        self.away()
        self.bob.start()
        self.world.settle()
        self.fetched(path)

    def test_an_offer_stands_as_long_as_the_server_keeps_the_file(self) -> None:
        """Longer than one that its sender's device has to serve."""
        self.leave(self.file(size=SIZE))
        self.come(accept="ask")
        self.world.pass_time(8 * 86_400.0, by=43_200.0)
        self.assertEqual(self.state(self.bob), ("offered", ""))

    def test_the_same_offer_twice_is_one(self) -> None:
        """The sender repeats it whenever it has signed in."""
        path = self.file(size=SIZE)
        self.leave(path)
        self.alice.transfers.left.server_appeared()
        self.world.settle()
        self.assertEqual(len(self.store.mail["bob"]), 2)
        self.come()
        self.fetched(path)
        self.assertEqual(len(self.bob.events_named("offer")), 1)
