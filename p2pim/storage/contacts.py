"""Contacts and requests in the server's database.

A row says that its owner would have somebody as a contact; two rows that mirror each other make contacts, one alone is
a request that waits for its answer. A request to somebody who has blocked the asker is kept like any other, so that it
looks like any other to the asker, and is not told while the block lasts. Names are canonical.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from p2pim.core.limits import CONTACT_REQUESTS_PENDING, CONTACT_REQUESTS_WAITING, CONTACTS, DEVICES
from p2pim.core.presence import CONTACT, REQUESTED
from p2pim.errors import NoSuchUser, TooMany


@dataclass(frozen=True, slots=True)
class Lists:
    """A user's contacts, whom they have blocked, whom they asked to be a contact, and who asked them."""

    contacts: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    asks: list[str] = field(default_factory=list)


_MINE = (
    "SELECT a.name, m.owner IS NOT NULL FROM contacts c JOIN accounts a ON a.id = c.contact"
    " LEFT JOIN contacts m ON m.owner = c.contact AND m.contact = c.owner WHERE c.owner = ? ORDER BY a.name"
)
_THEIRS = (
    "SELECT a.name FROM contacts c JOIN accounts a ON a.id = c.owner"
    " LEFT JOIN contacts m ON m.owner = c.contact AND m.contact = c.owner WHERE c.contact = ? AND m.owner IS NULL"
)
_PENDING = (
    "SELECT count(*) FROM contacts c LEFT JOIN contacts m ON m.owner = c.contact AND m.contact = c.owner"
    " WHERE c.owner = ? AND m.owner IS NULL"
)
_WAITING = (
    "SELECT count(*) FROM contacts c LEFT JOIN contacts m ON m.owner = c.contact AND m.contact = c.owner"
    " WHERE c.contact = ? AND m.owner IS NULL AND c.owner NOT IN (SELECT blocked FROM blocks WHERE owner = c.contact)"
)


def load_lists(db: sqlite3.Connection, account: int) -> Lists:
    """The lists of an account; who asks is told in no order, those that are blocked included."""
    lists = Lists()
    for name, mirrored in db.execute(_MINE, (account,)):
        (lists.contacts if mirrored else lists.requested).append(name)
    lists.asks.extend(row[0] for row in db.execute(_THEIRS, (account,)))
    blocked = db.execute("SELECT name FROM blocks JOIN accounts ON accounts.id = blocked WHERE owner = ?", (account,))
    lists.blocked.extend(row[0] for row in blocked)
    return lists


def add_contact(db: sqlite3.Connection, owner: str, contact: str) -> str:
    """``owner`` would have ``contact`` as a contact: the relation that they have then, "contact" or "requested".

    :raises NoSuchUser: one of the two does not exist.
    :raises TooMany: the list is full, or too many requests wait, of this owner's or for this contact.
    """
    ids = ids_of(db, owner, contact)
    new = db.execute("INSERT OR IGNORE INTO contacts (owner, contact) VALUES (?, ?)", ids).rowcount == 1
    mirrored = db.execute("SELECT 1 FROM contacts WHERE contact = ? AND owner = ?", ids).fetchone() is not None
    if new:
        _check_room(db, *ids, request=not mirrored, name=contact)
    return CONTACT if mirrored else REQUESTED


def _check_room(db: sqlite3.Connection, owner: int, contact: int, *, request: bool, name: str) -> None:
    if db.execute("SELECT count(*) FROM contacts WHERE owner = ?", (owner,)).fetchone()[0] > CONTACTS:
        raise TooMany(f"Your contact list has {CONTACTS} people, which is the limit; remove somebody first.")
    if not request:
        return
    if db.execute(_PENDING, (owner,)).fetchone()[0] > CONTACT_REQUESTS_PENDING:
        raise TooMany(f"{CONTACT_REQUESTS_PENDING} requests of yours wait for an answer; withdraw one with remove.")
    if db.execute(_WAITING, (contact,)).fetchone()[0] > CONTACT_REQUESTS_WAITING:
        raise TooMany(f"Too many requests wait for {name} already; try again when they have answered some.")


def remove_contact(db: sqlite3.Connection, owner: str, contact: str) -> None:
    """``owner`` and ``contact`` are nothing to each other any more, nor will be by a request that waited.

    :raises NoSuchUser: one of the two does not exist.
    """
    one, other = ids_of(db, owner, contact)
    db.executemany("DELETE FROM contacts WHERE owner = ? AND contact = ?", [(one, other), (other, one)])


def device_ids(db: sqlite3.Connection, name: str) -> list[bytes]:
    """The devices of ``name`` that can sign in, whether they are signed in or not; the lately used ones first."""
    rows = db.execute(
        "SELECT d.id FROM devices d JOIN accounts a ON a.id = d.account"
        " WHERE a.name = ? AND d.token_hash IS NOT NULL ORDER BY d.used_at DESC LIMIT ?",
        (name, DEVICES),
    )
    return [row[0] for row in rows]


def ids_of(db: sqlite3.Connection, owner: str, other: str) -> tuple[int, int]:
    """The ids of two accounts.

    :raises NoSuchUser: one of the two does not exist.
    """
    ids = []
    for name in (owner, other):
        row = db.execute("SELECT id FROM accounts WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise NoSuchUser(f"There is no user {name!r} on this server.")
        ids.append(int(row[0]))
    return ids[0], ids[1]
