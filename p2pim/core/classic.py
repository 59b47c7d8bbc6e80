"""The classic gateway's decisions: who is on its list, who is told what, and who is gone. No I/O; ``now`` is given.

A **guest** is whoever has logged in; nothing proves who they are, only where they receive. A **resident** is a user of
the server itself who is shown to guests, at an endpoint that the gateway keeps for them.

The life of a guest: `Roster.judge` says what to do with a login; `Roster.admit` takes a new one in. They stay as long
as there is a sign of life now and then: a repeated login, a list fetched from their host, a talk line to a resident.
Without one they are asked (``Alive``): our own client answers with its login; of others nothing but silence is heard,
unless the network says that nobody listens there any more. What it says (`Roster.unreachable`) is believed when it is
said twice.

A datagram's sender can be forged, a TCP connection's cannot. So a guest is **proved** once the list has been fetched
from their host, and only then told without limit who comes and goes: nobody else's host can be made to get all that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address

from p2pim.core.classic_names import likeness
from p2pim.core.limits import (
    CLASSIC_ASK_AFTER,
    CLASSIC_ASK_AGAIN,
    CLASSIC_ASKS,
    CLASSIC_EXPIRY,
    CLASSIC_GUESTS,
    CLASSIC_GUESTS_PER_HOST,
    CLASSIC_LOGINS_REMEMBERED,
    CLASSIC_UNPROVED,
    CLASSIC_UNPROVED_TIME,
    CLASSIC_UNPROVED_TOLD,
)
from p2pim.wire.classic import Coding, Endpoint, Login


class Verdict(Enum):
    """What is to be done with a login."""

    NEW = "new"
    """Take it in, unless the name is an account's."""
    KNOWN = "known"
    """It is a guest's who is here already: answer again, and tell nobody."""
    TAKEN = "taken"
    """Another has this name, or one that looks the same."""
    BAD = "bad"
    """Nobody would see anything of this name."""
    FULL = "full"
    """There is no room, all in all or for this host."""


@dataclass(eq=False, slots=True)
class Guest:
    """One guest.

    :ivar endpoint: where they are sent datagrams, always at the host that their login came from.
    :ivar stated: what their login says of that, as received.
    :ivar proved: since they logged in, somebody at their host has fetched the list, over TCP.
    :ivar answers: they answer when they are asked whether they are there.
    """

    name: str
    key: str
    endpoint: Endpoint
    stated: Endpoint
    coding: Coding
    since: float
    heard: float
    asked: float = 0.0
    asks: int = 0
    refusals: int = 0
    proved: bool = False
    answers: bool = False

    @property
    def login(self) -> Login:
        """As it stands in the list: where they can be reached."""
        return Login(self.name, self.endpoint)

    def alive(self, now: float) -> None:
        """A sign of life."""
        self.heard = now
        self.asks = self.refusals = 0


@dataclass(slots=True)
class Sweep:
    """What is to be done from time to time: who is to be asked, and who is gone."""

    ask: list[Guest] = field(default_factory=list)
    gone: list[Guest] = field(default_factory=list)


class Roster:
    """The guests.

    :param expiry: seconds of silence after which one who never answers is gone.
    """

    def __init__(self, expiry: float = CLASSIC_EXPIRY) -> None:
        self.expiry = expiry
        self._guests: dict[str, Guest] = {}
        self._codings: dict[str, list[Coding]] = {}
        """Of the logins of each host with guests that have not fetched their list, the last one at the end."""

    def __len__(self) -> int:
        return len(self._guests)

    def __iter__(self) -> Iterator[Guest]:
        return iter(list(self._guests.values()))

    def find(self, name: str) -> Guest | None:
        """The guest of exactly this name."""
        guest = self._guests.get(likeness(name))
        return guest if guest is not None and guest.name == name else None

    def alike(self, name: str) -> Guest | None:
        """The guest whose name is taken for ``name``."""
        return self._guests.get(likeness(name))

    def listeners(self) -> list[Guest]:
        """Who is told of those who come and go: the proved, and a few of each host that may not know of its guests.

        The others miss nothing: the list, by which they are proved, has everybody.
        """
        told: list[Guest] = []
        unproved: dict[str, int] = {}
        for guest in self._guests.values():
            host = guest.endpoint.host
            if not guest.proved:
                unproved[host] = unproved.get(host, 0) + 1
            if guest.proved or unproved[host] <= CLASSIC_UNPROVED_TOLD:
                told.append(guest)
        return told

    # --- coming

    def judge(self, name: str, endpoint: Endpoint) -> Verdict:
        """What to do with the login of ``name`` at ``endpoint`` (see `effective`)."""
        key = likeness(name)
        if not key:
            return Verdict.BAD
        guest = self._guests.get(key)
        if guest is not None:
            same = guest.name == name and guest.endpoint == endpoint
            return Verdict.KNOWN if same else Verdict.TAKEN
        of_host = sum(guest.endpoint.host == endpoint.host for guest in self._guests.values())
        room = len(self._guests) < CLASSIC_GUESTS and of_host < CLASSIC_GUESTS_PER_HOST
        return Verdict.NEW if room else Verdict.FULL

    def admit(self, login: Login, endpoint: Endpoint, coding: Coding, now: float) -> tuple[Guest, list[Guest]]:
        """A new guest, whose `judge` said so; and who had to go to make room."""
        guest = Guest(login.name, likeness(login.name), endpoint, login.endpoint, coding, now, now)
        self._guests[guest.key] = guest
        self._remember(endpoint.host, coding)
        unproved = [each for each in self._guests.values() if not each.proved]
        gone = unproved[: max(0, len(unproved) - CLASSIC_UNPROVED)]
        for each in gone:
            self.remove(each)
        return guest, gone

    def repeat(self, login: Login, coding: Coding, now: float) -> Guest:
        """The login of a guest who is here already came again."""
        guest = self._guests[likeness(login.name)]
        if guest.asks:
            guest.answers = True  # which proves nothing: the question can be guessed
        guest.alive(now)
        guest.coding = coding
        self._remember(guest.endpoint.host, coding)
        return guest

    def _remember(self, host: str, coding: Coding) -> None:
        codings = self._codings.setdefault(host, [])
        codings.append(coding)
        del codings[:-CLASSIC_LOGINS_REMEMBERED]

    def list_fetched(self, host: str, now: float) -> Coding:
        """Somebody at ``host`` fetches the list: a sign of life of all who are there; in which form they want it.

        That is how the last of those spoke who logged in from there and have not fetched it; when all have, the last
        of them all.
        """
        here = [guest for guest in self._guests.values() if guest.endpoint.host == host]
        for guest in here:
            guest.alive(now)
            guest.proved = True
        codings = self._codings.get(host, [])
        if codings:
            return codings.pop()
        return here[-1].coding if here else Coding.UTF8

    def talked(self, name: str, host: str, now: float) -> Guest | None:
        """The guest ``name`` at ``host`` said something to a resident; None: there is no such guest."""
        guest = self.find(name)
        if guest is None or guest.endpoint.host != host:
            return None
        guest.alive(now)
        return guest

    # --- going

    def leaving(self, name: str, host: str) -> Guest | None:
        """The guest whom a logout from ``host`` ends; None when it is not theirs to say."""
        guest = self.find(name)
        return guest if guest is not None and guest.endpoint.host == host else None

    def remove(self, guest: Guest) -> bool:
        """They are gone; whether they were here."""
        if self._guests.get(guest.key) is not guest:
            return False
        del self._guests[guest.key]
        if all(other.endpoint.host != guest.endpoint.host for other in self._guests.values()):
            self._codings.pop(guest.endpoint.host, None)
        return True

    # --- there or not

    def asked(self, guest: Guest, now: float) -> None:
        """They were sent the question whether they are there."""
        guest.asked = now
        guest.asks += 1

    def unreachable(self, endpoint: Endpoint) -> None:
        """The network says that nobody is at ``endpoint`` (or, with port 0, at all of its host)."""
        for guest in self._guests.values():
            if guest.endpoint == endpoint or (not endpoint.port and guest.endpoint.host == endpoint.host):
                guest.refusals += 1

    def sweep(self, now: float) -> Sweep:
        """Whom to ask, and who is gone; called about once a second. The caller removes them."""
        found = Sweep()
        for guest in self._guests.values():
            if self._is_gone(guest, now):
                found.gone.append(guest)
            elif self._to_ask(guest, now):
                found.ask.append(guest)
        return found

    def _is_gone(self, guest: Guest, now: float) -> bool:
        if guest.refusals > 1:
            return True
        if guest.answers and guest.asks >= CLASSIC_ASKS and now - guest.asked >= CLASSIC_ASK_AFTER:
            return True
        return now - guest.heard >= (self.expiry if guest.proved else min(self.expiry, CLASSIC_UNPROVED_TIME))

    @staticmethod
    def _to_ask(guest: Guest, now: float) -> bool:
        wait = CLASSIC_ASK_AGAIN if guest.refusals else CLASSIC_ASK_AFTER
        return now - max(guest.heard, guest.asked) >= wait


def effective(stated: Endpoint, source: str) -> Endpoint:
    """Where a client is answered whose datagram came from the host ``source``: never at another host, whatever it says.

    >>> effective(Endpoint("10.0.0.9", 5000), "192.0.2.1")
    Endpoint(host='192.0.2.1', port=5000)
    """
    return Endpoint(source, stated.port)


def is_near(host: str) -> bool:
    """Whether ``host`` is this machine or in a local network: addresses that the internet does not route."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_private or address.is_loopback or address.is_link_local
