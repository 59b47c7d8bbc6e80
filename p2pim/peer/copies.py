"""Copies sealed later than their message: for devices that are new, and for those that could not open theirs."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from p2pim.core.delivery import DIRECT, Target
from p2pim.peer.dispatches import Conversation, MessageRoutes
from p2pim.peer.targets import Recipients
from p2pim.storage.outbox import OutboxStore


class Copies:
    """See the module.

    :param me: my user name, and this device.
    :param refresh: sends what there is for a user now.
    """

    _log = Logger()

    def __init__(
        self,
        store: OutboxStore,
        recipients: Recipients,
        routes: MessageRoutes,
        journal: Callable[[str, str, str], None],
        me: Target,
        refresh: Callable[[str], None],
    ) -> None:
        self._store = store
        self._recipients = recipients
        self._routes = routes
        self._journal = journal
        self._me = me
        self._refresh = refresh
        self._stopped = False

    def stop(self) -> None:
        """Seal nothing any more."""
        self._stopped = True

    async def complete(self, conversation: Conversation) -> None:
        """Seal for those devices of the recipient that have no copy of what nobody has confirmed yet.

        :raises P2pimError: their devices cannot be found out now.
        """
        user = conversation.user
        devices = await self._recipients.ready(user)
        self._drop_removed(conversation)
        targets = [(user, device) for device in devices if (user, device) != self._me]
        await self.seal(conversation, self._lacking(conversation, targets))

    def _lacking(self, conversation: Conversation, targets: list[Target]) -> list[tuple[Target, bytes]]:
        direct = {target for target in targets if DIRECT in self._routes.copy_ways(*target)}
        return [
            (target, message.id)
            for message in conversation.sending.undelivered()
            for target in targets
            if not conversation.sending.has_copy(target, message.id) and (message.route != DIRECT or target in direct)
        ]

    def _drop_removed(self, conversation: Conversation) -> None:
        known = {(conversation.user, device.id) for device in self._recipients.devices(conversation.user)}
        for target in conversation.sending.targets():
            if target[0] == conversation.user and known and target not in known:
                self.drop(conversation, target)

    def drop(self, conversation: Conversation, target: Target) -> None:
        """That device is no more."""
        self._journal("message", target[0], "one of their devices is no more")
        conversation.sending.remove_target(target)
        dropped = self._store.drop_copies(conversation.user, target)
        dropped.addErrback(lambda failure: self._log.failure("cannot drop the copies of a device", failure))

    async def seal(self, conversation: Conversation, wanted: list[tuple[Target, bytes]]) -> None:
        """Seal these messages (again) for these devices, and send them."""
        if not wanted or self._stopped:
            return
        copies = await self._store.seal_more(conversation.user, wanted)
        conversation.keep_fresh(copies)
        for copy in copies:
            conversation.sending.add_copy(copy.target, copy.message.id, mine=copy.target[0] != conversation.user)
        self._refresh(conversation.user)
