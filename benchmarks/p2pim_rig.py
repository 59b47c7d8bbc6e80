"""p2pim as people run it: the server under twistd, agents by ``p2pim up``, and the command line."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import BIN, Program, Rig, run, wait_until
from benchmarks.peers.copying import Copier
from benchmarks.server_client import device_of, token_of
from p2pim.storage import accounts
from p2pim.storage.contacts import add_contact
from p2pim.storage.database import prepare_file

Event = dict[str, Any]
PASSWORD = "correct horse battery"  # of accounts on loopback that live for minutes


def seed(database: Path, names: Sequence[str], contacts: Mapping[str, Sequence[str]]) -> None:
    """Writes accounts, each with one device and its token, into a server's database before its first start.

    They have no password: thousands of argon2 hashes are not what any benchmark here measures.
    """
    prepare_file(database, "server")
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.row_factory = sqlite3.Row
        now = time.time()
        for name in names:
            accounts.register(connection, name, "", device_of(name), "bench", token_of(name), now, None)
        for name, others in contacts.items():
            for other in others:
                add_contact(connection, name, other)


class Server:
    """``twistd p2pim-server`` on a free port, with a new data directory.

    :param web: where it serves the operator's page.
    :param users: accounts to be there, with tokens (`seed`), and who is on whose list.
    """

    def __init__(
        self,
        rig: Rig,
        *,
        cpu: int | None = None,
        settings: str = "",
        web: str = "none",
        users: Sequence[str] = (),
        contacts: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.data = Path(tempfile.mkdtemp(prefix="server-", dir=rig.folder))
        if users:
            seed(self.data / "server.db", users, contacts or {})
        argv: list[str | Path] = [BIN / "twistd", "-n", "--pidfile=", "p2pim-server"]
        if settings:
            config = self.data / "settings.toml"
            config.write_text(settings)
            argv += ["--config", config]
        argv += ["--port", "0", "--interface", "127.0.0.1", "--data", self.data, "--no-p2p", "--web", web]
        self.program: Program = rig.start(self.data.name, argv, cpu=cpu)
        ready = self.data / "ready.json"

        def is_ready() -> bool:
            self.program.check()
            return ready.exists()

        wait_until(is_ready, "the server's ready.json")
        told = json.loads(ready.read_text())
        self.fingerprint: str = told["fingerprint"]
        self.port: int = port_of(told["tcp"])
        self.web: str | None = told["web"]


def port_of(told: object) -> int:
    """The port in what ready.json says of an address: a number, ``host:port``, or a list of these."""
    if isinstance(told, list):
        told = told[0]
    return int(str(told).rpartition(":")[2])


class Agent:
    """``p2pim --json up`` for a user registered anew; its events are kept as they come."""

    def __init__(self, rig: Rig, server: Server, name: str, *options: str) -> None:
        self.name = name
        self.home = rig.folder / f"home-{name}"
        self.downloads = rig.folder / f"downloads-{name}"
        self.downloads.mkdir()
        self.command(
            "register", f"{name}@127.0.0.1:{server.port}", "--fingerprint", server.fingerprint,
            env={"P2PIM_PASSWORD": PASSWORD},
        )  # fmt: skip
        self.program = rig.start(
            f"agent-{name}",
            [
                BIN / "p2pim", "--home", self.home, "--json", "up",
                "--accept", "always", "--downloads", self.downloads, *options,
            ],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        self.events: list[Event] = []
        self._news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()
        self.wait_event(lambda event: event["event"] == "signed-in")

    def _listen(self) -> None:
        assert self.program.process.stdout is not None
        for line in self.program.process.stdout:
            with self._news:
                self.events.append(json.loads(line))
                self._news.notify_all()

    def wait_event(self, wanted: Callable[[Event], bool], seconds: float = 60.0, since: int = 0) -> Event:
        """The first event after the first ``since`` for which ``wanted``, waited for."""
        end = time.monotonic() + seconds
        with self._news:
            while True:
                for event in self.events[since:]:
                    if "error" in event:
                        raise RuntimeError(f"{self.name}: {event}")
                    if wanted(event):
                        return event
                since = len(self.events)
                self.program.check()
                if not self._news.wait(min(1.0, max(0.0, end - time.monotonic()))) and time.monotonic() > end:
                    raise TimeoutError(f"{self.name}: no such event in {seconds:g} s; the last: {self.events[-3:]}")

    def command(
        self, *arguments: str | Path, env: Mapping[str, str] | None = None, timeout: float = 300.0
    ) -> list[Event]:
        """Runs ``p2pim --json`` with this home to its end; the objects that it printed."""
        output = run(BIN / "p2pim", "--home", self.home, "--json", *arguments, env=env, timeout=timeout)
        return [json.loads(line) for line in output.splitlines() if line.strip()]


def two_friends(rig: Rig, server: Server) -> tuple[Agent, Agent]:
    """alice and bob, signed in, on each other's lists."""
    alice, bob = Agent(rig, server, "alice"), Agent(rig, server, "bob")
    alice.command("add", "bob")
    bob.command("add", "alice")
    return alice, bob


class Sending(Copier):
    """``p2pim send`` from alice to bob, by one route.

    :param route: "direct" or "relay"; that the bytes went that way is checked in bob's events.
    """

    def __init__(self, server: Server, alice: Agent, bob: Agent, route: str) -> None:
        self._alice, self._bob, self._route = alice, bob, route
        self.received = bob.downloads
        self.seconds = 0.0
        self.programs = [alice.program, bob.program, server.program]
        self._before = [agent.program.rss_kib() for agent in (alice, bob)]

    def memory(self) -> str:
        """What the transfers made the two agents grow by at most."""
        agents = self._alice.program, self._bob.program
        grown = [agent.peak_kib() - before for agent, before in zip(agents, self._before, strict=True)]
        return f"the sender's memory grew by {grown[0] / 1024:.1f} MiB at most, the receiver's by {grown[1] / 1024:.1f}"

    def copy(self, source: Path) -> float:
        """Also keeps the seconds that bob's `completed` event tells in ``seconds``."""
        heard = len(self._bob.events)
        begin = time.monotonic()
        self._alice.command("send", "bob", source, "--route", self._route, "--wait")
        took = time.monotonic() - begin
        event = self._bob.wait_event(lambda event: event["event"] == "completed", since=heard)
        wanted = "relay" if self._route == "relay" else "tcp"
        if event["route"] != wanted:
            raise RuntimeError(f"the bytes were to go by {wanted} and went by {event['route']}")
        self.received, self.seconds = Path(event["path"]), event["seconds"]
        return took
