"""Where a transfer is stored while it arrives, and how it gets its name. All of it blocks: disk threads only.

A single file grows as ``NAME.p2pim-part``. A folder grows inside the folder ``NAME.p2pim-part``, as ``manifest`` and
``content``, and ``content`` gets the name in the end. Each piece is proved before a byte of it is written, so what is
on the disk is always a proven prefix of the stream; `prove` finds out after a restart how much of it there is.
"""

from __future__ import annotations

import hmac
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from blake3 import blake3

from p2pim.core.filenames import PART_SUFFIX, numbered, safe_name
from p2pim.core.limits import FREE_SPACE_KEPT
from p2pim.core.transfer import Piece
from p2pim.errors import ContentMismatch
from p2pim.peer.transfer_files import (
    READ_SIZE,
    exists,
    free_bytes,
    free_name,
    made_or_own,
    make_file,
    open_folder,
    rename_new,
    set_modified,
    write_at,
)

PRIVATE: Final = 0o700
MANIFEST: Final = "manifest"
CONTENT: Final = "content"
_LOOK_INTERVAL: Final = FREE_SPACE_KEPT // 4
"""Bytes written between two looks at the disk's free space; well below what is kept free."""


Proved = tuple[Piece, bytes, blake3]
"""A piece that is what its sender says, its bytes, and the hasher of everything up to its end."""


class Prover:
    """Proves a stream, piece by piece, in the reactor's thread: it has to be asked for the interpreter less often than
    a disk thread that it shares it with."""

    def __init__(self, hasher: blake3) -> None:
        self._hasher = hasher

    def prove(self, piece: Piece) -> Proved:
        """``piece``, which comes next.

        :raises ContentMismatch: its digest is another.
        """
        data = b"".join(piece.slices)
        self._hasher.update(data)
        if not hmac.compare_digest(self._hasher.digest(), piece.digest):
            raise ContentMismatch
        piece.slices.clear()  # they are held once
        return piece, data, self._hasher.copy()


class Sink:
    """The part that files and folders share: proving before writing, proving again after a restart.

    :param directory: where it will be.
    :param part: the partial's name there; `open` makes it when it is not there.
    """

    folder = False

    def __init__(self, directory: str, part: str) -> None:
        self.directory = directory
        self.part = part
        self.position = 0
        self._hasher = blake3()
        self._parent = -1
        self._free = self._look_at = 0

    # --- to be given by each kind

    def _open_part(self) -> None:
        raise NotImplementedError

    def _store(self, offset: int, data: bytes) -> None:
        raise NotImplementedError

    def _stored(self, offset: int, end: int) -> Iterator[bytes]:
        """What is stored of the stream between two positions; ends early where something is missing."""
        raise NotImplementedError

    def _complete(self) -> None:
        """Everything but the name."""
        raise NotImplementedError

    def _give_name(self, name: str) -> None:
        raise NotImplementedError

    def _close_part(self) -> None:
        raise NotImplementedError

    # --- shared

    def open(self) -> None:
        """Open the partial, or make it when somebody has removed it."""
        self._parent = open_folder(self.directory)
        self._open_part()

    def open_and_prove(self, checkpoints: Sequence[tuple[int, bytes]]) -> None:
        """`open`, then `prove`; closed again when either fails."""
        try:
            self.open()
            self.prove(checkpoints)
        except BaseException:
            self.close()
            raise

    def prove(self, checkpoints: Sequence[tuple[int, bytes]]) -> int:
        """Go to the greatest of ``checkpoints`` (in order) that what is stored agrees with; gives the position."""
        hasher, at = blake3(), 0
        self.position, self._hasher = 0, blake3()
        for position, digest in checkpoints:
            for data in self._stored(at, position):
                hasher.update(data)
                at += len(data)
            if at != position or not hmac.compare_digest(hasher.digest(), digest):
                break
            self.position, self._hasher = position, hasher.copy()
        return self.position

    def restart(self) -> None:
        """Begin again at 0."""
        self.position, self._hasher, self._look_at = 0, blake3(), 0

    def write(self, proved: Sequence[Proved]) -> tuple[int, bytes, int]:
        """Store what comes next; gives the position, the digest of everything before it, and the free space.

        :raises OSError: the disk's. The position is still the one before the piece.
        """
        for piece, data, hasher in proved:
            if piece.offset != self.position:
                raise ValueError("a stream is written in order")
            self._store(piece.offset, data)
            self._hasher = hasher
            self.position = piece.offset + piece.length
        if self.position >= self._look_at or self._free < 2 * FREE_SPACE_KEPT:
            self._look_at = self.position + _LOOK_INTERVAL
            self._free = free_bytes(self._parent)
        return self.position, self._hasher.digest(), self._free

    def prover(self) -> Prover:
        """Who proves what comes next, from the position on."""
        return Prover(self._hasher.copy())

    def proved(self) -> tuple[int, bytes]:
        """How far it is, and the digest of everything before that."""
        return self.position, self.digest

    def hasher(self) -> blake3:
        """The hasher of everything before the position."""
        return self._hasher.copy()

    @property
    def digest(self) -> bytes:
        """The BLAKE3 of everything before the position."""
        return self._hasher.digest()

    def complete(self, name: str) -> str:
        """All bytes are there: times and bits are set; gives a free name for it beside what is there."""
        self._complete()
        return self.free_name(name)

    def free_name(self, name: str) -> str:
        """A name for it that nothing has."""
        return free_name(safe_name(name), self._parent, folder=self.folder)

    def finish(self, name: str) -> bool:
        """Give it its name, unless something has that by now; whether it was given."""
        try:
            self._give_name(name)
        except FileExistsError:
            return False
        self.close()
        return True

    def close(self) -> None:
        """Let go of all descriptors."""
        self._close_part()
        if self._parent >= 0:
            os.close(self._parent)
            self._parent = -1


class FileSink(Sink):
    """A single file."""

    def __init__(self, directory: str, part: str, size: int, modified_ns: int, executable: bool) -> None:
        super().__init__(directory, part)
        self._size = size
        self._modified_ns = modified_ns
        self._executable = executable
        self._handle = -1

    def _open_part(self) -> None:
        self._handle = made_or_own(self.part, self._parent, executable=self._executable)

    def _store(self, offset: int, data: bytes) -> None:
        write_at(self._handle, data, offset)

    def _stored(self, offset: int, end: int) -> Iterator[bytes]:
        return read_range(self._handle, offset, end)

    def _complete(self) -> None:
        os.ftruncate(self._handle, self._size)
        set_modified(self._handle, self._modified_ns)

    def _give_name(self, name: str) -> None:
        rename_new(self.part, self._parent, name, self._parent)

    def _close_part(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def read_range(handle: int, offset: int, end: int) -> Iterator[bytes]:
    while offset < end:
        data = os.pread(handle, min(READ_SIZE, end - offset), offset)
        if not data:
            return
        offset += len(data)
        yield data


def free_part(directory: str, name: str, *, folder: bool) -> str:
    """A name for a partial of ``name`` that nothing in ``directory`` has."""
    parent = open_folder(directory)
    number = 0
    try:
        while exists(numbered(safe_name(name), number, folder=folder) + PART_SUFFIX, parent):
            number += 1
    finally:
        os.close(parent)
    return numbered(safe_name(name), number, folder=folder) + PART_SUFFIX


def make_part(directory: str, part: str, *, folder: bool, executable: bool) -> bool:
    """Make an empty partial, unless something has its name; whether it was made."""
    parent = open_folder(directory)
    try:
        if folder:
            os.mkdir(part, PRIVATE, dir_fd=parent)
        else:
            os.close(make_file(part, parent, executable=executable))
    except FileExistsError:
        return False
    finally:
        os.close(parent)
    return True


def discard_empty_part(directory: str, part: str) -> None:
    """Remove a partial that was made, or was about to be, when everything stopped; one with something in it stays."""
    path = os.path.join(directory, part)
    with suppress(OSError):
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        elif os.lstat(path).st_size == 0:
            os.unlink(path)


def discard_part(directory: str, part: str) -> None:
    """Remove a partial, whatever it has become; nothing happens when it is not there."""
    try:
        parent = open_folder(directory)
    except OSError:
        return
    try:
        with suppress(FileNotFoundError):
            try:
                os.unlink(part, dir_fd=parent)
            except (IsADirectoryError, PermissionError):
                shutil.rmtree(part, dir_fd=parent)
    finally:
        os.close(parent)


def named_already(directory: str, part: str, final: str, folder: bool) -> bool:
    """Whether a partial that was about to get the name ``final`` when everything stopped has got it."""
    try:
        parent = open_folder(directory)
    except OSError:
        return False
    try:
        left = os.path.join(part, CONTENT) if folder else part
        return not exists(left, parent) and exists(final, parent)
    finally:
        os.close(parent)
