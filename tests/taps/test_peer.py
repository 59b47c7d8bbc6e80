"""The command line and configuration of the agent's plugin."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import BadConfig
from p2pim.taps.config import load_config
from p2pim.taps.peer import Options, PeerConfig, PeerService, config_from

EXAMPLE = Path(__file__).parents[2] / "etc" / "p2pim-peer.toml"


class OptionTests(SynchronousTestCase):
    def options(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions(arguments)
        return options

    def test_a_home_and_a_file_are_taken(self) -> None:
        """The option overrides the file."""
        file = Path(self.mktemp())
        file.write_text('[peer]\nhome = "/nowhere"\naccept = "always"\nconnect = "lan"\n')
        config = config_from(self.options("--config", str(file), "--home", "here"))
        self.assertEqual(config.home, Path("here").absolute())
        self.assertEqual((config.settings().accept, config.settings().connect), ("always", "lan"))

    def test_a_mistake_is_told_before_anything_runs(self) -> None:
        """With the nearest key that exists."""
        file = Path(self.mktemp())
        file.write_text('[peer]\nacept = "always"\n')
        error = self.assertRaises(UsageError, self.options, "--config", str(file))
        self.assertIn("accept", str(error))

    def test_the_page_is_served_on_loopback_or_not_at_all(self) -> None:
        """What anybody else could reach is refused before anything runs."""
        for value, address in (("127.0.0.1:8000", "127.0.0.1:8000"), ("[::1]:0", "[::1]:0"), ("none", "None")):
            config = load_config(PeerConfig, None, {"P2PIM_PEER__WEB": value}, {})
            self.assertEqual(str(config.page()), address)
        for value in ("0.0.0.0:8000", "192.0.2.1:80", "example.org:80", "8000", "127.0.0.1:99999", "[::]:1"):
            self.assertRaises(BadConfig, load_config(PeerConfig, None, {"P2PIM_PEER__WEB": value}, {}).page)

    def test_the_example_has_every_key_with_its_default(self) -> None:
        """Uncommented, it changes nothing but the paths."""
        lines = EXAMPLE.read_text().splitlines()
        keys = [line for line in lines if line.startswith("#") and " = " in line and not line.startswith("# ")]
        uncommented = Path(self.mktemp())
        uncommented.write_text("[peer]\n" + "\n".join(line[1:] for line in keys))
        config = load_config(PeerConfig, uncommented, {}, {}).peer
        default = PeerConfig().peer
        self.assertEqual({line[1:].split(" = ")[0] for line in keys}, set(default.__struct_fields__))
        for key in set(default.__struct_fields__) - {"home", "downloads", "quota"}:
            self.assertEqual(getattr(config, key), getattr(default, key))


class ServiceTests(SynchronousTestCase):
    def test_a_home_where_nobody_is_signed_in_is_refused(self) -> None:
        """In one line that says what to do, and the home is free again."""
        home = Path(self.mktemp())
        service = PeerService(MemoryReactorClock(), lambda: load_config(PeerConfig, None, {}, {"peer": {"home": home}}))
        for _ in range(2):
            error = self.assertRaises(SystemExit, service.startService)
            self.assertIn("p2pim-peer: not-signed-in: ", str(error))
