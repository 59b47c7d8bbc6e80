"""Who sees whom: the decisions behind presence, with no connections in them.

A user who is online has an `Entry` here: their contacts, the requests between them and others, and whom they have
blocked. Contacts are mutual: whoever asks to be one is told nothing until the other has agreed. ``watchers`` turns the
lists around: for each user the online users whose contact they are. A change then costs as many looks as there are
people to be told, however many are online.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

OFFLINE = "offline"
UNKNOWN = ""
"""The status of somebody of whom the asker may know only that they exist."""
STATUSES = ("online", "busy", "away", "invisible")
"""What a device may say of itself, the one that counts first: with several devices the most present is shown."""


CONTACT = "contact"
"""Both have agreed."""
REQUESTED = "requested"
"""I have asked, and they have not answered."""
ASKS = "asks"
"""They have asked, and I have not answered."""
BLOCKED = "blocked"
NO_RELATION = ""


def shown_status(statuses: Iterable[str]) -> str:
    """What others see of a user whose devices say ``statuses``; nobody, or only "invisible", is "offline"."""
    best = min((STATUSES.index(status) for status in statuses), default=len(STATUSES))
    return STATUSES[best] if best < STATUSES.index("invisible") else OFFLINE


class Entry:
    """The lists of one user who is online.

    :ivar requested: whom they have asked to be a contact.
    :ivar asks: who has asked them; of those whom they have blocked they hear nothing.
    """

    __slots__ = ("asks", "blocked", "contacts", "name", "requested")

    def __init__(
        self,
        name: str,
        contacts: Iterable[str],
        blocked: Iterable[str],
        requested: Iterable[str] = (),
        asks: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.contacts = set(contacts)
        self.blocked = set(blocked)
        self.requested = set(requested)
        self.asks = set(asks)

    def relation(self, other: str) -> str:
        """How this user stands to ``other``."""
        if other in self.blocked:
            return BLOCKED
        if other in self.contacts:
            return CONTACT
        if other in self.asks:
            return ASKS
        return REQUESTED if other in self.requested else NO_RELATION


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

    def relate(self, one: str, other: str, relation: str) -> None:
        """``one`` and ``other`` are now to each other what ``relation`` says of ``other``, seen from ``one``: contacts,
        nothing, or one has asked the other."""
        mirrored = {REQUESTED: ASKS, ASKS: REQUESTED}.get(relation, relation)
        self._list(one, other, relation)
        self._list(other, one, mirrored)

    def _list(self, owner: str, other: str, relation: str) -> None:
        entry = self._entries.get(owner)
        if entry is None:
            return
        for listed in (entry.contacts, entry.requested, entry.asks):
            listed.discard(other)
        self._unwatch(other, owner)
        if relation == CONTACT:
            entry.contacts.add(other)
            self._watchers.setdefault(other, set()).add(owner)
        elif relation in (REQUESTED, ASKS):
            (entry.asks if relation == ASKS else entry.requested).add(other)

    def forget(self, name: str) -> None:
        """There is no user ``name`` any more: nobody lists them."""
        for entry in self._entries.values():
            entry.blocked.discard(name)
            self._list(entry.name, name, NO_RELATION)

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

    def blocks(self, target: str, viewer: str) -> bool:
        """Whether ``target``, who is online, has blocked ``viewer``, who then sees them offline."""
        entry = self._entries.get(target)
        return entry is not None and viewer in entry.blocked

    def shows(self, target: str, viewer: str) -> bool:
        """Whether ``viewer``, who is online, may know of the presence and the addresses of ``target``, online or not,
        unless blocked: contacts may, and everybody where all see all."""
        seer = self._entries.get(viewer)
        return self.open_roster or viewer == target or (seer is not None and target in seer.contacts)

    def _unwatch(self, contact: str, owner: str) -> None:
        watchers = self._watchers.get(contact)
        if watchers is not None:
            watchers.discard(owner)
            if not watchers:
                del self._watchers[contact]
