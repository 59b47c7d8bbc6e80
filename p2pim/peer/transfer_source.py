"""What is sent, as one stream of bytes: a file, or a folder's manifest and files. It blocks: disk threads only."""

from __future__ import annotations

import os
import stat
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol, cast

from blake3 import blake3

from p2pim.core.limits import MANIFEST_DEPTH, PIECES_IN_FLIGHT_MAX
from p2pim.core.manifest import EXECUTABLE, FILE, FOLDER, ManifestEntry, decode_manifest, encode_manifest, starts
from p2pim.errors import FileChanged, FileUnreadable, UnsafeName
from p2pim.peer.transfer_files import READ_SIZE, open_folder, unreadable
from p2pim.storage.transfers import TransferRecord

_EXECUTABLE_BIT: Final = 0o100
_NO_WAIT: int = getattr(os, "RWF_NOWAIT", 0)
"""Linux: read what is in the page cache, and rather nothing than wait for the disk."""
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


# --- looking at what is to be sent


@dataclass(frozen=True, slots=True)
class Scan:
    """A file or folder as it is now. ``notes`` names what of a folder cannot be sent."""

    path: str
    name: str
    size: int
    files: int
    modified_ns: int
    folder: bool
    executable: bool
    manifest: bytes | None
    notes: tuple[str, ...]


def scan(path: str) -> Scan:
    """Look at the file or folder ``path``.

    :raises FileUnreadable: it or something in it cannot be read, or is neither file nor folder.
    :raises UnsafeName: a folder with more in it than anybody takes.
    """
    path = os.path.realpath(path)
    try:
        known = os.stat(path)
    except OSError as error:
        raise unreadable(path, error) from None
    if stat.S_ISDIR(known.st_mode):
        return _scan_folder(path, known)
    if not stat.S_ISREG(known.st_mode):
        raise FileUnreadable(f"{path} is neither a file nor a folder.")
    if not os.access(path, os.R_OK):
        raise FileUnreadable(f"{path} may not be read.")
    executable = bool(known.st_mode & _EXECUTABLE_BIT)
    return Scan(path, _name(path), known.st_size, 1, known.st_mtime_ns, False, executable, None, ())


def _name(path: str) -> str:
    """The name to offer: undecodable bytes and lone surrogates become marks, since text goes over the wire."""
    return os.fsencode(os.path.basename(path)).decode("utf-8", "replace")[:1000] or "folder"


def _scan_folder(path: str, known: os.stat_result) -> Scan:
    notes: list[str] = []
    root = os.fsencode(path)
    try:
        entries = list(_walk(root, b"", notes))
    except OSError as error:
        raise unreadable(path, error) from None
    files = [entry for entry in entries if entry.kind != FOLDER]
    size = sum(entry.size for entry in files)
    body = encode_manifest(entries)
    return Scan(path, _name(path), size, len(files), known.st_mtime_ns, True, False, body, tuple(notes))


def _walk(root: bytes, below: bytes, notes: list[str]) -> Iterator[ManifestEntry]:
    """The entries below ``root``/``below``, each folder before what is in it, names in order."""
    if below.count(b"/") >= MANIFEST_DEPTH:
        raise UnsafeName(f"{os.fsdecode(below[:200])}… is too deep inside the folder.")
    with os.scandir(os.path.join(root, below)) as listed:
        found = sorted(listed, key=lambda entry: entry.name)
    for entry in found:
        path = below + b"/" + entry.name if below else entry.name
        known = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(known.st_mode):
            yield ManifestEntry(path, 0, known.st_mtime_ns, FOLDER)
            yield from _walk(root, path, notes)
        elif not stat.S_ISREG(known.st_mode):
            kind = "link" if stat.S_ISLNK(known.st_mode) else "special file"
            notes.append(f"{path.decode('utf-8', 'replace')} is a {kind} and is left out")
        elif not os.access(entry.path, os.R_OK):
            raise FileUnreadable(f"{os.fsdecode(entry.path)} may not be read.")
        else:
            kind_of_file = EXECUTABLE if known.st_mode & _EXECUTABLE_BIT else FILE
            yield ManifestEntry(path, known.st_size, known.st_mtime_ns, kind_of_file)


# --- reading it


class Content(Protocol):
    """Bytes of the stream by position. Raises `FileChanged` when they are no longer those that were offered."""

    def bytes_at(self, offset: int, length: int) -> list[bytes]: ...
    def ready_at(self, offset: int, length: int) -> list[bytes] | None:
        """The same when that needs no waiting for a disk, else None."""

    def close(self) -> None: ...


class FileContent:
    """A single file."""

    def __init__(self, path: str, size: int, modified_ns: int) -> None:
        self._path = path
        self._size = size
        self._modified_ns = modified_ns
        self._handle: int | None = None

    def bytes_at(self, offset: int, length: int) -> list[bytes]:
        if self._handle is None:
            self._handle = _opened(self._path, None)
        pieces = _read(self._handle, offset, length, self._path)
        _unchanged(self._handle, self._size, self._modified_ns, self._path)
        return pieces

    def ready_at(self, offset: int, length: int) -> list[bytes] | None:
        data = None if self._handle is None else _read_cached(self._handle, offset, length)
        if data is None or self._handle is None:
            return None
        _unchanged(self._handle, self._size, self._modified_ns, self._path)
        return [data]

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class FolderContent:
    """A folder: its manifest, then its files. At most one file is open at a time."""

    def __init__(self, path: str, manifest: bytes, size: int, files: int) -> None:
        self._path = path
        self._manifest = manifest
        entries = decode_manifest(manifest, size, files)
        self._entries = [entry for entry in entries if entry.kind != FOLDER and entry.size]
        self._starts = starts([entry.size for entry in self._entries], len(manifest))
        self._root: int | None = None
        self._open: tuple[int, int] | None = None

    def bytes_at(self, offset: int, length: int) -> list[bytes]:
        end = offset + length
        pieces = [self._manifest[offset:end]] if offset < len(self._manifest) else []
        offset += sum(map(len, pieces))
        index = bisect_right(self._starts, offset) - 1
        while offset < end:
            entry, start = self._entries[index], self._starts[index]
            taken = min(end, start + entry.size) - offset
            pieces += self._file_bytes(index, entry, offset - start, taken)
            offset += taken
            index += 1
        return [b"".join(pieces)]

    def ready_at(self, offset: int, length: int) -> None:
        """Opening files may always mean waiting."""

    def _file_bytes(self, index: int, entry: ManifestEntry, offset: int, length: int) -> list[bytes]:
        handle = self._handle(index, entry)
        path = os.fsdecode(entry.path)
        pieces = _read(handle, offset, length, path)
        _unchanged(handle, entry.size, entry.modified_ns, path)
        if offset + length == entry.size:
            self._close_file()
        return pieces

    def _handle(self, index: int, entry: ManifestEntry) -> int:
        if self._open is not None and self._open[0] == index:
            return self._open[1]
        self._close_file()
        if self._root is None:
            try:
                self._root = open_folder(self._path)
            except OSError as error:
                raise unreadable(self._path, error) from None
        handle = _opened(os.fsdecode(entry.path), self._root)
        self._open = (index, handle)
        return handle

    def _close_file(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def close(self) -> None:
        self._close_file()
        if self._root is not None:
            os.close(self._root)
            self._root = None


def _opened(path: str, parent: int | None) -> int:
    try:
        return os.open(path, _READ if parent is None else _READ | os.O_NOFOLLOW, dir_fd=parent)
    except FileNotFoundError:
        raise FileChanged(f"{path} is no longer there; send it again.") from None
    except OSError as error:
        raise unreadable(path, error) from None


def _read(handle: int, offset: int, length: int, path: str) -> list[bytes]:
    pieces: list[bytes] = []
    while length:
        try:
            data = os.pread(handle, length, offset)
        except OSError as error:
            raise unreadable(path, error) from None
        if not data:
            raise FileChanged(f"{path} became shorter while it was being sent; send it again.")
        pieces.append(data)
        offset += len(data)
        length -= len(data)
    return pieces


def _read_cached(handle: int, offset: int, length: int) -> bytes | None:
    """The bytes when all of them are in the page cache, on systems and file systems that tell."""
    if not _NO_WAIT:
        return None
    data = bytearray(length)
    try:
        read = os.preadv(handle, [data], offset, _NO_WAIT)
    except OSError:  # EAGAIN mostly; what else it is the thread will find out
        return None
    return cast(bytes, data) if read == length else None  # nobody changes it from now on


def _unchanged(handle: int, size: int, modified_ns: int, path: str) -> None:
    known = os.fstat(handle)
    if known.st_size != size or known.st_mtime_ns != modified_ns:
        raise FileChanged(f"{path} changed while it was being sent; send it again.")


class Source:
    """The stream, read in order, with the digest of everything before the position.

    The digests at the last pieces' ends are remembered, so that a pull which goes on after its channel broke, a little
    before the position, needs no reading again.
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self._hasher = blake3()
        self.position = 0
        self._marks: deque[tuple[int, blake3]] = deque(maxlen=2 * PIECES_IN_FLIGHT_MAX)
        self.stopping = False
        """Set (from the reactor's thread) to end a long reading early."""

    def read(self, offset: int, length: int) -> tuple[list[bytes], bytes]:
        """The bytes at the position, and the digest of everything up to their end.

        :raises FileChanged: they are not the ones that were offered.
        :raises FileUnreadable: they cannot be read.
        """
        if offset != self.position:
            raise ValueError("a stream is read in order")
        return self._taken(self._content.bytes_at(offset, length), offset + length)

    def read_ready(self, offset: int, length: int) -> tuple[list[bytes], bytes] | None:
        """As `read` when that needs no waiting for a disk, so that the reactor's thread may do it; else None."""
        if offset != self.position:
            return None
        pieces = self._content.ready_at(offset, length)
        return None if pieces is None else self._taken(pieces, offset + length)

    def _taken(self, pieces: list[bytes], end: int) -> tuple[list[bytes], bytes]:
        for piece in pieces:
            self._hasher.update(piece)
        self.position = end
        self._marks.append((end, self._hasher.copy()))
        return pieces, self._hasher.digest()

    def resume(self, offset: int, digest: bytes | None) -> bool:
        """Put the position at ``offset``; whether what is before it has ``digest``.

        :raises FileChanged: what is before it is not what was offered.
        """
        position, hasher = self._hashed_to(offset)
        if position != offset or (offset and hasher.digest() != digest):
            return False
        self.position, self._hasher = offset, hasher
        self._marks.append((offset, hasher.copy()))
        return True

    def go_to(self, offset: int) -> bytes:
        """Put the position at ``offset``; gives the digest of what is before it.

        :raises FileChanged: what is before it is not what was offered.
        """
        position, hasher = self._hashed_to(offset)
        if position != offset:
            raise FileChanged("The file was let go of.")
        self.position, self._hasher = offset, hasher
        self._marks.append((offset, hasher.copy()))
        return hasher.digest()

    def _hashed_to(self, offset: int) -> tuple[int, blake3]:
        position, hasher = self._nearest(offset)
        while position < offset and not self.stopping:
            length = min(READ_SIZE, offset - position)
            for piece in self._content.bytes_at(position, length):
                hasher.update(piece)
            position += length
        return position, hasher

    def _nearest(self, offset: int) -> tuple[int, blake3]:
        """The last place at or before ``offset`` whose digest is known."""
        for position, hasher in reversed(self._marks):
            if position <= offset:
                return position, hasher.copy()
        return 0, blake3()

    def digest_at(self, position: int) -> bytes | None:
        """The digest of everything before ``position``, if it is remembered."""
        return next((hasher.digest() for at, hasher in tuple(self._marks) if at == position), None)

    def close(self) -> None:
        """Close the files; reading opens them again."""
        self._content.close()


def source_of(record: TransferRecord, manifest: bytes) -> Source:
    """What the transfer ``record`` sends; ``manifest`` is a folder's."""
    if record.folder:
        return Source(FolderContent(record.path, manifest, record.size, record.files))
    return Source(FileContent(record.path, record.size, record.modified_ns))
