"""The operator's commands, from a program of their own: through the running server, or on a stopped server's files.

`run` is all that a command needs. Requests and answers on the socket are lines of JSON:
``{"id": 1, "method": "user-add", "params": {"user": …}}``, answered by ``{"id": 1, "result": {…}}`` or
``{"id": 1, "error": CODE, "message": …}``. Methods and their parameters:

===================  ==========================  ===================================================
method               parameters                  result
===================  ==========================  ===================================================
``user-add``         user, password              user
``user-delete``      user                        user, groups (that it was in)
``user-disable``     user                        user, disabled
``user-enable``      user                        user, disabled
``user-password``    user, password              user
``user-list``                                    users: [user, disabled, created_at, devices, counters]
``kick``             user                        user, sessions
``invite``           days (optional)             invite, expires_at
``stats``                                        running, accounts, online, users: [user, counters, sessions],
                                                 p2p: counters of the P2P server, or null,
                                                 classic: counters of the classic gateway, or null,
                                                 mail: messages, bytes, devices, oldest
``operator-password``  password                  operator
``web``              (server running)            url: opens the operator's page, once
``backup``           file                        file, bytes
``restore``          file (server stopped)       file, users
``check``                                        ok, problems, users, fingerprint
===================  ==========================  ===================================================
"""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from p2pim.errors import P2pimError, StorageError, TimedOut, Usage, from_wire
from p2pim.server import operations
from p2pim.server.folder import DataFolder
from p2pim.server.operations import Json, Params
from p2pim.server.passwords import check_new_password, hash_password
from p2pim.storage.database import prepare_file

PATIENCE = 60.0
"""Seconds in which a running server must answer; a backup of a large database takes some."""


def run(data: Path, method: str, params: Params) -> Json:
    """Carry out an operator's command and give its result. Blocks.

    :param data: the server's data folder.
    :raises P2pimError: why it could not be done.
    """
    folder = DataFolder(data)
    if not folder.database.exists() and method != "restore":
        raise StorageError(f"{folder.path} is not the data folder of a p2pim server.")
    params = _absolute(params)
    try:
        with closing(_connect(folder)) as connection:
            if method == "restore":
                raise Usage("A backup is restored while the server is stopped; stop it first.")
            return _ask(connection, method, params)
    except (FileNotFoundError, ConnectionRefusedError):
        return run_stopped(folder, method, params)
    finally:
        folder.unlock()


def run_stopped(folder: DataFolder, method: str, params: Params) -> Json:
    """Carry out a command on the files of a server that does not run.

    :raises StorageError: it does run.
    """
    folder.make()
    folder.lock()
    try:
        if method == "restore":
            return operations.restore(folder, params)
        if method in operations.HASHED:
            params = {**params, "password": hash_password(check_new_password(operations.text_of(params, "password")))}
        return _run_directly(folder, method, params)
    finally:
        folder.unlock()


def _run_directly(folder: DataFolder, method: str, params: Params) -> Json:
    if method == "web":
        raise Usage("The operator's page is served by the running server, and this one does not run: start it first.")
    if method == "operator-password":
        folder.page_sessions.unlink(missing_ok=True)
    operation = {**operations.WRITES, **operations.reads(folder)}.get(method)
    if operation is None:
        raise Usage(f"There is no command {method!r}.")
    prepare_file(folder.database, "server")
    try:
        with closing(sqlite3.connect(folder.database)) as db:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA foreign_keys = ON")
            with db:
                return operation(db, params, time.time())
    except sqlite3.Error as error:
        raise StorageError(f"The database {folder.database} cannot be used: {error}") from error


def _absolute(params: Params) -> Params:
    """File names as the server will understand them."""
    return {**params, "file": str(Path(params["file"]).absolute())} if "file" in params else params


def _connect(folder: DataFolder) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(PATIENCE)
        connection.connect(folder.socket_address())
    except OSError:
        connection.close()
        raise
    return connection


def _ask(connection: socket.socket, method: str, params: Params) -> Json:
    try:
        connection.sendall(json.dumps({"id": 1, "method": method, "params": params}).encode() + b"\n")
        with connection.makefile("rb") as lines:
            line = lines.readline()
        answer: Json = json.loads(line)
    except TimeoutError:
        raise TimedOut("The server does not answer on its socket.") from None
    except (OSError, ValueError) as error:
        raise P2pimError(f"The server's answer could not be read: {error}") from error
    if "error" in answer:
        raise from_wire(answer["error"], answer["message"])
    result: Json = answer["result"]
    return result
