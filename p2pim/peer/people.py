"""Who is there: contacts as the server tells it, others as far as they were asked for or heard from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable

import msgspec

from p2pim.core.limits import PEOPLE
from p2pim.wire.messages import Device, Person

OFFLINE = "offline"


class People:
    """What this peer knows of others.

    :param my_device: this device, which is nobody to talk to.
    """

    def __init__(self, my_device: bytes) -> None:
        self._my_device = my_device
        self._people: OrderedDict[str, Person] = OrderedDict()
        self.session = 0
        """Counts the sessions: what the server had of an earlier one may be lost."""
        self.connected = False

    def signed_in(self, contacts: Iterable[Person]) -> None:
        """A session begins: only what it says holds now."""
        self.session += 1
        self.connected = True
        self._people = OrderedDict((person.user, person) for person in contacts)

    def interrupted(self) -> None:
        """The server is away: nobody can be reached through it, and who is there is unknown."""
        self.connected = False

    def changed(self, person: Person) -> bool:
        """The server said this; whether the status is another than before."""
        before = self._people.pop(person.user, None)
        if not person.relation and before is not None and before.relation:
            person = msgspec.structs.replace(person, relation=before.relation)
        self._people[person.user] = person
        if len(self._people) > PEOPLE:
            self._forget_one()
        return before is None or before.status != person.status

    def relate(self, user: str, relation: str) -> None:
        """I list ``user`` as "contact", "blocked" or (empty) not at all."""
        person = self.get(user) or Person(user, OFFLINE)
        self._people[user] = msgspec.structs.replace(person, relation=relation)

    def heard_from(self, user: str, device: bytes) -> bool:
        """An envelope came from there, so it is online; whether that is news."""
        person = self.get(user) or Person(user, OFFLINE)
        if any(d.id == device for d in person.devices):
            return False
        status = "online" if person.status == OFFLINE else person.status
        devices = [*person.devices, Device(device, "")]
        self.changed(Person(user, status, devices, person.relation))
        return True

    def gone(self, user: str, device: bytes) -> None:
        """The server does not know this device (any more)."""
        person = self.get(user)
        if person is not None:
            devices = [d for d in person.devices if d.id != device]
            self.changed(Person(user, person.status if devices else OFFLINE, devices, person.relation))

    def get(self, user: str) -> Person | None:
        """What is known of ``user``."""
        return self._people.get(user)

    def all(self) -> list[Person]:
        """Everyone of whom something is known."""
        return list(self._people.values())

    def contacts(self) -> list[Person]:
        """Those on my list."""
        return [person for person in self._people.values() if person.relation == "contact"]

    def is_contact(self, user: str) -> bool:
        """Whether ``user`` is on my contact list."""
        person = self._people.get(user)
        return person is not None and person.relation == "contact"

    def is_blocked(self, user: str) -> bool:
        """Whether I blocked ``user``."""
        person = self._people.get(user)
        return person is not None and person.relation == "blocked"

    def devices(self, user: str) -> dict[bytes, Hashable]:
        """The devices of ``user`` that the server reaches now, each with a token of the session by which it does."""
        person = self._people.get(user)
        if person is None or not self.connected:
            return {}
        return {d.id: (self.session, d.since) for d in person.devices if d.id != self._my_device}

    def _forget_one(self) -> None:
        stranger = next((user for user, person in self._people.items() if not person.relation), None)
        if stranger is not None:
            del self._people[stranger]
