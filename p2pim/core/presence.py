"""Who sees whom: the decisions behind presence, with no connections in them.

A user who is online has an `Entry` here: their contact list and whom they have blocked. ``watchers`` turns the lists
around: for each user the online users who list them. A change then costs as many looks as there are people to be told,
however many are online.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

OFFLINE = "offline"
STATUSES = ("online", "busy", "away", "invisible")
"""What a device may say of itself, the one that counts first: with several devices the most present is shown."""


def shown_status(statuses: Iterable[str]) -> str:
    """What others see of a user whose devices say ``statuses``; nobody, or only "invisible", is "offline"."""
    best = min((STATUSES.index(status) for status in statuses), default=len(STATUSES))
    return STATUSES[best] if best < STATUSES.index("invisible") else OFFLINE


class Entry:
    """The lists of one user who is online."""

    __slots__ = ("blocked", "contacts", "name")

    def __init__(self, name: str, contacts: Iterable[str], blocked: Iterable[str]) -> None:
        self.name = name
        self.contacts = set(contacts)
        self.blocked = set(blocked)


class PresenceGraph:
    """Everyone online with their lists.

    :param everyone: the number of users up to which everybody sees everybody; 0 for contacts only.
    """

    def __init__(self, everyone: int = 0) -> None:
        self.everyone = everyone
        self._entries: dict[str, Entry] = {}
        self._watchers: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def arrive(self, entry: Entry) -> None:
        """A user comes online."""
        self.leave(entry.name)
        self._entries[entry.name] = entry
        for contact in entry.contacts:
            self._watchers.setdefault(contact, set()).add(entry.name)

    def leave(self, name: str) -> None:
        """A user goes offline."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            for contact in entry.contacts:
                self._unwatch(contact, name)

    def add_contact(self, owner: str, contact: str) -> None:
        """``owner`` now lists ``contact``."""
        entry = self._entries.get(owner)
        if entry is not None:
            entry.contacts.add(contact)
            self._watchers.setdefault(contact, set()).add(owner)

    def remove_contact(self, owner: str, contact: str) -> None:
        """``owner`` lists ``contact`` no more."""
        entry = self._entries.get(owner)
        if entry is not None:
            entry.contacts.discard(contact)
            self._unwatch(contact, owner)

    @property
    def open_roster(self) -> bool:
        """Whether everybody sees everybody now."""
        return 0 < len(self._entries) <= self.everyone

    def blocked_by(self, name: str) -> frozenset[str]:
        """Whom ``name``, who is online, has blocked."""
        entry = self._entries.get(name)
        return frozenset(entry.blocked) if entry is not None else frozenset()

    def audience(self, name: str, blocked: Collection[str] = ()) -> list[str]:
        """Who must be told when the presence of ``name`` changes.

        :param blocked: for a user who has left already, whom they had blocked.
        """
        entry = self._entries.get(name)
        if entry is not None:
            blocked = entry.blocked
        seers = self._entries.keys() if self.open_roster else self._watchers.get(name, set())
        return [seer for seer in seers if seer != name and seer not in blocked]

    def visible_to(self, viewer: str) -> list[str]:
        """Everyone online of whom ``viewer`` is told."""
        if self.open_roster:
            names: Iterable[str] = self._entries.keys()
        else:
            entry = self._entries.get(viewer)
            names = [name for name in entry.contacts if name in self._entries] if entry is not None else []
        return [name for name in names if name != viewer and viewer not in self._entries[name].blocked]

    def hidden(self, target: str, viewer: str) -> bool:
        """Whether ``target`` has blocked ``viewer``, who then sees them offline."""
        entry = self._entries.get(target)
        return entry is not None and viewer in entry.blocked

    def knows_address(self, target: str, viewer: str) -> bool:
        """Whether ``viewer`` may see where the devices of ``target`` are: those whom the target lists may."""
        entry = self._entries.get(target)
        return entry is not None and (self.open_roster or viewer == target or viewer in entry.contacts)

    def _unwatch(self, contact: str, owner: str) -> None:
        watchers = self._watchers.get(contact)
        if watchers is not None:
            watchers.discard(owner)
            if not watchers:
                del self._watchers[contact]
