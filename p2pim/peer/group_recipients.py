"""For which devices a message to a group is sealed."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from p2pim.core.delivery import Target
from p2pim.errors import Blocked, IdentityChanged, NoKeys, NoSuchUser, P2pimError, RateLimited
from p2pim.peer.group_traffic import Recipients
from p2pim.wire.groups import Group

_TRIES = 5


class GroupRecipients:
    """The devices of members.

    :param me: my user name, and this device.
    """

    def __init__(
        self, clock: IReactorTime, recipients: Recipients, journal: Callable[[str, str, str], None], me: Target
    ) -> None:
        self._clock = clock
        self._recipients = recipients
        self._journal = journal
        self._me = me
        self._known: dict[str, list[bytes]] = {}

    def alone(self, group: Group) -> bool:
        """Whether nobody but this device is in the group."""
        mine = [device for device in self._recipients.devices(self._me[0]) if device.id != self._me[1]]
        return len(group.members) < 2 and not mine

    async def targets(self, group: Group) -> list[Target]:
        """All devices of all members that can be sealed for, this one excepted; without the server, those known last.

        :raises IdentityChanged: somebody must look at one of them first.
        """
        targets: list[Target] = []
        for member in group.members:
            devices = await self._devices(member.user)
            if member.user != self._me[0] and self._recipients.blocked_by_change(member.user):
                raise IdentityChanged(
                    f"The keys of {member.user}, who is in #{group.name}, changed since you verified them; compare"
                    " again or accept: `p2pim verify`."
                )
            targets += [(member.user, device) for device in devices]
        return [target for target in targets if target != self._me]

    async def _devices(self, user: str) -> list[bytes]:
        for _ in range(_TRIES):
            try:
                self._known[user] = await self._recipients.ready(user)
                break
            except RateLimited as error:
                await deferLater(self._clock, error.retry_after or 1.0)
            except (NoKeys, NoSuchUser, Blocked):
                return []
            except P2pimError as error:
                self._journal("message", user, f"devices are not known for certain: {error.message}")
                break
        return self._known.get(user, [])
