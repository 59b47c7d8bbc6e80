"""The server's store: files for people who are away."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import STORE_COMMIT, STORE_IDLE_UPLOAD, STORE_PENDING, STORE_STALL, STORE_TICKET
from p2pim.server import store_bulk
from p2pim.server.settings import FilesSection, ServerSettings
from p2pim.storage import stored_files
from p2pim.wire.messages import PROTOCOL_VERSION, BlockUser, Done, Failed, Hello, Message, Refused, SignOut
from p2pim.wire.store import (
    AskStored,
    BulkReady,
    Chunk,
    Committed,
    DownloadOpened,
    DropStored,
    OpenDownload,
    OpenUpload,
    StoredEnded,
    StoredState,
    StoredStates,
    UploadOpened,
    UseTicket,
)
from tests.server.support import PASSWORD, Client, World

TRANSFER = b"T" * 16
DAY = 86_400.0


class StoreCase(SynchronousTestCase):
    """Alice sends, bob is away; his device comes when a test lets it."""

    def setUp(self) -> None:
        self.folder = self.mktemp()
        self.world = World(self.folder)
        self.alice = self.world.user("alice")
        self.bob = self.world.user("bob")
        self.content = random.Random(2).randbytes(100_000)

    def ask(self, client: Client, message: Message) -> Any:
        """The answer to a request; pushed messages before it are left out."""
        client.send(message)
        return client.received()[-1]

    def open_upload(self, size: int | None = None, to: str = "bob", transfer: bytes = TRANSFER) -> UploadOpened:
        answer = self.ask(self.alice, OpenUpload(1, to, transfer, size or len(self.content)))
        assert isinstance(answer, UploadOpened), answer
        return answer

    def bulk(self, ticket: bytes) -> Client:
        """A connection that has shown its ticket."""
        client = self.world.client()
        client.send(Hello(PROTOCOL_VERSION), UseTicket(ticket))
        return client

    def send(self, client: Client, start: int, end: int, step: int = 30_000) -> None:
        for at in range(start, end, step):
            client.send(Chunk(at, self.content[at : min(at + step, end)]))

    def upload(self) -> bytes:
        """All of it; gives the file's id."""
        opened = self.open_upload()
        bulk = self.bulk(opened.ticket)
        self.send(bulk, 0, len(self.content))
        self.assertEqual(bulk.received(), [BulkReady(0), Committed(len(self.content))])
        bulk.lose()
        return opened.file

    def open_download(self, file: bytes, offset: int = 0, client: Client | None = None) -> Any:
        return self.ask(client or self.bob, OpenDownload(2, file, offset))

    def on_disk(self) -> dict[str, int]:
        return {path.name: path.stat().st_size for path in (Path(self.folder) / "files").iterdir()}

    def error(self, answer: Any) -> str:
        assert isinstance(answer, Failed | Refused), answer
        return answer.code

    def use(self, **files: Any) -> None:
        self.world.house.use(ServerSettings(files=FilesSection(**files)))


class TestUploads(StoreCase):
    """From the sender to the disk."""

    def test_what_is_uploaded_can_be_downloaded_by_the_recipient(self) -> None:
        """Every byte, from any offset, and the folder and file are their owner's alone."""
        file = self.upload()
        opened = self.open_download(file, 40_000)
        assert isinstance(opened, DownloadOpened)
        self.assertEqual(opened.size, len(self.content))
        first, *chunks = self.bulk(opened.ticket).received()
        self.assertEqual(first, BulkReady(40_000))
        data = b"".join(chunk.data for chunk in chunks if isinstance(chunk, Chunk))
        self.assertEqual(data, self.content[40_000:])
        folder = Path(self.folder) / "files"
        self.assertEqual([oct(path.stat().st_mode & 0o777) for path in (folder, *folder.iterdir())], ["0o700", "0o600"])

    def test_an_upload_goes_on_where_it_was_broken_off(self) -> None:
        """The same transfer gets the same file, and the offset up to which it is committed."""
        opened = self.open_upload()
        bulk = self.bulk(opened.ticket)
        self.send(bulk, 0, 60_000)
        bulk.lose()
        again = self.open_upload()
        self.assertEqual((again.file, again.offset), (opened.file, 60_000))
        bulk = self.bulk(again.ticket)
        self.send(bulk, 60_000, len(self.content))
        self.assertEqual(bulk.received(), [BulkReady(60_000), Committed(len(self.content))])

    def test_after_a_kill_an_upload_goes_on_from_what_was_committed(self) -> None:
        """What was written beyond the last commit is cut off, not trusted."""
        opened = self.open_upload()
        path = Path(self.folder) / "files" / opened.file.hex()
        bulk = self.bulk(opened.ticket)
        self.send(bulk, 0, 60_000)
        self.assertEqual(bulk.received(), [BulkReady(0)])
        self.assertEqual(path.stat().st_size, 60_000)  # written, and not committed: then the power goes
        device = self.alice.device
        self.world = World(self.folder)
        self.alice = self.world.client().sign_in("alice", device=device, password=PASSWORD)
        self.alice.received()
        again = self.open_upload()
        self.assertEqual((again.file, again.offset), (opened.file, 0))
        self.assertEqual(self.bulk(again.ticket).received(), [BulkReady(0)])
        self.assertEqual(path.stat().st_size, 0)

    def test_a_client_that_comes_back_takes_the_place_of_its_older_connection(self) -> None:
        """One connection writes at a time; what the older had brought counts."""
        opened = self.open_upload()
        older = self.bulk(opened.ticket)
        self.send(older, 0, 60_000)
        newer = self.bulk(self.open_upload().ticket)
        self.assertEqual(newer.received(), [BulkReady(60_000)])
        self.assertTrue(older.closed)

    def test_an_upload_is_committed_now_and_then(self) -> None:
        """So that a kill costs no more than `STORE_COMMIT`."""
        self.content = bytes(STORE_COMMIT + 200_000)
        bulk = self.bulk(self.open_upload().ticket)
        self.send(bulk, 0, STORE_COMMIT + 100_000, 90_000)
        committed = [each.offset for each in bulk.all(Committed)]
        self.assertEqual(len(committed), 1)
        self.assertGreaterEqual(committed[0], STORE_COMMIT)

    def test_a_slow_disk_slows_the_client(self) -> None:
        """No more than `STORE_PENDING` waits in memory, give or take a read."""
        jobs: list[tuple[Any, Deferred[Any]]] = []
        self.content = bytes(4 * STORE_PENDING)
        bulk = self.bulk(self.open_upload().ticket)

        def later(job: Any) -> Deferred[Any]:
            jobs.append((job, Deferred()))
            return jobs[-1][1]

        self.world.house.files.threads = later
        self.send(bulk, 0, STORE_PENDING + 180_000, 90_000)
        self.assertEqual(bulk.wire.producerState, "paused")
        while jobs:
            job, done = jobs.pop(0)
            done.callback(job())
        self.assertEqual(bulk.wire.producerState, "producing")

    def test_a_chunk_in_the_wrong_place_ends_the_connection(self) -> None:
        """Not in order, beyond the end, or no chunk at all."""
        for wrong in (Chunk(1, b"x"), Chunk(0, bytes(90_000)), AskStored(1, [])):
            transfer = self.world.random.randbytes(16)
            bulk = self.bulk(self.open_upload(50_000, transfer=transfer).ticket)
            bulk.send(wrong)
            self.assertIsInstance(bulk.received()[-1], Refused)
            self.assertTrue(bulk.closed)

    def test_a_disk_error_is_told_and_nothing_is_committed_beyond_it(self) -> None:
        """The upload goes on later, where the disk stood."""
        bulk = self.bulk(self.open_upload().ticket)
        bulk.received()

        def full(descriptor: int, parts: Any, offset: int) -> int:
            raise OSError(28, "No space left on device")

        self.patch(store_bulk, "write_all", full)
        self.send(bulk, 0, 60_000)
        self.assertEqual(self.error(bulk.received()[-1]), "store-full")
        bulk.lose()
        self.assertEqual(self.open_upload().offset, 0)


class TestTickets(StoreCase):
    """Who may use the store."""

    def test_a_ticket_is_good_once(self) -> None:
        """Somebody who has seen it cannot use it again."""
        opened = self.open_upload()
        self.bulk(opened.ticket)
        self.assertEqual(self.error(self.bulk(opened.ticket).received()[-1]), "bad-ticket")

    def test_a_ticket_ends_with_its_time_and_its_session(self) -> None:
        """And is not known to anybody who guesses."""
        ticket = self.open_upload().ticket
        self.world.pass_time(STORE_TICKET + 2, step=5)
        self.assertEqual(self.error(self.bulk(ticket).received()[-1]), "bad-ticket")
        self.setUp()
        ticket = self.open_upload().ticket
        self.alice.send(SignOut())
        self.assertEqual(self.error(self.bulk(ticket).received()[-1]), "bad-ticket")
        self.assertEqual(self.error(self.bulk(bytes(32)).received()[-1]), "bad-ticket")

    def test_only_the_recipient_may_download(self) -> None:
        """Neither a stranger nor the sender, nor anybody while it is half there."""
        file = self.upload()
        eve = self.world.user("eve")
        self.assertEqual(self.error(self.open_download(file, client=eve)), "stored-file-gone")
        self.assertEqual(self.error(self.open_download(file, client=self.alice)), "stored-file-gone")
        half = self.open_upload(transfer=b"U" * 16)
        self.assertEqual(self.error(self.open_download(half.file)), "bad-message")

    def test_a_stranger_can_neither_drop_a_file_nor_ask_about_it(self) -> None:
        """The answers tell nothing."""
        file = self.upload()
        eve = self.world.user("eve")
        self.assertEqual(self.ask(eve, DropStored(1, file, "rejected")), Done(1))
        self.assertEqual(self.ask(eve, AskStored(2, [file])), StoredStates(2, [StoredState(file, "unknown")]))
        self.assertEqual(self.ask(self.bob, AskStored(2, [file])), StoredStates(2, [StoredState(file, "waiting")]))

    def test_nothing_is_stored_for_somebody_who_has_blocked_the_sender(self) -> None:
        """Nor for nobody."""
        self.bob.send(BlockUser(1, "alice", True))
        answer = self.ask(self.alice, OpenUpload(1, "bob", TRANSFER, 100))
        self.assertEqual(self.error(answer), "blocked")
        answer = self.ask(self.alice, OpenUpload(1, "nobody", TRANSFER, 100))
        self.assertEqual(self.error(answer), "no-such-user")

    def test_a_connection_for_bulk_that_stands_still_is_cut(self) -> None:
        """It holds a file open and a place."""
        bulk = self.bulk(self.open_upload().ticket)
        self.world.pass_time(STORE_STALL - 5, step=5)
        self.assertFalse(bulk.closed)
        self.world.pass_time(10, step=5)
        self.assertTrue(bulk.closed)


class TestEnds(StoreCase):
    """What becomes of a file."""

    def test_a_fetched_file_is_deleted_and_its_sender_told(self) -> None:
        """At once when they are online."""
        file = self.upload()
        self.assertEqual(self.ask(self.bob, DropStored(3, file, "fetched")), Done(3))
        self.assertEqual(self.alice.one(StoredEnded), StoredEnded(file, "fetched"))
        self.assertEqual(self.on_disk(), {})
        self.assertEqual(self.error(self.open_download(file)), "stored-file-gone")

    def test_a_sender_who_was_away_learns_it_when_they_ask(self) -> None:
        """Until they have said that they know."""
        file = self.upload()
        self.alice.lose()
        self.ask(self.bob, DropStored(3, file, "rejected"))
        self.alice = self.world.client().sign_in("alice", device=self.alice.device, password=PASSWORD)
        self.alice.received()
        asked = AskStored(5, [file])
        self.assertEqual(self.ask(self.alice, asked), StoredStates(5, [StoredState(file, "rejected")]))
        self.ask(self.alice, DropStored(6, file, "withdrawn"))
        self.assertEqual(self.ask(self.alice, asked), StoredStates(5, [StoredState(file, "unknown")]))

    def test_other_devices_of_the_recipient_hear_that_it_is_gone(self) -> None:
        """The one that fetched it knows."""
        other = self.world.client().sign_in("bob", password=PASSWORD)
        other.received()
        file = self.upload()
        self.ask(self.bob, DropStored(3, file, "fetched"))
        self.assertEqual(other.one(StoredEnded), StoredEnded(file, "fetched"))
        self.assertEqual(self.bob.received(), [])

    def test_a_withdrawn_file_is_deleted_and_its_upload_ends(self) -> None:
        """Whatever is under way."""
        opened = self.open_upload()
        bulk = self.bulk(opened.ticket)
        self.send(bulk, 0, 30_000)
        self.ask(self.alice, DropStored(3, opened.file, "withdrawn"))
        self.assertEqual(self.error(bulk.received()[-1]), "stored-file-gone")
        bulk.lose()
        self.assertEqual(self.on_disk(), {})
        answer = self.ask(self.alice, OpenUpload(1, "bob", TRANSFER, len(self.content)))
        self.assertEqual(self.error(answer), "stored-file-gone")

    def expire(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.world.house.files.expire()))

    def test_what_nobody_fetches_expires(self) -> None:
        """After the days that the operator has set; both sides hear it."""
        file = self.upload()
        self.world.wall += 13.9 * DAY
        self.expire()
        self.assertEqual(len(self.on_disk()), 1)
        self.world.wall += 0.2 * DAY
        self.expire()
        self.assertEqual(self.on_disk(), {})
        for client in (self.alice, self.bob):
            self.assertEqual(client.one(StoredEnded), StoredEnded(file, "expired"))

    def test_an_upload_that_does_not_grow_gives_its_quota_back(self) -> None:
        """Half a file helps nobody."""
        self.open_upload()
        self.world.wall += STORE_IDLE_UPLOAD + 1
        self.expire()
        self.assertEqual(self.world.database.connection.execute("SELECT outcome FROM stored_files").fetchone()[0],
                         "expired")  # fmt: skip

    def test_files_that_belong_to_nobody_are_removed(self) -> None:
        """A crash between a row and its file leaks no space, and neither does the end of an account."""
        file = self.upload()
        (self.world.stored.path / ("ab" * 16)).write_bytes(b"left by a crash")
        self.expire()
        self.assertEqual(list(self.on_disk()), [file.hex()])
        self.world.database.connection.execute("DELETE FROM accounts WHERE name = 'bob'")
        self.expire()
        self.assertEqual(self.on_disk(), {})


class TestQuotas(StoreCase):
    """How much may be stored."""

    def refused(self, size: int, to: str = "bob") -> tuple[str, str]:
        answer = self.ask(self.alice, OpenUpload(1, to, self.world.random.randbytes(16), size))
        assert isinstance(answer, Failed), answer
        return answer.code, answer.message

    def test_a_sender_has_a_share(self) -> None:
        """Counted in full from the beginning; the refusal says what is taken, and what can be done."""
        self.use(quota_per_sender=1_500_000)
        self.open_upload(1_000_000)
        code, message = self.refused(600_000, "bob")
        self.assertEqual(code, "store-quota")
        self.assertIn("1.0 of 1.5 MB are taken", message)
        self.open_upload(500_000, transfer=b"V" * 16)

    def test_a_recipient_has_a_share(self) -> None:
        """Whoever sends."""
        self.use(quota_per_recipient=1_500_000)
        self.open_upload(1_000_000)
        self.assertEqual(self.refused(600_000)[0], "store-quota")

    def test_the_store_and_its_disk_have_an_end(self) -> None:
        """The database lives on the same disk."""
        self.use(quota=1_000)
        self.assertEqual(self.refused(2_000)[0], "store-full")
        self.use()
        self.patch(self.world.stored, "free", lambda: 512 * 1024 * 1024 + 1_000)
        self.assertEqual(self.refused(2_000)[0], "store-full")

    def test_what_has_ended_counts_no_more(self) -> None:
        """Its place is free at once."""
        self.use(quota_per_sender=120_000)
        file = self.upload()
        self.assertEqual(self.refused(100_000)[0], "store-quota")
        self.ask(self.bob, DropStored(3, file, "fetched"))
        self.alice.received()
        self.open_upload(100_000, transfer=b"W" * 16)

    def test_an_operator_may_switch_it_off(self) -> None:
        """Then clients are told so."""
        self.use(enabled=False)
        self.assertEqual(self.refused(100)[0], "no-store")

    def test_many_small_files_are_many_all_the_same(self) -> None:
        """Each is a row and an inode."""
        self.patch(stored_files, "STORED_FILES_PER_SENDER", 1)
        self.open_upload(10)
        self.assertEqual(self.refused(10)[0], "store-quota")

    def test_a_database_that_fails_commits_nothing(self) -> None:
        """The client hears it, and goes on later from what is committed."""
        bulk = self.bulk(self.open_upload().ticket)
        bulk.received()
        self.world.database.broken = True
        self.send(bulk, 0, len(self.content))
        self.assertEqual(self.error(bulk.received()[-1]), "database-down")
        bulk.lose()
        self.world.database.broken = False
        self.assertEqual(self.open_upload().offset, 0)
