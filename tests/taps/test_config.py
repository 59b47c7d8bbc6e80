"""Configuration: what overrides what, and mistakes that are told where they are."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import BadConfig
from p2pim.server.settings import ServerSettings
from p2pim.taps.config import load_config

EXAMPLE = Path(__file__).parents[2] / "etc" / "p2pim-server.toml"


class ConfigTests(SynchronousTestCase):
    def load(
        self, toml: str | None = None, environ: dict[str, str] | None = None, **options: dict[str, object]
    ) -> ServerSettings:
        """The settings of these three sources."""
        file = None
        if toml is not None:
            file = Path(self.mktemp())
            file.write_text(toml, encoding="utf-8")
        return load_config(ServerSettings, file, environ or {}, options)

    def mistake(
        self, toml: str | None = None, environ: dict[str, str] | None = None, **options: dict[str, object]
    ) -> str:
        """What is said about a wrong configuration."""
        with self.assertRaises(BadConfig) as caught:
            self.load(toml, environ, **options)
        message: str = caught.exception.message
        return message

    def test_nothing_given_is_a_working_server(self) -> None:
        """The embedded defaults."""
        settings = self.load()
        self.assertEqual((settings.server.port, settings.server.registration, settings.tls.key), (4530, "open", None))

    def test_the_environment_overrides_the_file_and_an_option_both(self) -> None:
        """From the general to the particular."""
        toml = '[server]\nport = 1\nregistration = "closed"\nroster = "everyone"\n'
        environ = {"P2PIM_SERVER__PORT": "2", "P2PIM_SERVER__REGISTRATION": "invite"}
        settings = self.load(toml, environ, server={"port": "3", "interface": None})
        self.assertEqual(
            (settings.server.port, settings.server.registration, settings.server.roster), (3, "invite", "everyone")
        )

    def test_an_unknown_key_is_refused_with_the_nearest_known_one(self) -> None:
        """A misspelt setting is never silently ignored."""
        self.assertIn("did you mean port in [server]?", self.mistake("[server]\nprot = 1\n"))
        self.assertIn("did you mean max_connections in [limits]?", self.mistake("[server]\nmax_conections = 1\n"))
        self.assertIn("did you mean [server]?", self.mistake("[sever]\nport = 1\n"))
        self.assertIn("did you mean P2PIM_SERVER__PORT?", self.mistake(environ={"P2PIM_SERVER__PROT": "1"}))
        self.assertIn("did you mean P2PIM_SERVER__", self.mistake(environ={"P2PIM_SERVR__PORT": "1"}))

    def test_other_variables_are_none_of_ours(self) -> None:
        """Those of people's own homes, of our other programs, and of other software."""
        environ = {"P2PIM_HOME": "x", "P2PIM_PASSWORD": "x", "P2PIM_PEER__ACCEPT": "x", "OTHER__KEY": "x"}
        self.assertEqual(self.load(environ=environ), self.load())

    def test_wrong_values_are_told_with_their_place_and_source(self) -> None:
        """The operator need not search."""
        self.assertIn("server.port", self.mistake('[server]\nport = "no"\n'))
        self.assertIn("server.port", self.mistake("[server]\nport = 70000\n"))
        self.assertIn("environment: server.port", self.mistake(environ={"P2PIM_SERVER__PORT": "no"}))
        self.assertIn("command line: server.port", self.mistake(server={"port": "no"}))
        self.assertIn("server.registration", self.mistake('[server]\nregistration = "maybe"\n'))
        self.assertIn("tls.key", self.mistake("[tls]\nkey = 5\n"))

    def test_in_a_file_a_number_is_a_number(self) -> None:
        """TOML has types; only the environment and options have text alone."""
        self.assertIn("server.port", self.mistake('[server]\nport = "4530"\n'))

    def test_a_file_that_is_none_is_told(self) -> None:
        """Missing, not TOML, not text, keys without a section."""
        with self.assertRaises(BadConfig) as caught:
            load_config(ServerSettings, Path("/nowhere/at/all.toml"), {}, {})
        self.assertIn("/nowhere/at/all.toml", caught.exception.message)
        self.assertIn("not TOML", self.mistake("[server\n"))
        self.assertIn("[server]", self.mistake("server = 5\n"))

    @given(st.text(max_size=60))
    def test_any_text_is_a_configuration_or_a_mistake(self, toml: str) -> None:
        """Nothing else comes out of it."""
        file = Path(self.mktemp())
        file.write_text(toml, encoding="utf-8", errors="replace")
        try:
            load_config(ServerSettings, file, {}, {})
        except BadConfig as error:
            self.assertTrue(error.message)

    def test_the_example_shows_every_setting_with_its_default(self) -> None:
        """The commented file is complete, and true."""
        text = EXAMPLE.read_text(encoding="utf-8")
        live = "\n".join(line.removeprefix("#") if line.startswith("#") and "=" in line[:40] else line
                         for line in text.splitlines() if not line.startswith("# "))  # fmt: skip
        settings = self.load(live)
        for section in ("server", "tls", "limits", "p2p", "classic", "web"):
            for key in getattr(settings, section).__struct_fields__:
                self.assertRegex(text, rf"(?m)^#?{key} = ", f"{section}.{key}")
        defaults = self.load()
        self.assertEqual((settings.limits, settings.p2p, settings.web), (defaults.limits, defaults.p2p, defaults.web))
        self.assertEqual(settings.server.port, defaults.server.port)
