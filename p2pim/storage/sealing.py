"""A home's keys and sessions, as rows: `p2pim.core.sealing.Store` over one connection, inside one transaction.

Everything here is called from within `p2pim.storage.database.Database.write` (or ``read``), so that what was sealed or
opened is committed together with the state of the ratchet that did it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from p2pim.core.limits import ASKED_AGAIN, ASKS_KEPT, ENDED_SESSIONS, SESSIONS_PER_LANE
from p2pim.core.sealing import DeviceRef, KeptSession
from p2pim.wire.keys import Identity

_chains = msgspec.msgpack.Decoder(dict[bytes, int])


@dataclass(frozen=True, slots=True)
class PinnedDevice:
    """A device whose identity is pinned. ``accepted`` is False when it is new with a verified user."""

    user: str
    device: bytes
    identity: Identity
    name: str
    seen_at: float
    verified: bool
    accepted: bool
    gone: bool


class SealingRows:
    """The tables, through ``connection``.

    :param now: seconds since 1970, for what is pinned.
    """

    def __init__(self, connection: sqlite3.Connection, now: float = 0.0) -> None:
        self._db = connection
        self._now = now
        self._identities: dict[DeviceRef, Identity] = {}

    # --- the account

    def account(self) -> str | None:
        """The account's pickle; None before there is one."""
        row = self._db.execute("SELECT pickle FROM sealing_account").fetchone()
        return None if row is None else row[0]

    def set_account(self, pickle: str) -> None:
        """Store the account."""
        self._db.execute(
            "INSERT INTO sealing_account (one, pickle) VALUES (1, ?)"
            " ON CONFLICT DO UPDATE SET pickle = excluded.pickle",
            (pickle,),
        )

    def fallback_at(self) -> float:
        """When the fallback key was made, in seconds since 1970; 0 when there is none."""
        row = self._db.execute("SELECT fallback_at FROM sealing_account").fetchone()
        return 0.0 if row is None else row[0]

    def set_fallback_at(self, at: float) -> None:
        """A fallback key was published."""
        self._db.execute("UPDATE sealing_account SET fallback_at = ?", (at,))

    # --- identities

    def identity(self, ref: DeviceRef) -> Identity | None:
        """The pinned identity of a device, which never changes."""
        if ref in self._identities:
            return self._identities[ref]
        row = self._db.execute(
            "SELECT ed25519, curve25519, signature FROM identities WHERE user = ? AND device = ?",
            (ref.user, ref.device),
        ).fetchone()
        if row is None:
            return None
        self._identities[ref] = Identity(*row)
        return self._identities[ref]

    def pin(self, ref: DeviceRef, identity: Identity) -> None:
        """Pin it; with a user of whom some device is verified, somebody must look at the new one."""
        self._db.execute(
            "INSERT INTO identities (user, device, ed25519, curve25519, signature, seen_at, accepted, announced)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6,"
            " NOT EXISTS (SELECT 1 FROM identities WHERE user = ?1 AND verified = 1),"
            " NOT EXISTS (SELECT 1 FROM identities WHERE user = ?1))",
            (ref.user, ref.device, identity.ed25519, identity.curve25519, identity.signature, self._now),
        )

    def pinned(self, user: str | None = None) -> list[PinnedDevice]:
        """The pinned devices (of ``user``), oldest first."""
        rows = self._db.execute(
            "SELECT * FROM identities WHERE ?1 IS NULL OR user = ?1 ORDER BY seen_at, device", (user,)
        )
        return [_pinned(row) for row in rows]

    def listed(self, user: str, devices: dict[bytes, str]) -> None:
        """The server lists just these devices (with their names) of ``user``."""
        for pinned in self.pinned(user):
            gone = pinned.device not in devices
            name = devices.get(pinned.device, pinned.name)
            if (gone, name) != (pinned.gone, pinned.name):
                self._db.execute(
                    "UPDATE identities SET gone = ?, name = ? WHERE user = ? AND device = ?",
                    (gone, name, user, pinned.device),
                )

    def announced(self, user: str) -> None:
        """The devices of ``user`` are no news: they are the first that were seen of them."""
        self._db.execute("UPDATE identities SET announced = 1 WHERE user = ?", (user,))

    def news(self) -> list[PinnedDevice]:
        """Devices pinned since this was asked last, of users of whom others were known."""
        fresh = [_pinned(row) for row in self._db.execute("SELECT * FROM identities WHERE announced = 0")]
        self._db.execute("UPDATE identities SET announced = 1 WHERE announced = 0")
        return fresh

    def judge(self, user: str, devices: Sequence[bytes], *, verified: bool) -> None:
        """A person has compared, or else accepted, the keys of these devices."""
        for device in devices:
            self._db.execute(
                "UPDATE identities SET accepted = 1, verified = max(verified, ?) WHERE user = ? AND device = ?",
                (verified, user, device),
            )

    def unaccepted(self) -> set[str]:
        """The users with a device at which somebody must look."""
        return {row[0] for row in self._db.execute("SELECT user FROM identities WHERE accepted = 0 AND gone = 0")}

    # --- sessions

    def sessions(self, ref: DeviceRef) -> list[KeptSession]:
        """Last used first."""
        rows = self._db.execute(
            "SELECT id, lane, pickle, answered, chains FROM sealing_sessions"
            " WHERE user = ? AND device = ? AND pickle IS NOT NULL ORDER BY used DESC",
            (ref.user, ref.device),
        )
        return [KeptSession(r[0], r[1], r[2], bool(r[3]), _chains.decode(r[4])) for r in rows]

    def lanes(self, ref: DeviceRef) -> set[int]:
        """For which kinds of mail there is a session."""
        rows = self._db.execute(
            "SELECT DISTINCT lane FROM sealing_sessions WHERE user = ? AND device = ? AND pickle IS NOT NULL",
            (ref.user, ref.device),
        )
        return {row[0] for row in rows}

    def keep(self, ref: DeviceRef, session: KeptSession, *, used: bool) -> None:
        """Store a session; ``used``: it is the last used one from now on. The one unused longest may be dropped."""
        values = (session.pickle, session.answered, msgspec.msgpack.encode(session.chains))
        key = (ref.user, ref.device, session.id)
        if not used:
            self._db.execute(
                "UPDATE sealing_sessions SET pickle = ?, answered = ?, chains = ?"
                " WHERE user = ? AND device = ? AND id = ?",
                (*values, *key),
            )
        elif not self._use_again(values, key):
            self._add(ref, session.lane, values, key)

    def _use_again(self, values: tuple[object, ...], key: tuple[object, ...]) -> bool:
        """Store a session that is there as the last used one; whether it is."""
        changed = self._db.execute(
            "UPDATE sealing_sessions SET pickle = ?1, answered = ?2, chains = ?3,"
            " used = (SELECT max(used) FROM sealing_sessions AS other WHERE other.user = ?4 AND other.device = ?5) +"
            " (used < (SELECT max(used) FROM sealing_sessions AS other WHERE other.user = ?4 AND other.device = ?5))"
            " WHERE user = ?4 AND device = ?5 AND id = ?6 AND pickle IS NOT NULL",
            (*values, *key),
        )
        return changed.rowcount > 0

    def _add(self, ref: DeviceRef, lane: int, values: tuple[object, ...], key: tuple[object, ...]) -> None:
        (newest,) = self._db.execute(
            "SELECT ifnull(max(used), 0) FROM sealing_sessions WHERE user = ? AND device = ?", (ref.user, ref.device)
        ).fetchone()
        self._db.execute(
            "INSERT INTO sealing_sessions (user, device, id, lane, pickle, answered, chains, used)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " pickle = excluded.pickle, answered = excluded.answered, chains = excluded.chains, used = excluded.used",
            (*key, lane, *values, newest + 1),
        )
        self._drop_old(ref, lane)

    def _drop_old(self, ref: DeviceRef, lane: int) -> None:
        """Keep `SESSIONS_PER_LANE` sessions, and of `ENDED_SESSIONS` others the ids."""
        self._db.execute(
            "UPDATE sealing_sessions SET pickle = NULL, chains = x'80' WHERE user = ?1 AND device = ?2 AND lane = ?3"
            " AND pickle IS NOT NULL AND used <= (SELECT used FROM sealing_sessions WHERE user = ?1 AND device = ?2"
            " AND lane = ?3 AND pickle IS NOT NULL ORDER BY used DESC LIMIT 1 OFFSET ?4)",
            (ref.user, ref.device, lane, SESSIONS_PER_LANE),
        )
        self._db.execute(
            "DELETE FROM sealing_sessions WHERE user = ?1 AND device = ?2 AND lane = ?3 AND pickle IS NULL"
            " AND used <= (SELECT used FROM sealing_sessions WHERE user = ?1 AND device = ?2 AND lane = ?3"
            " AND pickle IS NULL ORDER BY used DESC LIMIT 1 OFFSET ?4)",
            (ref.user, ref.device, lane, ENDED_SESSIONS),
        )

    def ended(self, ref: DeviceRef, id: str) -> bool:
        """Whether there was a session of that id which was dropped."""
        row = self._db.execute(
            "SELECT 1 FROM sealing_sessions WHERE user = ? AND device = ? AND id = ? AND pickle IS NULL",
            (ref.user, ref.device, id),
        ).fetchone()
        return row is not None

    # --- what is asked for again

    def ask(self, ref: DeviceRef, message: bytes) -> None:
        """``message`` could not be opened."""
        self._db.execute(
            "INSERT INTO sealing_asks (user, device, message) SELECT ?, ?, ?"
            " WHERE (SELECT count(*) FROM sealing_asks) < ? ON CONFLICT DO NOTHING",
            (ref.user, ref.device, message, ASKS_KEPT),
        )

    def to_ask(self, ref: DeviceRef, at_once: int) -> list[bytes]:
        """What to ask ``ref`` for now, at most so many; each is given out `ASKED_AGAIN` times."""
        rows = self._db.execute(
            "UPDATE sealing_asks SET times = times + 1 WHERE user = ?1 AND device = ?2 AND message IN (SELECT message"
            " FROM sealing_asks WHERE user = ?1 AND device = ?2 AND times < ?3 ORDER BY times, message LIMIT ?4)"
            " RETURNING message",
            (ref.user, ref.device, ASKED_AGAIN, at_once),
        )
        return sorted(row[0] for row in rows)

    def askable(self) -> list[DeviceRef]:
        """Devices of which something is still to be asked for."""
        rows = self._db.execute("SELECT DISTINCT user, device FROM sealing_asks WHERE times < ?", (ASKED_AGAIN,))
        return [DeviceRef(*row) for row in rows]

    def asked(self, ref: DeviceRef, message: bytes) -> None:
        """``message`` has been opened after all."""
        self._db.execute(
            "DELETE FROM sealing_asks WHERE user = ? AND device = ? AND message = ?", (ref.user, ref.device, message)
        )

    # --- signals that came as mail

    def opened_before(self, ref: DeviceRef, message: bytes) -> bool:
        """Whether this signal that came as mail was opened before."""
        row = self._db.execute(
            "SELECT 1 FROM opened_signals WHERE user = ? AND device = ? AND message = ?",
            (ref.user, ref.device, message),
        ).fetchone()
        return row is not None

    def note_opened(self, ref: DeviceRef, message: bytes) -> None:
        """It is opened now."""
        self._db.execute(
            "INSERT INTO opened_signals (user, device, message) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (ref.user, ref.device, message),
        )
        self._db.execute(
            "DELETE FROM opened_signals WHERE number <= (SELECT max(number) FROM opened_signals) - ?", (ASKS_KEPT,)
        )


def _pinned(row: sqlite3.Row) -> PinnedDevice:
    return PinnedDevice(
        row["user"],
        row["device"],
        Identity(row["ed25519"], row["curve25519"], row["signature"]),
        row["name"],
        row["seen_at"],
        bool(row["verified"]),
        bool(row["accepted"]),
        bool(row["gone"]),
    )
