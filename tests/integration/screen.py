"""A real terminal: tmux types, and tells what stands on the screen."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutput
from twisted.trial.unittest import SkipTest

from p2pim.cli.running import sleep
from tests.integration.town import SECONDS, TownCase


class Screen:
    """A terminal of 90 columns and 20 rows, and the shell in it."""

    def __init__(self, case: TownCase) -> None:
        tmux = shutil.which("tmux")
        if tmux is None:
            raise SkipTest("tmux is not installed")
        self._tmux = tmux
        self._folder = Path(tempfile.mkdtemp(prefix="p2pim-tmux-"))
        self._case = case

    async def open(self) -> None:
        """Start it with a shell that has no prompt of its own."""
        size = ("-x", "90", "-y", "20")
        await self.call("-f", "/dev/null", "new-session", "-d", *size, "env PS1='ready> ' ENV= sh")
        await self.until(lambda rows: any("ready>" in row for row in rows))

    async def close(self) -> None:
        """End it and all that runs in it."""
        await self.call("kill-server")
        shutil.rmtree(self._folder, ignore_errors=True)

    async def call(self, *arguments: str) -> str:
        """A command of tmux; its output."""
        base = ["-u", "-S", str(self._folder / "s")]
        env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        out = await getProcessOutput(self._tmux, [*base, *arguments], env=env)
        return str(out, "utf-8")

    async def type(self, text: str) -> None:
        """Type characters."""
        await self.call("send-keys", "-l", text)

    async def press(self, *keys: str) -> None:
        """Press keys by their names."""
        await self.call("send-keys", *keys)

    async def rows(self) -> list[str]:
        """What stands on the screen."""
        return [row.rstrip() for row in (await self.call("capture-pane", "-p")).split("\n")[:20]]

    async def shows(self, text: str) -> list[str]:
        """The screen as soon as ``text`` stands on it."""
        return await self.until(lambda rows: any(text in row for row in rows))

    async def until(self, seen: Callable[[list[str]], bool]) -> list[str]:
        """The screen as soon as ``seen`` is true of it."""
        give_up = reactor.seconds() + SECONDS
        rows = await self.rows()
        while not seen(rows):
            if reactor.seconds() > give_up:
                self._case.fail("this never came:\n" + "\n".join(rows))
            await sleep(reactor, 0.02)
            rows = await self.rows()
        return rows
