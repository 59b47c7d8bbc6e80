"""A folder while it arrives: see `p2pim.peer.transfer_sink`."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress

from p2pim.core.manifest import EXECUTABLE, FOLDER, Placed, decode_manifest, place, starts
from p2pim.peer.transfer_files import (
    made_or_own,
    make_file,
    make_folder,
    open_folder,
    open_own,
    rename_new,
    set_modified,
    write_at,
)
from p2pim.peer.transfer_sink import CONTENT, MANIFEST, PRIVATE, FileSink, Sink, read_range
from p2pim.storage.transfers import TransferRecord


class _Chain:
    """The descriptors of a folder inside ``root`` and of those around it: neighbours share most of them."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._names: list[str] = []
        self._handles: list[int] = []

    def enter(self, parts: Sequence[str], *, make: bool = True) -> int:
        """The descriptor of the folder ``parts``, good until the next call."""
        shared = 0
        while shared < min(len(parts), len(self._names)) and parts[shared] == self._names[shared]:
            shared += 1
        self._leave(shared)
        for name in parts[shared:]:
            at = self._handles[-1] if self._handles else self._root
            self._handles.append(make_folder(name, at) if make else open_folder(name, parent=at))
            self._names.append(name)
        return self._handles[-1] if self._handles else self._root

    def _leave(self, depth: int) -> None:
        while len(self._handles) > depth:
            os.close(self._handles.pop())
            self._names.pop()

    def close(self) -> None:
        self._leave(0)


class FolderSink(Sink):
    """A folder: its manifest, then its files in the manifest's order, one open at a time."""

    folder = True

    def __init__(self, directory: str, part: str, manifest_size: int, size: int, files: int, modified_ns: int) -> None:
        super().__init__(directory, part)
        self._manifest_size = manifest_size
        self._size = size
        self._files = files
        self._modified_ns = modified_ns
        self._part = self._content = self._manifest = -1
        self._chain = _Chain(-1)
        self._open: tuple[int, int] | None = None
        self._fresh = False
        """The open file was made just now: there is nothing behind what is written."""
        self._loaded = self._spread = False
        self._placed: list[Placed] = []
        self._full: list[Placed] = []
        self._starts: list[int] = []

    # --- opening and closing

    def _open_part(self) -> None:
        self._part = make_folder(self.part, self._parent, PRIVATE)
        self._content = make_folder(CONTENT, self._part)
        self._manifest = made_or_own(MANIFEST, self._part)
        self._chain = _Chain(self._content)

    def _close_part(self) -> None:
        self._close_file()
        self._chain.close()
        for handle in (self._manifest, self._content, self._part):
            if handle >= 0:
                os.close(handle)
        self._part = self._content = self._manifest = -1

    # --- the manifest

    def restart(self) -> None:
        super().restart()
        self._close_file()
        self._loaded = self._spread = False

    def _load_manifest(self) -> None:
        """The manifest is stored whole: find a place for everything in it, once."""
        if self._loaded:
            return
        body = b"".join(read_range(self._manifest, 0, self._manifest_size))
        self._placed = place(decode_manifest(body, self._size, self._files))
        self._full = [placed for placed in self._placed if placed.kind != FOLDER and placed.size]
        self._starts = starts([placed.size for placed in self._full], self._manifest_size)
        self._loaded = True

    # --- writing

    def _store(self, offset: int, whole: bytes) -> None:
        data = memoryview(whole)
        if offset < self._manifest_size:
            head = data[: self._manifest_size - offset]
            write_at(self._manifest, head, offset)
            offset += len(head)
            data = data[len(head) :]
        if offset >= self._manifest_size:
            self._load_manifest()
            self._make_folders()
            self._store_content(offset, data)

    def _make_folders(self) -> None:
        """All of them before any file: ext4 spreads empty ones, and making files is half as dear in groups that are
        not full."""
        if self._spread:
            return
        self._spread = True
        for placed in self._placed:
            if placed.kind == FOLDER:
                self._chain.enter(placed.parts)

    def _store_content(self, offset: int, data: memoryview) -> None:
        index = bisect_right(self._starts, offset) - 1
        while data:
            placed, start = self._full[index], self._starts[index]
            taken = data[: start + placed.size - offset]
            write_at(self._file(index, placed), taken, offset - start)
            offset += len(taken)
            data = data[len(taken) :]
            if offset == start + placed.size:
                self._finish_file(placed)
                index += 1

    def _file(self, index: int, placed: Placed) -> int:
        if self._open is not None and self._open[0] == index:
            return self._open[1]
        self._close_file()
        parent = self._chain.enter(placed.parts[:-1])
        try:
            handle = make_file(placed.parts[-1], parent, executable=placed.kind == EXECUTABLE)
            self._fresh = True
        except FileExistsError:
            handle = open_own(placed.parts[-1], parent)
            self._fresh = False
        self._open = (index, handle)
        return handle

    def _finish_file(self, placed: Placed) -> None:
        assert self._open is not None
        if not self._fresh:
            os.ftruncate(self._open[1], placed.size)
        set_modified(self._open[1], placed.modified_ns)
        self._close_file()

    def _close_file(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    # --- reading back

    def _stored(self, offset: int, end: int) -> Iterator[bytes]:
        head = min(end, self._manifest_size)
        for data in read_range(self._manifest, offset, head):
            offset += len(data)
            yield data
        if offset < head or end <= self._manifest_size:
            return
        self._load_manifest()
        while offset < end:
            before = offset
            for data in self._stored_content(offset, end):
                offset += len(data)
                yield data
            if offset == before:
                return

    def _stored_content(self, offset: int, end: int) -> Iterator[bytes]:
        """What is stored of the file in which ``offset`` lies."""
        index = bisect_right(self._starts, offset) - 1
        placed, start = self._full[index], self._starts[index]
        try:
            handle = open_own(placed.parts[-1], self._chain.enter(placed.parts[:-1], make=False))
        except OSError:
            return
        try:
            yield from read_range(handle, offset - start, min(end, start + placed.size) - start)
        finally:
            os.close(handle)

    # --- the end

    def _complete(self) -> None:
        """Make what has no bytes, then give the folders their times: making something changes its folder's."""
        self._close_file()
        self._load_manifest()
        for placed in self._placed:
            if placed.kind == FOLDER:
                self._chain.enter(placed.parts)
            elif not placed.size:
                self._make_empty(placed)
        for placed in self._placed:
            if placed.kind == FOLDER:
                set_modified(self._chain.enter(placed.parts), placed.modified_ns)
        self._chain.close()
        set_modified(self._content, self._modified_ns)

    def _make_empty(self, placed: Placed) -> None:
        parent = self._chain.enter(placed.parts[:-1])
        handle = made_or_own(placed.parts[-1], parent, executable=placed.kind == EXECUTABLE)
        os.ftruncate(handle, 0)
        set_modified(handle, placed.modified_ns)
        os.close(handle)

    def _give_name(self, name: str) -> None:
        rename_new(CONTENT, self._part, name, self._parent)
        with suppress(OSError):
            os.unlink(MANIFEST, dir_fd=self._part)
            os.rmdir(self.part, dir_fd=self._parent)


def sink_for(record: TransferRecord) -> Sink:
    """Where the transfer ``record`` is stored while it arrives."""
    r = record
    if r.folder:
        return FolderSink(r.directory, r.part, r.manifest_size, r.size, r.files, r.modified_ns)
    return FileSink(r.directory, r.part, r.size, r.modified_ns, r.executable)
