"""What survives: kill -9 of the server and of both agents, and a database that fails, while messages flow.

    python -m benchmarks.faults                       # 20 kills each in 20,000 messages, then the failing databases
    python -m benchmarks.faults --messages 2000 --kills 3

A message is acknowledged once the sender's agent has given it an id. It is shown when the receiver's agent announced
it, or its history has it. Messages are handed in one after the other, which is their order.

The databases fail in two ways for five seconds each: another process holds the lock on the server's, and the file
system of the server's, the sender's or the receiver's data is full (a tmpfs of its own; needs root). While they do,
nothing may be acknowledged that is gone afterwards; and messages must flow again within five seconds of the end.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.common import Rig, note, patient, print_machine, print_table, print_targets, run, wait_until
from benchmarks.fault_flow import COLUMNS, Feeder, Verdict, judge
from benchmarks.fault_town import FLOW, Mortal, Person, Receiver, Server, soon

FAULT = 5.0
"""Seconds for which a database fails."""
RECOVERY = 5.0
"""Seconds after which messages flow again, at the most."""
FULL = 48 * 1024 * 1024
"""Bytes of a file system that is going to be full."""
FLOWING = 20
"""Messages that must have come before a fault begins, and after its end."""


class Town:
    """A server, a sender and a receiver, and a flow between the two.

    :param disks: the folder under which each has its data.
    :param channel: "tcp": there is a direct channel; "none": all goes through the server.
    """

    def __init__(self, rig: Rig, disks: Path, channel: str) -> None:
        self.server = Server(rig, disks / "server")
        options = ("--channel", channel, "--connect", "chat" if channel != "none" else "never", "--p2p-server", "none")
        self.sender = Person(rig, self.server, "alice", disks / "sender", options)
        self.receiver = Receiver(rig, self.server, "bob", disks / "receiver", options)
        self.server.start()
        for person in (self.sender, self.receiver):
            person.register()
            person.start()
        self.feeder = Feeder(self.sender, self.receiver)

    def stop(self) -> None:
        """End everybody."""
        for mortal in (self.sender, self.receiver, self.server):
            with contextlib.suppress(ProcessLookupError):
                mortal.end()


# --- kill -9


def kills(town: Town, rng: random.Random, messages: int, count: int) -> tuple[Verdict, dict[str, list[float]]]:
    """End each of the three ``count`` times while ``messages`` flow; and how long it was each time until they did."""
    victims: list[Mortal] = [town.server, town.sender, town.receiver] * count
    rng.shuffle(victims)
    gap = 1.2 * messages / max(1, len(victims))
    pauses: dict[str, list[float]] = {"server": [], "alice": [], "bob": []}
    town.feeder.start()
    for number, victim in enumerate(victims, start=1):
        town.receiver.wait_count(town.receiver.count + rng.randrange(1, max(FLOWING, int(gap))))
        soon(rng)
        ended = time.monotonic()
        victim.end()
        victim.start()
        town.receiver.wait_count(town.receiver.count + 1)
        pauses[victim.name].append(time.monotonic() - ended)
        note(f"[{number}/{len(victims)}] {victim.name}: {pauses[victim.name][-1]:.1f} s; {town.receiver.count} shown")
    wait_until(lambda: len(town.feeder.accepted) >= messages, "all messages are handed in", 600.0)
    town.feeder.finish()
    return judge(town.feeder, town.sender, town.receiver), pauses


# --- databases that fail


@contextlib.contextmanager
def lock_held(path: Path) -> Iterator[None]:
    """Another program writes to the database, and does not come to an end."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30.0)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@contextlib.contextmanager
def disk_full(folder: Path) -> Iterator[None]:
    """No byte more fits into the file system of ``folder``."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    try:
        yield
    finally:
        filler.unlink()


@contextlib.contextmanager
def small_disks(rig: Rig, names: tuple[str, ...]) -> Iterator[Path]:
    """A folder with a file system of its own for each of ``names``."""
    folder = Path(tempfile.mkdtemp(prefix="disks-", dir=rig.folder))
    mounted: list[Path] = []
    try:
        for name in names:
            (folder / name).mkdir(mode=0o700)
            run("mount", "-t", "tmpfs", "-o", f"size={FULL},mode=0700", "tmpfs", folder / name)
            mounted.append(folder / name)
        yield folder
    finally:
        for mount in mounted:
            run("umount", "--lazy", mount)


def database_fails(
    town: Town, fault: Callable[[], contextlib.AbstractContextManager[None]]
) -> tuple[Verdict, float, int]:
    """Let messages flow through ``fault``; also seconds until they did after it, and how many came during it."""
    town.feeder.start()
    town.receiver.wait_count(FLOWING)
    with fault():
        known = town.receiver.count
        time.sleep(FAULT)
        during = town.receiver.count - known
    ended, known = time.monotonic(), town.receiver.count
    town.receiver.wait_count(known + FLOWING)
    recovery = time.monotonic() - ended
    time.sleep(1.0)
    town.feeder.finish()
    for mortal in (town.server, town.sender, town.receiver):  # what was acknowledged is on the disk
        mortal.end()
        mortal.begin()
    for mortal in (town.server, town.sender, town.receiver):
        mortal.wait()
    return judge(town.feeder, town.sender, town.receiver), recovery, during


# --- the program


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000, help="that flow while programs are ended")
    parser.add_argument("--kills", type=int, default=20, help="of each of the three programs")
    parser.add_argument("--only", default="kills,lock,full", help="of these (default all): kills, lock, full")
    parser.add_argument("--route", choices=("direct", "server"), default="server", help="which way messages take")
    parser.add_argument("--seed", type=int, help="of the instants; another one each time unless given")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--folder", type=Path, help="make the temporary directory in this one")
    return parser.parse_args()


class Report:
    """The rows of the tables, and what was to be reached."""

    def __init__(self) -> None:
        self.rows: list[tuple[object, ...]] = []
        self.pauses: list[tuple[object, ...]] = []
        self.targets: list[tuple[str, float, float, bool]] = []
        self.results: dict[str, object] = {}

    def add(self, name: str, verdict: Verdict, feeder: Feeder) -> None:
        """What became of the messages in one part."""
        self.rows.append((name, *verdict.row()))
        self.results[name] = {**vars(verdict), "refused": feeder.refused, "unknown": feeder.unknown}
        bad = sum(verdict.row()[1:])
        self.targets.append((f"{name}: lost, doubled, disordered, invented or unconfirmed", bad, 0, False))

    def show(self) -> bool:
        """Print all of it; whether all was reached."""
        print_table("What became of the messages", COLUMNS, self.rows)
        if self.pauses:
            columns = ("until messages flow again, s", "times", "median", "longest")
            print_table("Interruptions", columns, self.pauses)
        print_machine()
        return print_targets(self.targets)


def run_kills(rig: Rig, report: Report, given: argparse.Namespace, rng: random.Random) -> None:
    """The part with kill -9."""
    town = Town(rig, Path(tempfile.mkdtemp(prefix="town-", dir=rig.folder)), channel_of(given))
    try:
        verdict, pauses = kills(town, rng, given.messages, given.kills)
    finally:
        town.stop()
    report.add(f"kill -9, {given.kills} times each", verdict, town.feeder)
    for name, of in pauses.items():
        if of:
            report.pauses.append((f"kill -9 of {name}", len(of), statistics.median(of), max(of)))


def run_database(rig: Rig, report: Report, given: argparse.Namespace, kind: str, whose: str) -> None:
    """A part with a database that fails: ``kind`` is "lock" or "full"."""
    disks = ("server", "sender", "receiver") if kind == "full" else ()
    name = f"{whose}: {'disk full' if kind == 'full' else 'database locked'}, {FAULT:g} s"
    note(name)
    with small_disks(rig, disks) as folder:
        town = Town(rig, folder, channel_of(given))

        def fault() -> contextlib.AbstractContextManager[None]:
            return disk_full(folder / whose) if kind == "full" else lock_held(folder / whose / "server.db")

        try:
            verdict, recovery, during = database_fails(town, fault)
        except TimeoutError as error:
            report.targets.append((f"{name}: {error}; seconds until messages flow again", FLOW, RECOVERY, False))
            return
        finally:
            town.stop()
    report.add(name, verdict, town.feeder)
    report.pauses.append((f"{name} ({during} came meanwhile)", 1, recovery, recovery))
    report.targets.append((f"{name}: seconds until messages flow again", recovery, RECOVERY, False))


def channel_of(given: argparse.Namespace) -> str:
    """The agents' --channel."""
    return "tcp" if given.route == "direct" else "none"


def main() -> int:
    """Run what was asked for."""
    given = options()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(2**32)
    rng, report, parts = random.Random(seed), Report(), given.only.split(",")
    note(f"--seed {seed}")
    with Rig(given.folder) as rig:
        if "kills" in parts:
            run_kills(rig, report, given, rng)
        if "lock" in parts:
            run_database(rig, report, given, "lock", "server")
        if "full" in parts and os.geteuid():
            note("full: needs root to make a small file system; left away")
        elif "full" in parts:
            for whose in ("server", "sender", "receiver"):
                run_database(rig, report, given, "full", whose)
    good = report.show()
    if given.json is not None:
        given.json.write_text(json.dumps(report.results, indent=2) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    with patient():
        sys.exit(main())
