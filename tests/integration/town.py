"""A server and people, as real processes on loopback."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from p2pim.cli.processes import P2PIM, Program, Programs, read_ready, twistd

PASSWORD = "correct horse"
SECONDS = 60.0
"""How long anything may take that is waited for: much longer than it does."""


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """What stdout carried; fails when a line of it is no object."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def object(self) -> dict[str, Any]:
        """The only one."""
        (value,) = self.objects
        return value


class Person:
    """Somebody with a home, and perhaps an agent whose events are collected."""

    def __init__(self, town: Town, name: str) -> None:
        self.town = town
        self.name = name
        self.home = town.folder / name
        self.downloads = town.folder / f"{name}-downloads"
        self.events: list[dict[str, Any]] = []
        self.heed: Callable[[dict[str, Any]], None] = lambda event: None
        """Called with each event at once, for tests that step in then."""
        self.agent: Program | None = None

    async def run(self, *arguments: str, status: int | None = 0) -> Result:
        """Run a command with ``--json``, and check its exit status unless that is None."""
        result = await self.town.run("--home", str(self.home), "--json", *arguments)
        if status is not None:
            self.town.case.assertEqual(result.status, status, f"{arguments}: {result.out}{result.err}")
        return result

    async def register(self) -> dict[str, Any]:
        """Make the account, pinning the server's certificate."""
        account = f"{self.name}@{self.town.address}"
        return (await self.run("register", account, "--fingerprint", self.town.fingerprint)).object

    async def up(self, *options: str) -> Program:
        """Start the agent, and wait until it is signed in.

        Its direct channels are TCP unless an option says otherwise: who wins a race depends on the machine.
        """
        self.events.clear()
        if "--channel" not in options:
            options = ("--channel", "tcp", *options)
        command = [*P2PIM, "--home", str(self.home), "--json", "up", "--downloads", str(self.downloads), *options]
        self.agent = self.town.programs.start(f"the agent of {self.name}", command, said=self._hear)
        await self.until("signed-in")
        return self.agent

    def _hear(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self.heed(event)

    async def until(self, kind: str, **values: Any) -> dict[str, Any]:
        """The newest event of that kind with those values, as soon as there is one."""
        assert self.agent is not None
        found: dict[str, Any] = await self.town.programs.until(
            self.agent, lambda: self.heard(kind, **values), seconds=SECONDS
        )
        return found

    def heard(self, kind: str, **values: Any) -> Any:
        """The newest event of that kind with those values, or None."""
        for event in reversed(self.events):
            if event.get("event") == kind and all(event.get(key) == value for key, value in values.items()):
                return event
        return None

    async def end(self, number: int = signal.SIGTERM) -> int:
        """End the agent; its exit status."""
        assert self.agent is not None
        self.agent.send_signal(number)
        return await self.agent.ended()


class Town:
    """One server, and everybody who came for ``case``."""

    def __init__(self, case: TownCase) -> None:
        self.case = case
        self.folder = Path(tempfile.mkdtemp(prefix="p2pim-", dir=os.getcwd()))
        self.data = self.folder / "server"
        self.programs = Programs(reactor, self.folder)
        self.server: Program | None = None
        self.address = self.fingerprint = ""

    async def start_server(self, *options: str, port: int = 0) -> None:
        """Start the server and wait until it is ready."""
        base = [*twistd(), "--nodaemon", "--pidfile=", f"--logfile={self.folder / 'server.log'}", "p2pim-server"]
        given = ["--port", str(port), "--interface", "127.0.0.1", "--data", str(self.data), *options]
        self.server = self.programs.start("the server", [*base, *given])
        ready = await self.programs.until(self.server, lambda: read_ready(self.data), seconds=SECONDS)
        self.address, self.fingerprint = ready["tcp"], ready["fingerprint"]

    async def run(self, *arguments: str, environment: dict[str, str] | None = None) -> Result:
        """Run ``p2pim`` to its end."""
        env = {**os.environ, "P2PIM_PASSWORD": PASSWORD, **(environment or {})}
        out, err, status = await getProcessOutputAndValue(P2PIM[0], [*P2PIM[1:], *arguments], env, str(self.folder))
        return Result(status, out.decode(), err.decode())

    async def counters(self) -> dict[str, dict[str, int]]:
        """What the server counted, by user."""
        stats = (await self.run("--json", "admin", "--data", str(self.data), "stats")).object
        names = ("uploads", "upload_bytes", "downloads", "download_bytes", "spliced_bytes")
        return {user["user"]: {name: user[name] for name in names} for user in stats["users"]}


class TownCase(TestCase):
    """A test in a town, with a server that listens already."""

    timeout = 240
    server_options: tuple[str, ...] = ()

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # trial waits for it
        self.town = Town(self)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.town.programs.stop()))
        return Deferred.fromCoroutine(self.town.start_server(*self.server_options))

    async def person(self, name: str, *options: str, up: bool = True) -> Person:
        """Somebody who is registered, and ``up`` with these options."""
        person = Person(self.town, name)
        await person.register()
        if up:
            await person.up(*options)
        return person

    async def two(self, *options: str, alice_up: bool = True, bob_up: bool = True) -> tuple[Person, Person]:
        """Alice and bob, who is ``up`` with these options; both come at once."""
        coming = gatherResults(
            [
                Deferred.fromCoroutine(self.person("alice", up=alice_up)),
                Deferred.fromCoroutine(self.person("bob", *options, up=bob_up)),
            ],
            consumeErrors=True,
        )
        alice, bob = await coming
        return alice, bob
