"""The server's store of files: rows in its database, and the sealed bytes beside it.

Rows come first, bytes after: a row without its file is an upload at 0, a file without an open row is an orphan and
removed by the next sweep. A file counts in full from the moment its row is committed, so that quotas hold whatever
happens; its ``committed`` says how much of it is synchronised to the disk, and what is beyond that is cut off when the
upload goes on.

The functions take a connection first, like those of `p2pim.storage.accounts`; `StoredFolder` blocks and runs in disk
threads.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from p2pim.core.limits import STORE_IDLE_UPLOAD, STORE_OUTCOME_KEPT, STORED_FILES_PER_SENDER
from p2pim.errors import Blocked, NoSuchUser, StoredFileGone, StoreFull, StoreQuota

FETCHED: Final = "fetched"
REJECTED: Final = "rejected"
WITHDRAWN: Final = "withdrawn"
EXPIRED: Final = "expired"


@dataclass(frozen=True, slots=True)
class Quotas:
    """Bytes: of the whole store, of what one sender has in it, of what waits for one recipient; ``lifetime`` in
    seconds."""

    whole: int
    sender: int
    recipient: int
    lifetime: float


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A row. ``sender`` and ``recipient`` are names."""

    id: bytes
    sender: str
    sender_device: bytes
    recipient: str
    size: int
    committed: int
    outcome: str
    expires_at: float

    @property
    def state(self) -> str:
        """As `p2pim.wire.store.StoredState` has it."""
        return self.outcome or ("waiting" if self.committed == self.size else "uploading")


_FILES = (
    "SELECT f.id, s.name AS sender, f.sender_device, r.name AS recipient, f.size, f.committed, f.outcome, f.expires_at"
    " FROM stored_files f JOIN accounts s ON s.id = f.sender JOIN accounts r ON r.id = f.recipient "
)


def _file(row: sqlite3.Row) -> StoredFile:
    return StoredFile(**{**dict(row), "id": bytes(row["id"]), "sender_device": bytes(row["sender_device"])})


def find(db: sqlite3.Connection, file: bytes) -> StoredFile | None:
    """The row of ``file``, if there is one."""
    row = db.execute(_FILES + "WHERE f.id = ?", (file,)).fetchone()
    return None if row is None else _file(row)


def find_all(db: sqlite3.Connection, files: Sequence[bytes]) -> list[StoredFile]:
    """The rows that there are of ``files``."""
    return [found for file in files if (found := find(db, file)) is not None]


def _account(db: sqlite3.Connection, name: str) -> int:
    row = db.execute("SELECT id FROM accounts WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise NoSuchUser
    return int(row[0])


def reserve(
    db: sqlite3.Connection, *, sender: str, device: bytes, recipient: str, transfer: bytes, size: int, new_id: bytes,
    free: int, quotas: Quotas, now: float,
) -> StoredFile:  # fmt: skip
    """A place for ``size`` bytes, or the one that the device has for this transfer.

    :param free: bytes that the disk can still take.
    :raises NoSuchUser: there is no ``recipient``.
    :raises Blocked: one of the two has blocked the other.
    :raises StoreQuota: a share is used up.
    :raises StoreFull: the store or its disk is.
    :raises StoredFileGone: there was one, and it has ended.
    """
    by, to = _account(db, sender), _account(db, recipient)
    either = "SELECT 1 FROM blocks WHERE (owner = ?1 AND blocked = ?2) OR (owner = ?2 AND blocked = ?1)"
    if db.execute(either, (by, to)).fetchone() is not None:
        raise Blocked
    row = db.execute(
        _FILES + "WHERE f.sender = ? AND f.sender_device = ? AND f.transfer = ?", (by, device, transfer)
    ).fetchone()
    if row is not None:
        known = _file(row)
        if known.outcome or known.recipient != recipient or known.size != size:
            raise StoredFileGone("This file has been at the server before; send it anew.")
        return known
    _check_room(db, by, to, size, free, quotas)
    db.execute(
        "INSERT INTO stored_files (id, sender, sender_device, transfer, recipient, size, created_at, changed_at,"
        " expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (new_id, by, device, transfer, to, size, now, now, now + quotas.lifetime),
    )
    return StoredFile(new_id, sender, device, recipient, size, 0, "", now + quotas.lifetime)


def _check_room(db: sqlite3.Connection, by: int, to: int, size: int, free: int, quotas: Quotas) -> None:
    held = db.execute(
        "SELECT coalesce(sum(size), 0), coalesce(sum(size) FILTER (WHERE sender = ?1), 0),"
        " coalesce(sum(size) FILTER (WHERE recipient = ?2), 0), count(*) FILTER (WHERE sender = ?1),"
        " coalesce(sum(size - committed), 0) FROM stored_files WHERE outcome = ''",
        (by, to),
    ).fetchone()
    whole, mine, theirs, count, missing = held
    if mine + size > quotas.sender:
        raise StoreQuota(
            f"It does not fit into your share of the server's store: {_mb(mine)} of {_mb(quotas.sender)} MB are taken"
            f" and it needs {_mb(size)}. Cancel something that waits there, or send it when both are online."
        )
    if theirs + size > quotas.recipient:
        raise StoreQuota("Too much waits for them at the server already; send it when both are online.")
    if count >= STORED_FILES_PER_SENDER:
        raise StoreQuota(f"{count} files of yours wait at the server; cancel some, or send a folder in one.")
    if whole + size > quotas.whole or missing + size > free:
        raise StoreFull


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f}"


def grew(db: sqlite3.Connection, file: bytes, committed: int, now: float) -> bool:
    """An upload is on the disk up to ``committed``; whether it is still wanted."""
    done = db.execute(
        "UPDATE stored_files SET committed = ?, changed_at = ? WHERE id = ? AND outcome = ''", (committed, now, file)
    )
    return done.rowcount == 1


def end(db: sqlite3.Connection, file: bytes, outcome: str, now: float) -> StoredFile | None:
    """``file`` has ended with ``outcome``; the row as it was before, or None when it had ended."""
    known = find(db, file)
    if known is None or known.outcome:
        return None
    db.execute("UPDATE stored_files SET outcome = ?, changed_at = ? WHERE id = ?", (outcome, now, file))
    return known


def forget(db: sqlite3.Connection, file: bytes) -> None:
    """The sender knows how it ended."""
    db.execute("DELETE FROM stored_files WHERE id = ? AND outcome != ''", (file,))


def expire(db: sqlite3.Connection, now: float) -> list[StoredFile]:
    """End what nobody fetched in time, and uploads that were given up; gives those. Old outcomes are forgotten."""
    due = db.execute(
        _FILES + "WHERE f.outcome = '' AND (f.expires_at <= ?1 OR (f.committed < f.size AND f.changed_at <= ?2))",
        (now, now - STORE_IDLE_UPLOAD),
    ).fetchall()
    for row in due:
        end(db, bytes(row["id"]), EXPIRED, now)
    db.execute("DELETE FROM stored_files WHERE outcome != '' AND changed_at <= ?", (now - STORE_OUTCOME_KEPT,))
    return [_file(row) for row in due]


def open_ids(db: sqlite3.Connection) -> set[bytes]:
    """The files that should be on the disk."""
    return {bytes(row[0]) for row in db.execute("SELECT id FROM stored_files WHERE outcome = ''")}


def problems(db: sqlite3.Connection, folder: Path) -> list[str]:
    """Rows without their bytes, and bytes without a row; one line each."""
    found: list[str] = []
    rows = db.execute("SELECT id, committed FROM stored_files WHERE outcome = ''").fetchall()
    names = StoredFolder(folder).ids() if folder.is_dir() else ()
    sizes = {name.hex(): (folder / name.hex()).stat().st_size for name in names}
    for row in rows:
        name = bytes(row["id"]).hex()
        there = sizes.pop(name, None)
        if (there or 0) < row["committed"]:
            lost = "is missing" if there is None else f"has {there} of {row['committed']} bytes"
            found.append(f"files: {name} {lost}; its recipient will be told, and its sender has to send it anew")
    found += [f"files: {name} belongs to no row; the server removes it" for name in sorted(sizes)]
    return found


def totals(db: sqlite3.Connection) -> dict[str, Any]:
    """What the operator sees: how many files wait, and their bytes; ``reserved`` with what is still to come."""
    row = db.execute(
        "SELECT count(*) AS files, coalesce(sum(committed), 0) AS bytes, coalesce(sum(size), 0) AS reserved"
        " FROM stored_files WHERE outcome = ''"
    ).fetchone()
    return dict(row)


class StoredFolder:
    """The sealed bytes under ``path`` (0700, files 0600), each file by the id that the server gave it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Make the folder. Raises `OSError`."""
        self.path.mkdir(mode=0o700, exist_ok=True)
        self.path.chmod(0o700)

    def _of(self, file: bytes) -> Path:
        return self.path / file.hex()

    def free(self) -> int:
        """Bytes that the disk can take."""
        known = os.statvfs(self.path)
        return known.f_bavail * known.f_frsize

    def open_for_upload(self, file: bytes, committed: int) -> int:
        """A descriptor for writing, with nothing beyond ``committed`` in the file; the file is made when it is new.

        :raises StoredFileGone: less than that is there: the disk has lost it.
        """
        descriptor = os.open(self._of(file), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if os.fstat(descriptor).st_size < committed:
            os.close(descriptor)
            raise StoredFileGone("The server has lost part of this file; send it anew.")
        os.ftruncate(descriptor, committed)
        if not committed:
            self._synchronise_names()
        return descriptor

    def _synchronise_names(self) -> None:
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def open_for_download(self, file: bytes, size: int) -> int:
        """A descriptor for reading.

        :raises StoredFileGone: it is not there as a whole.
        """
        try:
            descriptor = os.open(self._of(file), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            raise StoredFileGone from None
        if os.fstat(descriptor).st_size < size:
            os.close(descriptor)
            raise StoredFileGone
        return descriptor

    def delete(self, files: Iterable[bytes]) -> None:
        """Remove these; those that are not there are removed already."""
        for file in files:
            with suppress(FileNotFoundError):
                self._of(file).unlink()

    def ids(self) -> set[bytes]:
        """What lies there. Other names than ours are nobody's business."""
        found = set()
        for entry in self.path.iterdir():
            with suppress(ValueError):
                if len(entry.name) == 32:
                    found.add(bytes.fromhex(entry.name))
        return found


def write_all(descriptor: int, parts: Sequence[bytes], offset: int) -> int:
    """Write ``parts`` at ``offset``; gives where they end."""
    for part in parts:
        left = memoryview(part)
        while left:
            written = os.pwrite(descriptor, left, offset)
            left, offset = left[written:], offset + written
    return offset
