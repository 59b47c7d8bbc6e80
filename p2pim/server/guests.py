"""Where guests of the classic gateway and the server's own users meet, as far as the operator and each user wish it.

A device that said `MeetGuests` hears of guests; its user, unless invisible, is a **resident**: shown to guests, when
the policy is "together". What goes from one world to the other is plain text in messages of its own: envelopes, which
are sealed, have no part in it, so that nothing a guest or this server says can pass for a message of a user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from p2pim.core.classic import Guest
from p2pim.core.limits import CLASSIC_TEXT
from p2pim.core.message_ids import make_message_id
from p2pim.core.names import guest_user
from p2pim.core.presence import OFFLINE, shown_status
from p2pim.errors import BadMessage, NoGuests, NoSuchGuest, TooMany
from p2pim.server.classic import Gateway
from p2pim.server.classic_residents import Residents
from p2pim.server.sessions import Directory, Session
from p2pim.wire.classic import Login
from p2pim.wire.guests import GuestChanged, Guests, GuestSaid, MeetGuests, SayToGuest
from p2pim.wire.messages import Done, Message

APART: Final = "apart"
TOGETHER: Final = "together"
_ONLY_SHOWN: Final = "This server shows its guests, but lets nobody write to them."
_NOT_MEETING: Final = "This device does not meet guests; `p2pim guests on` lets it."
_INVISIBLE: Final = "Whoever is invisible to guests cannot write to them: they could not answer."
_NO_PORT: Final = "So many users are shown to guests already that there is no place for another."


class GuestDesk:
    """See the module.

    :param wall: the time in seconds since 1970.
    :param offer: tells all clients that understand it of another policy.
    """

    def __init__(
        self,
        clock: IReactorTime,
        directory: Directory,
        wall: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        offer: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._directory = directory
        self._wall = wall
        self._random_bytes = random_bytes
        self._offer = offer
        self._meeting: dict[Session, None] = {}
        self._gateway: Gateway | None = None
        self._residents: Residents | None = None
        self.policy = APART

    # --- the gateway

    def opened(self, gateway: Gateway, residents: Residents) -> None:
        """There is a gateway."""
        self._gateway, self._residents = gateway, residents
        self.use(gateway.section.guests)

    def closing(self) -> None:
        """There is none any more."""
        self.use(APART)
        self._gateway = self._residents = None

    def use(self, policy: str) -> None:
        """The operator's will has changed: those who met guests meet none any more, and may ask again."""
        before, self.policy = self.policy, policy
        if policy != before:
            self._meeting.clear()
            if self._residents is not None:
                self._residents.hide_all()
            self._offer(policy)

    # --- what users ask

    async def meet(self, session: Session, message: MeetGuests) -> Message:
        """Let this device meet guests, or no more.

        :raises NoGuests: the policy is against it.
        """
        if message.on and self.policy == APART:
            raise NoGuests
        if message.on:
            self._meeting[session] = None
        else:
            self._meeting.pop(session, None)
        self._review(session.user.name)
        here = self._gateway.roster if message.on and self._gateway is not None else ()
        return Guests(message.id, [guest.name for guest in here if guest_user(guest.name)])

    async def say(self, session: Session, message: SayToGuest) -> Message:
        """Send a text to a guest, as a datagram.

        :raises NoSuchGuest: there is none of that name.
        :raises NoGuests: this device does not meet guests, or may not write to them.
        """
        if session not in self._meeting:
            raise NoGuests(_NOT_MEETING if self.policy != APART else "")
        if self.policy != TOGETHER or self._gateway is None or self._residents is None:
            raise NoGuests(_ONLY_SHOWN)
        name, size = session.user.name, len(message.text.encode())
        if size > CLASSIC_TEXT:
            raise BadMessage(f"A text for a guest has at most {CLASSIC_TEXT} bytes.")
        if name not in self._residents:
            raise TooMany(_NO_PORT) if self._visible(name) else NoGuests(_INVISIBLE)
        guest = self._gateway.roster.find(message.guest)
        if guest is None:
            raise NoSuchGuest
        self._residents.say(name, guest, message.text)
        session.user.counters.uploads += 1
        session.user.counters.upload_bytes += size
        said = GuestSaid(guest.name, message.message, message.text, self._wall(), mine=True)
        self._push(said, (other for other in self._of(name) if other is not session))
        return Done(message.id)

    # --- what happens to users

    def account_here(self, name: str) -> None:
        """``name`` comes online: no guest keeps that name."""
        if self._gateway is not None:
            self._gateway.evict(name)

    def left(self, session: Session) -> None:
        """A session has ended."""
        if self._meeting.pop(session, self) is None:
            self._review(session.user.name)

    def presence_changed(self, name: str) -> None:
        """The presence of ``name`` may be another after this turn."""
        if self._residents is not None and self._meeting:
            self._clock.callLater(0, self._review, name)

    def _of(self, name: str) -> list[Session]:
        return [session for session in self._directory.of(name) if session in self._meeting]

    def _visible(self, name: str) -> bool:
        return shown_status(session.status for session in self._of(name)) != OFFLINE

    def _review(self, name: str) -> None:
        """Show ``name`` to guests, or no more, as it should be now."""
        if self._residents is None:
            return
        if self.policy == TOGETHER and self._visible(name):
            self._residents.show(name)
        else:
            self._residents.hide(name)

    # --- what happens to guests

    def guest_came(self, guest: Guest) -> None:
        """They are here."""
        self._tell(guest, here=True)

    def guest_went(self, guest: Guest) -> None:
        """They are gone."""
        self._tell(guest, here=False)

    def _tell(self, guest: Guest, *, here: bool) -> None:
        if guest_user(guest.name):
            self._push(GuestChanged(guest.name, here), self._meeting)

    def residents(self, local_host: str) -> Iterable[Login]:
        """The users whom guests are shown (see `p2pim.server.classic.IGuestWatcher`)."""
        return () if self._residents is None else self._residents.logins(local_host)

    def figures(self) -> dict[str, Any] | None:
        """What the operator sees of the gateway; None: there is none."""
        if self._gateway is None:
            return None
        figures = {"address": self._gateway.address, "guests": len(self._gateway.roster)}
        return {**figures, **asdict(self._gateway.counts)}

    def guest_said(self, name: str, guest: Guest, text: str) -> None:
        """A guest said something to the user ``name``."""
        sessions = self._of(name)
        if not sessions or not guest_user(guest.name):
            return
        at = self._wall()
        message = make_message_id(round(at * 1000), self._random_bytes(10))
        self._push(GuestSaid(guest.name, message, text, at), sessions)
        counters = sessions[0].user.counters
        counters.downloads += 1
        counters.download_bytes += len(text.encode())

    @staticmethod
    def _push(message: Message, sessions: Iterable[Session]) -> None:
        for session in list(sessions):
            session.send(message)
