"""The people of the fault program: a server and agents that can be ended at any instant and started again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import BIN, Program, Rig, free_port, run, wait_until
from benchmarks.p2pim_rig import PASSWORD
from p2pim.cli.agent_socket import AgentSocket, connect, drive
from p2pim.core.limits import HISTORY_EXPORT

UP = 30.0
"""Seconds within which a program that was started again is ready, on whatever machine."""


FLOW = 90.0
"""Seconds after which a flow of messages in which nothing more comes has stopped."""


class Mortal:
    """A program that is started again after it was ended."""

    name: str

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.program: Program | None = None

    def begin(self) -> None:
        """Start it, without waiting."""
        raise NotImplementedError

    def wait(self) -> None:
        """Wait until it is ready."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.begin()
        self.wait()

    def end(self, number: int = signal.SIGKILL) -> None:
        """End it, at once unless told otherwise."""
        assert self.program is not None
        os.kill(self.program.pid, number)
        self.program.process.wait()


class Server(Mortal):
    """``twistd p2pim-server`` with its data in ``data``, always on the same port."""

    name = "server"

    def __init__(self, rig: Rig, data: Path) -> None:
        super().__init__(rig)
        self.data = data
        self.port = free_port()
        self.fingerprint = ""

    def begin(self) -> None:
        (self.data / "ready.json").unlink(missing_ok=True)
        base: list[str | Path] = [BIN / "twistd", "-n", "--pidfile=", "p2pim-server", "--no-p2p", "--web", "none"]
        options: list[str | Path] = ["--port", str(self.port), "--interface", "127.0.0.1", "--data", self.data]
        self.program = self.rig.start("server", [*base, *options])

    def wait(self) -> None:
        wait_until(self._is_ready, "the server", UP)
        self.fingerprint = json.loads((self.data / "ready.json").read_text())["fingerprint"]

    def _is_ready(self) -> bool:
        assert self.program is not None
        self.program.check()
        return (self.data / "ready.json").exists()


class Person(Mortal):
    """Somebody with a home, and an agent whose events of all its lives are kept, each with the time it was heard."""

    def __init__(self, rig: Rig, server: Server, name: str, home: Path, options: Sequence[str] = ()) -> None:
        super().__init__(rig)
        self.name = name
        self.home = home
        self._options = options
        self._server = server
        self.events: list[tuple[float, dict[str, Any]]] = []
        self.lives = 0

    def register(self) -> None:
        """Make the account."""
        account = f"{self.name}@127.0.0.1:{self._server.port}"
        environment = {"P2PIM_PASSWORD": PASSWORD}
        run(
            BIN / "p2pim", "--home", self.home, "register", account, "--fingerprint", self._server.fingerprint,
            env=environment,
        )  # fmt: skip

    def begin(self) -> None:
        self.lives += 1
        argv: list[str | Path] = [BIN / "p2pim", "--home", self.home, "--json", "up", *self._options]
        self._heard = len(self.events)
        self.program = self.rig.start(f"agent-{self.name}", argv, stdout=subprocess.PIPE)
        threading.Thread(target=self._listen, args=(self.program,), daemon=True).start()

    def wait(self) -> None:
        wait_until(lambda: self.heard("signed-in", since=self._heard), f"{self.name} signs in", UP)

    def _listen(self, program: Program) -> None:
        assert program.process.stdout is not None
        for line in program.process.stdout:
            with contextlib.suppress(ValueError):  # the last line of one that was killed
                self.heard_event(time.monotonic(), json.loads(line))

    def heard_event(self, at: float, event: dict[str, Any]) -> None:
        """An event was printed."""
        self.events.append((at, event))

    def heard(self, kind: str, since: int = 0) -> bool:
        """Whether there was such an event after the first ``since`` ones."""
        return any(event.get("event") == kind for _, event in self.events[since:])

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask the agent, which must be there."""
        agent = self._agent()
        try:
            return drive(agent.call(method, params, lambda item: None))
        finally:
            drive(agent.close())

    def _agent(self) -> AgentSocket:
        found: list[AgentSocket] = []

        def connected() -> bool:
            agent = connect(self.home)
            found.extend([agent] if agent is not None else [])
            return agent is not None

        wait_until(connected, f"the agent of {self.name}", UP)
        return found[0]

    def history(self, user: str) -> list[dict[str, Any]]:
        """All that was said with ``user``, in this person's order."""
        found: list[dict[str, Any]] = []
        page = self.call("history", user=user, limit=HISTORY_EXPORT, oldest=True)["messages"]
        while page:
            found += page
            page = self.call("history", user=user, limit=HISTORY_EXPORT, after=page[-1]["number"])["messages"]
        return found


class Receiver(Person):
    """Somebody who gets numbered messages; `count` says how many different ones were announced."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.announced: list[int] = []
        self._seen: set[int] = set()

    @property
    def count(self) -> int:
        """How many different messages."""
        return len(self._seen)

    def wait_count(self, count: int) -> None:
        """Wait until so many have been announced."""
        wait_until(lambda: self.count >= count, f"message {count} is shown", FLOW)

    def heard_event(self, at: float, event: dict[str, Any]) -> None:
        super().heard_event(at, event)
        if event.get("event") == "message":
            number = number_of(event["text"])
            self.announced.append(number)
            self._seen.add(number)


def text_of(number: int) -> str:
    """The text of a numbered message."""
    return f"{number} {'lorem ipsum dolor sit amet ' * 3}"


def number_of(text: str) -> int:
    """Its number."""
    return int(text.partition(" ")[0])


def soon(rng: random.Random) -> None:
    """A moment of any length below one in which a message takes its way."""
    time.sleep(rng.random() * 0.02)
