"""Messages that were sealed for a group as it is no more are sealed anew, for its present members."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from p2pim.core.limits import GROUP_RENEW_RETRY
from p2pim.errors import P2pimError
from p2pim.peer.background import Background
from p2pim.peer.group_keys import GroupKeyPost
from p2pim.peer.group_recipients import GroupRecipients
from p2pim.peer.group_traffic import NumberedSession, Traffic
from p2pim.peer.groups import MyGroups
from p2pim.storage.group_outbox import GroupOutboxStore


class GroupRenewal:
    """See the module.

    :param wall: the time in seconds since 1970.
    :param renewed: told which messages of a group were sealed anew; they are to be sent.
    """

    def __init__(
        self,
        clock: IReactorTime,
        wall: Callable[[], float],
        store: GroupOutboxStore,
        groups: MyGroups,
        keys: GroupKeyPost,
        recipients: GroupRecipients,
        session: NumberedSession,
        journal: Callable[[str, str, str], None],
        background: Background,
        renewed: Callable[[Traffic, list[bytes]], None],
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._store = store
        self._groups = groups
        self._keys = keys
        self._recipients = recipients
        self._session = session
        self._journal = journal
        self._background = background
        self._renewed = renewed

    def renew(self, traffic: Traffic) -> None:
        """Seal what is for another version of the group; nothing goes meanwhile. Without the server, later."""
        if not traffic.renewing and not traffic.stopped and self._session.connected:
            traffic.renewing = True
            self._background.run(self._renew(traffic), "sealing for a changed group")

    async def _renew(self, traffic: Traffic) -> None:
        ids: list[bytes] | None = None
        await traffic.order.acquire()
        try:
            ids = await self._seal_again(traffic)
        except P2pimError as error:
            self._journal("message", "#" + traffic.name, f"waits, since it cannot be sealed anew: {error.message}")
        finally:
            traffic.renewing = False
            traffic.order.release()
        if ids is not None:
            self._renewed(traffic, ids)
        elif not traffic.stopped and (traffic.retry is None or not traffic.retry.active()):
            traffic.retry = self._clock.callLater(GROUP_RENEW_RETRY, self.renew, traffic)

    async def _seal_again(self, traffic: Traffic) -> list[bytes] | None:
        """What was sealed for the group as it is now; None when that is to be tried again."""
        group = self._groups.get(traffic.name)
        if group is None:
            return []
        targets = await self._recipients.targets(group)
        if self._groups.get(traffic.name) is not group:
            return []  # and whoever hears of that looks again
        if not targets:
            return None
        ids = [id for id, letter in traffic.letters.items() if letter.is_stale(group)]
        members = [member.user for member in group.members]
        parcels = await self._store.seal_again(traffic.name, group.version, ids, members, targets, self._wall())
        for parcel in parcels:
            traffic.keep_fresh(parcel)
            self._keys.send(parcel.letters)
            traffic.sealed_again(parcel, targets, members)
        return [parcel.message.id for parcel in parcels]
