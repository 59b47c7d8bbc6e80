"""A home's real database in memory, whose transactions run at once, and seals that close nothing."""

from __future__ import annotations

import sqlite3
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from p2pim.core.groups import GroupSealer
from p2pim.core.sealing import DeviceRef
from p2pim.errors import CannotOpen, DatabaseDown, NoSession, Replayed
from p2pim.storage.database import Work, _steps
from p2pim.storage.group_inbox import GroupInbox
from p2pim.wire.keys import Identity
from p2pim.wire.signals import AnySignal, Sealed, Signal, decode_signal, encode_signal


class InlineDatabase:
    """The part of `p2pim.storage.database.Database` that stores use. While ``broken`` nothing is committed."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute("PRAGMA foreign_keys = ON")
        for _, sql in _steps("peer"):
            self.connection.executescript(sql)
        self.broken = False

    def read(self, work: Work[Any]) -> Deferred[Any]:
        return succeed(work(self.connection))

    def write(self, work: Work[Any]) -> Deferred[Any]:
        if self.broken:
            return fail(DatabaseDown())
        self.connection.execute("BEGIN")
        try:
            result = work(self.connection)
        except Exception:  # noqa: BLE001 - as in the real one
            self.connection.execute("ROLLBACK")
            return fail(Failure())
        self.connection.execute("COMMIT")
        return succeed(result)


class OpenSeals:
    """Seals of which one can see what is in them; each can be opened once, as with a ratchet.

    ``without``: devices with which there is no session.
    """

    def __init__(self) -> None:
        self.without: set[bytes] = set()
        self.lost: set[bytes] = set()
        """Bodies that cannot be opened."""
        self.number = 0

    def seal_in(self, db: sqlite3.Connection, user: str, device: bytes, signal: Signal, message: bytes = b"") -> bytes:
        if device in self.without:
            raise NoSession
        self.number += 1
        body = self.number.to_bytes(4, "big") + encode_signal(signal)
        return encode_signal(Sealed(1, body, message=message))

    def open_in(self, db: sqlite3.Connection, user: str, device: bytes, sealed: Sealed) -> AnySignal:
        if sealed.body in self.lost:
            raise CannotOpen
        db.execute("CREATE TABLE IF NOT EXISTS opened (body BLOB PRIMARY KEY)")
        try:
            db.execute("INSERT INTO opened VALUES (?)", (sealed.body,))
        except sqlite3.IntegrityError:
            raise Replayed from None
        return decode_signal(sealed.body[4:])


def inside(sealed: bytes) -> AnySignal:
    """What `OpenSeals` put into an envelope."""
    envelope = decode_signal(sealed)
    assert isinstance(envelope, Sealed)
    return decode_signal(envelope.body[4:])


def no_groups(me: str) -> GroupInbox:
    """What an inbox needs of groups where there are none."""
    identity = Identity(bytes(32), bytes(32), bytes(64))
    return GroupInbox(GroupSealer(DeviceRef(me, bytes(16)), bytes(32), lambda: identity), me)
