"""Telling the applications at all devices of a group's members something that nobody keeps."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from p2pim.core.delivery import Target
from p2pim.core.limits import REQUEST_TIME
from p2pim.errors import GroupChangedMeanwhile, NoKeys, TimedOut
from p2pim.peer.group_keys import GroupKeyPost
from p2pim.peer.group_recipients import GroupRecipients
from p2pim.peer.group_traffic import GroupRoutes, NumberedSession
from p2pim.peer.groups import MyGroups
from p2pim.storage.group_outbox import GroupOutboxStore
from p2pim.wire.groups import Group, SendToGroup
from p2pim.wire.signals import Signal

SKIPPED = 1024
"""As many devices as `SendToGroup` names."""
_TRIES = 5


class GroupBroadcast:
    """Sends signals to groups, each by its best route, like messages.

    :param wall: the time in seconds since 1970.
    :param new_id: makes the ids under which the server keeps them.
    """

    def __init__(
        self,
        clock: IReactorTime,
        wall: Callable[[], float],
        store: GroupOutboxStore,
        groups: MyGroups,
        keys: GroupKeyPost,
        routes: GroupRoutes,
        recipients: GroupRecipients,
        session: NumberedSession,
        new_id: Callable[[], bytes],
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._store = store
        self._groups = groups
        self._keys = keys
        self._routes = routes
        self._recipients = recipients
        self._session = session
        self._new_id = new_id

    async def send(self, name: str, signal: Signal) -> int:
        """To how many devices it went.

        :raises NoSuchGroup: I am in no group of this name.
        :raises P2pimError: the server did not take it.
        """
        for _ in range(_TRIES):
            try:
                return await self._try(self._groups.need(name), signal)
            except GroupChangedMeanwhile:
                await self._groups.ask()
        raise GroupChangedMeanwhile

    async def _try(self, group: Group, signal: Signal) -> int:
        targets, id = await self._recipients.targets(group), self._new_id()
        if not targets:
            raise NoKeys(f"No other device in #{group.name} has published keys yet.")
        sealed, letters = await self._store.seal_signal(group.name, group.version, signal, id, targets, self._wall())
        self._keys.send(letters)
        direct = [target for target in targets if self._routes.send_direct(*target, sealed) is not None]
        if len(direct) < len(targets):
            await self._upload(group, id, sealed, direct)
        return len(targets)

    async def _upload(self, group: Group, id: bytes, sealed: bytes, skip: list[Target]) -> None:
        done: Deferred[None] = Deferred(lambda _: None)
        devices = [device for _, device in skip][:SKIPPED]
        self._session.send_numbered(
            lambda number: SendToGroup(number, group.name, group.version, id, sealed, devices),
            lambda error: None if done.called else done.errback(error),
            lambda: None if done.called else done.callback(None),
        )
        try:
            await done.addTimeout(REQUEST_TIME, self._clock)
        except TimeoutError:
            raise TimedOut("The server has not heard yet that all devices have it.") from None
