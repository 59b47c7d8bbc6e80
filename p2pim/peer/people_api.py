"""The peer's calls about people: contacts, presence, what I tell of myself, and queries between programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from p2pim.core.limits import QUERY_TIME, TYPING_EVERY, USERS_IN_USE
from p2pim.core.names import canonical_name, is_guest_user
from p2pim.errors import Blocked, NotSignedIn, PeerRefused, ServerUnreachable
from p2pim.peer.account import Account
from p2pim.peer.groups import group_name
from p2pim.peer.home_account import HomeAccount
from p2pim.peer.own_status import check_status
from p2pim.peer.queries import Handler
from p2pim.peer.typing_notices import tell_group, tell_user
from p2pim.wire import messages as m


class PeopleApi(HomeAccount):
    """The part of `p2pim.peer.api.Peer` that is about people."""

    _typed: dict[str, float] | None = None

    @property
    def clock(self) -> Any:
        """The clock and reactor of this peer."""
        return self._reactor

    @property
    def connected(self) -> bool:
        """Whether there is a session with the server now."""
        return self._account is not None and self._account.people.connected

    def _live(self) -> Account:
        """The account, with a session.

        :raises ServerUnreachable: there is no connection to the server now.
        """
        if self._account is None:
            raise NotSignedIn
        if not self._account.people.connected:
            raise ServerUnreachable("There is no connection to the server now; p2pim keeps trying.")
        return self._account

    def _running(self) -> Account:
        if self._account is None:
            raise NotSignedIn
        return self._account

    # --- contacts

    async def who(self, all: bool = False) -> list[m.Person]:
        """My contacts with their presence, whoever asks to be one, and whom I asked.

        :param all: everyone online whom I may see, too.
        """
        account = self._live() if all else self._running()
        if not all:
            return account.people.contacts()
        found = await account.session.request(m.WhoIsOnline)
        people = {person.user: person for person in account.people.contacts()}
        for person in found.people if isinstance(found, m.Found) else []:
            account.look_ups.note(person)
            people[person.user] = person
        return sorted(people.values(), key=lambda person: person.user)

    async def add(self, user: str) -> m.Person:
        """Ask ``user`` to be my contact, or agree when they have asked: `m.Person.relation` says which it was.

        Contacts see each other's presence and may learn each other's addresses.

        :raises NoSuchUser: there is nobody of that name.
        """
        return await self._live().contacts.add(canonical_name(user))

    async def remove(self, user: str) -> str:
        """Be contacts no more, for both; or withdraw my request, or decline theirs: gives the relation that ended."""
        return await self._live().contacts.remove(canonical_name(user))

    async def block(self, user: str) -> None:
        """``user`` reaches me no more: not through the server, and not by a channel."""
        await self._live().contacts.block(canonical_name(user))

    async def unblock(self, user: str) -> None:
        """``user`` may reach me again."""
        await self._live().contacts.unblock(canonical_name(user))

    # --- presence

    async def is_online(self, user: str) -> bool:
        """Whether ``user`` is there, as the server knows it now.

        :raises NoSuchUser: there is nobody of that name.
        :raises PeerRefused: it is not for me to know: they are no contact.
        """
        account, user = self._live(), canonical_name(user)
        try:
            person = await account.look_ups.look_up(user)
        except Blocked:
            return False
        if not person.status:
            raise PeerRefused(f"Only contacts of {user} see whether they are online; `p2pim add {user}` asks them.")
        return person.status != "offline"

    def my_address(self) -> str:
        """This device's address, ``host:port``, as the server sees it.

        :raises ServerUnreachable: there is no connection to the server now.
        """
        welcome = self._live().session.welcome
        return welcome.address if welcome is not None else ""

    async def ping_server(self) -> float:
        """Seconds to the server and back."""
        return await self._live().session.ping()

    @property
    def status(self) -> str:
        """What I am to others: "online", "away", "busy" or "invisible". Who does nothing for long is "away"."""
        return self._account.status.shown if self._account is not None else self._credentials.status

    @property
    def chosen_status(self) -> str:
        """What I set last."""
        return self._credentials.status

    def set_status(self, status: str) -> None:
        """Be "online", "away", "busy" or "invisible" from now on, and after a restart.

        :raises Usage: that is no status.
        """
        self._save(status=check_status(status))
        if self._account is not None:
            self._account.status.choose(status)

    def active(self) -> None:
        """The person has done something: they are not away."""
        if self._account is not None:
            self._account.status.active()

    def typing(self, user: str) -> None:
        """Tell ``user`` that I am writing: over a channel, or to a contact who is online; every few seconds at most.

        Of a group (``#NAME``) those members are told who are there, unless it is larger than `GROUP_TYPING`.

        :raises NoSuchGroup: I am in no group of this name.
        """
        self.active()
        account = self._running()
        if is_guest_user(user):
            return  # there is no line for it
        name = "#" + group_name(user) if user.startswith("#") else canonical_name(user)
        now = self._reactor.seconds()
        typed = {name: at for name, at in (self._typed or {}).items() if now - at < TYPING_EVERY}
        if name not in typed and len(typed) < USERS_IN_USE and not account.people.is_blocked(name):
            typed[name] = now
            (tell_group if user.startswith("#") else tell_user)(account, name)
        self._typed = typed

    # --- queries

    async def query(self, user: str, topic: str, body: bytes = b"", timeout: float = QUERY_TIME) -> bytes:
        """Ask the program at ``user`` that answers ``topic``; its answer. Nothing is kept for whoever is not there.

        :param body: at most `p2pim.core.limits.QUERY_BODY` bytes, as is the answer.
        :param timeout: in seconds.
        :raises Offline: nobody is there.
        :raises NobodyAnswers: nothing there answers this topic.
        :raises QueryFailed: it could not be answered.
        :raises TimedOut: no answer came in time.
        """
        account, user = self._live_or_direct(canonical_name(user)), canonical_name(user)
        if account.people.is_blocked(user):
            raise Blocked(f"You have blocked {user}; unblock them first.")
        return await account.queries.ask(user, topic, body, timeout)

    def _live_or_direct(self, user: str) -> Account:
        account = self._running()
        return account if account.routes.direct_devices(user) else self._live()

    def answer(self, topic: str, handler: Handler) -> Callable[[], None]:
        """Have ``handler`` answer queries of ``topic``; gives what ends that.

        ``handler`` takes the user who asks (anybody who is not blocked) and the body, and returns bytes, or something
        to await that gives them. What it raises as a `P2pimError` is told to the asker.

        :raises Usage: ``topic`` is answered already.
        """
        return self._running().queries.answer(topic, handler)
