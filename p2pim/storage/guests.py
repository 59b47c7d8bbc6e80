"""What was said with guests of the classic gateway, in the history of a home."""

from __future__ import annotations

import sqlite3

from twisted.internet.defer import Deferred

from p2pim.core.names import guest_user
from p2pim.storage.database import Database
from p2pim.storage.outbox import MINE

GUEST_ROUTE = "classic"
"""The route of such messages: plain text, through the server."""
_THEIRS = b"classic"
"""In the column ``messages.device``: guests have none."""


def keep_guest_message(database: Database, guest: str, id: bytes, text: str, at: int, *, mine: bool) -> Deferred[bool]:
    """Keep a message; fires with whether it is new.

    :param at: in milliseconds since 1970.
    """

    def work(db: sqlite3.Connection) -> bool:
        values = (id, guest_user(guest), MINE if mine else _THEIRS, text, at, None if mine else at, GUEST_ROUTE,
                  "sent" if mine else "received")  # fmt: skip
        known = db.execute(
            "SELECT 1 FROM forgotten WHERE user = ? AND device = ? AND id = ?", (values[1], values[2], id)
        ).fetchone()
        if known is not None:
            return False
        inserted = db.execute(
            "INSERT INTO messages (id, user, device, seq, text, sent_at, received_at, route, state)"
            " VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1",
            values,
        ).fetchone()
        return inserted is not None

    return database.write(work)
