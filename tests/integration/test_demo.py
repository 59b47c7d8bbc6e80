"""``p2pim demo`` as a person runs it, with a smaller file."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from p2pim.cli.processes import P2PIM, Program, Programs

MIB = 1024 * 1024


class DemoTests(TestCase):
    """It tells what went which way, and leaves nothing behind."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.programs = Programs(reactor, self.folder)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.programs.stop()))
        self.said: list[dict[str, Any]] = []

    def demo(self, size: int) -> Program:
        command = [*P2PIM, "--json", "demo", "--size", str(size)]
        return self.programs.start("the demo", command, said=self.said.append, environment={"TMPDIR": str(self.folder)})

    async def test_what_went_directly_was_not_counted_and_the_rest_was(self) -> None:
        """A message and a file, each by the server and directly, and a message to someone who is away."""
        program = self.demo(8)
        self.assertEqual(await program.ended(), 0, program.last_words)
        rows = [value for value in self.said if "what" in value]
        self.assertEqual([row["route"] for row in rows], ["relay", "tcp", "tcp", "relay", "mailbox"])
        message, direct_message, direct_file, relayed_file, left = (row["server_counted"] for row in rows)
        self.assertEqual((message["uploads"], message["downloads"]), (1, 1))
        for nothing in (direct_message, direct_file):
            self.assertEqual(set(nothing.values()), {0})
        self.assertGreaterEqual(relayed_file["spliced_bytes"], 8 * MIB)
        self.assertEqual([row["bytes"] for row in rows[2:4]], [8 * MIB, 8 * MIB])
        self.assertEqual(left["uploads"], 1)
        self.assertEqual(list(self.folder.iterdir()), [])

    async def test_ctrl_c_ends_all_of_it(self) -> None:
        """Status 130, no process, no file."""
        program = self.demo(64)
        await self.programs.until(program, lambda: len(self.said) >= 3)
        program.send_signal(signal.SIGINT)
        self.assertEqual(await program.ended(), 130, program.last_words)
        self.assertEqual(list(self.folder.iterdir()), [])
        self.assertEqual(self.processes(), [])

    def processes(self) -> list[str]:
        """The command lines of processes that name the folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = entry.read_bytes()
            except OSError:
                continue
            if str(self.folder).encode() in line:
                found.append(line.decode("utf-8", "replace"))
        return found
