"""Devices that seal for each other, each with a database of its own, and the keys that a server would hand out."""

from __future__ import annotations

import sqlite3
from importlib import resources

from p2pim.core.sealing import MAIL, SIGNALS, DeviceRef, Sealer
from p2pim.storage.sealing import SealingRows
from p2pim.wire.keys import ClaimedKey, OneTimeKey
from p2pim.wire.signals import Sealed

KEY = b"k" * 32


def database(path: str = ":memory:") -> sqlite3.Connection:
    """A home's tables for sealing; transactions are the caller's."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    present = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'identities'").fetchone()[0]
    if not present:
        schema = resources.files("p2pim.storage") / "schema" / "peer" / "0003_sealing.sql"
        connection.executescript(schema.read_text())
    return connection


class SealingDevice:
    """One device: its sealer, its rows, and what it has published."""

    def __init__(self, user: str, number: int = 1, path: str = ":memory:") -> None:
        self.ref = DeviceRef(user, bytes([number]) * 16)
        self.db = database(path)
        self.rows = SealingRows(self.db)
        self.sealer = Sealer(self.ref, KEY)
        self.identity = self.sealer.identity(self.rows)
        self.one_time: list[OneTimeKey] = []
        self.fallback: OneTimeKey | None = None

    def publish(self, count: int = 10) -> None:
        self.one_time, fallback = self.sealer.keys_to_publish(self.rows, count, fallback=self.fallback is None)
        self.fallback = fallback or self.fallback
        self.sealer.published(self.rows)

    def claim(self) -> ClaimedKey:
        """What the server answers to somebody who claims a key of this device."""
        key = self.one_time.pop() if self.one_time else self.fallback
        return ClaimedKey(self.ref.user, self.ref.device, self.identity, key)

    def start(self, other: SealingDevice) -> None:
        """Begin sessions of both lanes with ``other``."""
        for lane in (SIGNALS, MAIL):
            self.sealer.start(self.rows, other.claim(), lane)

    def seal(self, other: SealingDevice, text: bytes, message: bytes = b"") -> Sealed:
        return self.sealer.seal(self.rows, other.ref, text, message)

    def open(self, other: SealingDevice, sealed: Sealed) -> bytes:
        """In a transaction that is undone when it fails, as `p2pim.storage.database.Database` does it."""
        self.db.execute("SAVEPOINT one")
        try:
            return self.sealer.open(self.rows, other.ref, sealed)
        except BaseException:
            self.db.execute("ROLLBACK TO one")
            raise
        finally:
            self.db.execute("RELEASE one")


def pair() -> tuple[SealingDevice, SealingDevice]:
    """Alice, who has begun sessions with bob."""
    alice, bob = SealingDevice("alice", 1), SealingDevice("bob", 2)
    for each in (alice, bob):
        each.publish()
    alice.start(bob)
    return alice, bob
