"""What a peer tells of itself: chosen, or away by itself."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import NotSignedIn, Usage
from p2pim.peer.own_status import OwnStatus, check_status
from p2pim.wire.messages import Message, SetStatus


class Session:
    """Hears what the server is told."""

    def __init__(self) -> None:
        self.status = "online"
        self.told: list[str] = []
        self.connected = True

    def send(self, message: Message) -> None:
        if not self.connected:
            raise NotSignedIn
        assert isinstance(message, SetStatus)
        self.told.append(message.status)


class OwnStatusTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.session = Session()

    def make(self, chosen: str = "online", away_after: float = 600.0) -> OwnStatus:
        """The status of somebody who chose so."""
        return OwnStatus(self.clock, self.session, chosen, away_after)

    def test_who_does_nothing_is_away_until_they_do_something(self) -> None:
        """As often as it happens; what is done in time moves the end of it."""
        status = self.make()
        self.clock.advance(500)
        status.active()
        self.clock.advance(590)
        self.assertEqual(self.session.told, [])
        self.clock.advance(10)
        self.assertEqual((self.session.told, status.shown), (["away"], "away"))
        status.active()
        self.assertEqual(self.session.told, ["away", "online"])
        self.clock.advance(600)
        self.assertEqual(self.session.told, ["away", "online", "away"])
        status.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_was_chosen_is_not_overridden(self) -> None:
        """Busy and invisible stay so, and away by choice does not end by doing something."""
        for chosen in ("busy", "invisible", "away"):
            self.session.status, self.session.told = "online", []
            status = self.make(chosen)
            self.assertEqual(self.session.status, chosen)
            self.clock.advance(1000)
            status.active()
            self.assertEqual((self.session.told, status.shown), ([], chosen))
            status.stop()

    def test_choosing_tells_at_once_and_only_what_changes(self) -> None:
        """And without a session, the next sign-in says it."""
        status = self.make()
        status.choose("busy")
        status.choose("busy")
        self.session.connected = False
        status.choose("invisible")
        self.assertEqual((self.session.told, self.session.status), (["busy"], "invisible"))

    def test_zero_is_never(self) -> None:
        """Whoever does not want it has no timer either."""
        self.make(away_after=0.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_other_words_are_no_status(self) -> None:
        """A typing mistake is told before the server sees it."""
        self.assertRaises(Usage, check_status, "asleep")
