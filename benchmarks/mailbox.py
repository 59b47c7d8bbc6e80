"""How fast does mail get into mailboxes durably, and does somebody with much of it get in the others' way?

First: the server's storage takes 300-byte messages for a hundred devices, as many to one commit as come while the last
is under way (what the server does), and one commit for each message. Both end on the disk (``synchronous = FULL``); the
folder is that of ``--folder``. Beside it the whole way: four senders over TLS to a real server, until it has said
`Stored`.

Second: a user with 10,000 waiting messages signs in, fetches them in pages and acknowledges each; meanwhile two others
send each other a message every 4 ms, which are timed. Compared with the same two while nobody fetches.

    python -m benchmarks.mailbox          # about a minute
    python -m benchmarks.mailbox --messages 2000 --rounds 1
"""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import react

from benchmarks.common import (
    Figures,
    Rig,
    interleave,
    parser,
    patient,
    print_machine,
    print_table,
    print_targets,
    write_json,
)
from benchmarks.p2pim_rig import Server, seed
from benchmarks.server_client import ServerClient, device_of, tls_context
from p2pim.storage import mail
from p2pim.storage.database import Database
from p2pim.storage.mail import Letter, Quota
from p2pim.wire.mail import AckMail, FetchMail, Mail, Stored
from p2pim.wire.messages import MESSAGE, SIGNAL, Done, Incoming, Send

PAYLOAD = os.urandom(300)
QUOTA = Quota(10_000_000, 1 << 40)
SETTINGS = "[mail]\nmessages = 10000000\nmegabytes = 100000\n[limits]\nheartbeat = 3600.0\npatience = 3600.0\n"
SENDERS, WINDOW, TURN = 4, 4_000, 200
"""Connections, messages of each that are not stored yet, and messages written at once."""
DEVICES = 100
PACE = 0.004


def letters(count: int) -> Iterator[Letter]:
    """Messages of one sender for `DEVICES` devices in turn."""
    for number in range(count):
        name = f"user{number % DEVICES}"
        identity = number.to_bytes(16, "big")
        yield Letter(name, device_of(name), "sender", device_of("sender"), MESSAGE, identity, PAYLOAD, time.time())


# --- storage


def store(folder: Path, count: int, grouped: bool) -> Figures:
    """Messages per second into the database; in a process of its own, since a reactor runs once."""
    return {"messages/s": _in_child(_store, folder, count, grouped)}


def _store(done: Connection, folder: Path, count: int, grouped: bool) -> None:
    path = Path(tempfile.mkdtemp(dir=folder)) / "server.db"
    seed(path, [f"user{number}" for number in range(DEVICES)], {})

    async def main(clock: Any) -> None:
        database = Database(clock, path, "server")
        before = time.perf_counter()
        await (_grouped if grouped else _singly)(database, count)
        done.send(count / (time.perf_counter() - before))
        await database.close()

    react(lambda clock: Deferred.fromCoroutine(main(clock)))


async def _grouped(database: Database, count: int) -> None:
    """A turn's worth after the other, not more than a few under way: as a server that reads from its clients."""
    waiting: list[Deferred[Any]] = []
    batch: list[Letter] = []
    for letter in letters(count):
        batch.append(letter)
        if len(batch) == TURN:
            waiting.append(database.write(partial(mail.keep, letters=batch, quota=QUOTA)))
            batch = []
        if len(waiting) == SENDERS * WINDOW // TURN:
            await DeferredList(waiting[: len(waiting) // 2], fireOnOneErrback=True)
            waiting = waiting[len(waiting) // 2 :]
    waiting.append(database.write(partial(mail.keep, letters=batch, quota=QUOTA)))
    await DeferredList(waiting, fireOnOneErrback=True)


async def _singly(database: Database, count: int) -> None:
    for letter in letters(count):
        await database.write(partial(mail.keep, letters=[letter], quota=QUOTA))


def _in_child(function: Any, *arguments: Any) -> float:
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    child = multiprocessing.get_context("fork").Process(target=function, args=(theirs, *arguments))
    child.start()
    result: float = ours.recv()
    child.join()
    return result


# --- the whole way


def through_server(rig: Rig, count: int) -> Figures:
    """Messages per second from senders over TLS into mailboxes, by the server's word."""
    names = [f"sender{number}" for number in range(SENDERS)] + [f"user{number}" for number in range(DEVICES)]
    server = Server(rig, settings=SETTINGS, users=names)
    before, cpu = time.perf_counter(), server.program.cpu_seconds()
    children = []
    for name in names[:SENDERS]:
        child = multiprocessing.get_context("fork").Process(target=_send, args=(server.port, name, count // SENDERS))
        child.start()
        children.append(child)
    for child in children:
        child.join()
        if child.exitcode:
            raise RuntimeError("a sender failed")
    seconds, cpu = time.perf_counter() - before, server.program.cpu_seconds() - cpu
    with closing(sqlite3.connect(server.data / "server.db")) as db:
        (found,) = db.execute("SELECT count(*) FROM mail").fetchone()
    server.program.stop()
    if found != count // SENDERS * SENDERS:
        raise RuntimeError(f"{found} messages are in the mailboxes, {count} were acknowledged")
    return {"messages/s": count / seconds, "server's CPU": cpu / seconds}


def _send(port: int, name: str, count: int) -> None:
    client = ServerClient(port, tls_context())
    client.sign_in(name)
    sent = stored = 0
    while stored < count:
        while sent < count and sent - stored < WINDOW:
            part = range(sent, min(sent + TURN, count))
            client.send(*[_envelope(f"user{number % DEVICES}", number) for number in part])
            sent = part.stop
        answer = client.read_until(lambda message: isinstance(message, Stored))
        assert isinstance(answer, Stored)
        stored += len(answer.ids)
    client.close()


def _envelope(to: str, number: int) -> Send:
    return Send(number, to, device_of(to), MESSAGE, PAYLOAD, number.to_bytes(16, "big"))


# --- somebody with much mail


def arrival(rig: Rig, waiting: int) -> Figures:
    """One with so much ``waiting`` mail signs in while two others talk."""
    server = Server(rig, settings=SETTINGS, users=["sender", "user0", "ann", "bob"])
    if waiting:
        with closing(sqlite3.connect(server.data / "server.db")) as db, db:
            to = device_of("user0")
            full = [letter._replace(to="user0", to_device=to) for letter in letters(waiting)]
            mail.keep(db, full, QUOTA)
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    talk = multiprocessing.get_context("fork").Process(target=_talk, args=(theirs, server.port))
    talk.start()
    ours.recv()
    time.sleep(1.0)
    before = time.perf_counter()
    fetched = _fetch(server.port) if waiting else 0
    seconds = time.perf_counter() - before
    if fetched != waiting:
        raise RuntimeError(f"{fetched} of {waiting} messages came")
    time.sleep(max(0.0, 3.0 - seconds))
    ours.send((before, before + max(seconds, 0.5)))
    delays: list[float] = ours.recv()
    talk.join()
    server.program.stop()
    return {
        "seconds": seconds,
        "median ms": statistics.median(delays) * 1000,
        "p99 ms": statistics.quantiles(delays, n=100)[98] * 1000,
    }


def _fetch(port: int) -> int:
    client = ServerClient(port, tls_context())
    client.sign_in("user0")
    after = count = 0
    more = True
    while more:
        client.send(FetchMail(1, after))
        page = client.read_until(lambda message: isinstance(message, Mail))
        assert isinstance(page, Mail)
        count, more, after = count + len(page.items), page.more, page.items[-1].number
        client.send(AckMail(2, after))
    client.read_until(lambda message: isinstance(message, Done))
    client.close()
    return count


def _talk(told: Connection, port: int) -> None:
    """Ann writes to Bob; how long each message took that was sent within the time asked for."""
    context = tls_context()
    ann, bob = ServerClient(port, context), ServerClient(port, context)
    ann.sign_in("ann")
    bob.sign_in("bob")
    sent: list[tuple[float, float]] = []
    told.send("ready")
    while not told.poll():
        at = time.perf_counter()
        ann.send(Send(1, "bob", device_of("bob"), SIGNAL, PAYLOAD))
        bob.read_until(lambda message: isinstance(message, Incoming))
        took = time.perf_counter() - at
        sent.append((at, took))
        time.sleep(max(0.0, PACE - took))
    begin, end = told.recv()
    told.send([took for at, took in sent if begin <= at <= end])


# --- all of it


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--messages", type=int, default=100_000, help="into mailboxes (default 100000)")
    options.add_argument("--waiting", type=int, default=10_000, help="for the one who signs in (default 10000)")
    options.set_defaults(rounds=3)
    given = options.parse_args()
    with patient(), Rig(given.folder) as rig:
        into = {
            "many to a commit": lambda: store(rig.folder, given.messages, True),
            "one to a commit": lambda: store(rig.folder, max(1, given.messages // 50), False),
            "through the server": lambda: through_server(rig, given.messages),
        }
        out = {
            "while somebody fetches": lambda: arrival(rig, given.waiting),
            "while nobody does": lambda: arrival(rig, 0),
        }
        stored, fetched = interleave(into, given.rounds), interleave(out, given.rounds)
    print_machine()
    print_table(
        "Into mailboxes, 300 bytes each, durably",
        ["", "messages/s", "server's CPU"],
        [[name, figures["messages/s"], figures.get("server's CPU", "")] for name, figures in stored.items()],
    )
    print_table(
        f"{given.waiting:,} waiting messages are fetched, and others' messages meanwhile",
        ["", "seconds", "median ms", "p99 ms"],
        [[name, *(figures[key] for key in ("seconds", "median ms", "p99 ms"))] for name, figures in fetched.items()],
    )
    busy = fetched["while somebody fetches"]
    print_targets(
        [
            ("messages/s into mailboxes, many to a commit", stored["many to a commit"]["messages/s"], 20_000, True),
            ("messages/s through the server", stored["through the server"]["messages/s"], 20_000, True),
            (f"seconds for {given.waiting:,} waiting messages", busy["seconds"], 5.0, False),
            ("p99 of others' messages meanwhile, ms", busy["p99 ms"], 50.0, False),
        ]
    )
    write_json(given.json, {**stored, **fetched})


if __name__ == "__main__":
    main()
