"""How far members are with messages of mine to groups, noted inside transactions. Times: milliseconds since 1970."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from p2pim.core.delivery import DELIVERED, STORED
from p2pim.core.sealing import DeviceRef
from p2pim.storage.group_keys import GroupKeyRows
from p2pim.storage.inbox import GroupReceipt

RANK = {"sent": 0, STORED: 1, DELIVERED: 2, "read": 3}
"""States in the order in which they are reached."""


def confirm_in(
    db: sqlite3.Connection, me: str, ref: DeviceRef, messages: Sequence[bytes], state: str, at: int
) -> list[GroupReceipt]:
    """A receipt of ``ref`` for messages, of which some may be to groups."""
    receipts = []
    for id in messages:
        row = db.execute(
            "SELECT group_name FROM group_receipts WHERE message = ?1"
            " UNION SELECT group_name FROM group_envelopes WHERE message = ?1",
            (id,),
        ).fetchone()
        if row is not None and state in (DELIVERED, "read"):
            receipts.append(_confirm_one(db, row[0], me, ref, id, state, at))
    return receipts


def _confirm_one(
    db: sqlite3.Connection, group: str, me: str, ref: DeviceRef, id: bytes, state: str, at: int
) -> GroupReceipt:
    db.execute(
        "UPDATE group_copies SET state = 'delivered' WHERE group_name = ? AND message = ? AND user = ? AND device = ?",
        (group, id, ref.user, ref.device),
    )
    session = db.execute(
        "SELECT session FROM group_envelopes WHERE group_name = ? AND message = ?", (group, id)
    ).fetchone()
    if session is not None and session[0]:
        GroupKeyRows(db).arrived(ref, session=session[0])
    news = ref.user != me and advance(db, group, id, ref.user, state, at)
    by_all = reached(db, group, id, "", "", at)
    settle_in(db, group, id)
    return GroupReceipt(group, id, ref.user, ref.device, state, news, by_all)


def settle_in(db: sqlite3.Connection, group: str, id: bytes) -> None:
    """When all devices have it, the envelope need not be kept."""
    left = db.execute(
        "SELECT 1 FROM group_copies WHERE group_name = ? AND message = ? AND state <> 'delivered'", (group, id)
    ).fetchone()
    if left is None:
        db.execute("DELETE FROM group_envelopes WHERE group_name = ? AND message = ?", (group, id))


def advance(db: sqlite3.Connection, group: str, message: bytes, user: str, state: str, at: int) -> bool:
    """A member has come so far; whether that is news."""
    row = db.execute(
        "SELECT state FROM group_receipts WHERE group_name = ? AND message = ? AND user = ?", (group, message, user)
    ).fetchone()
    if row is None or RANK[row[0]] >= RANK[state]:
        return False
    db.execute(
        "UPDATE group_receipts SET state = ?, at = ? WHERE group_name = ? AND message = ? AND user = ?",
        (state, at, group, message, user),
    )
    return True


def reached(db: sqlite3.Connection, group: str, message: bytes, route: str, address: str, at: int) -> str:
    """What all members have reached, which is the message's state; empty when some have nothing yet."""
    states = [
        row[0]
        for row in db.execute("SELECT state FROM group_receipts WHERE group_name = ? AND message = ?", (group, message))
    ]
    least = min(states, key=lambda state: RANK[state], default=DELIVERED)
    if least == "sent":
        return ""
    db.execute(
        "UPDATE messages SET state = ?1,"
        " received_at = coalesce(received_at, CASE ?1 WHEN 'stored' THEN NULL ELSE ?2 END),"
        " read_at = CASE ?1 WHEN 'read' THEN coalesce(read_at, ?2) ELSE read_at END,"
        " route = CASE WHEN ?1 = 'stored' AND ?3 <> '' THEN ?3 ELSE route END,"
        " address = CASE WHEN ?1 = 'stored' AND ?3 <> '' THEN ?4 ELSE address END"
        " WHERE user = ?5 AND device = x'' AND id = ?6 AND state NOT IN ('failed', 'read', ?1)",
        (least, at, route, address, "#" + group, message),
    )
    return least


def mark_read(db: sqlite3.Connection, conversation: str, at: int) -> list[tuple[str, bytes, bytes]]:
    """All that others said in ``#NAME`` has been seen; (author, device, id) where that is new."""
    rows = db.execute(
        "UPDATE messages SET state = 'read', read_at = ? WHERE user = ? AND state = 'received'"
        " RETURNING author, device, id",
        (at, conversation),
    ).fetchall()
    return [(row[0], row[1], row[2]) for row in rows]
