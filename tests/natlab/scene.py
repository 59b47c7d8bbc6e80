"""The real server and two real agents, alice on host A and bob on host B of a laboratory.

Everything goes through the commands that people use: ``twistd p2pim-server``, ``p2pim register``, ``p2pim up``, and
``p2pim connect``, ``msg`` and ``send`` beside it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.natlab.laboratory import SERVER, Laboratory

ROOT = Path(__file__).resolve().parents[2]
TWISTD = str(Path(sys.executable).with_name("twistd"))
P2PIM = str(Path(sys.executable).with_name("p2pim"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "P2PIM_PASSWORD": "correct horse"}
PATIENCE = 60.0
"""Seconds: what runs here shares its machine, and a wait that is over too soon proves nothing."""
NAMES = {"A": "alice", "B": "bob"}


class SceneError(Exception):
    """A program did not do what everything else needs; the message carries its output."""


@dataclass(frozen=True)
class Answer:
    """What a command printed: its exit status, the JSON lines on stdout, and stderr."""

    status: int
    lines: list[dict[str, Any]]
    complaint: str

    @property
    def last(self) -> dict[str, Any]:
        """The last JSON line; empty when there was none."""
        return self.lines[-1] if self.lines else {}


def wait_until(true: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Poll until ``true()`` is.

    :raises SceneError: it is not in time.
    """
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise SceneError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def _lines(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for line in text.splitlines():
        if line.startswith("{") and line.endswith("}"):
            found.append(json.loads(line))
    return found


class Scene:
    """See the module.

    :param folder: for homes, logs and downloads.
    :param running: takes the processes; see `tests.natlab.laboratory.processes`.
    """

    def __init__(self, lab: Laboratory, folder: Path, running: list[subprocess.Popen[str]]) -> None:
        self.lab = lab
        self.folder = folder
        self._running = running
        folder.mkdir(parents=True, exist_ok=True)

    # --- setting it

    def set(self, *, server: Sequence[str] = (), agent: Sequence[str] = (), hosts: str = "AB") -> Scene:
        """Start the server with the options ``server``, and then the agents with the options ``agent``."""
        self.serve(*server)
        self.register(hosts)
        for host in hosts:
            self.up(host, *agent)
        for host in hosts:
            self.wait_for(host, "signed-in")
        self.befriend(hosts)
        return self

    def befriend(self, hosts: str = "AB") -> None:
        """Make the people on these hosts contacts: others do not tell each other where they are."""
        for host in hosts:
            for other in hosts:
                if other != host and (answer := self.p2pim(host, "add", NAMES[other])).status:
                    raise SceneError(f"{NAMES[host]} could not add {NAMES[other]}: {answer.complaint}")

    def serve(self, *options: str) -> None:
        """Start the server on S and wait until it is ready."""
        data = self.folder / "server"
        self.start("S", "server", TWISTD, "-n", "--pidfile=", "p2pim-server", "--data", str(data), *options)
        wait_until((data / "ready.json").exists, f"the server's start\n{self.log('server')}")

    def register(self, hosts: str) -> None:
        """Make the accounts, side by side."""
        fingerprint = json.loads((self.folder / "server" / "ready.json").read_text())["fingerprint"]
        begun = {
            host: self.begin(host, "register", f"{NAMES[host]}@{SERVER[0]}", "--fingerprint", fingerprint)
            for host in hosts
        }
        for host, process in begun.items():
            _, complaint = process.communicate(timeout=PATIENCE)
            if process.returncode:
                raise SceneError(f"{NAMES[host]} could not register: {complaint}")

    def up(self, host: str, *options: str) -> subprocess.Popen[str]:
        """Start the agent on ``host``."""
        downloads = ("--downloads", str(self.downloads(host)), "--accept", "always")
        home = ("--home", str(self.home(host)))
        return self.start(host, f"agent-{host}", P2PIM, *home, "--json", "up", *downloads, *options)

    def start(self, host: str, name: str, *command: str) -> subprocess.Popen[str]:
        """Run a program on ``host`` until the scene is over, its output in the log ``name``."""
        with (self.folder / f"{name}.log").open("a") as output:
            process = subprocess.Popen(
                self.lab.command(host, *command), env=ENVIRONMENT, stdout=output, stderr=subprocess.STDOUT, text=True
            )
        self._running.append(process)
        return process

    # --- looking

    def home(self, host: str) -> Path:
        """The home directory of the agent on ``host``."""
        return self.folder / f"home-{host}"

    def downloads(self, host: str) -> Path:
        """Where its files go."""
        return self.folder / f"downloads-{host}"

    def log(self, name: str) -> str:
        """What the program ``name`` has printed so far."""
        return (self.folder / f"{name}.log").read_text()

    def journal(self, host: str) -> str:
        """The readable log of the agent on ``host``."""
        path = self.home(host) / "log.txt"
        return path.read_text() if path.exists() else ""

    def events(self, host: str, event: str = "") -> list[dict[str, Any]]:
        """What the agent on ``host`` has told of so far: all, or the events of one name."""
        return [each for each in _lines(self.log(f"agent-{host}")) if event in ("", each.get("event"))]

    def wait_for(self, host: str, event: str, seconds: float = PATIENCE, **values: object) -> dict[str, Any]:
        """The first event of that name with these values."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [each for each in self.events(host, event) if values.items() <= each.items()]
            return bool(found)

        try:
            wait_until(look, f"{event} {values} of {NAMES[host]}", seconds)
        except SceneError as error:
            raise SceneError(f"{error}\n{self.told()}") from None
        return found[0]

    def told(self) -> str:
        """Everything that the programs have said, for the report of a failure."""
        parts = [f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.folder.glob("*.log"))]
        parts += [f"--- log of {NAMES[host]}\n{self.journal(host)[-4000:]}" for host in "AB"]
        return "\n".join(parts)

    def wait_gathered(self, hosts: str = "AB", seconds: float = 2.5) -> None:
        """Give the agents so long to find out how their NATs map; behind some they never will."""
        done = ("mapping: endpoint", "mapping: address", "mapping: none", "mapping: blocked")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if all(any(word in self.journal(host) for word in done) for host in hosts):
                return
            time.sleep(0.05)

    # --- doing

    def begin(self, host: str, *words: str) -> subprocess.Popen[str]:
        """Start ``p2pim`` on ``host``."""
        command = self.lab.command(host, P2PIM, "--home", str(self.home(host)), "--json", *words)
        return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def p2pim(self, host: str, *words: str, patience: float = PATIENCE) -> Answer:
        """Run ``p2pim`` on ``host`` to its end."""
        process = self.begin(host, *words)
        try:
            said, complaint = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise SceneError(f"p2pim {' '.join(words)} did not end\n{self.told()}") from None
        return Answer(process.returncode, _lines(said), complaint)
