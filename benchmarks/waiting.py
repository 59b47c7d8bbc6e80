"""Somebody comes back to 10,000 messages, with real agents: how soon are all of them there, and who else feels it?

Alice's agent is handed the messages while bob is away, and the server puts them into his mailbox. Then bob's agent is
started: it signs in, fetches, opens, stores and announces them. Meanwhile (and for some seconds before) two other pairs
of agents talk through the same server, a message of each every 50 ms, which is timed from `msg` until it is delivered.

    python -m benchmarks.waiting          # about a minute
    python -m benchmarks.waiting --messages 1000 --rounds 1
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater, react

from benchmarks.common import (
    BIN,
    Figures,
    Rig,
    medians,
    note,
    parser,
    patient,
    print_machine,
    print_table,
    print_targets,
    run,
    write_json,
)
from benchmarks.p2pim_rig import PASSWORD, Server
from p2pim.web.agent_client import AgentClient, connect_agent

SETTINGS = "[mail]\nmessages = 1000000\nmegabytes = 10000\n"
IN_FLIGHT = 50
"""Messages that are handed in and not stored yet."""
PAIRS = (("ann", "ben"), ("cleo", "dan"))
PACE = 0.05
ALONE = 4.0
"""Seconds for which the pairs talk before bob comes."""
PATIENCE = 120.0
"""Seconds after which something has gone wrong."""


def nothing(item: Any) -> None:
    """For calls without items."""


class Resident:
    """Somebody with an agent, whose events go into a file."""

    def __init__(self, rig: Rig, server: Server, name: str) -> None:
        self.name = name
        self.home = rig.folder / f"{server.data.name}-{name}"
        self._rig = rig
        self._file: Path = rig.folder / f"{self.home.name}-agent.log"
        account = f"{name}@127.0.0.1:{server.port}"
        environment = {"P2PIM_PASSWORD": PASSWORD}
        arguments: list[str | Path] = ["--home", self.home, "register", account, "--fingerprint", server.fingerprint]
        run(BIN / "p2pim", *arguments, env=environment)
        self._read = 0
        self._rest = b""
        self.events: dict[str, list[tuple[float, dict[str, Any]]]] = {}

    async def up(self, clock: Any) -> AgentClient:
        """Start the agent; a connection to it once it is signed in."""
        options = ["--connect", "never", "--p2p-server", "none"]
        argv: list[str | Path] = [BIN / "p2pim", "--home", self.home, "--json", "up", *options]
        self._rig.start(f"{self.home.name}-agent", argv)
        await until(clock, lambda: self.heard("signed-in"), f"{self.name} signs in")
        client = await connect_agent(clock, self.home)
        assert client is not None
        return client

    def look(self) -> None:
        """Read the events that have been printed since the last look."""
        with self._file.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        now = time.perf_counter()
        for line in lines:
            if line.startswith(b"{"):
                event = json.loads(line)
                self.events.setdefault(event.get("event", ""), []).append((now, event))

    def heard(self, kind: str) -> list[tuple[float, dict[str, Any]]]:
        """The events of that kind, with when they were read."""
        if self._file.exists():
            self.look()
        return self.events.get(kind, [])


async def until(clock: Any, true: Any, what: str) -> None:
    """Look now and then.

    :raises TimeoutError: it does not become true.
    """
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {PATIENCE:g} s")
        await deferLater(clock, 0.02)


# --- handing in


async def hand_in(client: AgentClient, count: int) -> float:
    """Give so many messages to bob to alice's agent; seconds until all are in his mailbox."""
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            params = {"user": "bob", "text": text_of(number), "wait": True}
            result = await client.call("msg", params, nothing)
            if result["state"] != "stored":
                raise RuntimeError(f"message {number} is {result['state']}, and bob is away")

    began = time.perf_counter()
    await DeferredList([Deferred.fromCoroutine(some()) for _ in range(IN_FLIGHT)], fireOnOneErrback=True)
    return time.perf_counter() - began


def text_of(number: int) -> str:
    """A message of about 160 characters."""
    return f"{number} {'lorem ipsum dolor sit amet ' * 6}"


# --- the others


class Talk:
    """One of a pair writes to the other until it is told to stop."""

    def __init__(self, clock: Any, client: AgentClient, to: str) -> None:
        self._clock = clock
        self._client = client
        self._to = to
        self._stopped = False
        self.delays: list[tuple[float, float]] = []
        """When each was handed in, and the seconds until it was delivered."""

    async def run(self) -> None:
        """Write, one every `PACE`, whatever the answers take."""
        waiting: list[Deferred[None]] = []
        due = time.perf_counter()
        while not self._stopped:
            waiting.append(Deferred.fromCoroutine(self._one()))
            due += PACE
            await deferLater(self._clock, max(0.0, due - time.perf_counter()))
        await DeferredList(waiting, fireOnOneErrback=True)

    async def _one(self) -> None:
        began = time.perf_counter()
        result = await self._client.call("msg", {"user": self._to, "text": "x" * 160, "wait": True}, nothing)
        if result["state"] != "delivered":
            raise RuntimeError(f"a message to {self._to} is {result['state']}")
        self.delays.append((began, time.perf_counter() - began))

    def stop(self) -> None:
        """Write no more."""
        self._stopped = True


def within(talks: list[Talk], begin: float, end: float) -> list[float]:
    """Milliseconds of what was handed in between the two."""
    return [delay * 1000 for talk in talks for at, delay in talk.delays if begin <= at <= end]


def percentile(values: list[float], share: int) -> float:
    """Of ``values``, in hundredths."""
    return statistics.quantiles(values, n=100)[share - 1]


# --- all of it


async def come_back(clock: Any, rig: Rig, count: int) -> Figures:
    """One round."""
    server = Server(rig, settings=SETTINGS)
    alice, bob = Resident(rig, server, "alice"), Resident(rig, server, "bob")
    pairs = [(Resident(rig, server, one), Resident(rig, server, other)) for one, other in PAIRS]
    handed_in = await hand_in(await alice.up(clock), count)
    note(f"handed in: {handed_in:.1f} s")
    talks = []
    for one, other in pairs:
        await other.up(clock)
        talks.append(Talk(clock, await one.up(clock), other.name))
    talking = [Deferred.fromCoroutine(talk.run()) for talk in talks]
    await deferLater(clock, ALONE)
    came = time.perf_counter()
    await bob.up(clock)
    ((signed_in, _), *_) = bob.heard("signed-in")
    await until(clock, lambda: len(bob.heard("message")) >= count, "all messages")
    done = bob.heard("message")[-1][0]
    await deferLater(clock, 0.5)
    for talk in talks:
        talk.stop()
    await DeferredList(talking, fireOnOneErrback=True)

    check(alice, bob, count)
    alone, busy = within(talks, came - ALONE + 1.0, came), within(talks, signed_in, max(done, signed_in + 1.0))
    return {
        "handed in, s": handed_in, "until all are there, s": done - signed_in,
        "p50 alone, ms": percentile(alone, 50), "p99 alone, ms": percentile(alone, 99),
        "p50 meanwhile, ms": percentile(busy, 50), "p99 meanwhile, ms": percentile(busy, 99),
    }  # fmt: skip


def check(alice: Resident, bob: Resident, count: int) -> None:
    """:raises RuntimeError: they did not come once each, in the order in which alice's agent took them.

    Up to `IN_FLIGHT` calls are under way at once, so that order is the agent's and not this program's.
    """
    with closing(sqlite3.connect(alice.home / "home.db")) as db:
        taken = [number_of(row[0]) for row in db.execute("SELECT text FROM messages WHERE device = x'' ORDER BY seq")]
    came = [number_of(event["text"]) for _, event in bob.heard("message")]
    if sorted(came) != list(range(count)):
        raise RuntimeError(f"{len(came)} messages came, {len(set(came))} of them different, of {count}")
    if came != taken:
        raise RuntimeError("they came out of order")


def number_of(text: str) -> int:
    """Its number."""
    return int(text.partition(" ")[0])


async def rounds(clock: Any, given: argparse.Namespace) -> None:
    """All of them, a table, and the targets."""
    figures: list[Figures] = []
    for _ in range(given.rounds):
        with Rig(given.folder) as rig:
            figures.append(await come_back(clock, rig, given.messages))
    result = medians(figures)
    print_machine()
    print_table(f"{given.messages:,} waiting messages, with agents", ["", *result], [["medians", *result.values()]])
    good = print_targets(
        [
            ("seconds from the sign-in until all have been announced", result["until all are there, s"], 5.0, False),
            ("p99 of others' messages meanwhile, ms", result["p99 meanwhile, ms"], 50.0, False),
        ]
    )
    write_json(given.json, result)
    sys.exit(0 if good else 1)


def main() -> None:
    """Take the options, and run."""
    options = parser(__doc__)
    options.add_argument("--messages", type=int, default=10_000, help="that wait (default 10000)")
    options.set_defaults(rounds=1)
    given = options.parse_args()
    with patient():
        react(lambda clock: Deferred.fromCoroutine(rounds(clock, given)))


if __name__ == "__main__":
    main()
