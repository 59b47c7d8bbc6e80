"""A home's keys for groups, as rows: `p2pim.core.groups.GroupStore` over one connection, inside one transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from p2pim.core.groups import KeptInbound, KeptOutbound, Share
from p2pim.core.limits import (
    GROUP_KEY_ASKS,
    GROUP_KEYS_KEPT,
    GROUP_SEEN,
    GROUP_SESSIONS,
    GROUP_WAITING,
    GROUP_WAITING_PER_DEVICE,
)
from p2pim.core.sealing import DeviceRef
from p2pim.storage.sealing import SealingRows
from p2pim.wire.keys import Identity

_OUTBOUND = "id, group_name, pickle, mirror, messages, made"


@dataclass(frozen=True, slots=True)
class KeyLetter:
    """A key sealed for one device: an envelope that is sent until the device has it."""

    session: str
    ref: DeviceRef
    message: bytes
    sealed: bytes


class GroupKeyRows:
    """The tables, through ``connection``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    # --- sessions of mine

    def outbound(self, group: str) -> KeptOutbound | None:
        """The present session for a group."""
        row = self._db.execute(
            f"SELECT {_OUTBOUND} FROM group_sessions WHERE group_name = ? ORDER BY number DESC LIMIT 1",  # noqa: S608
            (group,),
        ).fetchone()
        return None if row is None else KeptOutbound(*row)

    def outbound_of(self, id: str) -> KeptOutbound | None:
        """A session of mine, present or not."""
        row = self._db.execute(f"SELECT {_OUTBOUND} FROM group_sessions WHERE id = ?", (id,)).fetchone()  # noqa: S608
        return None if row is None else KeptOutbound(*row)

    def keep_outbound(self, kept: KeptOutbound) -> None:
        """Store it; of those that are not used any more `GROUP_KEYS_KEPT` stay."""
        changed = self._db.execute(
            "UPDATE group_sessions SET pickle = ?, messages = ? WHERE id = ?", (kept.pickle, kept.messages, kept.id)
        )
        if changed.rowcount:
            return
        self._db.execute(
            "INSERT INTO group_sessions (id, group_name, pickle, mirror, messages, made) VALUES (?, ?, ?, ?, ?, ?)",
            (kept.id, kept.group, kept.pickle, kept.mirror, kept.messages, kept.made),
        )
        self._db.execute(
            "DELETE FROM group_sessions WHERE group_name = ?1 AND number <= (SELECT number FROM group_sessions"
            " WHERE group_name = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
            (kept.group, GROUP_KEYS_KEPT),
        )

    def shares(self, id: str) -> dict[DeviceRef, Share]:
        """Who has (or is to have) the key of a session of mine."""
        rows = self._db.execute("SELECT user, device, idx, seq FROM group_shares WHERE session = ?", (id,))
        return {DeviceRef(row[0], row[1]): Share(row[2], row[3]) for row in rows}

    def share(self, id: str, ref: DeviceRef, share: Share) -> None:
        """``ref`` is to have the key of a session of mine."""
        self._db.execute(
            "INSERT INTO group_shares VALUES (?, ?, ?, ?, ?)", (id, ref.user, ref.device, share.index, share.seq)
        )

    # --- keys on their way

    def post(self, letter: KeyLetter) -> None:
        """A key is to be sent until its device has it."""
        self._db.execute(
            "INSERT INTO group_letters VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET message = ?4, sealed = ?5",
            (letter.session, letter.ref.user, letter.ref.device, letter.message, letter.sealed),
        )

    def letters(self) -> list[KeyLetter]:
        """Those that must go (again)."""
        rows = self._db.execute(
            "SELECT session, user, device, message, sealed FROM group_letters JOIN group_sessions ON id = session"
            " ORDER BY number"
        )
        return [KeyLetter(row[0], DeviceRef(row[1], row[2]), row[3], row[4]) for row in rows]

    def arrived(self, ref: DeviceRef, *, message: bytes = b"", session: str = "") -> None:
        """The key with this message's id is safe, or the device has opened something of that session."""
        self._db.execute(
            "DELETE FROM group_letters WHERE user = ? AND device = ? AND (message = ? OR session = ?)",
            (ref.user, ref.device, message, session),
        )

    # --- sessions of others

    def inbound(self, sender: DeviceRef, id: str) -> KeptInbound | None:
        """A session of another device."""
        row = self._db.execute(
            "SELECT group_name, pickle FROM group_keys WHERE user = ? AND device = ? AND session = ?",
            (sender.user, sender.device, id),
        ).fetchone()
        return None if row is None else KeptInbound(*row)

    def keep_inbound(self, sender: DeviceRef, id: str, kept: KeptInbound) -> None:
        """Store it; of one device and group `GROUP_SESSIONS` stay."""
        self._db.execute(
            "INSERT INTO group_keys (user, device, session, group_name, pickle) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET pickle = excluded.pickle",
            (sender.user, sender.device, id, kept.group, kept.pickle),
        )
        self._db.execute(
            "DELETE FROM group_keys WHERE user = ?1 AND device = ?2 AND group_name = ?3 AND number <="
            " (SELECT number FROM group_keys WHERE user = ?1 AND device = ?2 AND group_name = ?3"
            " ORDER BY number DESC LIMIT 1 OFFSET ?4)",
            (sender.user, sender.device, kept.group, GROUP_SESSIONS),
        )

    def see(self, sender: DeviceRef, id: str, index: int, message: bytes) -> bool:
        """Note that this place held this message; False when the place is taken already."""
        key = (sender.user, sender.device, id)
        cursor = self._db.execute(
            "INSERT INTO group_seen VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", (*key, index, message)
        )
        (count,) = self._db.execute(
            "SELECT count(*) FROM group_seen WHERE user = ? AND device = ? AND session = ?", key
        ).fetchone()
        return cursor.rowcount == 1 and count <= GROUP_SEEN

    def identity(self, ref: DeviceRef) -> Identity | None:
        """The pinned identity of a device."""
        return SealingRows(self._db).identity(ref)

    # --- keys that have not come

    def asked(self, sender: DeviceRef, session: str) -> bool:
        """Count that this key is asked for; False when it was asked for often enough."""
        row = self._db.execute(
            "INSERT INTO group_asks VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1"
            " WHERE times < ? RETURNING times",
            (sender.user, sender.device, session, GROUP_KEY_ASKS),
        ).fetchone()
        return row is not None

    def missing(self, sender: DeviceRef | None = None) -> list[tuple[DeviceRef, str]]:
        """The sessions (of one device) for whose keys something waits."""
        rows = self._db.execute("SELECT DISTINCT user, device, session FROM group_waiting")
        found = [(DeviceRef(row[0], row[1]), row[2]) for row in rows]
        return [each for each in found if sender is None or each[0] == sender]

    def came(self, sender: DeviceRef, session: str) -> None:
        """The key is there."""
        self._db.execute(
            "DELETE FROM group_asks WHERE user = ? AND device = ? AND session = ?",
            (sender.user, sender.device, session),
        )

    def tidy_waiting(self, sender: DeviceRef) -> int:
        """Drop the oldest of what waits beyond its bounds; how many of ``sender`` were dropped."""
        dropped = self._db.execute(
            "DELETE FROM group_waiting WHERE user = ?1 AND device = ?2 AND number <= (SELECT number FROM group_waiting"
            " WHERE user = ?1 AND device = ?2 ORDER BY number DESC LIMIT 1 OFFSET ?3)",
            (sender.user, sender.device, GROUP_WAITING_PER_DEVICE),
        )
        self._db.execute(
            "DELETE FROM group_waiting WHERE number <="
            " (SELECT number FROM group_waiting ORDER BY number DESC LIMIT 1 OFFSET ?)",
            (GROUP_WAITING,),
        )
        return dropped.rowcount
