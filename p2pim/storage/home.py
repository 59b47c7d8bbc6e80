"""A home's messages: outbox and history, in one table of one SQLite file. What reads it is in `history`.

Every method that writes fires when the write is committed. Times are in milliseconds since 1970.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from p2pim.core.delivery import Outgoing
from p2pim.core.limits import OUTBOX
from p2pim.errors import TooMany
from p2pim.storage.database import Database

MINE = b""
"""In the column ``device``: a message that this device sent."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message as it came: from ``device`` of ``user``, by ``route``, from ``address``."""

    id: bytes
    user: str
    device: bytes
    seq: int
    text: str
    sent_at: int
    received_at: int
    route: str
    address: str


class HomeStore:
    """What a home remembers of conversations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- the outbox

    def enqueue(self, user: str, id: bytes, text: str, sent_at: int, route: str) -> Deferred[Outgoing]:
        """Put a message into the outbox, and give it its number.

        :raises TooMany: (through the Deferred) so many wait for this user already.
        """

        def work(connection: sqlite3.Connection) -> Outgoing:
            (waiting,) = connection.execute(
                "SELECT count(*) FROM messages WHERE state = 'waiting' AND user = ?", (user,)
            ).fetchone()
            if waiting >= OUTBOX:
                raise TooMany(f"{waiting} messages wait for {user} already; more are taken when some have gone.")
            (seq,) = connection.execute(
                "INSERT INTO sequences VALUES (?, 1) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last", (user,)
            ).fetchone()
            connection.execute(
                "INSERT INTO messages (id, user, device, seq, text, sent_at, route, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting')",
                (id, user, MINE, seq, text, sent_at, route),
            )
            return Outgoing(id, seq, text, sent_at, route)

        return self._database.write(work)

    def waiting(self) -> Deferred[list[tuple[str, Outgoing]]]:
        """Everything in the outbox, as (user, message), in the order of each user's numbers."""

        def work(connection: sqlite3.Connection) -> list[tuple[str, Outgoing]]:
            rows = connection.execute(
                "SELECT user, id, seq, text, sent_at, route FROM messages WHERE state = 'waiting' ORDER BY user, seq"
            )
            return [(row[0], Outgoing(*row[1:])) for row in rows]

        return self._database.read(work)

    def settle(self, user: str, ids: Sequence[bytes], state: str, route: str, address: str, at: int) -> Deferred[None]:
        """These messages of mine leave the outbox: ``state`` is "delivered" or "failed"."""

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE messages SET state = ?, route = ?, address = ?, received_at = ?"
                " WHERE user = ? AND device = ? AND id = ? AND state = 'waiting'",
                [(state, route, address, at if state == "delivered" else None, user, MINE, id) for id in ids],
            )

        return self._database.write(work)

    def confirm_read(self, user: str, ids: Sequence[bytes], at: int) -> Deferred[list[tuple[bytes, str]]]:
        """``user`` has read these messages of mine; fires with (id, route) of those for which that is new."""

        def work(connection: sqlite3.Connection) -> list[tuple[bytes, str]]:
            changed: list[tuple[bytes, str]] = []
            for id in ids:
                changed += connection.execute(
                    "UPDATE messages SET state = 'read', read_at = ? WHERE user = ? AND device = ? AND id = ?"
                    " AND state = 'delivered' RETURNING id, route",
                    (at, user, MINE, id),
                ).fetchall()
            return [(row[0], row[1]) for row in changed]

        return self._database.write(work)

    # --- what arrives

    def receive(self, message: Arrived, expected: int) -> Deferred[bool]:
        """Store a message; fires with whether it was new. ``expected`` is what comes next from its device."""

        def work(connection: sqlite3.Connection) -> bool:
            m = message
            new = connection.execute(
                "INSERT INTO messages (id, user, device, seq, text, sent_at, received_at, route, address, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'received') ON CONFLICT DO NOTHING RETURNING 1",
                (m.id, m.user, m.device, m.seq, m.text, m.sent_at, m.received_at, m.route, m.address),
            ).fetchone()
            connection.execute(
                "INSERT INTO arrivals VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET expected = max(expected, excluded.expected)",
                (m.user, m.device, expected),
            )
            return new is not None

        return self._database.write(work)

    def expected(self) -> Deferred[dict[tuple[str, bytes], int]]:
        """The number that comes next, by (user, device)."""

        def work(connection: sqlite3.Connection) -> dict[tuple[str, bytes], int]:
            rows = connection.execute("SELECT user, device, expected FROM arrivals")
            return {(row[0], row[1]): row[2] for row in rows}

        return self._database.read(work)

    def mark_read(self, user: str, at: int) -> Deferred[list[tuple[bytes, bytes]]]:
        """All that came from ``user`` has been seen; fires with (device, id) of those for which that is new."""

        def work(connection: sqlite3.Connection) -> list[tuple[bytes, bytes]]:
            rows = connection.execute(
                "UPDATE messages SET state = 'read', read_at = ? WHERE user = ? AND state = 'received'"
                " RETURNING device, id",
                (at, user),
            ).fetchall()
            return [(row[0], row[1]) for row in rows]

        return self._database.write(work)
