"""Telling people about each other: changes only, collected, to those who must know."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from p2pim.core.limits import PRESENCE_DELAY, PRESENCE_INTERVAL
from p2pim.core.presence import BLOCKED, NO_RELATION, OFFLINE, UNKNOWN, PresenceGraph
from p2pim.server.sessions import Directory, Session
from p2pim.wire.messages import Person, PresenceChanged, encode


class Announcer:
    """Presence as others see it, and the news of it.

    A change is told `PRESENCE_DELAY` later, with whatever has changed until then, and at most every
    `PRESENCE_INTERVAL` for one user. What is told is the state of that moment, so that the last news is the truth.
    """

    def __init__(self, clock: IReactorTime, directory: Directory, graph: PresenceGraph) -> None:
        self._clock = clock
        self._directory = directory
        self.graph = graph
        self._changed: dict[str, frozenset[str]] = {}
        self._told: dict[str, float] = {}
        self._call: IDelayedCall | None = None
        self._stopped = False
        self.hearers: list[Callable[[str], None]] = []
        """Who else hears at once the name of everyone who comes, goes or changes."""

    # --- what others see

    def person(self, target: str, viewer: str) -> Person:
        """What ``viewer`` sees of ``target``."""
        relation = self._relation(target, viewer)
        if not self.graph.shows(target, viewer):
            return Person(target, UNKNOWN, [], relation)
        if self.graph.blocks(target, viewer):
            return Person(target, OFFLINE, [], relation)
        return self._shown(target, relation)

    def people(self, viewer: str) -> list[Person]:
        """For a newcomer: contacts, requests, everybody else whom ``viewer`` sees, and whom they have blocked."""
        entry = self._directory.users[viewer].entry
        listed = [*sorted(entry.contacts), *sorted(entry.asks), *sorted(entry.requested)]
        names = dict.fromkeys([*listed, *self.graph.visible_to(viewer)])
        people = [self.person(name, viewer) for name in names if name not in entry.blocked]
        return people + [Person(name, OFFLINE, [], BLOCKED) for name in sorted(entry.blocked)]

    def online(self, viewer: str) -> list[Person]:
        """Everyone online whom ``viewer`` may see."""
        people = [self.person(name, viewer) for name in self.graph.visible_to(viewer)]
        return [person for person in people if person.status != OFFLINE]

    def _relation(self, target: str, viewer: str) -> str:
        user = self._directory.users.get(viewer)
        return user.entry.relation(target) if user is not None else NO_RELATION

    def _shown(self, target: str, relation: str) -> Person:
        user = self._directory.users.get(target)
        status = user.status if user is not None else OFFLINE
        if user is None or status == OFFLINE:
            return Person(target, OFFLINE, [], relation)
        visible = [s.as_device() for s in user.sessions.values() if s.status != "invisible"]
        return Person(target, status, visible, relation)

    # --- news

    def changed(self, name: str) -> None:
        """The presence of ``name`` may look different now. Called before a user leaves the graph, too."""
        self._changed[name] = self.graph.blocked_by(name)
        for tell in self.hearers:
            tell(name)
        if self._call is None and not self._stopped:
            self._call = self._clock.callLater(PRESENCE_DELAY, self._tell)

    def tell_one(self, target: str, viewer: str, but: Session | None = None) -> None:
        """Only for ``viewer`` does ``target`` look different now: they were blocked, became a contact, ask to be one.

        All devices of the viewer are told, ``but`` one perhaps, which knows it.
        """
        person = self.person(target, viewer)
        body = encode(PresenceChanged(person))
        for session in self._directory.of(viewer):
            if session is not but:
                session.client.send_frame(body)

    def stop(self) -> None:
        """Tell nobody anything any more: not even that those who are signed out now have gone."""
        self._stopped = True
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._changed.clear()

    def _tell(self) -> None:
        now = self._clock.seconds()
        self._call = None
        self._told = {name: at for name, at in self._told.items() if now - at < PRESENCE_INTERVAL}
        changed, self._changed = self._changed, {}
        for name, blocked in changed.items():
            if name in self._told:
                self._changed[name] = blocked
            else:
                self._told[name] = now
                self._announce(name, blocked)
        if self._changed:
            wait = min(self._told[name] for name in self._changed) + PRESENCE_INTERVAL - now
            self._call = self._clock.callLater(max(wait, PRESENCE_DELAY), self._tell)

    def _announce(self, name: str, blocked: frozenset[str]) -> None:
        """One encoding for all who stand in the same relation to ``name``; to them all as it is."""
        bodies: dict[str, bytes] = {}
        for viewer in self.graph.audience(name, blocked):
            relation = self._relation(name, viewer)
            body = bodies.get(relation)
            if body is None:
                body = bodies[relation] = encode(PresenceChanged(self._shown(name, relation)))
            for session in self._directory.of(viewer):
                session.client.send_frame(body)
