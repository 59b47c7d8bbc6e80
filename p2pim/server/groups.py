"""Groups: changed by their members as far as their roles permit, and every change told to all of them.

Whoever is told of a change before a message has a version that fits; whoever is not yet is refused with
"group-changed". So the order in which changes are told here is the order in which they happened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.limits import GROUP_CHANGE_BURST, GROUP_CHANGES_PER_SECOND
from p2pim.core.names import canonical_name
from p2pim.errors import BadName, P2pimError, RateLimited, Usage
from p2pim.server.buckets import Buckets
from p2pim.server.group_mail import Rosters
from p2pim.server.names import canonical_user
from p2pim.server.sessions import Directory, Session
from p2pim.server.store import Store
from p2pim.storage import groups
from p2pim.storage.groups import Change
from p2pim.wire.groups import ChangeGroup, Group, GroupChanged, Groups, GroupState, ListGroups
from p2pim.wire.messages import Message, encode

_log = Logger()


class GroupDesk:
    """Answers `ChangeGroup` and `ListGroups`.

    :param wall: the time in seconds since 1970.
    :param rosters: what is known of groups for their mail; they are forgotten with each change.
    """

    def __init__(
        self, clock: IReactorTime, store: Store, directory: Directory, rosters: Rosters, wall: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._store = store
        self._directory = directory
        self._rosters = rosters
        self._wall = wall
        self._changers = Buckets(GROUP_CHANGES_PER_SECOND, GROUP_CHANGE_BURST)
        self._order = DeferredLock()

    async def list_mine(self, session: Session, message: ListGroups) -> Message:
        """The groups of the one who asks."""
        user = session.user.name
        return Groups(message.id, await self._store.read(lambda db: groups.groups_of(db, user)))

    async def change(self, session: Session, message: ChangeGroup) -> Message:
        """Make a group or change it."""
        wait = self._changers.take(session.user.name, self._clock.seconds())
        if wait:
            raise RateLimited("Too many changes of groups; wait a moment.", retry_after=wait)
        name, me = _group_name(message.group), session.user.name
        users = [canonical_user(user) for user in message.users]
        if message.action == "create":
            work = partial(groups.create, me=me, name=name, users=users, now=self._wall())
        else:
            work = partial(groups.change, me=me, name=name, action=message.action, users=users, role=message.role)
        change = await self._ordered(lambda db: [work(db)])
        return GroupState(message.id, change[0].group)

    async def _ordered(self, work: Callable[..., list[Change]]) -> list[Change]:
        """Commit changes and tell of them, one after another."""
        await self._order.acquire()
        try:
            changes = await self._store.write(work)
            for change in changes:
                self._tell(change)
        finally:
            self._order.release()
        return changes

    # --- what happens to members

    def devices_changed(self, user: str) -> None:
        """A device of ``user`` came or went: their groups' messages are for others from now on."""
        done = Deferred.fromCoroutine(self._ordered(lambda db: groups.devices_changed(db, user)))
        done.addErrback(self._not_told)

    def account_ended(self, user: str, names: Sequence[str]) -> None:
        """``user`` has left these groups for ever."""
        done = Deferred.fromCoroutine(self._tell_of_leaving(user, names))
        done.addErrback(self._not_told)

    async def _tell_of_leaving(self, user: str, names: Sequence[str]) -> None:
        for name in names:
            self._rosters.forget(name)
            group = await self._store.read(partial(groups.find, name=name))
            if group is not None:
                self._tell(Change(group, user, "leave", [user], []))

    @staticmethod
    def _not_told(failure: object) -> None:
        error = getattr(failure, "value", failure)
        _log.error(
            "a change of groups failed: {why}", why=error.message if isinstance(error, P2pimError) else repr(error)
        )

    # --- telling

    def _tell(self, change: Change) -> None:
        group, by, action, users, gone = change
        self._rosters.forget(group.name)
        self._send([member.user for member in group.members], GroupChanged(group, by, action, users))
        self._send(gone, GroupChanged(Group(group.name, group.version, []), by, action, users))

    def _send(self, users: Sequence[str], news: GroupChanged) -> None:
        body = encode(news)
        for user in users:
            for session in self._directory.of(user):
                session.client.send_frame(body)


def _group_name(name: str) -> str:
    try:
        found = canonical_name(name)
    except BadName:
        found = ""
    if not 1 <= len(found) <= 64:
        raise Usage(f"{name!r} cannot be a group's name: letters, digits, dots, hyphens and underscores, 64 at most.")
    return found
