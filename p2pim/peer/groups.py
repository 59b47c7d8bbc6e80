"""Which groups this account is in, as the server tells it, and changing them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import msgspec

from p2pim.core.names import canonical_name
from p2pim.errors import BadMessage, BadName, NoSuchGroup, Usage
from p2pim.peer.events import Event, GroupChange
from p2pim.storage.database import Database
from p2pim.wire.groups import ChangeGroup, Group, GroupChanged, Groups, GroupState, ListGroups, Member
from p2pim.wire.messages import Message

_members = msgspec.msgpack.Decoder(list[Member])


class AskingSession(Protocol):
    """The part of a session that asks."""

    async def request(self, message_factory: Callable[[int], Message]) -> Message: ...


def group_name(name: str) -> str:
    """The group in ``#NAME`` or ``NAME``, canonical.

    :raises Usage: it cannot be one.
    """
    try:
        return canonical_name(name.removeprefix("#"))
    except BadName:
        raise Usage(f"{name!r} cannot be a group's name.") from None


class MyGroups:
    """The groups of this account, on disk as well: so that they are known while there is no server.

    :param changed: told whenever a group is another than before, with the users whose devices may have changed.
    """

    def __init__(
        self,
        wall: Callable[[], float],
        database: Database,
        session: AskingSession,
        emit: Callable[[Event], None],
        journal: Callable[[str, str, str], None],
        me: str,
    ) -> None:
        self._wall = wall
        self._database = database
        self._session = session
        self._emit = emit
        self._journal = journal
        self._me = me
        self._groups: dict[str, Group] = {}
        self.fellows: frozenset[str] = frozenset()
        """Everybody who is in some group with me, and I."""
        self.changed: Callable[[str, Sequence[str]], None] = lambda group, users: None

    async def load(self) -> None:
        """What the server told an earlier run."""

        def work(db: sqlite3.Connection) -> list[Group]:
            rows = db.execute("SELECT name, version, members, topic FROM groups")
            return [Group(row[0], row[1], _members.decode(row[2]), row[3]) for row in rows]

        self._groups = {group.name: group for group in await self._database.read(work)}
        self._count_fellows()

    # --- what is known

    def get(self, name: str) -> Group | None:
        """A group that I am in."""
        return self._groups.get(name)

    def need(self, name: str) -> Group:
        """The same.

        :raises NoSuchGroup: I am in no group of this name.
        """
        group = self._groups.get(name)
        if group is None:
            raise NoSuchGroup(f"You are in no group #{name}.")
        return group

    def has_member(self, name: str, user: str) -> bool:
        """Whether ``user`` is in the group ``#NAME`` with me."""
        group = self._groups.get(name.removeprefix("#")) if name.startswith("#") else None
        return group is not None and any(member.user == user for member in group.members)

    def all(self) -> list[Group]:
        """All of them, by name."""
        return [self._groups[name] for name in sorted(self._groups)]

    def _count_fellows(self) -> None:
        users = {member.user for group in self._groups.values() for member in group.members}
        self.fellows = frozenset({*users, self._me})

    # --- the server

    async def ask(self) -> None:
        """Have the server tell all of it, after a time in which changes may have been missed."""
        answer = await self._session.request(ListGroups)
        if not isinstance(answer, Groups):
            raise BadMessage("The server answered the question for groups with something else.")
        told = {group.name: group for group in answer.groups}
        for name in [name for name in self._groups if name not in told]:
            self._note(Group(name, 0, []), "", "changed", [])
        for group in answer.groups:
            self._note(group, "", "changed", [])

    async def change(self, name: str, action: str, users: Sequence[str] = (), role: str = "") -> Group:
        """Have the server change a group; how it is now (without members when it is mine no more).

        :raises P2pimError: the server says why not.
        """
        asked = partial(_change, group=name, action=action, users=list(users), role=role)
        answer = await self._session.request(asked)
        if not isinstance(answer, GroupState):
            raise BadMessage("The server answered a change of a group with something else.")
        mine = any(member.user == self._me for member in answer.group.members)
        return answer.group if mine else Group(name, answer.group.version, [])

    def told(self, news: GroupChanged) -> None:
        """The server tells of a change."""
        self._note(news.group, news.by, news.action, news.users)

    def _note(self, group: Group, by: str, action: str, users: Sequence[str]) -> None:
        before = self._groups.get(group.name)
        if before is not None and (before == group or before.version > group.version > 0):
            return
        if group.members:
            self._groups[group.name] = group
        elif self._groups.pop(group.name, None) is None:
            return
        self._count_fellows()
        self._keep(group)
        self._journal("group", "#" + group.name, f"{by or 'while away'}: {action} {' '.join(users)}".rstrip())
        members = tuple({"user": member.user, "role": member.role} for member in group.members)
        self._emit(
            GroupChange(
                at=self._wall(), group="#" + group.name, by=by, action=action, users=tuple(users), members=members,
                topic=group.topic,
            )
        )  # fmt: skip
        self.changed(group.name, users if action == "devices" else [])

    def _keep(self, group: Group) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM groups WHERE name = ?", (group.name,))
            if group.members:
                db.execute(
                    "INSERT INTO groups (name, version, topic, members) VALUES (?, ?, ?, ?)",
                    (group.name, group.version, group.topic, msgspec.msgpack.encode(group.members)),
                )

        kept = self._database.write(work)
        kept.addErrback(lambda failure: self._journal("error", "#" + group.name, failure.getErrorMessage()))


def _change(number: int, group: str, action: str, users: list[str], role: str) -> Message:
    return ChangeGroup(number, group, action, users, role)
