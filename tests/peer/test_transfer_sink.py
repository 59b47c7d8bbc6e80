"""What is stored while it arrives, and what of it is believed after a restart."""

import os
import tempfile
from pathlib import Path

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.manifest import ManifestEntry, encode_manifest
from p2pim.core.transfer import Piece
from p2pim.errors import ContentMismatch, TransferError
from p2pim.peer import transfer_files
from p2pim.peer.transfer_folder_sink import FolderSink
from p2pim.peer.transfer_sink import FileSink, Sink

CONTENT = bytes(range(256)) * 4
PIECE = 64


def pieces(content: bytes, start: int = 0, end: int | None = None) -> list[Piece]:
    """``content`` as it arrives from ``start`` on."""
    hasher, result = blake3(content[:start]), []
    for at in range(start, len(content) if end is None else end, PIECE):
        data = content[at : at + PIECE]
        hasher.update(data)
        result.append(Piece(at, len(data), [data[:10], data[10:]], hasher.digest()))
    return result


def store(sink: Sink, arrived: list[Piece]) -> None:
    """Prove and write it."""
    prover = sink.prover()
    for piece in arrived:
        sink.write([prover.prove(piece)])


def folder_stream(files: int = 8) -> tuple[bytes, int]:
    """A folder's stream of `CONTENT` in several files, and its manifest's size."""
    size = len(CONTENT) // files
    manifest = encode_manifest([ManifestEntry(b"d%d/f" % number, size, 0) for number in range(files)])
    return manifest + CONTENT, len(manifest)


class SinkCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def file_sink(self) -> FileSink:
        return FileSink(str(self.folder), "x.p2pim-part", len(CONTENT), 0, False)

    def folder_sink(self) -> FolderSink:
        return FolderSink(str(self.folder), "x.p2pim-part", folder_stream()[1], len(CONTENT), 8, 0)

    def opened(self, sink: Sink) -> Sink:
        sink.open_and_prove([])
        self.addCleanup(sink.close)
        return sink


class ProvingTests(SinkCase):
    """`Sink.prove`, the journal against what is on the disk."""

    @given(
        stored=st.integers(0, len(CONTENT) // PIECE),
        checkpoints=st.sets(st.integers(0, len(CONTENT) // PIECE), max_size=6),
        flipped=st.one_of(st.none(), st.integers(0, len(CONTENT) - 1)),
        cut=st.one_of(st.none(), st.integers(0, len(CONTENT))),
    )
    def test_the_greatest_checkpoint_that_the_disk_agrees_with_counts(
        self, stored: int, checkpoints: set[int], flipped: int | None, cut: int | None
    ) -> None:
        """Whatever a crash or a power cut has left, the transfer goes on from a proven prefix, and ends right."""
        part = self.folder / "x.p2pim-part"
        part.unlink(missing_ok=True)
        first = self.opened(self.file_sink())
        store(first, pieces(CONTENT, 0, stored * PIECE))
        first.close()
        data = bytearray(part.read_bytes())
        if flipped is not None and flipped < len(data):
            data[flipped] ^= 1
        part.write_bytes(data if cut is None else data[:cut])
        journal = [(at * PIECE, blake3(CONTENT[: at * PIECE]).digest()) for at in sorted(checkpoints)]
        good = [at for at, _ in journal if part.read_bytes()[:at] == CONTENT[:at]]
        second = self.file_sink()
        second.open_and_prove(journal)
        self.assertEqual(second.position, max(good, default=0))
        store(second, pieces(CONTENT, second.position))
        self.assertEqual(second.digest, blake3(CONTENT).digest())
        second.complete("x")
        second.close()
        self.assertEqual(part.read_bytes(), CONTENT)

    @given(stored=st.integers(0, 20), checkpoint=st.integers(0, 20), lost=st.one_of(st.none(), st.integers(0, 7)))
    def test_a_folder_is_proved_through_all_its_files(self, stored: int, checkpoint: int, lost: int | None) -> None:
        """A file that is missing ends what is believed; the rest is fetched again."""
        stream, _ = folder_stream()
        first = self.opened(self.folder_sink())
        store(first, pieces(stream, 0, min(stored * PIECE, len(stream))))
        at = min(min(checkpoint, stored) * PIECE, len(stream))
        first.close()
        missing = self.folder / "x.p2pim-part" / "content" / f"d{lost}" / "f"
        was_there = missing.exists()
        missing.unlink(missing_ok=True)
        second = self.folder_sink()
        second.open_and_prove([(at, blake3(stream[:at]).digest())] if at else [])
        begins = len(stream) - len(CONTENT) + (lost or 0) * (len(CONTENT) // 8)
        self.assertEqual(second.position, 0 if was_there and begins < at else at)
        store(second, pieces(stream, second.position))
        self.assertTrue(second.finish(second.complete("x")))
        stored_bytes = b"".join((self.folder / "x" / f"d{n}" / "f").read_bytes() for n in range(8))
        self.assertEqual(stored_bytes, CONTENT)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["x"])
        for path in sorted((self.folder / "x").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        (self.folder / "x").rmdir()


class WritingTests(SinkCase):
    """`Sink.write` and the names."""

    def test_what_is_not_proved_is_not_written(self) -> None:
        """A wrong digest leaves disk and position as they were."""
        sink = self.opened(self.file_sink())
        good, bad = pieces(CONTENT)[:2]
        store(sink, [good])
        with self.assertRaises(ContentMismatch):
            store(sink, [Piece(bad.offset, bad.length, [b"x" * bad.length], bad.digest)])
        self.assertEqual((sink.position, (self.folder / "x.p2pim-part").read_bytes()), (PIECE, CONTENT[:PIECE]))
        store(sink, [bad])
        self.assertEqual(sink.position, 2 * PIECE)

    def test_a_partial_that_is_a_link_or_has_two_names_is_refused(self) -> None:
        """Nothing that is not ours is written to."""
        victim = self.folder / "victim"
        victim.write_bytes(b"precious")
        part = self.folder / "x.p2pim-part"
        for make in (os.link, os.symlink):
            make(victim, part)
            with self.assertRaises((OSError, TransferError)):
                self.file_sink().open_and_prove([])
            part.unlink()
        self.assertEqual(victim.read_bytes(), b"precious")

    def test_a_folder_inside_that_became_a_link_is_not_entered(self) -> None:
        """Nor is anything written behind it."""
        stream, manifest_size = folder_stream()
        sink = self.opened(self.folder_sink())
        ahead = -(-manifest_size // PIECE) * PIECE
        store(sink, pieces(stream, 0, ahead))
        outside = self.folder / "outside"
        outside.mkdir()
        (self.folder / "x.p2pim-part" / "content" / "d3").symlink_to(outside)
        with self.assertRaises(OSError):
            store(sink, pieces(stream, ahead))
        self.assertEqual(list(outside.iterdir()), [])

    def test_a_kernel_without_the_exclusive_rename_does_not_overwrite_either(self) -> None:
        """The slower way to the same end, for files and folders."""
        self.patch(transfer_files, "_renameat2", None)
        sink = self.opened(self.file_sink())
        store(sink, pieces(CONTENT))
        name = sink.complete("x")
        (self.folder / "x").write_bytes(b"mine")
        self.assertFalse(sink.finish(name))
        self.assertTrue(sink.finish(sink.free_name("x")))
        self.assertEqual((self.folder / "x").read_bytes(), b"mine")
        self.assertEqual((self.folder / "x (1)").read_bytes(), CONTENT)
        other = self.opened(self.folder_sink())
        store(other, pieces(folder_stream()[0]))
        self.assertTrue(other.finish(other.complete("x")))
        self.assertEqual((self.folder / "x (2)" / "d0" / "f").read_bytes(), CONTENT[:128])

    def test_short_writes_are_finished(self) -> None:
        """A disk may take less than it was given."""
        path = self.folder / "short"
        handle = os.open(path, os.O_RDWR | os.O_CREAT)
        self.addCleanup(os.close, handle)
        real = os.pwrite
        self.patch(os, "pwrite", lambda handle, data, offset: real(handle, data[:7], offset))
        transfer_files.write_at(handle, bytes(range(100)), 5)
        self.assertEqual(path.read_bytes(), b"\0" * 5 + bytes(range(100)))
