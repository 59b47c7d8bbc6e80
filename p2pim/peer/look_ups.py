"""Asking the server who is there: when somebody wants to know, and now and then for those for whom something waits."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from p2pim.core.limits import LOOK_UP_EVERY, LOOK_UP_FIRST, LOOK_UPS_AT_ONCE
from p2pim.errors import NoSuchUser, P2pimError
from p2pim.peer.account_context import AccountContext
from p2pim.peer.background import Background
from p2pim.peer.outbox import Outbox
from p2pim.peer.people import UNKNOWN, People
from p2pim.peer.session import Session
from p2pim.wire import messages as m


class LookUps:
    """Questions about presence.

    :param appeared: told what was known of a user's devices before, whenever something else is known now.
    """

    def __init__(self, session: Session, people: People, device: bytes, appeared: Callable[[str, set[bytes]], None]):
        self._session = session
        self._people = people
        self._device = device
        self._appeared = appeared
        self._asking: dict[str, list[Deferred[None]]] = {}

    async def look_up(self, user: str) -> m.Person:
        """The presence of ``user`` now.

        :raises NoSuchUser: (or `Blocked`) there is nobody of that name, or they have blocked me.
        """
        found = await self._session.request(lambda number: m.LookUp(number, [user]))
        for person in found.people if isinstance(found, m.Found) else []:
            self.note(person)
            if person.user == user:
                return person
        raise NoSuchUser(f"There is no user {user} on this server.")

    async def ask_once(self, user: str) -> None:
        """Find out about somebody of whom nothing is known, by one question however many want to know.

        :raises NoSuchUser: (or `Blocked`) as `look_up` does.
        """
        known = self._people.get(user)
        if known is not None and (known.status != UNKNOWN or known.devices):
            return
        mine: Deferred[None] = Deferred()
        waiting = self._asking.setdefault(user, [])
        waiting.append(mine)
        if len(waiting) == 1:
            Deferred.fromCoroutine(self.look_up(user)).addBoth(self._told, user)
        await mine

    def _told(self, result: object, user: str) -> None:
        for waiting in self._asking.pop(user):
            if isinstance(result, Failure):
                waiting.errback(result)
            else:
                waiting.callback(None)

    async def devices_of(self, user: str) -> list[m.Device]:
        """The devices of ``user`` that are online, for the channel table."""
        person = self._people.get(user)
        if person is None or not person.relation or not person.devices:
            person = await self.look_up(user)
        return [device for device in person.devices if device.id != self._device]

    def note(self, person: m.Person) -> None:
        """The server answered a question with this: no event, but perhaps a way for what waits."""
        before = set(self._people.devices(person.user))
        self._people.changed(person)
        self._appeared(person.user, before)

    def heard_from(self, user: str, device: bytes) -> None:
        """An envelope came from there: that device is online."""
        before = set(self._people.devices(user))
        if self._people.heard_from(user, device):
            self._appeared(user, before)


class RecipientSearch:
    """Asks, less and less often, for the devices of those for whom something waits that could not be sealed yet."""

    def __init__(self, context: AccountContext, people: People, outbox: Outbox, background: Background) -> None:
        self._clock = context.reactor
        self._journal = context.journal
        self._people = people
        self._outbox = outbox
        self._background = background
        self._again: IDelayedCall | None = None
        self._wait = LOOK_UP_FIRST

    def start(self) -> None:
        """A session stands: ask soon, and then often at first."""
        self._wait = LOOK_UP_FIRST
        self._look_later(0.0)

    def stop(self) -> None:
        """There is nobody to ask."""
        self._look_later(None)

    def _look_later(self, seconds: float | None) -> None:
        """Ask after so long, instead of whenever that was to happen; None: not at all."""
        if self._again is not None and self._again.active():
            self._again.cancel()
        self._again = None
        if seconds is not None:
            self._again = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        self._look_later(self._wait)
        self._wait = min(2 * self._wait, LOOK_UP_EVERY)
        self._background.run(self._look_for_recipients(), "asking for recipients")

    async def _look_for_recipients(self) -> None:
        for user in self._outbox.homeless()[:LOOK_UPS_AT_ONCE]:
            if not self._people.connected:
                return
            try:
                await self._outbox.complete(user)
            except P2pimError as error:
                self._journal.write("message", user, f"still waits: {error.message}")
