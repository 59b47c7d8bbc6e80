"""Transfers in a home's SQLite: what survives kill -9 of either side.

A row per transfer, and for those being received a journal of checkpoints (position, digest): prefixes of the stream
that had been proved and written before the checkpoint was.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, fields

from twisted.internet.defer import Deferred

from p2pim.core.limits import CHECKPOINTS_KEPT, PARTIAL_LIFETIME, TRANSFERS_KEPT
from p2pim.core.transfer import State
from p2pim.storage.database import Database

Checkpoint = tuple[int, bytes]
"""Position in the stream, and the BLAKE3 of everything before it."""


@dataclass(slots=True)
class TransferRecord:
    """One transfer as it is stored; see ``schema/peer/0002_transfers.sql`` for the columns."""

    id: bytes
    direction: str
    user: str
    device: bytes
    name: str
    size: int
    files: int
    manifest_size: int
    modified_ns: int
    comment: str
    folder: bool
    executable: bool
    route: str
    state: State
    created: float
    changed: float
    reason: str = ""
    message: str = ""
    paused_here: bool = False
    paused_there: bool = False
    settled: bool = False
    path: str = ""
    directory: str = ""
    part: str = ""
    final: str = ""
    position: int = 0
    digest: bytes | None = None
    took: float = 0.0
    used_route: str = ""

    @property
    def total(self) -> int:
        """Bytes of the stream: the manifest's and the content's."""
        return self.manifest_size + self.size

    @property
    def content(self) -> int:
        """Bytes of the content so far."""
        return max(0, self.position - self.manifest_size)


_COLUMNS = [f.name for f in fields(TransferRecord)]
_SAVE = (
    f"INSERT INTO transfers ({', '.join(_COLUMNS)}) VALUES ({', '.join(':' + c for c in _COLUMNS)})"  # noqa: S608
    f" ON CONFLICT (id) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in _COLUMNS if c != 'id')}"
)
_FLAGS = ("folder", "executable", "paused_here", "paused_there", "settled")


def _values(record: TransferRecord) -> dict[str, object]:
    return {column: getattr(record, column) for column in _COLUMNS}


def _record(row: sqlite3.Row) -> TransferRecord:
    values = {column: row[column] for column in _COLUMNS}
    values["state"] = State(values["state"])
    for flag in _FLAGS:
        values[flag] = bool(values[flag])
    return TransferRecord(**values)


def save_in(connection: sqlite3.Connection, record: TransferRecord, manifest: bytes | None = None) -> None:
    """Store ``record``, with a folder's manifest when it is new, as part of a larger commit."""
    connection.execute(_SAVE, _values(record))
    if manifest is not None:
        connection.execute("INSERT OR REPLACE INTO transfer_manifests VALUES (?, ?)", (record.id, manifest))


def _checkpoint(connection: sqlite3.Connection, id: bytes, position: int, digest: bytes) -> None:
    connection.execute("INSERT OR REPLACE INTO transfer_checkpoints VALUES (?, ?, ?)", (id, position, digest))
    connection.execute(
        "DELETE FROM transfer_checkpoints WHERE transfer = ?1 AND position NOT IN"
        " (SELECT position FROM transfer_checkpoints WHERE transfer = ?1 ORDER BY position DESC LIMIT ?2)",
        (id, CHECKPOINTS_KEPT),
    )


class TransferStore:
    """What a home remembers of transfers. Each write's Deferred fires when it is committed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> Deferred[list[TransferRecord]]:
        """All of them, oldest first."""

        def work(connection: sqlite3.Connection) -> list[TransferRecord]:
            return [_record(row) for row in connection.execute("SELECT * FROM transfers ORDER BY created, id")]

        return self._database.read(work)

    def save(self, record: TransferRecord, manifest: bytes | None = None) -> Deferred[None]:
        """Store ``record`` as it is now, with a folder's manifest when it is new."""
        values = _values(record)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(_SAVE, values)
            if manifest is not None:
                connection.execute("INSERT OR REPLACE INTO transfer_manifests VALUES (?, ?)", (record.id, manifest))

        return self._database.write(work)

    def manifest(self, id: bytes) -> Deferred[bytes | None]:
        """The manifest of a folder that is being sent."""

        def work(connection: sqlite3.Connection) -> bytes | None:
            row = connection.execute("SELECT body FROM transfer_manifests WHERE transfer = ?", (id,)).fetchone()
            return None if row is None else bytes(row[0])

        return self._database.read(work)

    def end(self, record: TransferRecord) -> Deferred[None]:
        """Store a record that has ended, and forget what only an unended one needs (not a failed one's journal)."""
        values = _values(record)
        keep_journal = bool(record.part)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(_SAVE, values)
            connection.execute("DELETE FROM transfer_manifests WHERE transfer = ?", (record.id,))
            if not keep_journal:
                connection.execute("DELETE FROM transfer_checkpoints WHERE transfer = ?", (record.id,))

        return self._database.write(work)

    # --- the journal

    def checkpoint(self, id: bytes, position: int, digest: bytes) -> Deferred[None]:
        """The stream up to ``position`` is on the disk, and its BLAKE3 is ``digest``."""

        def work(connection: sqlite3.Connection) -> None:
            _checkpoint(connection, id, position, digest)

        return self._database.write(work)

    def checkpoints(self, id: bytes) -> Deferred[list[Checkpoint]]:
        """The journal, in the order of positions."""

        def work(connection: sqlite3.Connection) -> list[Checkpoint]:
            rows = connection.execute(
                "SELECT position, digest FROM transfer_checkpoints WHERE transfer = ? ORDER BY position", (id,)
            )
            return [(row[0], bytes(row[1])) for row in rows]

        return self._database.read(work)

    def restart(self, record: TransferRecord) -> Deferred[None]:
        """The transfer begins again at 0: its journal was about another content."""
        values = _values(record)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(_SAVE, values)
            connection.execute("DELETE FROM transfer_checkpoints WHERE transfer = ?", (record.id,))

        return self._database.write(work)

    def adopt(self, record: TransferRecord, old: TransferRecord) -> Deferred[None]:
        """``record`` takes over the partial file and the journal of ``old``, in one commit."""
        new_values, old_values = _values(record), _values(old)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(_SAVE, new_values)
            connection.execute(_SAVE, old_values)
            connection.execute(
                "UPDATE OR REPLACE transfer_checkpoints SET transfer = ? WHERE transfer = ?", (record.id, old.id)
            )

        return self._database.write(work)

    # --- forgetting

    def expired(self, now: float) -> Deferred[list[TransferRecord]]:
        """Failed ones whose partial file nobody has gone on with."""

        def work(connection: sqlite3.Connection) -> list[TransferRecord]:
            rows = connection.execute(
                "SELECT * FROM transfers WHERE state = 'disrupted' AND part != '' AND changed < ?",
                (now - PARTIAL_LIFETIME,),
            )
            return [_record(row) for row in rows]

        return self._database.read(work)

    def prune(self) -> Deferred[list[bytes]]:
        """Forget all but the newest `TRANSFERS_KEPT` ended ones; fires with the ids of the forgotten."""

        def work(connection: sqlite3.Connection) -> list[bytes]:
            rows = connection.execute(
                "DELETE FROM transfers WHERE id IN (SELECT id FROM transfers"
                " WHERE state IN ('completed', 'disrupted') AND part = '' ORDER BY changed DESC LIMIT -1 OFFSET ?)"
                " RETURNING id",
                (TRANSFERS_KEPT,),
            ).fetchall()
            return [bytes(row[0]) for row in rows]

        return self._database.write(work)
