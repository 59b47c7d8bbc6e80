"""A home's messages, as a history. Times are in milliseconds since 1970."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from p2pim.core.limits import HISTORY_PAGE
from p2pim.storage.database import Database
from p2pim.storage.outbox import MINE


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of a conversation. ``direction`` is "in" or "out"."""

    id: bytes
    user: str
    direction: str
    text: str
    route: str
    state: str
    sent_at: int
    received_at: int | None
    read_at: int | None
    address: str
    author: str = ""
    """In a group: who wrote it, unless I did."""


class HomeStore:
    """What a home remembers of conversations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- history

    def history(
        self, user: str, search: str = "", limit: int = HISTORY_PAGE, before: bytes | None = None
    ) -> Deferred[list[HistoryEntry]]:
        """The newest ``limit`` messages with ``user``, oldest first.

        :param search: only those that contain this text, whatever its case (of ASCII letters).
        :param before: only those that this home knew before the message of this id.
        """

        def work(connection: sqlite3.Connection) -> list[HistoryEntry]:
            query, values = _history_query(user, search, min(limit, HISTORY_PAGE), before)
            return [_entry(row) for row in connection.execute(query, values)][::-1]

        return self._database.read(work)


def _history_query(user: str, search: str, limit: int, before: bytes | None) -> tuple[str, list[object]]:
    query, values = "SELECT * FROM messages WHERE user = ?", [user]
    parameters: list[object] = [*values]
    if before is not None:
        query += " AND number < (SELECT min(number) FROM messages WHERE user = ? AND id = ?)"
        parameters += [user, before]
    if search:
        query += " AND text LIKE ? ESCAPE '\\'"
        escaped = search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        parameters.append(f"%{escaped}%")
    return f"{query} ORDER BY number DESC LIMIT ?", [*parameters, limit]


def _entry(row: sqlite3.Row) -> HistoryEntry:
    return HistoryEntry(
        id=row["id"],
        user=row["user"],
        direction="out" if row["device"] == MINE else "in",
        text=row["text"],
        route=row["route"],
        state=row["state"],
        sent_at=row["sent_at"],
        received_at=row["received_at"],
        read_at=row["read_at"],
        address=row["address"],
        author=row["author"],
    )
