"""What an operator can do to accounts and the database.

Functions of a connection, for a running server and a stopped one. Each
takes the connection, the request's parameters and the time, and gives a JSON object.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509

from p2pim.core.limits import INVITE_LIFETIME
from p2pim.core.names import canonical_name
from p2pim.errors import NoSuchUser, P2pimError, StorageError, Usage
from p2pim.net.certificates import fingerprint_of_pem, format_fingerprint
from p2pim.net.server_tls import make_context
from p2pim.server.folder import DataFolder
from p2pim.storage import accounts, groups, mail, operator, stored_files
from p2pim.storage.database import prepare_file

Json = dict[str, Any]
Params = Mapping[str, Any]
Operation = Callable[[sqlite3.Connection, Params, float], Json]


def text_of(params: Params, key: str) -> str:
    """A parameter that must be there.

    :raises Usage: it is not, or is no text.
    """
    value = params.get(key)
    if not isinstance(value, str) or not value:
        raise Usage(f"The parameter {key!r} is missing.")
    return value


def user_of(params: Params) -> str:
    """The parameter "user", canonical.

    :raises BadName: it is no name.
    """
    return canonical_name(text_of(params, "user"))


# --- accounts


def user_add(db: sqlite3.Connection, params: Params, now: float) -> Json:
    """Make an account; ``password`` is a hash here."""
    accounts.add_account(db, user_of(params), text_of(params, "password"), now)
    return {"user": user_of(params)}


def user_delete(db: sqlite3.Connection, params: Params, now: float) -> Json:
    """End an account, which leaves its groups first."""
    left = groups.leave_all(db, user_of(params))
    accounts.delete_account(db, user_of(params))
    return {"user": user_of(params), "groups": [change.group.name for change in left]}


def user_disable(db: sqlite3.Connection, params: Params, now: float) -> Json:
    """Switch an account off."""
    accounts.set_disabled(db, user_of(params), True)
    return {"user": user_of(params), "disabled": True}


def user_enable(db: sqlite3.Connection, params: Params, now: float) -> Json:
    """Switch an account on again."""
    accounts.set_disabled(db, user_of(params), False)
    return {"user": user_of(params), "disabled": False}


def user_password(db: sqlite3.Connection, params: Params, now: float) -> Json:
    """Set a password (a hash here); every device must sign in with it."""
    accounts.set_password(db, user_of(params), text_of(params, "password"))
    return {"user": user_of(params)}


def user_list(db: sqlite3.Connection, params: Params, now: float) -> Json:
    """All accounts with their counters."""
    return {"users": accounts.list_accounts(db)}


def kick(db: sqlite3.Connection, params: Params, now: float) -> Json:
    """Sign a user's devices out; here only that the user exists. The sessions are the running server's."""
    if not accounts.exists(db, user_of(params)):
        raise NoSuchUser
    return {"user": user_of(params), "sessions": 0}


def invite(db: sqlite3.Connection, params: Params, now: float) -> Json:
    """An invitation, good once, for ``days`` (7 when not given)."""
    days = params.get("days")
    if days is not None and not (isinstance(days, (int, float)) and 0 < days <= 3650):
        raise Usage("An invitation lasts more than 0 and at most 3650 days.")
    code = secrets.token_urlsafe(16)
    expires = now + (INVITE_LIFETIME if days is None else days * 86_400.0)
    accounts.add_invite(db, code, now, expires)
    return {"invite": code, "expires_at": expires}


def stats(db: sqlite3.Connection, params: Params, now: float) -> Json:
    """What a stopped server knows: the counters, and the mail and files that wait."""
    users = [{**user, "online": False, "sessions": []} for user in accounts.list_accounts(db)]
    return {"running": False, "accounts": len(users), "online": 0, "users": users, "p2p": None, "classic": None,
            "mail": mail.totals(db), "files": stored_files.totals(db)}  # fmt: skip


def operator_password(db: sqlite3.Connection, params: Params, now: float) -> Json:
    """Set the password of the operator's page (a hash here)."""
    operator.set_password(db, text_of(params, "password"))
    return {"operator": True}


# --- the database as a whole


def backup(folder: DataFolder, db: sqlite3.Connection, params: Params, now: float) -> Json:
    """One SQLite file with the database, and the self-made certificate and key, without which every pin would break.

    The files that people left for others are not in it, since they are large and go soon: ``left_out`` counts them,
    and ``folder`` is what to copy to have them as well.
    """
    target = Path(text_of(params, "file")).absolute()
    aside = target.with_name(target.name + ".new")
    try:
        os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        with closing(sqlite3.connect(aside)) as copy:
            db.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            copy.execute("CREATE TABLE files (name TEXT PRIMARY KEY, content BLOB NOT NULL) STRICT")
            kept = [path for path in (folder.certificate, folder.key) if path.exists()]
            copy.executemany("INSERT INTO files VALUES (?, ?)", [(path.name, path.read_bytes()) for path in kept])
            copy.commit()
        aside.replace(target)
    except (OSError, sqlite3.Error) as error:
        aside.unlink(missing_ok=True)
        raise StorageError(f"The backup {target} could not be written: {error}") from error
    left = stored_files.totals(db)
    return {"file": str(target), "bytes": target.stat().st_size, "left_out": left, "folder": str(folder.files)}


def restore(folder: DataFolder, params: Params) -> Json:
    """Put a backup in the place of the present database, which is kept beside it. Only on a stopped server."""
    source = Path(text_of(params, "file")).absolute()
    aside = folder.database.with_name("server.db.new")
    try:
        aside.unlink(missing_ok=True)
        os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        shutil.copyfile(source, aside)
        files = _unpack(aside)
    except (OSError, sqlite3.Error) as error:
        aside.unlink(missing_ok=True)
        raise StorageError(f"{source} is no backup of a p2pim server: {error}") from error
    for name, content in files.items():
        _replace(folder.path / name, content)
    _set_aside(folder.database)
    aside.replace(folder.database)
    prepare_file(folder.database, "server")  # a backup of an older version is upgraded now, not at the next start
    with closing(sqlite3.connect(folder.database)) as db:
        (users,) = db.execute("SELECT count(*) FROM accounts").fetchone()
    return {"file": str(source), "users": users}


def _unpack(aside: Path) -> dict[str, bytes]:
    """Check the copy of a backup, take the files out of it, and leave the database alone in it."""
    with closing(sqlite3.connect(aside)) as db:
        (verdict,) = db.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict))
        db.execute("SELECT id, name, password FROM accounts LIMIT 1").fetchone()
        files = dict(db.execute("SELECT name, content FROM files WHERE name IN ('certificate.pem', 'key.pem')"))
        db.execute("DROP TABLE files")
        db.commit()
    return files


def _set_aside(database: Path) -> None:
    """Keep the present database, with what its log holds, as ``server.db.before-restore``."""
    if database.exists():
        with closing(sqlite3.connect(database)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.replace(database.with_name("server.db.before-restore"))
    for ending in ("-wal", "-shm"):
        database.with_name(database.name + ending).unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    if path.exists():
        path.replace(path.with_name(path.name + ".before-restore"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def check(folder: DataFolder, db: sqlite3.Connection, params: Params, now: float) -> Json:
    """Whether the database, the certificate and the files' modes are in order; what is not, one line each."""
    problems = [f"database: {row[0]}" for row in db.execute("PRAGMA integrity_check") if row[0] != "ok"]
    problems += [f"database: a row of {row[0]} points nowhere" for row in db.execute("PRAGMA foreign_key_check")]
    problems += [f"database: {problem}" for problem in mail.problems(db)]
    problems += stored_files.problems(db, folder.files)
    certificate, fingerprint = _check_certificate(folder, now)
    problems += certificate
    for path in (folder.path, folder.database, folder.key):
        if path.exists() and path.stat().st_mode & 0o077:
            problems.append(f"{path.name} can be read by others; run chmod go= {path}")
    (users,) = db.execute("SELECT count(*) FROM accounts").fetchone()
    return {"ok": not problems, "problems": problems, "users": users, "fingerprint": fingerprint}


def _check_certificate(folder: DataFolder, now: float) -> tuple[list[str], str | None]:
    if not folder.certificate.exists():
        return [], None
    try:
        make_context(folder.certificate, folder.key)
        pem = folder.certificate.read_bytes()
        ends = x509.load_pem_x509_certificate(pem).not_valid_after_utc
    except (OSError, P2pimError) as error:
        return [f"certificate: {error}"], None
    days = (ends - datetime.fromtimestamp(now, UTC)).days
    problems = [f"certificate: ends in {days} days"] if days < 30 else []
    return problems, format_fingerprint(fingerprint_of_pem(pem))


WRITES: dict[str, Operation] = {
    "user-add": user_add,
    "user-delete": user_delete,
    "user-disable": user_disable,
    "user-enable": user_enable,
    "user-password": user_password,
    "invite": invite,
    "operator-password": operator_password,
}


def reads(folder: DataFolder) -> dict[str, Operation]:
    """The operations that change nothing in the database."""
    return {
        "user-list": user_list,
        "stats": stats,
        "kick": kick,
        "backup": partial(backup, folder),
        "check": partial(check, folder),
    }


HASHED = ("user-add", "user-password", "operator-password")
"""Operations whose ``password`` is to be hashed before they are carried out."""
