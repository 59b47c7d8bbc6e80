"""What a home knows of its files at the server's store: beside the row of the transfer, where it is and its key."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred

from p2pim.storage.database import Database
from p2pim.storage.transfers import TransferRecord, save_in
from p2pim.wire.signals import FileLeft, decode_signal, encode_signal


@dataclass(slots=True)
class LeftRecord:
    """See ``schema/peer/0007_left_files.sql``."""

    transfer: bytes
    file: bytes
    key: bytes = field(repr=False)
    digest: bytes | None = None
    expires: float = 0.0
    falls_back: bool = False


_COLUMNS = "transfer, file, key, digest, expires, falls_back"


def _left(row: sqlite3.Row) -> LeftRecord:
    return LeftRecord(row["transfer"], row["file"], row["key"], row["digest"], row["expires"], bool(row["falls_back"]))


def _save(db: sqlite3.Connection, left: LeftRecord) -> None:
    db.execute(
        f"INSERT OR REPLACE INTO left_files ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
        (left.transfer, left.file, left.key, left.digest, left.expires, int(left.falls_back)),
    )


def keep_offer(db: sqlite3.Connection, user: str, device: bytes, signal: FileLeft) -> None:
    """Keep an offer, in the transaction that opens it: it can be opened only once."""
    db.execute(
        "INSERT OR IGNORE INTO left_offers (transfer, user, device, body) VALUES (?, ?, ?, ?)",
        (signal.transfer, user, device, encode_signal(signal)),
    )


class LeftStore:
    """Each write's Deferred fires when it is committed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> Deferred[dict[bytes, LeftRecord]]:
        """All of them, by transfer."""

        def work(db: sqlite3.Connection) -> dict[bytes, LeftRecord]:
            rows = db.execute(f"SELECT {_COLUMNS} FROM left_files")  # noqa: S608
            return {bytes(row[0]): _left(row) for row in rows}

        return self._database.read(work)

    def begin(self, record: TransferRecord, left: LeftRecord, manifest: bytes | None = None) -> Deferred[None]:
        """Store a transfer and what belongs to it, in one commit."""

        def work(db: sqlite3.Connection) -> None:
            save_in(db, record, manifest)
            _save(db, left)
            db.execute("DELETE FROM left_offers WHERE transfer = ?", (record.id,))

        return self._database.write(work)

    def offers(self) -> Deferred[list[tuple[str, bytes, FileLeft]]]:
        """Offers that came just before everything stopped: user, device, offer."""

        def work(db: sqlite3.Connection) -> list[tuple[str, bytes, FileLeft]]:
            rows = [(row[0], bytes(row[1]), decode_signal(row[2])) for row in db.execute(
                "SELECT user, device, body FROM left_offers"
            )]  # fmt: skip
            return [(user, device, signal) for user, device, signal in rows if isinstance(signal, FileLeft)]

        return self._database.read(work)

    def ignore(self, transfer: bytes) -> Deferred[None]:
        """Nothing comes of the offer ``transfer``."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM left_offers WHERE transfer = ?", (transfer,))

        return self._database.write(work)

    def save(self, left: LeftRecord) -> Deferred[None]:
        """Store ``left`` as it is now."""
        return self._database.write(lambda db: _save(db, left))

    def forget(self, record: TransferRecord) -> Deferred[None]:
        """The transfer goes another way from now on."""

        def work(db: sqlite3.Connection) -> None:
            save_in(db, record)
            db.execute("DELETE FROM left_files WHERE transfer = ?", (record.id,))

        return self._database.write(work)
