"""Which devices get a copy of a message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from p2pim.core.delivery import DIRECT, Target
from p2pim.errors import Blocked, IdentityChanged, NoKeys, NoRoute, NoSuchUser, P2pimError
from p2pim.peer.dispatches import MessageRoutes

REFUSALS = (NoSuchUser, Blocked, NoKeys, IdentityChanged)
"""Why a message is not even taken."""


class Recipients(Protocol):
    """What the outbox needs of `p2pim.peer.seals.Seals`."""

    async def ready(self, user: str) -> list[bytes]: ...
    def devices(self, user: str) -> Sequence[Any]: ...


class Targets:
    """The devices of people and my own others.

    :param me: my user name, and this device.
    """

    def __init__(
        self, recipients: Recipients, routes: MessageRoutes, journal: Callable[[str, str, str], None], me: Target
    ) -> None:
        self._recipients = recipients
        self._routes = routes
        self._journal = journal
        self._me = me
        self._known: dict[str, list[bytes]] = {}
        """Whose devices could be sealed for when that was asked last."""

    async def of_message(self, user: str, route: str) -> list[Target]:
        """Who gets a copy: with "direct" those alone to whom there is a channel."""
        targets = [(user, device) for device in await self._devices(user)]
        if user != self._me[0]:
            targets += [(self._me[0], device) for device in await self._devices(self._me[0])]
        targets = [target for target in targets if target != self._me]
        if route == DIRECT:
            targets = [target for target in targets if DIRECT in self._routes.copy_ways(*target)]
            if not any(target[0] == user for target in targets):
                raise NoRoute(f"There is no direct channel to a device of {user} any more.")
        return targets

    async def _devices(self, user: str) -> list[bytes]:
        """The devices that can be sealed for; without the server, those that are known."""
        try:
            self._known[user] = await self._recipients.ready(user)
            return self._known[user]
        except REFUSALS:
            if user != self._me[0]:
                raise
        except P2pimError as error:
            self._journal("message", user, f"devices are not known for certain: {error.message}")
        return list({*self._known.get(user, ()), *self._routes.ways(user)})
