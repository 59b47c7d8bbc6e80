"""The operator's series in the server's database: a ring per span, each step in the slot that its time falls on.

A step takes the place of the one that was there a whole span ago, so the table never grows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from p2pim.core.series import Point, Span

_COLUMNS = "at, seconds, connections, messages, relayed, requests, direct_messages, direct"


def load(db: sqlite3.Connection, span: Span) -> list[Point]:
    """All steps that are there, however old."""
    rows = db.execute(f"SELECT {_COLUMNS} FROM series WHERE step = ? ORDER BY at", (span.step,))  # noqa: S608
    return [Point(*row) for row in rows]


def write(db: sqlite3.Connection, span: Span, points: Iterable[Point]) -> None:
    """Write steps down as they are now."""
    db.executemany(
        f"INSERT OR REPLACE INTO series (step, slot, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        [(span.step, point.at // span.step % span.steps, *point) for point in points],
    )
