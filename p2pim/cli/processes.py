"""Programs of this project started by another of its programs: found, watched, and ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from p2pim.cli.output import one_line
from p2pim.cli.running import sleep
from p2pim.errors import P2pimError, TimedOut

GRACE = 5.0
"""Seconds between asking a process to end and ending it."""
POLL = 0.02
TAIL = 4000
"""Characters kept of what a process wrote to stderr, to be shown when it failed."""

P2PIM = (sys.executable, "-m", "p2pim.cli.main")


class ProcessFailed(P2pimError):
    """A program that was started ended when it should not have."""

    code = "process-failed"


def twistd() -> list[str]:
    """How to call the ``twistd`` that belongs to this Python."""
    beside = Path(sys.executable).with_name("twistd")
    found = str(beside) if beside.exists() else shutil.which("twistd")
    return [found] if found else [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]


class Program(ProcessProtocol):
    """A running program whose stdout is a JSON object per line.

    :param said: gets each of those objects.
    """

    transport: IProcessTransport | None

    def __init__(self, name: str, said: Callable[[dict[str, Any]], None]) -> None:
        self.name = name
        self.status: int | None = None
        self._said = said
        self._rest = b""
        self._errors = ""
        self._waiting: list[Deferred[int]] = []

    def outReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"{"):
                self._said(json.loads(line))

    def errReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        self._errors = (self._errors + data.decode("utf-8", "replace"))[-TAIL:]

    def processEnded(self, reason: Failure) -> None:  # noqa: N802 - Twisted's name
        ended: Any = reason.value
        self.status = ended.exitCode if ended.exitCode is not None else -(ended.signal or 0)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(self.status)

    @property
    def last_words(self) -> str:
        """What it wrote to stderr at last, in one line."""
        return one_line(self._errors)[-300:]

    def ended(self) -> Deferred[int]:
        """Fires with the exit status (negative: the signal that ended it)."""
        done: Deferred[int] = Deferred()
        if self.status is not None:
            done.callback(self.status)
        else:
            self._waiting.append(done)
        return done

    def check(self) -> None:
        """:raises ProcessFailed: it runs no more."""
        if self.status is not None:
            raise ProcessFailed(f"{self.name} ended with status {self.status}: {self.last_words or 'it said nothing'}")

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.status is None and self.transport is not None:
            try:
                self.transport.signalProcess(number)
            except ProcessExitedAlready:
                return


class Programs:
    """The programs that one command started, all ended together."""

    def __init__(self, reactor: Any, folder: Path) -> None:
        self._reactor = reactor
        self._folder = folder
        self._all: list[Program] = []

    def start(
        self, name: str, command: Sequence[str], *, said: Callable[[dict[str, Any]], None] = lambda value: None,
        environment: Mapping[str, str] | None = None,
    ) -> Program:  # fmt: skip
        """Start ``command`` in the folder, with ``environment`` added to this process's own."""
        program = Program(name, said)
        self._reactor.spawnProcess(
            program, command[0], list(command), env={**os.environ, **(environment or {})}, path=str(self._folder)
        )
        self._all.append(program)
        return program

    async def run(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> list[Any]:
        """Run ``command`` to its end and give the objects it printed.

        :raises ProcessFailed: its status was not 0.
        """
        printed: list[Any] = []
        program = self.start(name, command, said=printed.append, environment=environment)
        if await program.ended() != 0:
            program.check()
        return printed

    async def until(self, program: Program, ready: Callable[[], Any], *, seconds: float = 20.0) -> Any:
        """The first true value of ``ready``, asked again and again while ``program`` runs.

        :raises ProcessFailed: the program ended first.
        :raises TimedOut: it took longer than ``seconds``.
        """
        give_up = self._reactor.seconds() + seconds
        while not (value := ready()):
            program.check()
            if self._reactor.seconds() > give_up:
                raise TimedOut(f"{program.name} was not ready in {seconds:.0f} s: {program.last_words}")
            await sleep(self._reactor, POLL)
        return value

    async def stop(self) -> None:
        """End all of them: asked first, then not asked."""
        for program in reversed(self._all):
            program.send_signal(signal.SIGTERM)
        late = self._reactor.callLater(GRACE, self._kill)
        await DeferredList([program.ended() for program in self._all])
        if late.active():
            late.cancel()

    def _kill(self) -> None:
        for program in self._all:
            program.send_signal(signal.SIGKILL)


def read_ready(folder: Path) -> dict[str, Any] | None:
    """What ``ready.json`` under ``folder`` says, or None while it is not there."""
    try:
        value: dict[str, Any] = json.loads((folder / "ready.json").read_text())
    except (OSError, ValueError):
        return None
    return value
