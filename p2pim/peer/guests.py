"""Guests of the server's classic gateway, as a user who wishes to meet them has them.

Nothing about a guest can be believed: whoever is on the way reads and changes what is said, and a name proves nothing.
So it is the person who decides (off at first), guests are always called ``NAME@classic``, and their messages go another
way than those of users: plain text in messages of their own, to and from the server alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from p2pim.core.message_ids import show_message_id
from p2pim.core.names import guest_name, guest_user
from p2pim.errors import BadName, NoGuests, NotSignedIn, P2pimError
from p2pim.peer import events
from p2pim.peer.account_context import AccountContext
from p2pim.peer.background import Background
from p2pim.peer.session import Session
from p2pim.storage.database import Database
from p2pim.storage.guests import GUEST_ROUTE, keep_guest_message
from p2pim.wire.guests import GuestChanged, Guests, GuestSaid, GuestsOffered, MeetGuests, SayToGuest

APART = "apart"
_NOT_ON = "You do not meet this server's guests; `p2pim guests on` lets you. What is said to them is not encrypted."
_NOT_OFFERED = "This server has no guests to meet."


class MetGuests:
    """The guests who are here.

    :param new_id: makes ids of messages.
    """

    def __init__(
        self,
        context: AccountContext,
        database: Database,
        session: Session,
        background: Background,
        new_id: Callable[[], bytes],
    ) -> None:
        self._wall = context.wall
        self._emit = context.emit
        self._journal = context.journal.write
        self._database = database
        self._session = session
        self._background = background
        self._new_id = new_id
        self.on = context.home.credentials().guests
        """Whether the person wishes to meet them."""
        self.policy = APART
        """What the server lets happen: "apart", "shown" or "together"."""
        self._here: dict[str, None] = {}

    def users(self) -> list[str]:
        """Who is here, as users call them."""
        return sorted(guest_user(name) for name in self._here)

    # --- what the server says

    def signed_in(self) -> None:
        """A session begins; whether there are guests is said after this, if at all."""
        self.policy = APART
        if not self.on:
            self._now_here(())

    def told(self, message: GuestsOffered | GuestChanged | GuestSaid) -> None:
        """Something about guests."""
        if isinstance(message, GuestsOffered):
            self.policy = message.policy
            if self.policy == APART:
                self._now_here(())
            elif self.on:
                self._background.run(self._meet_quietly(), "meeting guests")
        elif not self.on or not _is_name(message.guest):
            return
        elif isinstance(message, GuestChanged):
            self._changed(message.guest, here=message.here)
        else:
            self._background.run(self._said(message), "keeping what a guest said")

    def _changed(self, name: str, *, here: bool) -> None:
        if here == (name in self._here):
            return
        if here:
            self._here[name] = None
        else:
            del self._here[name]
        status = "online" if here else "offline"
        self._emit(events.PresenceChanged(at=self._wall(), user=guest_user(name), status=status))

    def _now_here(self, names: Iterable[str]) -> None:
        now = dict.fromkeys(name for name in names if _is_name(name))
        for name in [name for name in self._here if name not in now]:
            self._changed(name, here=False)
        for name in now:
            self._changed(name, here=True)

    async def _said(self, said: GuestSaid) -> None:
        user, id = guest_user(said.guest), show_message_id(said.message)
        at = round(said.at * 1000)
        if not await keep_guest_message(self._database, said.guest, said.message, said.text, at, mine=said.mine):
            return
        what = "sent by another device" if said.mine else "received"
        self._journal("message", user, f"{what} in plain text, classic")
        sent_at = events.rfc3339(said.at)
        if said.mine:
            self._emit(events.MessageSent(
                at=self._wall(), id=id, user=user, device="", text=said.text, route=GUEST_ROUTE, address="",
                sent_at=sent_at,
            ))  # fmt: skip
        else:
            self._emit(events.MessageReceived(
                at=self._wall(), id=id, user=user, text=said.text, route=GUEST_ROUTE, address="", sent_at=sent_at
            ))  # fmt: skip

    # --- what the person does

    async def settled(self) -> None:
        """Until it is known what the server lets happen: it says so right after the sign-in, or not at all."""
        if self.policy == APART and self._session.connected:
            await self._session.ping()

    async def wish(self, on: bool) -> None:
        """Meet guests from now on, or no more."""
        self.on = on
        if self.policy != APART and self._session.connected:
            await self._meet()
        elif not on:
            self._now_here(())

    async def _meet_quietly(self) -> None:
        try:
            await self._meet()
        except (NotSignedIn, NoGuests):
            pass  # the server will say it again, or has changed its mind
        except P2pimError as error:
            self._journal("error", "", f"guests cannot be met: {error.message}")

    async def _meet(self) -> None:
        answer = await self._session.request(lambda id: MeetGuests(id, self.on))
        if isinstance(answer, Guests):
            self._now_here(answer.guests if self.on else ())

    async def say(self, user: str, text: str) -> bytes:
        """Say ``text`` to the guest whom users call ``user``; the message's id. Nobody can say whether it arrives.

        :raises NoGuests: the person, or the server, does not wish it.
        :raises NoSuchGuest: there is none of that name now.
        """
        name = guest_name(user)
        await self.settled()
        if not self.on or self.policy == APART:
            raise NoGuests(_NOT_OFFERED if self.on else _NOT_ON)
        id = self._new_id()
        await self._session.request(lambda number: SayToGuest(number, name, id, text))
        await keep_guest_message(self._database, name, id, text, round(self._wall() * 1000), mine=True)
        self._journal("message", user, "sent in plain text, classic")
        return id


def _is_name(name: str) -> bool:
    """Whether a guest can be called so; the server should name no others."""
    try:
        return bool(guest_name(guest_user(name)))
    except BadName:
        return False
