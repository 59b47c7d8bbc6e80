"""Groups in the server's database: their members, roles and versions.

Each function takes the connection first, like those of `p2pim.storage.accounts`. Every change counts the group's
version up, and gives back a `Change`: what is to be told to whom once it is committed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, NamedTuple

from p2pim.core.limits import GROUP_MEMBERS, GROUP_TOPIC, GROUPS_PER_USER
from p2pim.errors import Blocked, GroupNameTaken, NoSuchGroup, NoSuchUser, NotAllowed, TooMany, Usage
from p2pim.wire.groups import Group, Member

OWNER: Final = "owner"
ADMIN: Final = "admin"
MEMBER: Final = "member"
_RANK: Final = {OWNER: 2, ADMIN: 1, MEMBER: 0}


class Change(NamedTuple):
    """A group as it is now, who did what, and who is no longer in it."""

    group: Group
    by: str
    action: str
    users: list[str]
    gone: list[str]


class Roster(NamedTuple):
    """Who gets a copy of a message: the members' devices that have published keys."""

    version: int
    members: frozenset[str]
    devices: list[tuple[str, bytes]]


# --- reading


def groups_of(db: sqlite3.Connection, user: str) -> list[Group]:
    """The groups of which ``user`` is a member, by name."""
    rows = db.execute(
        "SELECT g.name FROM groups g JOIN group_members m ON m.group_id = g.id JOIN accounts a ON a.id = m.account"
        " WHERE a.name = ? ORDER BY g.name",
        (user,),
    ).fetchall()
    return [_read(db, row[0]) for row in rows]


def find(db: sqlite3.Connection, name: str) -> Group | None:
    """The group, or None."""
    known = db.execute("SELECT 1 FROM groups WHERE name = ?", (name,)).fetchone()
    return _read(db, name) if known is not None else None


def roster(db: sqlite3.Connection, name: str) -> Roster | None:
    """The devices of the group's members; None when there is no such group."""
    row = db.execute("SELECT id, version FROM groups WHERE name = ?", (name,)).fetchone()
    if row is None:
        return None
    rows = db.execute(
        "SELECT a.name, i.device FROM group_members m JOIN accounts a ON a.id = m.account"
        " LEFT JOIN identities i ON i.account = a.id WHERE m.group_id = ? ORDER BY m.number, i.device",
        (row["id"],),
    ).fetchall()
    return Roster(
        row["version"],
        frozenset(user for user, _ in rows),
        [(user, device) for user, device in rows if device is not None],
    )


def _read(db: sqlite3.Connection, name: str) -> Group:
    row = db.execute("SELECT id, version, topic FROM groups WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise NoSuchGroup
    members = db.execute(
        "SELECT a.name, role FROM group_members JOIN accounts a ON a.id = account WHERE group_id = ? ORDER BY number",
        (row["id"],),
    )
    return Group(name, row["version"], [Member(*member) for member in members], row["topic"])


# --- changing


def create(db: sqlite3.Connection, me: str, name: str, users: Sequence[str], now: float) -> Change:
    """Make a group with ``me`` as its owner and ``users`` in it.

    :raises GroupNameTaken: there is one of this name.
    :raises Blocked: (or `NoSuchUser`) one of ``users`` cannot be in it.
    """
    if db.execute("SELECT 1 FROM groups WHERE name = ?", (name,)).fetchone() is not None:
        raise GroupNameTaken
    group = db.execute("INSERT INTO groups (name, version) VALUES (?, ?)", (name, round(now * 1000))).lastrowid
    assert group is not None
    _join(db, group, me, OWNER)
    others = [user for user in dict.fromkeys(users) if user != me]
    for user in others:
        _invite(db, group, me, user)
    return Change(_read(db, name), me, "create", others, [])


def change(db: sqlite3.Connection, me: str, name: str, action: str, users: Sequence[str], role: str) -> Change:
    """Carry out what ``me`` wants of a group (see `p2pim.wire.groups.ChangeGroup`).

    :raises NoSuchGroup: ``me`` is not in it.
    :raises NotAllowed: the role of ``me`` does not permit it.
    """
    work = _Work(db, me, name)
    if action == "add":
        work.add(users)
    elif action == "remove":
        work.remove(users)
    elif action == "leave":
        return work.leave()
    elif action == "role":
        work.give_role(users, role)
    elif action == "topic":
        work.set_topic(role)
    elif action == "end":
        return work.end()
    else:
        raise Usage(f"A group can be told to add, remove, leave, role, topic or end, not {action!r}.")
    return work.done(action, list(users))


def leave_all(db: sqlite3.Connection, user: str) -> list[Change]:
    """``user`` leaves every group: their account is about to end."""
    return [_Work(db, user, group.name).leave() for group in groups_of(db, user)]


def devices_changed(db: sqlite3.Connection, user: str) -> list[Change]:
    """A device of ``user`` came or went: what is sealed for their groups must be sealed for others than before."""
    return [_Work(db, user, group.name).done("devices", [user]) for group in groups_of(db, user)]


class _Work:
    """One change of a group by one of its members."""

    def __init__(self, db: sqlite3.Connection, me: str, name: str) -> None:
        self._db = db
        self._me = me
        self._name = name
        before = _read(db, name)
        self._roles = {member.user: member.role for member in before.members}
        if me not in self._roles:
            raise NoSuchGroup
        (self._id,) = db.execute("SELECT id FROM groups WHERE name = ?", (name,)).fetchone()
        self._gone: list[str] = []

    def done(self, action: str, users: list[str]) -> Change:
        self._db.execute("UPDATE groups SET version = version + 1 WHERE id = ?", (self._id,))
        return Change(_read(self._db, self._name), self._me, action, users, self._gone)

    def _need(self, role: str) -> None:
        if _RANK[self._roles[self._me]] < _RANK[role]:
            who = "its owner" if role == OWNER else "its owner and its admins"
            raise NotAllowed(f"Only {who} may do that in #{self._name}.")

    def add(self, users: Sequence[str]) -> None:
        self._need(ADMIN)
        for user in dict.fromkeys(users):
            if user not in self._roles:
                _invite(self._db, self._id, self._me, user)
        (count,) = self._db.execute("SELECT count(*) FROM group_members WHERE group_id = ?", (self._id,)).fetchone()
        if count > GROUP_MEMBERS:
            raise TooMany(f"A group has at most {GROUP_MEMBERS} members; #{self._name} would have {count}.")

    def remove(self, users: Sequence[str]) -> None:
        self._need(ADMIN)
        for user in dict.fromkeys(users):
            if user == self._me:
                raise Usage("To go yourself, leave the group.")
            if user not in self._roles:
                raise NoSuchUser(f"{user} is not in #{self._name}.")
            if _RANK[self._roles[user]] and self._roles[self._me] != OWNER:
                raise NotAllowed(f"{user} is {self._roles[user]} of #{self._name}: only an owner may remove them.")
            self._drop(user)

    def leave(self) -> Change:
        self._drop(self._me)
        left = _read(self._db, self._name).members
        if not left:
            return self._end("leave")
        if not any(member.role == OWNER for member in left):
            heir = max(left, key=lambda member: _RANK[member.role])  # of equals the first: who is there longest
            self._set_role(heir.user, OWNER)
        return self.done("leave", [self._me])

    def give_role(self, users: Sequence[str], role: str) -> None:
        self._need(OWNER)
        if role not in _RANK:
            raise Usage(f"A role is one of {', '.join(_RANK)}, not {role!r}.")
        for user in users:
            if user not in self._roles:
                raise NoSuchUser(f"{user} is not in #{self._name}.")
            self._set_role(user, role)
        if not any(member.role == OWNER for member in _read(self._db, self._name).members):
            raise NotAllowed(f"#{self._name} needs an owner: make somebody else one first.")

    def set_topic(self, topic: str) -> None:
        self._need(ADMIN)
        if len(topic) > GROUP_TOPIC:
            raise Usage(f"A topic has at most {GROUP_TOPIC} characters.")
        self._db.execute("UPDATE groups SET topic = ? WHERE id = ?", (topic, self._id))

    def end(self) -> Change:
        self._need(OWNER)
        return self._end("end")

    def _end(self, action: str) -> Change:
        last = self.done(action, [])
        self._db.execute("DELETE FROM groups WHERE id = ?", (self._id,))
        return last._replace(group=Group(self._name, last.group.version, []), gone=list(self._roles))

    def _set_role(self, user: str, role: str) -> None:
        self._db.execute(
            "UPDATE group_members SET role = ? WHERE group_id = ?"
            " AND account = (SELECT id FROM accounts WHERE name = ?)",
            (role, self._id, user),
        )

    def _drop(self, user: str) -> None:
        self._gone.append(user)
        self._db.execute(
            "DELETE FROM group_members WHERE group_id = ? AND account = (SELECT id FROM accounts WHERE name = ?)",
            (self._id, user),
        )


def _invite(db: sqlite3.Connection, group: int, me: str, user: str) -> None:
    blocked = db.execute(
        "SELECT o.name FROM blocks JOIN accounts o ON o.id = owner JOIN accounts b ON b.id = blocked"
        " WHERE (o.name = ?1 AND b.name = ?2) OR (o.name = ?2 AND b.name = ?1)",
        (me, user),
    ).fetchone()
    if blocked is not None:
        raise Blocked(
            f"You have blocked {user}; unblock them first." if blocked[0] == me else f"{user} cannot be added by you."
        )
    _join(db, group, user, MEMBER)


def _join(db: sqlite3.Connection, group: int, user: str, role: str) -> None:
    row = db.execute("SELECT id FROM accounts WHERE name = ?", (user,)).fetchone()
    if row is None:
        raise NoSuchUser(f"There is no user {user!r} on this server.")
    (count,) = db.execute("SELECT count(*) FROM group_members WHERE account = ?", (row[0],)).fetchone()
    if count >= GROUPS_PER_USER:
        raise TooMany(f"{user} is in {GROUPS_PER_USER} groups, which is the limit.")
    db.execute("INSERT INTO group_members (group_id, account, role) VALUES (?, ?, ?)", (group, row[0], role))
