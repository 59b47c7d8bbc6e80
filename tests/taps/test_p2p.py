"""The command line and configuration of the standalone P2P server's plugin."""

from __future__ import annotations

from pathlib import Path

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from p2pim.server.settings import ServerSettings
from p2pim.taps.config import SECTIONS, load_config
from p2pim.taps.p2p import Options, P2pConfig, read_config
from p2pim.taps.peer import PeerConfig


class OptionTests(SynchronousTestCase):
    def options(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions(arguments)
        return options

    def file(self, text: str) -> str:
        """A configuration file with this in it."""
        file = Path(self.mktemp())
        file.write_text(text)
        return str(file)

    def test_the_file_is_outranked_by_the_environment_and_that_by_an_option(self) -> None:
        """As with all our programs."""
        file = self.file("[p2p_server]\nport = 1\nrate = 50.0\nburst = 60.0\n")
        environ = {"P2PIM_P2P_SERVER__PORT": "2", "P2PIM_P2P_SERVER__RATE": "70"}
        section = read_config(self.options("--config", file, "--port", "3"), environ)
        self.assertEqual((section.port, section.rate, section.burst), (3, 70.0, 60.0))

    def test_a_mistake_is_told_before_a_service_is_made(self) -> None:
        """Wherever it is: twistd prints one line, and no traceback."""
        for arguments, text in (
            (("--port", "many"), "command line: p2p_server.port"),
            (("--interface", "nowhere"), "nowhere"),
            (("--config", "/nonexistent"), "cannot be read"),
            (("--config", self.file("[p2p_server]\nprot = 1\n")), "did you mean port"),
            (("--config", self.file("[p2p]\nport = 1\n")), "did you mean [p2p_server]?"),
        ):
            error = self.assertRaises(UsageError, self.options, *arguments)
            self.assertIn(text, str(error))


class SectionTests(SynchronousTestCase):
    """One environment may hold the variables of all our programs."""

    PROGRAMS = (ServerSettings, P2pConfig, PeerConfig)

    def test_each_section_belongs_to_one_program(self) -> None:
        """So a variable is read by one alone; and all sections are listed as ours."""
        names = [name for settings in self.PROGRAMS for name in settings.__struct_fields__]
        self.assertEqual(sorted(names), sorted(SECTIONS))

    def test_a_setting_of_one_program_does_not_reach_another(self) -> None:
        """Both P2P servers have a rate, and only one is meant."""
        environ = {"P2PIM_P2P_SERVER__RATE": "5", "P2PIM_P2P_SERVER__PORT": "9902", "P2PIM_P2P__BURST": "77"}
        beside = load_config(ServerSettings, None, environ, {}).p2p
        alone = load_config(P2pConfig, None, environ, {}).p2p_server
        self.assertEqual((beside.rate, beside.burst), (ServerSettings().p2p.rate, 77.0))
        self.assertEqual((alone.rate, alone.port, alone.burst), (5.0, 9902, P2pConfig().p2p_server.burst))
        self.assertEqual(load_config(PeerConfig, None, environ, {}), PeerConfig())
