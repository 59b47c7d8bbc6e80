"""Coming and going: keeps the directory, the presence graph and the counters in step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from p2pim.core.counters import CounterTable
from p2pim.core.presence import Entry
from p2pim.server.presence import Announcer
from p2pim.server.sessions import Directory, IClient, OnlineUser, Session

REPLACED = "This device signed in again, from somewhere else or anew; the newer session stays."


class Users:
    """Everyone online."""

    def __init__(self, directory: Directory, announcer: Announcer, counters: CounterTable) -> None:
        self.directory = directory
        self.announcer = announcer
        self.counters = counters
        self.left: Callable[[Session], None] = lambda session: None
        """Called with every session that has ended."""
        self.came: Callable[[str], None] = lambda name: None
        """Called with the name of everyone who comes online."""

    def arrive(self, entry: Entry, device: bytes, client: IClient, **details: Any) -> Session:
        """Open a session for a device; an older one of the same device is replaced.

        :param entry: the user's lists, as stored; those of a user who is online already are as good.
        :param details: the rest of what a `Session` is made of.
        """
        older = self.directory.find(entry.name, device)
        if older is not None:
            self.leave(older)
            older.client.sign_out("replaced", REPLACED)
        user = self.directory.users.get(entry.name)
        if user is None:
            user = OnlineUser(entry, self.counters.of(entry.name))
            self.announcer.graph.arrive(entry)
            self.came(entry.name)
        session = Session(user, device, client, **details)
        self.directory.add(session)
        self.announcer.changed(entry.name)
        return session

    def leave(self, session: Session) -> None:
        """End a session. Nothing happens when it has ended already."""
        if self.directory.find(session.user.name, session.device) is not session:
            return
        self.announcer.changed(session.user.name)
        if self.directory.remove(session):
            self.announcer.graph.leave(session.user.name)
        self.left(session)

    def sign_out(self, name: str, reason: str, message: str) -> int:
        """End all sessions of a user and tell them why; how many there were."""
        sessions = self.directory.of(name)
        for session in sessions:
            self.leave(session)
            session.client.sign_out(reason, message)
        return len(sessions)
