"""Who is there: contacts as the server tells it, others as far as they were asked for or heard from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable

import msgspec

from p2pim.core.limits import PEOPLE
from p2pim.wire.messages import Device, Person

OFFLINE = "offline"
UNKNOWN = ""
"""The status of those whose presence is not for me to know."""
LISTED = ("contact", "asks", "requested")


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

    def signed_in(self, contacts: Iterable[Person]) -> dict[str, str]:
        """A session begins: only what it says holds now. Gives how I stood before to those to whom I stand otherwise
        now, or who are told of for the first time."""
        before, self._people = self._people, OrderedDict((person.user, person) for person in contacts)
        self.session += 1
        self.connected = True
        was = {user: before[user].relation if user in before else "" for user in [*self._people, *before]}
        return {user: relation for user, relation in was.items() if relation != self.relation(user)}

    def interrupted(self) -> None:
        """The server is away: nobody can be reached through it, and who is there is unknown."""
        self.connected = False

    def changed(self, person: Person) -> bool:
        """The server said this; whether the status is another than before.

        Devices of somebody whose presence is not for me to know remain as they were found out.
        """
        before = self._people.get(person.user)
        if person.status == UNKNOWN and not person.devices and before is not None:
            devices = [Device(device.id, "") for device in before.devices]
            person = msgspec.structs.replace(person, devices=devices)
        self._set(person)
        return before is None or before.status != person.status

    def relate(self, user: str, relation: str) -> None:
        """How I stand to ``user`` now: "contact", "requested", "asks", "blocked" or (empty) not at all."""
        person = self.get(user) or Person(user, UNKNOWN)
        if relation != person.relation and relation != "contact":
            person = Person(user, UNKNOWN, [Device(device.id, "") for device in person.devices])
        self._people[user] = msgspec.structs.replace(person, relation=relation)

    def relation(self, user: str) -> str:
        """How I stand to ``user``."""
        person = self._people.get(user)
        return person.relation if person is not None else ""

    def knows_me(self, user: str) -> bool:
        """Whether ``user`` may know where I am: contacts may, and everybody at a server where all see all, which is to
        be seen by the addresses that it tells."""
        person = self._people.get(user)
        if person is None or person.relation == "blocked":
            return False
        return person.relation == "contact" or any(device.address for device in person.devices)

    def heard_from(self, user: str, device: bytes) -> bool:
        """An envelope came from there, so it is online; whether that is news."""
        person = self.get(user) or Person(user, UNKNOWN)
        if any(d.id == device for d in person.devices):
            return False
        status = "online" if person.status == OFFLINE else person.status
        self._set(Person(user, status, [*person.devices, Device(device, "")], person.relation))
        return True

    def gone(self, user: str, device: bytes) -> None:
        """The server does not know this device (any more)."""
        person = self.get(user)
        if person is not None:
            devices = [d for d in person.devices if d.id != device]
            status = person.status if devices or person.status == UNKNOWN else OFFLINE
            self._set(Person(user, status, devices, person.relation))

    def _set(self, person: Person) -> None:
        self._people.pop(person.user, None)
        self._people[person.user] = person
        if len(self._people) > PEOPLE:
            self._forget_one()

    def get(self, user: str) -> Person | None:
        """What is known of ``user``."""
        return self._people.get(user)

    def all(self) -> list[Person]:
        """Everyone of whom something is known."""
        return list(self._people.values())

    def contacts(self) -> list[Person]:
        """Those on my list: contacts, whoever asks to be one, and whom I have asked."""
        listed = [person for person in self._people.values() if person.relation in LISTED]
        return sorted(listed, key=lambda person: LISTED.index(person.relation))

    def is_contact(self, user: str) -> bool:
        """Whether ``user`` and I have agreed to be contacts."""
        return self.relation(user) == "contact"

    def is_blocked(self, user: str) -> bool:
        """Whether I blocked ``user``."""
        return self.relation(user) == "blocked"

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
