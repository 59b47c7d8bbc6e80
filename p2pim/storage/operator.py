"""The operator's password in the server's database."""

from __future__ import annotations

import sqlite3


def set_password(db: sqlite3.Connection, password: str) -> None:
    """Set the password of the operator's page (a hash)."""
    db.execute("INSERT OR REPLACE INTO operator (id, password) VALUES (1, ?)", (password,))


def get_password(db: sqlite3.Connection) -> str | None:
    """The hash of the operator's password; None when none was set."""
    row = db.execute("SELECT password FROM operator WHERE id = 1").fetchone()
    return row[0] if row is not None else None
