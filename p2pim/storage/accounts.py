"""Accounts, devices, blocks and counters in the server's database; contacts are in `p2pim.storage.contacts`.

Each function takes the connection first: `functools.partial` makes it the work that `Database.read` and
`Database.write` run, and the operator's commands call it directly on a stopped server's file. Names are canonical.
Secrets are never stored: of tokens and invitations only their SHA-256 (they are random, so that no slow hash is
needed), of passwords an argon2id hash.
"""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from p2pim.core.counters import Increase
from p2pim.core.limits import CONTACTS, DEVICES, TOKEN_LIFETIME, TOKEN_TOUCH
from p2pim.errors import AccountDisabled, BadToken, InviteNeeded, NameTaken, NoSuchUser, TooMany, UnknownUser
from p2pim.storage.contacts import Lists, ids_of, load_lists

_AT_ONCE = 500
"""Names in one question: SQLite takes some 32,000 parameters, older ones 999."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a sign-in needs to know. ``password`` is a hash."""

    id: int
    name: str
    password: str
    disabled: bool


@dataclass(frozen=True, slots=True)
class Resumed:
    """A sign-in by token: the lists, and whether the token's use is old enough to be written down."""

    lists: Lists
    touch: bool


def hash_secret(secret: bytes) -> bytes:
    """How tokens and invitations are stored."""
    return hashlib.sha256(secret).digest()


# --- accounts


def find_account(db: sqlite3.Connection, name: str) -> Account:
    """The account to sign in to.

    :raises UnknownUser: there is none.
    """
    row = db.execute("SELECT id, name, password, disabled FROM accounts WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise UnknownUser
    return Account(row["id"], row["name"], row["password"], bool(row["disabled"]))


def exists(db: sqlite3.Connection, name: str) -> bool:
    """Whether ``name`` has an account."""
    return db.execute("SELECT 1 FROM accounts WHERE name = ?", (name,)).fetchone() is not None


def add_account(db: sqlite3.Connection, name: str, password: str, now: float) -> int:
    """Make an account; its id.

    :raises NameTaken: there is one of that name.
    """
    try:
        cursor = db.execute("INSERT INTO accounts (name, password, created_at) VALUES (?, ?, ?)", (name, password, now))
    except sqlite3.IntegrityError:
        raise NameTaken from None
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def delete_account(db: sqlite3.Connection, name: str) -> None:
    """End an account with everything that belongs to it.

    :raises NoSuchUser: there is none.
    """
    _one(db.execute("DELETE FROM accounts WHERE name = ?", (name,)))


def set_disabled(db: sqlite3.Connection, name: str, disabled: bool) -> None:
    """Switch an account off or on.

    :raises NoSuchUser: there is none.
    """
    _one(db.execute("UPDATE accounts SET disabled = ? WHERE name = ?", (int(disabled), name)))


def set_password(db: sqlite3.Connection, name: str, password: str) -> None:
    """Change the password (a hash); every device must sign in with it anew, and keeps its keys and its mail.

    :raises NoSuchUser: there is none.
    """
    _one(db.execute("UPDATE accounts SET password = ? WHERE name = ?", (password, name)))
    db.execute("UPDATE devices SET token_hash = NULL WHERE account = (SELECT id FROM accounts WHERE name = ?)", (name,))


def list_accounts(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every account with its counters, by name."""
    rows = db.execute(
        "SELECT name AS user, disabled, created_at, uploads, upload_bytes, last_up, downloads, download_bytes,"
        " last_down, spliced_bytes, (SELECT count(*) FROM devices WHERE account = accounts.id) AS devices"
        " FROM accounts ORDER BY name"
    )
    return [{**dict(row), "disabled": bool(row["disabled"])} for row in rows]


def read_totals(db: sqlite3.Connection, names: Sequence[str]) -> dict[str, tuple[int, float | None, int, float | None]]:
    """Of each of these users: messages up, when last, messages down, when last."""
    found: dict[str, tuple[int, float | None, int, float | None]] = {}
    for begin in range(0, len(names), _AT_ONCE):
        some = names[begin : begin + _AT_ONCE]
        marks = ",".join("?" * len(some))
        query = f"SELECT name, uploads, last_up, downloads, last_down FROM accounts WHERE name IN ({marks})"  # noqa: S608
        found.update((row[0], (row[1], row[2], row[3], row[4])) for row in db.execute(query, some))
    return found


def count(db: sqlite3.Connection) -> int:
    """How many accounts there are."""
    (number,) = db.execute("SELECT count(*) FROM accounts").fetchone()
    return int(number)


def list_disabled(db: sqlite3.Connection, most: int) -> list[str]:
    """Accounts that are switched off, by name."""
    rows = db.execute("SELECT name FROM accounts WHERE disabled ORDER BY name LIMIT ?", (most,))
    return [row[0] for row in rows]


def _one(cursor: sqlite3.Cursor) -> None:
    if cursor.rowcount != 1:
        raise NoSuchUser


# --- sign-in


def resume(db: sqlite3.Connection, name: str, device: bytes, token: bytes, now: float) -> Resumed:
    """Sign a device in by its token.

    :raises UnknownUser: there is no such account.
    :raises AccountDisabled: the operator switched it off.
    :raises BadToken: the token is not this device's, or too old.
    """
    row = db.execute(
        "SELECT a.id, a.disabled, d.token_hash, d.used_at FROM accounts a"
        " LEFT JOIN devices d ON d.account = a.id AND d.id = ? WHERE a.name = ?",
        (device, name),
    ).fetchone()
    if row is None:
        raise UnknownUser
    stored = row["token_hash"]
    if stored is None or not hmac.compare_digest(stored, hash_secret(token)):
        raise BadToken
    if now - row["used_at"] > TOKEN_LIFETIME:
        raise BadToken
    if row["disabled"]:
        raise AccountDisabled
    return Resumed(load_lists(db, row["id"]), now - row["used_at"] > TOKEN_TOUCH)


def touch_device(db: sqlite3.Connection, name: str, device: bytes, now: float) -> None:
    """Write down that a device's token was used."""
    db.execute(
        "UPDATE devices SET used_at = ? WHERE id = ? AND account = (SELECT id FROM accounts WHERE name = ?)",
        (now, device, name),
    )


def admit_device(
    db: sqlite3.Connection, name: str, device: bytes, device_name: str, token: bytes, now: float, proven: str
) -> Lists:
    """Give a device its token after a sign-in by password; the lists of its account.

    :param proven: the hash against which the password was verified: when it is no longer the account's, the password
        was changed meanwhile, and this sign-in came too late.
    :raises UnknownUser: the account is gone.
    :raises AccountDisabled: the operator switched it off.
    :raises BadToken: the password was changed while it was being verified.
    """
    account = find_account(db, name)
    if account.disabled:
        raise AccountDisabled
    if account.password != proven:
        raise BadToken
    _store_device(db, account.id, device, device_name, token, now)
    return load_lists(db, account.id)


def register(
    db: sqlite3.Connection,
    name: str,
    password: str,
    device: bytes,
    device_name: str,
    token: bytes,
    now: float,
    invite: str | None,
) -> None:
    """Make an account with its first device.

    :param invite: the invitation to use up, where one is needed.
    :raises NameTaken: there is one of that name.
    :raises InviteNeeded: the invitation is unknown, used or too old.
    """
    account = add_account(db, name, password, now)
    if invite is not None:
        used = db.execute(
            "UPDATE invites SET used_by = ? WHERE code_hash = ? AND used_by IS NULL AND expires_at > ?",
            (name, hash_secret(invite.encode()), now),
        )
        if used.rowcount != 1:
            raise InviteNeeded
    _store_device(db, account, device, device_name, token, now)


def add_invite(db: sqlite3.Connection, code: str, now: float, expires_at: float) -> None:
    """Store an invitation; those that ended long ago are cleared away."""
    db.execute("DELETE FROM invites WHERE expires_at < ?", (now,))
    db.execute(
        "INSERT INTO invites (code_hash, created_at, expires_at) VALUES (?, ?, ?)",
        (hash_secret(code.encode()), now, expires_at),
    )


def forget_device(db: sqlite3.Connection, name: str, device: bytes) -> None:
    """Withdraw a device's token; its keys and its mail wait for the next sign-in with the password."""
    db.execute(
        "UPDATE devices SET token_hash = NULL WHERE id = ? AND account = (SELECT id FROM accounts WHERE name = ?)",
        (device, name),
    )


def _store_device(
    db: sqlite3.Connection, account: int, device: bytes, device_name: str, token: bytes, now: float
) -> None:
    db.execute(
        "INSERT INTO devices (account, id, name, token_hash, used_at, added_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (account, id) DO UPDATE SET token_hash = excluded.token_hash, used_at = excluded.used_at",
        (account, device, device_name, hash_secret(token), now, now),
    )
    db.execute(
        "DELETE FROM devices WHERE account = ? AND id NOT IN"
        " (SELECT id FROM devices WHERE account = ? ORDER BY used_at DESC, id = ? DESC LIMIT ?)",
        (account, account, device, DEVICES),
    )


# --- blocks


def set_blocked(db: sqlite3.Connection, owner: str, other: str, blocked: bool) -> None:
    """Block ``other`` for ``owner``, or let them through again.

    :raises NoSuchUser: one of the two does not exist.
    :raises TooMany: as many are blocked as can be.
    """
    ids = ids_of(db, owner, other)
    if not blocked:
        db.execute("DELETE FROM blocks WHERE owner = ? AND blocked = ?", ids)
        return
    db.execute("INSERT OR IGNORE INTO blocks (owner, blocked) VALUES (?, ?)", ids)
    (count,) = db.execute("SELECT count(*) FROM blocks WHERE owner = ?", ids[:1]).fetchone()
    if count > CONTACTS:
        raise TooMany(f"You have blocked {CONTACTS} people, which is the limit; unblock somebody first.")


def blocks(db: sqlite3.Connection, owner: str, other: str) -> bool:
    """Whether ``owner`` has blocked ``other``."""
    query = (
        "SELECT 1 FROM blocks JOIN accounts o ON o.id = owner JOIN accounts b ON b.id = blocked"
        " WHERE o.name = ? AND b.name = ?"
    )
    return db.execute(query, (owner, other)).fetchone() is not None


def missing(db: sqlite3.Connection, names: Iterable[str]) -> list[str]:
    """Those of ``names`` that have no account."""
    return [name for name in names if not exists(db, name)]


# --- counters


def add_increases(db: sqlite3.Connection, increases: Iterable[Increase]) -> None:
    """Add to the counters what has come since the last time."""
    db.executemany(
        "UPDATE accounts SET uploads = uploads + ?, upload_bytes = upload_bytes + ?,"
        " last_up = CASE WHEN ? > 0 THEN ? ELSE last_up END,"
        " downloads = downloads + ?, download_bytes = download_bytes + ?,"
        " last_down = CASE WHEN ? > 0 THEN ? ELSE last_down END,"
        " spliced_bytes = spliced_bytes + ? WHERE name = ?",
        [
            (i.uploads, i.upload_bytes, i.uploads, i.at, i.downloads, i.download_bytes, i.downloads, i.at,
             i.spliced_bytes, i.user)
            for i in increases
        ],
    )  # fmt: skip
