"""Mailboxes in the server's database: what waits for devices, in the order in which it came.

Each function takes the connection first, like those of `p2pim.storage.accounts`. A mailbox belongs to a device and is
made with its first mail. Numbers are taken from it in the writer's transaction, so that a reader who has seen number n
has seen all before it. `keep` takes many messages at once and costs a few statements, not a few each: every statement
hands the interpreter's lock to another thread and has to get it back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from p2pim.core.limits import MAIL_BATCH, MAIL_OVERHEAD, MAIL_PAGE_BYTES, MAIL_TOMBSTONES, MAIL_TOMBSTONES_KEPT
from p2pim.errors import Blocked, MailboxFull, NoDevices, NoSuchDevice, NoSuchUser, P2pimError
from p2pim.wire.mail import MailItem

_ASKED = 100
"""Ids in one statement, three parameters each: older SQLite takes 999."""


class Letter(NamedTuple):
    """An envelope for the mailbox of ``to_device`` of ``to``. ``at``: when the server took it."""

    to: str
    to_device: bytes
    sender: str
    device: bytes
    kind: int
    message: bytes
    payload: bytes
    at: float
    group: str = ""

    @property
    def key(self) -> bytes:
        """What tells it from all others in its mailbox."""
        return self.device + self.message + self.sender.encode()


class Quota(NamedTuple):
    """What may wait for one account, its devices together."""

    messages: int
    bytes: int


class Page(NamedTuple):
    """A part of a mailbox. ``more``: there is more after it."""

    items: list[MailItem]
    more: bool


class Acknowledged(NamedTuple):
    """What became of an acknowledgement: the kind and payload's size of what it removed, how much mail is left, and
    whether there is more to remove."""

    removed: list[tuple[int, int]]
    left: int
    more: bool


Outcome = bool | P2pimError
"""Of a letter: put into the mailbox (True), known there already (False), or why not."""


@dataclass(slots=True)
class _Account:
    id: int
    blocked: set[str]
    messages: int
    size: int


@dataclass(slots=True)
class _Mailbox:
    id: int
    account: _Account
    last: int
    messages: int = 0
    size: int = 0
    keys: set[bytes] = field(default_factory=set)


# --- putting in


def keep(db: sqlite3.Connection, letters: Sequence[Letter], quota: Quota) -> list[Outcome]:
    """Put ``letters`` into their mailboxes; what became of each, in their order."""
    return _Keeper(db, quota).keep(letters)


class _Keeper:
    """One transaction's worth of letters: every account and mailbox is looked up once."""

    def __init__(self, db: sqlite3.Connection, quota: Quota) -> None:
        self._db = db
        self._quota = quota
        self._accounts: dict[str, _Account | P2pimError] = {}
        self._mailboxes: dict[tuple[str, bytes], _Mailbox | P2pimError] = {}

    def keep(self, letters: Sequence[Letter]) -> list[Outcome]:
        boxes = [self._mailbox(letter.to, letter.to_device) for letter in letters]
        self._find_known(boxes, letters)
        outcomes = [
            self._judge(box, letter) if isinstance(box, _Mailbox) else box
            for box, letter in zip(boxes, letters, strict=True)
        ]
        new = [(box, letter) for box, letter, done in zip(boxes, letters, outcomes, strict=True) if done is True]
        self._insert([(box, letter) for box, letter in new if isinstance(box, _Mailbox)])
        return outcomes

    def _judge(self, box: _Mailbox, letter: Letter) -> Outcome:
        account, key, size = box.account, letter.key, len(letter.payload) + MAIL_OVERHEAD
        if letter.sender in account.blocked:
            return Blocked()
        if key in box.keys:
            return False
        if account.messages >= self._quota.messages or account.size + size > self._quota.bytes:
            return MailboxFull(retry_after=60.0)
        account.messages += 1
        account.size += size
        box.messages += 1
        box.size += size
        box.keys.add(key)
        return True

    def _insert(self, new: list[tuple[_Mailbox, Letter]]) -> None:
        rows, seen = [], []
        for box, letter in new:
            box.last += 1
            rows.append((box.id, box.last, *letter[2:7], letter.at, letter.group))
            seen.append((box.id, letter.key, box.last, letter.at))
        self._db.executemany(
            "INSERT INTO mail (mailbox, number, sender, device, kind, message, payload, at, group_name)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        self._db.executemany("INSERT INTO mail_seen (mailbox, key, number, at) VALUES (?, ?, ?, ?)", seen)
        self._db.executemany(
            "UPDATE mailboxes SET last = ?, messages = messages + ?, bytes = bytes + ? WHERE id = ?",
            {(box.last, box.messages, box.size, box.id) for box, _ in new},
        )

    def _find_known(self, boxes: Sequence[_Mailbox | P2pimError], letters: Sequence[Letter]) -> None:
        """Give the mailboxes those of the letters' keys that they know already."""
        by_id = {box.id: box for box in boxes if isinstance(box, _Mailbox)}
        asked = [(box.id, letter.key) for box, letter in zip(boxes, letters, strict=True) if isinstance(box, _Mailbox)]
        for start in range(0, len(asked), _ASKED):
            part = asked[start : start + _ASKED]
            values = ",".join(["(?,?)"] * len(part))
            found = self._db.execute(
                f"WITH asked (mailbox, key) AS (VALUES {values})"  # noqa: S608 - question marks
                " SELECT mailbox, key FROM asked CROSS JOIN mail_seen USING (mailbox, key)",
                [value for pair in part for value in pair],
            )
            for mailbox, key in found:
                by_id[mailbox].keys.add(key)

    def _mailbox(self, user: str, device: bytes) -> _Mailbox | P2pimError:
        found = self._mailboxes.get((user, device))
        if found is None:
            account = self._account(user)
            found = self._open(account, device) if isinstance(account, _Account) else account
            self._mailboxes[user, device] = found
        return found

    def _account(self, user: str) -> _Account | P2pimError:
        found = self._accounts.get(user)
        if found is None:
            found = self._accounts[user] = self._load(user)
        return found

    def _load(self, user: str) -> _Account | P2pimError:
        row = self._db.execute("SELECT id FROM accounts WHERE name = ?", (user,)).fetchone()
        if row is None:
            return NoSuchUser()
        blocked = self._db.execute(
            "SELECT name FROM blocks JOIN accounts ON accounts.id = blocked WHERE owner = ?", (row[0],)
        )
        messages, size = self._db.execute(
            "SELECT coalesce(sum(messages), 0), coalesce(sum(bytes), 0) FROM mailboxes WHERE account = ?", (row[0],)
        ).fetchone()
        return _Account(row[0], {name for (name,) in blocked}, messages, size)

    def _open(self, account: _Account, device: bytes) -> _Mailbox | P2pimError:
        where = (account.id, device)
        row = self._db.execute("SELECT id, last FROM mailboxes WHERE account = ? AND device = ?", where).fetchone()
        if row is not None:
            return _Mailbox(row[0], account, row[1])
        devices = {row[0] for row in self._db.execute("SELECT id FROM devices WHERE account = ?", where[:1])}
        if device not in devices:
            return NoSuchDevice() if devices else NoDevices()
        cursor = self._db.execute("INSERT INTO mailboxes (account, device) VALUES (?, ?)", where)
        assert cursor.lastrowid is not None
        return _Mailbox(cursor.lastrowid, account, 0)


# --- taking out


def _find(db: sqlite3.Connection, user: str, device: bytes) -> Any:
    return db.execute(
        "SELECT mailboxes.id, last, messages FROM mailboxes JOIN accounts ON accounts.id = account"
        " WHERE name = ? AND device = ?",
        (user, device),
    ).fetchone()


def waiting(db: sqlite3.Connection, user: str, device: bytes) -> int:
    """How much mail waits for a device."""
    row = _find(db, user, device)
    return int(row["messages"]) if row is not None else 0


def page(db: sqlite3.Connection, user: str, device: bytes, after: int, limit: int) -> Page:
    """At most ``limit`` of what comes after the number ``after``, and about `MAIL_PAGE_BYTES`; one at least."""
    box = _find(db, user, device)
    if box is None:
        return Page([], False)
    rows = db.execute(
        "SELECT number, sender, device, kind, message, payload, at, group_name FROM mail"
        " WHERE mailbox = ? AND number > ? ORDER BY number LIMIT ?",
        (box["id"], after, limit + 1),
    )
    items: list[MailItem] = []
    size = 0
    for row in rows:
        size += len(row[5])
        if items and (size > MAIL_PAGE_BYTES or len(items) == limit):
            return Page(items, True)
        items.append(MailItem(*row))
    return Page(items, False)


def acknowledge(db: sqlite3.Connection, user: str, device: bytes, up_to: int) -> Acknowledged:
    """Remove mail up to the number ``up_to``, `MAIL_BATCH` of it at most; its ids stay known."""
    box = _find(db, user, device)
    if box is None:
        return Acknowledged([], 0, False)
    rows = db.execute(
        "SELECT number, kind, length(payload) FROM mail WHERE mailbox = ? AND number <= ? ORDER BY number LIMIT ?",
        (box["id"], up_to, MAIL_BATCH + 1),
    ).fetchall()
    more, rows = len(rows) > MAIL_BATCH, rows[:MAIL_BATCH]
    if rows:
        newest = rows[-1][0]
        db.execute("DELETE FROM mail WHERE mailbox = ? AND number <= ?", (box["id"], newest))
        _forget(db, box["id"], min(newest, box["last"] - MAIL_TOMBSTONES_KEPT))
        _subtract(db, box["id"], [row[2] for row in rows])
    return Acknowledged([(row[1], row[2]) for row in rows], box["messages"] - len(rows), more)


def _subtract(db: sqlite3.Connection, mailbox: int, sizes: list[int]) -> None:
    size = sum(sizes) + len(sizes) * MAIL_OVERHEAD
    db.execute(
        "UPDATE mailboxes SET messages = messages - ?, bytes = bytes - ? WHERE id = ?", (len(sizes), size, mailbox)
    )


def _forget(db: sqlite3.Connection, mailbox: int, up_to: int) -> None:
    db.execute(
        "DELETE FROM mail_seen WHERE (mailbox, key) IN"
        " (SELECT mailbox, key FROM mail_seen WHERE mailbox = ? AND number <= ? LIMIT ?)",
        (mailbox, up_to, 2 * MAIL_BATCH),
    )


# --- the passing of time


def expire(db: sqlite3.Connection, now: float, lifetime: float) -> tuple[int, bool]:
    """Drop mail older than ``lifetime`` seconds, and ids `MAIL_TOMBSTONES` later; `MAIL_BATCH` of each at most.

    :return: how much mail was dropped, and whether there is more to do.
    """
    rows = db.execute(
        "SELECT id, mailbox, length(payload) FROM mail WHERE at < ? ORDER BY at LIMIT ?", (now - lifetime, MAIL_BATCH)
    ).fetchall()
    db.executemany("DELETE FROM mail WHERE id = ?", [(row[0],) for row in rows])
    for mailbox in {row[1] for row in rows}:
        _subtract(db, mailbox, [row[2] for row in rows if row[1] == mailbox])
    forgotten = db.execute(
        "DELETE FROM mail_seen WHERE (mailbox, key) IN (SELECT mailbox, key FROM mail_seen WHERE at < ? LIMIT ?)",
        (now - lifetime - MAIL_TOMBSTONES, MAIL_BATCH),
    )
    return len(rows), MAIL_BATCH in (len(rows), forgotten.rowcount)


# --- for the operator


def totals(db: sqlite3.Connection) -> dict[str, Any]:
    """All mailboxes together: messages and bytes that wait, for how many devices, and since when (or None)."""
    row = db.execute(
        "SELECT coalesce(sum(messages), 0) AS messages, coalesce(sum(bytes), 0) AS bytes,"
        " count(*) FILTER (WHERE messages > 0) AS devices, (SELECT min(at) FROM mail) AS oldest FROM mailboxes"
    ).fetchone()
    return dict(row)


def largest(db: sqlite3.Connection, most: int) -> list[dict[str, Any]]:
    """The accounts for which most waits: user, devices, messages, bytes."""
    rows = db.execute(
        "SELECT a.name AS user, count(*) AS devices, sum(m.messages) AS messages, sum(m.bytes) AS bytes"
        " FROM mailboxes m JOIN accounts a ON a.id = m.account WHERE m.messages > 0"
        " GROUP BY a.id ORDER BY bytes DESC, user LIMIT ?",
        (most,),
    )
    return [dict(row) for row in rows]


def problems(db: sqlite3.Connection) -> Iterable[str]:
    """Mailboxes whose totals are not those of their mail, a line each."""
    rows = db.execute(
        "SELECT mailboxes.id, messages, count(mail.id) AS found FROM mailboxes LEFT JOIN mail ON mailbox = mailboxes.id"
        " GROUP BY mailboxes.id HAVING messages <> found OR bytes <> coalesce(sum(length(payload) + ?), 0)",
        (MAIL_OVERHEAD,),
    )
    for row in rows:
        yield f"mailbox {row[0]}: {row[1]} messages were counted and {row[2]} are there"
