"""The command line of the server's plugin."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from p2pim.net.process import use_steady_clock
from p2pim.taps.server import Options, allow_many_connections, settings_from


class OptionTests(SynchronousTestCase):
    def options(self, *arguments: str) -> Options:
        """The options of a command line."""
        options = Options()
        options.parseOptions(arguments)
        return options

    def mistake(self, *arguments: str) -> str:
        """What twistd is told of a command line that is wrong: it prints that, and makes no service."""
        error: UsageError = self.assertRaises(UsageError, self.options, *arguments)
        self.assertTrue(str(error).startswith("bad-config: "), error)
        return str(error)

    def test_every_documented_option_is_taken(self) -> None:
        """As the documentation has them."""
        settings = settings_from(
            self.options("--port", "0", "--interface", "127.0.0.1", "--data", "d", "--no-p2p", "--web", "none")
        )
        self.assertEqual((settings.server.port, settings.server.interface), (0, "127.0.0.1"))
        self.assertEqual((settings.server.data, settings.p2p.enabled, settings.web.address), (Path("d"), False, "none"))

    def test_an_option_that_is_not_given_changes_nothing(self) -> None:
        """The file's word stands."""
        file = Path(self.mktemp())
        file.write_text("[server]\nport = 4600\n[p2p]\nenabled = false\n")
        settings = settings_from(self.options("--config", str(file)))
        self.assertEqual((settings.server.port, settings.p2p.enabled), (4600, False))

    def test_a_port_that_is_none_is_told(self) -> None:
        """With the option it came from."""
        self.assertIn("command line: server.port", self.mistake("--port", "many"))

    def test_mistakes_about_the_p2p_server_are_told_before_anything_opens(self) -> None:
        """An address that is none, and ports that would be the same."""
        for section, text in (
            ('address = "nonsense"', "p2p.address"),
            ('alternate_address = "nowhere"', "nowhere"),
            ("alternate_port = 4531", "must differ"),
        ):
            file = Path(self.mktemp())
            file.write_text(f"[p2p]\n{section}\n")
            self.assertIn(text, self.mistake("--config", str(file)))

    def test_unknown_options_are_refused(self) -> None:
        """As twistd does."""
        with self.assertRaises(UsageError):
            self.options("--prot", "1")


class DescriptorTests(SynchronousTestCase):
    def test_as_many_connections_are_allowed_as_the_system_gives(self) -> None:
        """The usual soft limit of 1,024 is for programs that forget to close files."""
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(900, before[1]), before[1]))
        allow_many_connections()
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE), (before[1], before[1]))


class SteadyClockTests(SynchronousTestCase):
    def test_the_reactor_measures_time_by_a_clock_that_nobody_sets(self) -> None:
        """Timers survive a wall clock that is set back."""
        reactor: Any = MemoryReactorClock()
        use_steady_clock(reactor)
        self.assertIs(reactor.seconds, time.monotonic)
