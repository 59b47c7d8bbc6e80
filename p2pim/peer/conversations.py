"""When a direct channel to somebody is tried for, and what follows when there is none."""

from __future__ import annotations

from p2pim.core.limits import DIRECT_RETRY
from p2pim.errors import NoDirectPath, NotSignedIn, P2pimError, ServerUnreachable
from p2pim.peer import events
from p2pim.peer.account_context import AccountContext
from p2pim.peer.background import Background
from p2pim.peer.channels import ChannelTable
from p2pim.peer.interfaces import IChannel
from p2pim.peer.outbox import Outbox
from p2pim.peer.people import OFFLINE, People
from p2pim.peer.states import reason_pairs


class Conversations:
    """Conversations want direct channels."""

    def __init__(
        self, context: AccountContext, people: People, channels: ChannelTable, outbox: Outbox, background: Background
    ) -> None:
        self._context = context
        self._people = people
        self._channels = channels
        self._outbox = outbox
        self._background = background
        self._attempts: dict[str, float] = {}

    def connect_in_background(self, user: str, *, asking: bool = False) -> None:
        """A conversation with ``user`` goes on: try for a direct channel, unless there was an attempt just now.

        :param asking: also when it has to be asked first which devices they have.
        """
        now = self._context.reactor.seconds()
        settings = self._context.settings
        if settings.connect == "never" or settings.channel == "none" or not self._people.connected:
            return
        person = self._people.get(user)
        if not self._people.devices(user) and (not asking or (person is not None and person.status == OFFLINE)):
            return
        if self._channels.channel_to(user) is not None or now - self._attempts.get(user, -DIRECT_RETRY) < DIRECT_RETRY:
            return
        self._attempts[user] = now
        self._background.run(self._try_to_connect(user), "connecting in the background")

    async def connect(self, user: str) -> IChannel:
        """A direct channel to ``user``: the one there is, or a new one.

        :raises NoDirectPath: none can be made, with the reasons.
        :raises ServerUnreachable: for now, so nobody can introduce the two.
        """
        try:
            return await self._channels.connect(user)
        except NotSignedIn as error:
            raise ServerUnreachable(error.message) from None
        except NoDirectPath as error:
            reasons = reason_pairs(error.reasons)
            self._context.emit(events.ConnectFailed(at=self._context.wall(), user=user, reasons=reasons))
            raise

    def found(self, user: str) -> None:
        """There is a direct channel: when it is lost, another attempt need not wait."""
        self._attempts.pop(user, None)

    def lost(self, user: str) -> None:
        """A channel is gone: messages that may only go directly need another, or are given up."""
        if self._outbox.direct_only(user):
            self._background.run(self._find_direct_again(user), "a message that goes directly or not at all")

    async def _try_to_connect(self, user: str) -> None:
        try:
            await self.connect(user)
        except P2pimError as error:
            self._context.journal.write("connect", user, f"no direct channel: {error.message}")

    async def _find_direct_again(self, user: str) -> None:
        try:
            await self.connect(user)
        except P2pimError as error:
            if self._channels.channel_to(user) is None:
                for message in self._outbox.direct_only(user):
                    self._outbox.withdraw(user, message, error)
