"""The reactor under a command, in a process of its own, since it runs once per process."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

from twisted.trial.unittest import SynchronousTestCase

PROGRAM = """
import sys
from p2pim.cli.invocation import Invocation
from p2pim.cli.main import as_error
from p2pim.cli.running import run_reactor, sleep
from p2pim.errors import P2pimError

async def main(reactor):
{body}

try:
    print(run_reactor(main))
except BaseException as raised:
    error = as_error(raised)
    print(error.code)
    sys.exit(error.exit_status)
"""


class ReactorTests(SynchronousTestCase):
    """What `run_reactor` promises."""

    def program(self, body: str) -> subprocess.Popen[str]:
        text = PROGRAM.format(body=textwrap.indent(textwrap.dedent(body), "    "))
        return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)

    def result(self, process: subprocess.Popen[str]) -> tuple[int, list[str]]:
        out, _ = process.communicate(timeout=20)
        return process.returncode, out.split()

    def test_it_gives_what_the_coroutine_returns(self) -> None:
        """Also when that is there at once."""
        self.assertEqual(self.result(self.program("return 'early'")), (0, ["early"]))
        self.assertEqual(self.result(self.program("await sleep(reactor, 0)\nreturn 'late'")), (0, ["late"]))

    def test_it_raises_what_the_coroutine_raises(self) -> None:
        """The error, not its wrapping."""
        self.assertEqual(self.result(self.program("raise P2pimError('no')")), (1, ["error"]))

    def test_the_clock_is_one_that_nobody_sets_back(self) -> None:
        """Timers follow it."""
        body = "import time\nreturn abs(reactor.seconds() - time.monotonic()) < 5"
        self.assertEqual(self.result(self.program(body)), (0, ["True"]))

    def test_a_signal_lets_the_coroutine_clean_up(self) -> None:
        """Its `finally` may even wait; the status tells which signal it was."""
        body = """
            print("begun", flush=True)
            try:
                await sleep(reactor, 60)
            finally:
                await sleep(reactor, 0)
                print("cleaned", flush=True)
        """
        for number, status, code in ((signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")):
            process = self.program(body)
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "begun\n")
            process.send_signal(number)
            self.assertEqual(self.result(process), (status, ["cleaned", code]))

    def test_a_second_signal_does_not_wait(self) -> None:
        """Whoever is in a hurry is let go."""
        body = """
            print("begun", flush=True)
            try:
                await sleep(reactor, 60)
            finally:
                print("cleaning", flush=True)
                await sleep(reactor, 60)
        """
        process = self.program(body)
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), "begun\n")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.stdout.readline(), "cleaning\n")
        process.send_signal(signal.SIGINT)
        self.assertEqual(self.result(process), (130, []))


class StartTests(SynchronousTestCase):
    """Quick answers."""

    def test_version_and_help_load_no_twisted(self) -> None:
        """They answer before a person notices."""
        text = """
            import sys
            from p2pim.cli.main import run
            run(["--version"]), run(["--help"])
            print("twisted" in sys.modules)
        """
        text = textwrap.dedent(text)
        out = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, timeout=20, check=True
        ).stdout
        self.assertTrue(out.endswith("False\n"), out)
