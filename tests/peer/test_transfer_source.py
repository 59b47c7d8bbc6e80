"""What is sent without asking a disk thread."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from blake3 import blake3
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import FileChanged
from p2pim.peer import transfer_source
from p2pim.peer.transfer_source import FileContent, Source

CONTENT = bytes(range(256)) * 64


class ReadyTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "file"
        self.path.write_bytes(CONTENT)
        known = self.path.stat()
        self.source = Source(FileContent(str(self.path), known.st_size, known.st_mtime_ns))
        self.addCleanup(self.source.close)

    def cached(self, *, cold: int = 1 << 30) -> None:
        """A file system that tells what is in the page cache: what is before ``cold``."""

        def preadv(handle: int, buffers: list[Any], offset: int, flags: int) -> int:
            self.assertEqual(flags, 8)
            if offset >= cold:
                raise BlockingIOError
            data = os.pread(handle, min(len(buffers[0]), cold - offset), offset)
            buffers[0][: len(data)] = data
            return len(data)

        self.patch(os, "preadv", preadv)
        self.patch(transfer_source, "_NO_WAIT", 8)

    def test_what_is_in_the_page_cache_is_read_at_once(self) -> None:
        """The same bytes and digests as by a thread, which may take turns with it."""
        self.cached()
        self.source.read(0, 100)
        read = self.source.read_ready(100, 4_000)
        assert read is not None
        self.assertEqual((b"".join(read[0]), read[1]), (CONTENT[100:4_100], blake3(CONTENT[:4_100]).digest()))
        pieces, digest = self.source.read(4_100, len(CONTENT) - 4_100)
        self.assertEqual((b"".join(pieces), digest), (CONTENT[4_100:], blake3(CONTENT).digest()))

    def test_what_would_have_to_be_waited_for_is_left_to_a_thread(self) -> None:
        """All of it, also when a part is there; nothing has been taken."""
        self.cached(cold=1_000)
        self.source.read(0, 100)
        self.assertIsNone(self.source.read_ready(100, 2_000))
        self.assertIsNone(self.source.read_ready(1_000, 2_000))
        pieces, _ = self.source.read(100, 2_000)
        self.assertEqual(b"".join(pieces), CONTENT[100:2_100])

    def test_a_file_not_open_or_elsewhere_is_left_to_a_thread(self) -> None:
        """Opening may mean waiting, and a thread knows what to do about the position."""
        self.cached()
        self.assertIsNone(self.source.read_ready(0, 10))
        self.source.read(0, 10)
        self.assertIsNone(self.source.read_ready(5, 10))

    def test_a_file_that_has_changed_is_told(self) -> None:
        """As by a thread."""
        self.cached()
        self.source.read(0, 10)
        os.utime(self.path, ns=(1, 1))
        with self.assertRaises(FileChanged):
            self.source.read_ready(10, 10)

    def test_systems_that_cannot_tell_use_threads(self) -> None:
        """Other kernels, and file systems in memory."""
        self.source.read(0, 10)
        self.patch(os, "preadv", _unsupported)
        self.assertIsNone(self.source.read_ready(10, 10))
        self.cached()
        self.patch(transfer_source, "_NO_WAIT", 0)
        self.assertIsNone(self.source.read_ready(10, 10))


def _unsupported(handle: int, buffers: list[Any], offset: int, flags: int) -> int:
    raise OSError(95, "Operation not supported")
