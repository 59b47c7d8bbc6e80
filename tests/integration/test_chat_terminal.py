"""``p2pim chat`` in a real terminal: tmux types, and tells what stands on the screen."""

from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutput
from twisted.trial.unittest import SkipTest

from p2pim.cli.processes import P2PIM
from p2pim.cli.running import sleep
from tests.integration.town import SECONDS, Person, TownCase


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
        out = await getProcessOutput(
            self._tmux, [*base, *arguments], env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        )
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


class ChatTests(TownCase):
    """A person at a terminal talks with one who has an agent."""

    async def chat(self, alice: Person) -> Screen:
        screen = Screen(self)
        await screen.open()
        self.addCleanup(screen.close)
        command = shlex.join([*P2PIM, "--home", str(alice.home), "chat", "bob"])
        await screen.type(f"cd {shlex.quote(str(Path.cwd()))}; clear; {command}; echo status=$?")
        await screen.press("Enter")
        await screen.until(lambda rows: rows[0].startswith(" bob — direct TCP 127.0.0.1:"))
        return screen

    async def test_what_arrives_does_not_touch_what_is_being_typed(self) -> None:
        """Both are whole on the screen, the cursor stays, and the states of my messages move on in place."""
        alice, bob = await self.two()
        screen = await self.chat(alice)
        await screen.type("half a thou")
        await screen.until(lambda rows: rows[19] == "> half a thou")
        for number in range(5):
            await bob.run("msg", "alice", f"interruption {number}")
        rows = await screen.until(lambda rows: "interruption 4" in rows[18])
        self.assertEqual(rows[19], "> half a thou")
        self.assertEqual([row[6:25] for row in rows[14:19]], [f"bob: interruption {n}" for n in range(5)])
        await screen.type("ght — 你好")
        await screen.press("Enter")
        arrived = await bob.until("message", user="alice")
        self.assertEqual((arrived["text"], arrived["route"]), ("half a thought — 你好", "tcp"))
        await screen.until(lambda rows: "me: half a thought — 你好" in rows[18] and rows[18].endswith(" ✓"))
        self.assertEqual((await screen.rows())[19], ">")
        await screen.type("/quit")
        await screen.press("Enter")
        await screen.until(lambda rows: any(row == "status=0" for row in rows))

    async def test_the_title_follows_the_route_and_ctrl_c_ends_it(self) -> None:
        """Direct, relayed when bob goes, and the terminal as it was afterwards."""
        alice, bob = await self.two()
        screen = await self.chat(alice)
        await bob.end()
        await screen.until(lambda rows: rows[0].startswith(" bob — relayed"))
        await screen.press("C-c")
        await screen.until(lambda rows: any(row == "status=130" for row in rows))
        await screen.type("echo typed")
        await screen.until(lambda rows: any("ready> echo typed" in row for row in rows))
