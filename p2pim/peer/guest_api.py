"""A peer's calls about guests of the server's classic gateway."""

from __future__ import annotations

from typing import Any

from p2pim.core.delivery import AUTO, RELAY
from p2pim.core.limits import CLASSIC_TEXT
from p2pim.core.message_ids import show_message_id
from p2pim.core.names import canonical_conversation
from p2pim.errors import NoRoute, Usage
from p2pim.peer.best_route import NONE, BestRoute
from p2pim.peer.home_account import HomeAccount
from p2pim.peer.states import SentMessage
from p2pim.storage.guests import GUEST_ROUTE
from p2pim.wire.messages import Person

GUEST = "guest"
"""The relation of a guest to everybody."""
NOT_ENCRYPTED = "not encrypted, and nobody can tell whether it arrived"


class GuestApi(HomeAccount):
    """The part of `p2pim.peer.api.Peer` that is about guests."""

    async def guests(self, on: bool | None = None) -> dict[str, Any]:
        """Whether I meet guests, what the server lets happen ("apart", "shown" or "together"), and who is here.

        :param on: meet them from now on and after a restart, or no more: they see me, too, unless I am invisible.
        """
        account = await self.opened()
        await account.guests.settled()
        if on is not None:
            self._save(guests=on)
            await account.guests.wish(on)
        return {"on": account.guests.on, "policy": account.guests.policy, "users": account.guests.users()}

    def guest_people(self) -> list[Person]:
        """Guests who are here, as people."""
        users = self._account.guests.users() if self._account is not None else []
        return [Person(user, "online", [], GUEST) for user in users]

    async def _say_to_guest(self, user: str, text: str, route: str) -> SentMessage:
        """Say ``text`` to a guest, in plain text, through the server.

        :raises NoRoute: there is no other way.
        """
        if route not in (AUTO, RELAY):
            raise NoRoute("Guests are reached through the server alone.")
        if len(text.encode()) > CLASSIC_TEXT:
            raise Usage(f"The message has {len(text.encode())} bytes; for a guest {CLASSIC_TEXT} are the most.")
        account = await self.opened()
        id = await account.guests.say(canonical_conversation(user), text)
        return SentMessage(
            id=show_message_id(id), state="sent", route=GUEST_ROUTE, address="", ms=None, note=NOT_ENCRYPTED
        )

    def _guest_head(self, user: str, unread: int) -> dict[str, Any]:
        """What the head of a conversation with a guest shows."""
        here = self._account is not None and user in self._account.guests.users()
        route = BestRoute(user, GUEST_ROUTE if here else NONE).as_json()
        return {
            "user": user, "status": "online" if here else "offline", "relation": GUEST, "route": route,
            "verified": False, "changed": False, "encrypted": False, "devices": [], "unread": unread,
        }  # fmt: skip
