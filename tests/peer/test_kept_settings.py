"""Settings from a window: kept in the home, beneath what a run was started with."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import BadP2pServer, Usage
from p2pim.peer.home import Home
from p2pim.peer.kept_settings import Chosen, KeptSettings
from p2pim.peer.states import PeerSettings


class KeptSettingsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.home = Home(Path(self.mktemp()))
        self.home.make()

    def kept(self, given: PeerSettings | None = None, fixed: frozenset[str] | None = None) -> KeptSettings:
        return KeptSettings(self.home, given, fixed)

    def test_what_was_chosen_holds_for_the_next_run(self) -> None:
        """One after another; minutes outside, seconds inside."""
        kept = self.kept()
        kept.choose(Chosen(accept="always"))
        self.assertEqual(kept.choose(Chosen(away_after=2, quota=5)).away_after, 120)
        again = self.kept()
        self.assertEqual((again.now.accept, again.now.away_after, again.now.quota), ("always", 120, 5))
        self.assertEqual((again.as_json()["away_after"], again.as_json()["fixed"]), (2, []))

    def test_what_a_run_was_started_with_outranks_it(self) -> None:
        """For that run; and it cannot be changed meanwhile."""
        self.kept().choose(Chosen(accept="always", channel="tcp"))
        run = self.kept(PeerSettings(accept="ask", away_after=600.0), frozenset({"accept"}))
        self.assertEqual((run.now.accept, run.now.channel, run.now.away_after), ("ask", "tcp", 600.0))
        self.assertRaises(Usage, run.choose, Chosen(accept="never"))
        self.assertEqual(run.as_json()["fixed"], ["accept"])
        self.assertEqual(self.kept().now.accept, "always")

    def test_a_program_that_names_a_setting_gets_it(self) -> None:
        """Whatever was chosen in a window."""
        self.kept().choose(Chosen(accept="always", connect="lan"))
        run = self.kept(PeerSettings(accept="never"))
        self.assertEqual((run.now.accept, run.now.connect), ("never", "lan"))

    def test_nothing_changes_when_one_value_makes_no_sense(self) -> None:
        """And what was there stays."""
        kept = self.kept()
        self.assertRaises(BadP2pServer, kept.choose, Chosen(accept="always", p2p_server="nowhere"))
        self.assertRaises(Usage, kept.choose, Chosen(accept="always", downloads="not/whole"))
        self.assertEqual(self.kept().now.accept, "ask")

    def test_what_was_chosen_can_be_given_back(self) -> None:
        """To the usual folder, and to the P2P server that the server names."""
        kept, folder = self.kept(), str(Path(self.mktemp()).absolute())
        kept.choose(Chosen(downloads=folder, p2p_server="none"))
        self.assertEqual((str(kept.now.downloads), kept.now.p2p_server), (folder, "none"))
        kept.choose(Chosen(downloads=None, p2p_server=None))
        self.assertEqual((kept.now.downloads, kept.now.p2p_server), (None, None))

    def test_a_damaged_file_is_none(self) -> None:
        """The agent begins with the usual settings."""
        (self.home.path / "settings.json").write_text('{"accept": 7}')
        self.assertEqual(self.kept().now, PeerSettings())
