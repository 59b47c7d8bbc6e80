"""A home's outbox: messages of mine, and the sealed copies that devices have not confirmed.

A message and its copies are written in one transaction with the ratchets that sealed them, so that no state of a
ratchet is used twice and what goes again is the same. Methods that write fire when the write is committed; functions
whose name ends in ``_in`` are for use inside a transaction. Times are in milliseconds since 1970.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from twisted.internet.defer import Deferred

from p2pim.core.delivery import STORED, Outgoing, Target
from p2pim.errors import NoSession
from p2pim.storage.database import Database
from p2pim.wire.signals import ChatMessage, Signal

MINE = b""
"""In the column ``messages.device``: a message of mine."""

SealIn = Callable[[sqlite3.Connection, str, bytes, Signal, bytes], bytes]
"""Seals a signal for a device of a user, inside a transaction; with the message's id. Raises `NoSession`."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A message of mine for one device; ``sealed`` is the envelope."""

    target: Target
    message: Outgoing
    sealed: bytes


@dataclass(slots=True)
class Unsettled:
    """A message as an earlier run left it: which devices have not confirmed it, and whether their mailbox has it."""

    conversation: str
    message: Outgoing
    state: str
    copies: dict[Target, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A receipt that was noted. ``news``: it was the first of that kind for the message."""

    id: bytes
    news: bool
    route: str
    address: str


class OutboxStore:
    """The outbox.

    :param seal: how copies are sealed.
    :param me: my own user name; copies for my own devices name the conversation they belong to.
    """

    def __init__(self, database: Database, seal: SealIn, me: str) -> None:
        self._database = database
        self._seal = seal
        self._me = me

    # --- putting in

    def enqueue(self, message: Outgoing, conversation: str, targets: Sequence[Target]) -> Deferred[list[Copy]]:
        """Put a message into the outbox, number it, and seal its copies.

        :returns: a copy for each target for which there was a session; the message in them has its number. When there
            is none, one with an empty target tells the number.
        """

        def work(db: sqlite3.Connection) -> list[Copy]:
            (seq,) = db.execute(
                "INSERT INTO sequences VALUES (?, 1) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
                (conversation,),
            ).fetchone()
            numbered = replace(message, seq=seq)
            db.execute(
                "INSERT INTO messages (id, user, device, seq, text, sent_at, route, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting')",
                (message.id, conversation, MINE, seq, message.text, message.sent_at, message.route),
            )
            copies = [self._copy_in(db, conversation, target, numbered) for target in targets]
            return [copy for copy in copies if copy is not None] or [Copy(("", b""), numbered, b"")]

        return self._database.write(work)

    def seal_more(self, conversation: str, wanted: Sequence[tuple[Target, bytes]]) -> Deferred[list[Copy]]:
        """Seal (again) the copies named by device and message; fires with those that there are now, in order."""

        def work(db: sqlite3.Connection) -> list[Copy]:
            copies = []
            for target, id in wanted:
                message = _outgoing_in(db, conversation, id)
                copy = None if message is None else self._copy_in(db, conversation, target, message)
                if copy is not None:
                    copies.append(copy)
            return copies

        return self._database.write(work)

    def _copy_in(self, db: sqlite3.Connection, conversation: str, target: Target, message: Outgoing) -> Copy | None:
        user, device = target
        (copied,) = db.execute(
            "SELECT min(seq) FROM copies WHERE conversation = ? AND user = ? AND device = ?",
            (conversation, user, device),
        ).fetchone()
        (waiting,) = db.execute(  # what waits may have no copy yet, and is still to come
            "SELECT min(seq) FROM messages WHERE user = ? AND state = 'waiting'", (conversation,)
        ).fetchone()
        about = conversation if conversation.startswith("#") or user == self._me != conversation else ""
        oldest = min(seq for seq in (message.seq, copied, waiting) if seq is not None)
        chat = ChatMessage(message.id, message.seq, message.text, message.sent_at, oldest, about)
        try:
            sealed = self._seal(db, user, device, chat, message.id)
        except NoSession:
            return None
        db.execute(
            "INSERT INTO copies VALUES (?, ?, ?, ?, ?, 'waiting', ?)"
            " ON CONFLICT DO UPDATE SET state = 'waiting', sealed = excluded.sealed",
            (conversation, user, device, message.seq, message.id, sealed),
        )
        return Copy(target, message, sealed)

    # --- reading

    def unsettled(self) -> Deferred[list[Unsettled]]:
        """Everything in the outbox, in the order of each conversation's numbers."""

        def work(db: sqlite3.Connection) -> list[Unsettled]:
            found: dict[tuple[str, bytes], Unsettled] = {}
            rows = db.execute(
                "SELECT user, id, seq, text, sent_at, route, state FROM messages"
                " WHERE device = x'' AND state = 'waiting' AND user NOT LIKE '#%'"
                " UNION SELECT m.user, m.id, m.seq, m.text, m.sent_at, m.route, m.state FROM copies JOIN messages m"
                " ON m.user = copies.conversation AND m.device = x'' AND m.id = copies.message ORDER BY 1, 3"
            )
            for row in rows:
                found[row[0], row[1]] = Unsettled(row[0], Outgoing(*row[1:6]), row[6])
            for row in db.execute("SELECT conversation, message, user, device, state FROM copies"):
                if (row[0], row[1]) in found:
                    found[row[0], row[1]].copies[row[2], row[3]] = row[4]
            return list(found.values())

        return self._database.read(work)

    def sealed(
        self, conversation: str, wanted: Sequence[tuple[Target, int]]
    ) -> Deferred[dict[tuple[Target, int], bytes]]:
        """The envelopes of copies that were sealed before, by device and number."""

        def work(db: sqlite3.Connection) -> dict[tuple[Target, int], bytes]:
            found = {}
            for target, seq in wanted:
                row = db.execute(
                    "SELECT sealed FROM copies WHERE conversation = ? AND user = ? AND device = ? AND seq = ?",
                    (conversation, *target, seq),
                ).fetchone()
                if row is not None:
                    found[target, seq] = row[0]
            return found

        return self._database.read(work)

    # --- settling

    def stored(
        self, conversation: str, copies: Sequence[tuple[Target, int]], messages: Sequence[bytes], address: str
    ) -> Deferred[None]:
        """These copies are in mailboxes, and with them all of these messages' copies for the recipient."""

        def work(db: sqlite3.Connection) -> None:
            db.executemany(
                "UPDATE copies SET state = 'stored' WHERE conversation = ? AND user = ? AND device = ? AND seq = ?",
                [(conversation, *target, seq) for target, seq in copies],
            )
            db.executemany(
                "UPDATE messages SET state = ?, route = 'mailbox', address = ?"
                " WHERE user = ? AND device = x'' AND id = ? AND state = 'waiting'",
                [(STORED, address, conversation, id) for id in messages],
            )

        return self._database.write(work)

    def confirm(
        self, conversation: str, target: Target, receipts: Sequence[tuple[bytes, str, str]], at: int
    ) -> Deferred[list[Confirmed]]:
        """``target`` has these messages (id, route, address), which it counts for; fires with what is news."""

        def work(db: sqlite3.Connection) -> list[Confirmed]:
            return [
                _confirm_in(db, conversation, target, id, at, conversation == target[0], (route, address))
                for id, route, address in receipts
            ]

        return self._database.write(work)

    def fail(self, conversation: str, ids: Iterable[bytes]) -> Deferred[None]:
        """Give these messages up."""
        given_up = list(ids)

        def work(db: sqlite3.Connection) -> None:
            for id in given_up:
                db.execute("DELETE FROM copies WHERE conversation = ? AND message = ?", (conversation, id))
                db.execute(
                    "UPDATE messages SET state = 'failed', route = '', address = ''"
                    " WHERE user = ? AND device = x'' AND id = ? AND state IN ('waiting', 'stored')",
                    (conversation, id),
                )

        return self._database.write(work)

    def drop_copies(self, conversation: str, target: Target) -> Deferred[None]:
        """That device is no more: it gets nothing, and nobody waits for it."""

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM copies WHERE conversation = ? AND user = ? AND device = ?", (conversation, *target))

        return self._database.write(work)

    def confirm_read(self, user: str, ids: Sequence[bytes], at: int) -> Deferred[list[tuple[bytes, str]]]:
        """``user`` has read these messages of mine; fires with (id, route) of those for which that is new."""
        return self._database.write(lambda db: confirm_read_in(db, user, ids, at))


def confirm_in(
    db: sqlite3.Connection, me: str, target: Target, ids: Sequence[bytes], at: int, relay: str
) -> list[tuple[str, Confirmed]]:
    """The same as `OutboxStore.confirm` for a receipt that came by mail, which does not say the conversation.

    :param relay: the address to tell for what was not in a mailbox.
    """
    confirmed: list[tuple[str, Confirmed]] = []
    for id in ids:
        query, values = "SELECT user FROM messages WHERE user = ? AND device = x'' AND id = ?", [target[0], id]
        if target[0] == me:
            query, values = (
                "SELECT conversation FROM copies WHERE user = ? AND device = ? AND message = ?",
                [*target, id],
            )
        row = db.execute(query, values).fetchone()
        if row is not None:
            conversation = row[0]
            counts = conversation == target[0]
            confirmed.append((conversation, _confirm_in(db, conversation, target, id, at, counts, ("relay", relay))))
    return confirmed


def confirm_read_in(db: sqlite3.Connection, user: str, ids: Sequence[bytes], at: int) -> list[tuple[bytes, str]]:
    """See `OutboxStore.confirm_read`."""
    changed: list[tuple[bytes, str]] = []
    for id in ids:
        changed += db.execute(
            "UPDATE messages SET state = 'read', read_at = ? WHERE user = ? AND device = x'' AND id = ?"
            " AND state = 'delivered' RETURNING id, route",
            (at, user, id),
        ).fetchall()
    return [(row[0], row[1]) for row in changed]


def _outgoing_in(db: sqlite3.Connection, conversation: str, id: bytes) -> Outgoing | None:
    row = db.execute(
        "SELECT id, seq, text, sent_at, route FROM messages WHERE user = ? AND device = x'' AND id = ?"
        " AND state <> 'failed'",
        (conversation, id),
    ).fetchone()
    return None if row is None else Outgoing(*row)


def _confirm_in(
    db: sqlite3.Connection, conversation: str, target: Target, id: bytes, at: int, counts: bool, went: tuple[str, str]
) -> Confirmed:
    db.execute(
        "DELETE FROM copies WHERE conversation = ? AND message = ? AND user = ? AND device = ?",
        (conversation, id, *target),
    )
    row = None
    if counts:
        row = db.execute(
            "UPDATE messages SET received_at = ?1,"
            " route = CASE state WHEN 'stored' THEN route ELSE ?2 END,"
            " address = CASE state WHEN 'stored' THEN address ELSE ?3 END, state = 'delivered'"
            " WHERE user = ?4 AND device = x'' AND id = ?5 AND state IN ('waiting', 'stored')"
            " RETURNING route, address",
            (at, *went, conversation, id),
        ).fetchone()
    route, address = row if row is not None else went
    return Confirmed(id, row is not None, route, address)
