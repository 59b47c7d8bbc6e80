"""What I tell of myself: what I chose, or that I am away when I have done nothing for long."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from p2pim.core.presence import STATUSES
from p2pim.errors import NotSignedIn, Usage
from p2pim.wire.messages import Message, SetStatus

ONLINE, AWAY = "online", "away"


class StatusSession(Protocol):
    """The session, which signs in with a status and can change it."""

    status: str

    def send(self, message: Message) -> None: ...


def check_status(status: str) -> str:
    """``status``, if it is one.

    :raises Usage: it is none.
    """
    if status not in STATUSES:
        raise Usage(f"{status!r} is no status: {', '.join(STATUSES)}.")
    return status


class OwnStatus:
    """One of "online", "away", "busy" and "invisible", told to the server as it changes and at each sign-in.

    :param chosen: what the person chose last; only somebody who is "online" becomes away by themselves.
    :param away_after: seconds without `active` after which they do; 0: never.
    """

    def __init__(self, clock: IReactorTime, session: StatusSession, chosen: str, away_after: float) -> None:
        self.chosen = chosen
        self._clock = clock
        self._session = session
        self._away_after = away_after
        self._active_at = clock.seconds()
        self._idle = False
        self._timer: IDelayedCall | None = None
        session.status = self.shown
        self._wait(away_after)

    @property
    def shown(self) -> str:
        """What the server is told."""
        return AWAY if self._idle and self.chosen == ONLINE else self.chosen

    def choose(self, status: str) -> None:
        """Be ``status`` from now on."""
        self.chosen = status
        self.active()
        self._tell()

    def active(self) -> None:
        """The person has done something."""
        self._active_at = self._clock.seconds()
        if self._idle:
            self._idle = False
            self._tell()
            self._wait(self._away_after)

    def idle_after(self, seconds: float) -> None:
        """From now on they become away after so long; 0: never."""
        self._away_after = seconds
        self.active()
        self._wait(seconds)

    def stop(self) -> None:
        """Nothing more becomes of it."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _wait(self, seconds: float) -> None:
        self.stop()
        if self._away_after > 0:
            self._timer = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        """Look only now and then: whoever is active need not move a timer each time."""
        left = self._active_at + self._away_after - self._clock.seconds()
        if left > 0:
            self._wait(left)
            return
        self._idle = True
        self._tell()

    def _tell(self) -> None:
        if self._session.status == self.shown:
            return
        self._session.status = self.shown
        try:
            self._session.send(SetStatus(self.shown))
        except NotSignedIn:
            return  # the next sign-in says it
