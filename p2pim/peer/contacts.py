"""My contact list: asking, agreeing, parting, blocking; and what others do about it.

Whoever writes to somebody asks to be their contact along with it (or agrees, when they had asked): the two find a
direct way only when they are contacts. It is done once: whoever has declined, or was removed, is not asked again until
`Contacts.add` is called for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Protocol

from p2pim.core.limits import PEOPLE
from p2pim.errors import Blocked, NoSuchUser, P2pimError
from p2pim.peer import events
from p2pim.peer.account_context import AccountContext
from p2pim.peer.background import Background
from p2pim.peer.look_ups import LookUps
from p2pim.peer.people import People
from p2pim.peer.session import Session
from p2pim.wire import messages as m


class ContactChannels(Protocol):
    """What a change of relations means to the channel table."""

    def befriended(self, user: str) -> None: ...
    def disconnect(self, user: str, reason: str) -> None: ...


class Contacts:
    """Changes the list, here and at the server."""

    def __init__(
        self,
        context: AccountContext,
        session: Session,
        people: People,
        look_ups: LookUps,
        channels: ContactChannels,
        background: Background,
    ) -> None:
        self._context = context
        self._session = session
        self._people = people
        self._look_ups = look_ups
        self._channels = channels
        self._background = background
        self._parted: OrderedDict[str, None] = OrderedDict()

    # --- what I do

    async def add(self, user: str) -> m.Person:
        """Ask ``user`` to be my contact, or agree; gives what I may know of them now.

        :raises NoSuchUser: there is nobody of that name.
        """
        found = await self._session.request(lambda number: m.AddContact(number, user))
        if not isinstance(found, m.Found) or not found.people:
            raise P2pimError("The server answered a request for a contact with something else.")
        self._parted.pop(user, None)
        before = self._people.relation(user)
        self._look_ups.note(found.people[0])
        self._related(user, before, mine=True)
        return found.people[0]

    async def remove(self, user: str) -> str:
        """Be contacts no more, withdraw my request, or decline theirs; gives the relation that has ended."""
        before = self._people.relation(user)
        await self._session.request(lambda number: m.RemoveContact(number, user))
        if before != "blocked":
            self._people.relate(user, "")
        self._related(user, before, mine=True)
        return before

    async def block(self, user: str) -> None:
        """``user`` reaches me no more: not through the server, and not by a channel."""
        await self._session.request(lambda number: m.BlockUser(number, user, True))
        self._people.relate(user, "blocked")
        self._channels.disconnect(user, "blocked")

    async def unblock(self, user: str) -> None:
        """``user`` may reach me again, and is to me what they were before."""
        await self._session.request(lambda number: m.BlockUser(number, user, False))
        self._people.relate(user, "")
        try:
            await self._look_ups.look_up(user)
        except Blocked:
            self._context.journal.write("contacts", user, "unblocked, but has blocked me")

    async def acquaint(self, user: str) -> None:
        """I write to ``user``: ask them to be my contact if I am nothing to them, or agree if they asked.

        :raises NoSuchUser: there is nobody of that name.
        """
        relation = self._people.relation(user)
        me = self._session.welcome.user if self._session.welcome is not None else ""
        strangers = relation == "" and user not in self._parted and not self._people.knows_me(user)
        if not self._people.connected or user == me or not (strangers or relation == "asks"):
            return
        try:
            await self.add(user)
        except NoSuchUser:
            raise
        except P2pimError as error:
            self._context.journal.write("contacts", user, f"not asked to be a contact: {error.message}")

    # --- what others do

    def signed_in(self, before: dict[str, str], waiting: Iterable[str]) -> None:
        """A session begins; ``before`` is how I stood to those to whom I stand differently now, ``waiting`` are those
        for whom something waits, written while there was no server."""
        for user, relation in before.items():
            self._related(user, relation)
        self._background.run(self._acquaint_all(list(waiting)), "asking those who were written to")

    def changed(self, user: str, before: str) -> None:
        """The server told of ``user``, to whom I stood in the relation ``before``."""
        self._related(user, before)

    async def _acquaint_all(self, users: list[str]) -> None:
        for user in users:
            try:
                await self.acquaint(user)
            except NoSuchUser as error:
                self._context.journal.write("contacts", user, error.message)

    def _related(self, user: str, before: str, *, mine: bool = False) -> None:
        now, at = self._people.relation(user), self._context.wall()
        if now == before:
            return
        if now == "contact":
            if before == "requested" and not mine:
                self._context.emit(events.ContactAccepted(at=at, user=user))
            if before or mine:  # else it is only what the first sign-in tells
                self._context.journal.write("contacts", user, "is a contact")
            self._channels.befriended(user)
        elif now == "asks":
            self._context.emit(events.ContactRequested(at=at, user=user))
            self._context.journal.write("contacts", user, "wants to be a contact")
        elif now == "":
            self._part(user)
        if before == "contact" and now != "blocked" and not self._people.knows_me(user):
            self._channels.disconnect(user, "not a contact any more")

    def _part(self, user: str) -> None:
        self._parted[user] = None
        if len(self._parted) > PEOPLE:
            self._parted.popitem(last=False)
        self._context.journal.write("contacts", user, "is no contact")
