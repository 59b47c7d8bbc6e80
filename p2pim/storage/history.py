"""What was said: pages of a home's messages in both directions, full-text search, conversations, and deletion.

Search is by SQLite's FTS5 with trigrams (``schema/peer/0005_history.sql``), which finds any part of a message in any
script. Shorter texts than three characters are in no trigram: for those the messages themselves are gone through.

Deleted messages leave no trace of what they said: their pages are overwritten, the index is rewritten without them, the
write-ahead log is emptied, and copies of the file made before an upgrade go. Their ids stay, so that a copy which
arrives late is still known.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import merge

from twisted.internet.defer import Deferred

from p2pim.core.limits import HISTORY_PAGE
from p2pim.core.search import INDEXED, contains, spellings
from p2pim.storage.database import Database

DIRECTION = "CASE WHEN device = x'' THEN 'out' ELSE 'in' END AS direction"
COLUMNS = f"number, id, user, {DIRECTION}, text, route, state, sent_at, received_at, read_at, address, author"

NOWHERE = -1
"""The number of no message."""

Place = bytes | int
"""A message's id, or its number in this home."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of a conversation. ``direction`` is "in" or "out"; times in milliseconds since 1970.

    ``number`` is its place in this home: later messages have greater ones, whoever they are from.
    """

    number: int
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


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A conversation: with whom, what was said last, and how much of it has not been read here."""

    user: str
    last: HistoryEntry
    unread: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """``count`` messages are gone; ``kept`` are still on their way, and stay."""

    count: int
    kept: int


@dataclass(frozen=True, slots=True)
class Window:
    """Which messages: of ``user`` (None: of everyone), with numbers between ``after`` and ``before``, neither included.

    ``oldest``: the first ``limit`` of them rather than the last.
    """

    user: str | None
    limit: int
    before: int | None = None
    after: int | None = None
    oldest: bool = False

    def conditions(self) -> tuple[list[str], list[object]]:
        """As SQL, with its values."""
        given = (("user = ?", self.user), ("number < ?", self.before), ("number > ?", self.after))
        return [sql for sql, value in given if value is not None], [value for _, value in given if value is not None]

    @property
    def order(self) -> str:
        """The rest of the query."""
        return f"ORDER BY number {'ASC' if self.oldest else 'DESC'} LIMIT {int(self.limit)}"


class History:
    """The history in a home's ``database``, which holds its outbox, too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self) -> Deferred[None]:
        """Have whatever is deleted from now on overwritten, and not just let go of; to be called first."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA secure_delete = ON")

        return self._database.write(work)

    def page(
        self,
        user: str | None,
        *,
        search: str = "",
        limit: int = HISTORY_PAGE,
        before: Place | None = None,
        after: Place | None = None,
        oldest: bool = False,
    ) -> Deferred[list[HistoryEntry]]:
        """Up to ``limit`` messages of the conversation with ``user`` (None: of all), oldest first.

        :param search: only those that contain this text, whatever its case.
        :param before: only those that this home knew before that message; the newest of them.
        :param after: only those that it knew after that one; then the oldest of them.
        :param oldest: begin with the oldest.
        """

        def work(connection: sqlite3.Connection) -> list[HistoryEntry]:
            forward = oldest or (after is not None and before is None)
            most = max(1, min(limit, HISTORY_PAGE))
            window = Window(user, most, _number(connection, user, before), _number(connection, user, after), forward)
            if NOWHERE in (window.before, window.after):
                return []
            found = _search(connection, window, search) if search else _select(connection, window)
            return found if forward else found[::-1]

        return self._database.read(work)

    def conversations(self) -> Deferred[list[ConversationSummary]]:
        """All conversations, the one that was heard of last first."""

        def work(connection: sqlite3.Connection) -> list[ConversationSummary]:
            users = [row[0] for row in connection.execute(_USERS)]
            unread = dict(connection.execute(_UNREAD).fetchall())
            lasts = ((user, _select(connection, Window(user, 1))) for user in users)
            found = [ConversationSummary(user, last[0], unread.get(user, 0)) for user, last in lasts if last]
            return sorted(found, key=lambda each: each.last.number, reverse=True)

        return self._database.read(work)

    def unread(self, user: str) -> Deferred[int]:
        """How many messages of the conversation with ``user`` have not been seen."""

        def work(connection: sqlite3.Connection) -> int:
            query = "SELECT count(*) FROM messages WHERE user = ? AND state = 'received'"
            return int(connection.execute(query, (user,)).fetchone()[0])

        return self._database.read(work)

    async def delete(self, user: str, ids: Sequence[bytes] | None = None) -> Deleted:
        """Take the messages of these ids, or all, out of the conversation with ``user``. Nobody else is told.

        Messages of mine that somebody has yet to get are kept.
        """
        deleted: Deleted = await self._database.write(lambda connection: _delete(connection, user, ids))
        if deleted.count:
            await self._database.empty_log()
            self._database.drop_backups()
        return deleted


_USERS = """
WITH RECURSIVE people (user) AS (
    SELECT min(user) FROM messages
    UNION ALL
    SELECT (SELECT min(user) FROM messages WHERE user > people.user) FROM people WHERE people.user IS NOT NULL
)
SELECT user FROM people WHERE user IS NOT NULL
"""
"""Each user once, by one step in the index for each."""

_UNREAD = "SELECT user, count(*) FROM messages WHERE state = 'received' GROUP BY user"


def _number(connection: sqlite3.Connection, user: str | None, place: Place | None) -> int | None:
    """The number of the message at ``place``; one that no message has when there is none of that id."""
    if place is None or isinstance(place, int):
        return place
    (number,) = connection.execute(
        "SELECT min(number) FROM messages WHERE id = ?1 AND (?2 IS NULL OR user = ?2)", (place, user)
    ).fetchone()
    return NOWHERE if number is None else int(number)


def _select(
    connection: sqlite3.Connection, window: Window, *more: str, values: tuple[object, ...] = ()
) -> list[HistoryEntry]:
    conditions, given = window.conditions()
    where = " AND ".join([*more, *conditions]) or "true"
    query = f"SELECT {COLUMNS} FROM messages WHERE {where} {window.order}"  # noqa: S608 - of constants alone
    return [HistoryEntry(*row) for row in connection.execute(query, (*values, *given))]


def _search(connection: sqlite3.Connection, window: Window, wanted: str) -> list[HistoryEntry]:
    """What contains ``wanted``, in the order of the window."""
    try:
        wanted.encode()
    except UnicodeEncodeError:  # half a character, which no text contains
        return []
    if len(wanted) < INDEXED:
        return _scan(connection, window, wanted)
    indexed = [] if "\0" in wanted else _look_up(connection, window, wanted)
    beside = _beside_index(connection, window, wanted)
    if not beside:
        return indexed
    known = {entry.number for entry in indexed}
    both = merge(
        indexed,
        (entry for entry in beside if entry.number not in known),
        key=lambda entry: entry.number,
        reverse=not window.oldest,
    )
    return list(both)[: window.limit]


def _look_up(connection: sqlite3.Connection, window: Window, wanted: str) -> list[HistoryEntry]:
    """By the index. A phrase in double quotes is text to FTS5, whatever is in it, once its own quotes are doubled."""
    conditions, given = window.conditions()
    conditions = [condition.replace("number", "messages_text.rowid") for condition in conditions]
    where = " AND ".join(["messages_text MATCH ?", *conditions])
    order = window.order.replace("number", "messages_text.rowid")
    columns = COLUMNS.replace("text,", "messages.text,")
    tables = "messages_text JOIN messages ON messages.number = messages_text.rowid"
    query = f"SELECT {columns} FROM {tables} WHERE {where} {order}"  # noqa: S608 - of constants alone
    phrase = '"' + wanted.replace('"', '""') + '"'
    return [HistoryEntry(*row) for row in connection.execute(query, (phrase, *given))]


def _beside_index(connection: sqlite3.Connection, window: Window, wanted: str) -> list[HistoryEntry]:
    """Among the messages with a NUL, behind which nothing is indexed."""
    everything = Window(window.user, -1, window.before, window.after, window.oldest)
    found = _select(connection, everything, "instr(text, char(0)) > 0")
    return [entry for entry in found if contains(entry.text, wanted)][: window.limit]


def _scan(connection: sqlite3.Connection, window: Window, wanted: str) -> list[HistoryEntry]:
    ways = spellings(wanted)
    return _select(connection, window, "(" + " OR ".join(["instr(text, ?)"] * len(ways)) + ")", values=tuple(ways))


def _delete(connection: sqlite3.Connection, user: str, ids: Sequence[bytes] | None) -> Deleted:
    count = kept = 0
    gone = _GONE
    for everything, id in [(True, b"")] if ids is None else [(False, id) for id in ids]:
        which = (user, everything, id)
        connection.execute(f"INSERT OR IGNORE INTO forgotten SELECT user, device, id {gone}", which)
        for drop in _DROP_COPIES:
            connection.execute(f"{drop} {gone})", which)
        count += connection.execute(f"DELETE {gone}", which).rowcount
        kept += connection.execute(f"SELECT count(*) {_ALL}", which).fetchone()[0]
    if count:
        _purge_index(connection)
    return Deleted(count, kept)


_DROP_COPIES = (
    "DELETE FROM copies WHERE (conversation, message) IN (SELECT user, id",
    "DELETE FROM group_receipts WHERE ('#' || group_name, message) IN (SELECT user, id",
    "DELETE FROM group_envelopes WHERE ('#' || group_name, message) IN (SELECT user, id",
)
_ALL = "FROM messages WHERE user = ? AND (? OR id = ?)"
_GONE = f"""{_ALL} AND state != 'waiting' AND NOT EXISTS (
    SELECT 1 FROM copies WHERE conversation = messages.user AND message = messages.id AND copies.state = 'waiting'
) AND NOT EXISTS (
    SELECT 1 FROM group_copies WHERE '#' || group_name = messages.user AND message = messages.id
    AND group_copies.state = 'waiting'
)"""  # noqa: S608 - of constants
"""What waits has yet to be got by some device, and stays until then."""


def _purge_index(connection: sqlite3.Connection) -> None:
    """Merge the index into one segment, in which nothing of what was deleted is left."""
    connection.execute("INSERT INTO messages_text (messages_text) VALUES ('optimize')")
