"""Devices and their public keys in the server's database.

Each function takes the connection first, like those of `p2pim.storage.accounts`. A one-time key leaves the database in
the transaction that hands it out; whoever asks when none is left gets the fallback key.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from p2pim.core.limits import KEYS_SPENT, ONE_TIME_KEYS
from p2pim.errors import Blocked, KeysDiffer, NoSuchDevice, NoSuchUser, TooMany
from p2pim.storage.accounts import blocks
from p2pim.storage.mail import waiting
from p2pim.wire.keys import ClaimedKey, DeviceList, Identity, KnownDevice, OneTimeKey


class Published(NamedTuple):
    """How many one-time keys there are now, and whether the identity is new."""

    left: int
    new: bool


class Claimed(NamedTuple):
    """A key handed out, and how many one-time keys are left; None when it was none of these."""

    key: ClaimedKey
    left: int | None


def _account(db: sqlite3.Connection, user: str) -> int:
    row = db.execute("SELECT id FROM accounts WHERE name = ?", (user,)).fetchone()
    if row is None:
        raise NoSuchUser(f"There is no user {user!r} on this server.")
    return int(row[0])


# --- devices


def list_devices(db: sqlite3.Connection, users: Sequence[str], asker: str) -> list[DeviceList]:
    """The devices of each of ``users``; when they signed in last is for themselves alone.

    :raises NoSuchUser: there is none of one of these names.
    :raises Blocked: one of them has blocked ``asker``.
    """
    for user in users:
        if user != asker and blocks(db, user, asker):
            raise Blocked(f"{user} has blocked you.")
    return [DeviceList(user, devices_of(db, user, own=user == asker)) for user in users]


def devices_of(db: sqlite3.Connection, user: str, own: bool = False) -> list[KnownDevice]:
    """The devices of ``user`` in the order in which they were added; ``own``: and when they signed in last.

    :raises NoSuchUser: there is none of that name.
    """
    rows = db.execute(
        "SELECT d.id, name, ed25519, curve25519, signature, added_at, used_at FROM devices d"
        " LEFT JOIN identities i ON i.account = d.account AND i.device = d.id"
        " WHERE d.account = ? ORDER BY added_at, d.id",
        (_account(db, user),),
    )
    return [
        KnownDevice(
            row["id"], row["name"],
            Identity(row["ed25519"], row["curve25519"], row["signature"]) if row["ed25519"] is not None else None,
            row["added_at"], row["used_at"] if own else 0.0,
        )
        for row in rows
    ]  # fmt: skip


def rename_device(db: sqlite3.Connection, user: str, device: bytes, name: str) -> None:
    """Call a device ``name``.

    :raises NoSuchDevice: the user has none of this id.
    """
    cursor = db.execute("UPDATE devices SET name = ? WHERE account = ? AND id = ?", (name, _account(db, user), device))
    if cursor.rowcount != 1:
        raise NoSuchDevice("You have no such device.")


def remove_device(db: sqlite3.Connection, user: str, device: bytes) -> None:
    """End a device with its token, keys and mailbox.

    :raises NoSuchDevice: the user has none of this id.
    """
    cursor = db.execute("DELETE FROM devices WHERE account = ? AND id = ?", (_account(db, user), device))
    if cursor.rowcount != 1:
        raise NoSuchDevice("You have no such device.")


# --- keys


def keys_left(db: sqlite3.Connection, user: str, device: bytes) -> int:
    """How many one-time keys of a device there are; -1 when it has not published its identity."""
    row = db.execute(
        "SELECT (SELECT count(*) FROM one_time_keys k WHERE k.account = i.account AND k.device = i.device)"
        " FROM identities i JOIN accounts a ON a.id = i.account WHERE a.name = ? AND i.device = ?",
        (user, device),
    ).fetchone()
    return int(row[0]) if row is not None else -1


def publish(
    db: sqlite3.Connection,
    user: str,
    device: bytes,
    identity: Identity,
    one_time: Sequence[OneTimeKey],
    fallback: OneTimeKey | None,
) -> Published:
    """Keep a device's identity, which must be the same every time, and further keys. What is known is not kept twice,
    and what was handed out is not handed out again.

    :raises NoSuchDevice: the device was removed.
    :raises KeysDiffer: it has another identity.
    :raises TooMany: there would be more than `ONE_TIME_KEYS`; none of these was kept.
    """
    account = _account(db, user)
    new = _publish_identity(db, account, device, identity)
    if fallback is not None:
        db.execute(
            "UPDATE identities SET fallback_id = ?, fallback_key = ?, fallback_signature = ?"
            " WHERE account = ? AND device = ?",
            (fallback.id, fallback.key, fallback.signature, account, device),
        )
    db.executemany(
        "INSERT OR IGNORE INTO one_time_keys (account, device, id, key, signature) SELECT ?1, ?2, ?3, ?4, ?5"
        " WHERE NOT EXISTS (SELECT 1 FROM spent_keys WHERE account = ?1 AND device = ?2 AND key = ?4)",
        [(account, device, key.id, key.key, key.signature) for key in one_time],
    )
    left = keys_left(db, user, device)
    if left > ONE_TIME_KEYS:
        raise TooMany(f"The server keeps {ONE_TIME_KEYS} one-time keys of a device; it would have {left}.")
    return Published(left, new)


def _publish_identity(db: sqlite3.Connection, account: int, device: bytes, identity: Identity) -> bool:
    """Whether the identity is new."""
    where = (account, device)
    if db.execute("SELECT 1 FROM devices WHERE account = ? AND id = ?", where).fetchone() is None:
        raise NoSuchDevice("This device was removed; sign in again.")
    row = db.execute("SELECT ed25519, curve25519 FROM identities WHERE account = ? AND device = ?", where).fetchone()
    if row is not None:
        if (row[0], row[1]) != (identity.ed25519, identity.curve25519):
            raise KeysDiffer
        return False
    db.execute(
        "INSERT INTO identities (account, device, ed25519, curve25519, signature) VALUES (?, ?, ?, ?, ?)",
        (*where, identity.ed25519, identity.curve25519, identity.signature),
    )
    return True


def claim(db: sqlite3.Connection, user: str, device: bytes, asker: str, spend: bool) -> Claimed:
    """A key of ``device`` of ``user``: a one-time key where ``spend`` allows it and one is left, else the fallback key.

    :raises NoSuchUser: there is none of that name.
    :raises Blocked: they have blocked ``asker``.
    """
    account = _account(db, user)
    if user != asker and blocks(db, user, asker):
        raise Blocked(f"{user} has blocked you.")
    row = db.execute("SELECT * FROM identities WHERE account = ? AND device = ?", (account, device)).fetchone()
    if row is None:
        return Claimed(ClaimedKey(user, device, None, None), None)
    identity = Identity(row["ed25519"], row["curve25519"], row["signature"])
    fallback = None
    if row["fallback_key"] is not None:
        fallback = OneTimeKey(row["fallback_id"], row["fallback_key"], row["fallback_signature"], True)
    if not spend and fallback is not None:
        return Claimed(ClaimedKey(user, device, identity, fallback), None)
    key = _spend(db, account, device)
    left = None if key is None else keys_left(db, user, device)
    return Claimed(ClaimedKey(user, device, identity, key or fallback), left)


def _spend(db: sqlite3.Connection, account: int, device: bytes) -> OneTimeKey | None:
    """The oldest one-time key, which is deleted; or None."""
    row = db.execute(
        "DELETE FROM one_time_keys WHERE number ="
        " (SELECT min(number) FROM one_time_keys WHERE account = ? AND device = ?)"
        " RETURNING number, id, key, signature",
        (account, device),
    ).fetchone()
    if row is None:
        return None
    db.execute("INSERT OR IGNORE INTO spent_keys (number, account, device, key) VALUES (?, ?, ?, ?)",
               (row["number"], account, device, row["key"]))  # fmt: skip
    db.execute(
        "DELETE FROM spent_keys WHERE account = ?1 AND device = ?2 AND number <= (SELECT number FROM spent_keys"
        " WHERE account = ?1 AND device = ?2 ORDER BY number DESC LIMIT 1 OFFSET ?3)",
        (account, device, KEYS_SPENT),
    )
    return OneTimeKey(row["id"], row["key"], row["signature"])


# --- sign-in


class Standing(NamedTuple):
    """What a device is told of itself when it signs in; ``keys_left`` is -1 when it has published no identity."""

    name: str
    keys_left: int
    mail: int


def standing(db: sqlite3.Connection, user: str, device: bytes) -> Standing:
    """How a device stands, which has signed in before.

    :raises NoSuchDevice: it was removed meanwhile.
    """
    row = db.execute(
        "SELECT d.name FROM devices d JOIN accounts a ON a.id = account WHERE a.name = ? AND d.id = ?", (user, device)
    ).fetchone()
    if row is None:
        raise NoSuchDevice
    return Standing(row[0], keys_left(db, user, device), waiting(db, user, device))
