"""What a window on a conversation, or on the network, shows: for programs, see `p2pim.peer.api.Peer`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError

from p2pim.core.limits import FIRST_PING, GROUP_CONNECT
from p2pim.core.names import canonical_conversation, is_guest_user
from p2pim.errors import NoSuchGroup, P2pimError
from p2pim.peer.account import Account
from p2pim.peer.best_route import BestRoute, best_route
from p2pim.peer.guest_api import GuestApi
from p2pim.peer.states import channel_state, milliseconds
from p2pim.wire.messages import Person


class ConversationCalls(GuestApi):
    """The part of a peer that is about conversations as they are shown."""

    async def conversation(self, user: str, *, open: bool = False) -> dict[str, Any]:
        """All that the head of a conversation with ``user`` (or in ``#GROUP``) shows.

        :param open: it is in front of somebody: a direct channel is tried for, in the background.
        :raises NoSuchGroup: I am in no such group.
        """
        account, name = await self.opened(), canonical_conversation(user)
        unread = await account.history.unread(name)
        if is_guest_user(name):
            return self._guest_head(name, unread)
        if name.startswith("#"):
            return {**self._group_head(account, name, open=open), "unread": unread}
        if open and name != self.identity()["user"]:
            account.conversations.connect_in_background(name, asking=True)
        person = account.people.get(name) or Person(name, "")
        pinned = await account.seals.directory.pinned(name)
        return {
            "user": name,
            "status": person.status or "unknown",
            "relation": person.relation,
            "route": self._watched(account, name).as_json(),
            "verified": bool(pinned) and all(device.verified for device in pinned),
            "changed": account.seals.blocked_by_change(name),
            "devices": [{"id": d.id.hex(), "name": d.name, "address": d.address} for d in person.devices],
            "unread": unread,
        }

    def _group_head(self, account: Account, name: str, *, open: bool) -> dict[str, Any]:
        group = account.groups.known.get(name[1:])
        if group is None:
            raise NoSuchGroup
        me = self.identity()["user"]
        members: list[dict[str, Any]] = []
        for member in group.members:
            person = account.people.get(member.user) or Person(member.user, "")
            members.append({"user": member.user, "role": member.role, "status": person.status or "unknown"})
            if member.user != me:
                if open:
                    self._group_wants_channel(account, member.user, len(group.members))
                members[-1]["route"] = best_route(account, member.user).as_json()
        return {"user": name, "relation": "member", "group": {"topic": group.topic, "members": members}}

    def _group_wants_channel(self, account: Account, user: str, members: int) -> None:
        if members <= GROUP_CONNECT:
            account.conversations.connect_in_background(user)

    def _watched(self, account: Account, user: str) -> BestRoute:
        route = best_route(account, user)
        self.route_watch.watch(route)
        return route

    async def best_routes(self) -> list[dict[str, Any]]:
        """The routes to all to whom there is a channel, or to whom none could be made."""
        account = await self.opened()
        users = {channel.user for channel in account.channels.all()} | set(account.channels.failed_users())
        return [{"user": user, **best_route(account, user).as_json()} for user in sorted(users)]

    async def network(self) -> dict[str, Any]:
        """Whom this device is connected to, and by which ways."""
        account = await self.opened()
        people = {person.user: person for person in account.people.contacts() if person.relation == "contact"}
        users = sorted({*people, *(channel.user for channel in account.channels.all())})
        peers = [self._network_peer(account, user) for user in users]
        return {"me": await self._network_me(account), "peers": peers}

    async def _network_me(self, account: Account) -> dict[str, Any]:
        connected, welcome = account.people.connected, account.session.welcome
        rtt = None
        if connected:
            with suppress(P2pimError, TimeoutError):
                rtt = await Deferred.fromCoroutine(account.session.ping()).addTimeout(FIRST_PING, self._reactor)
        return {
            "user": self.identity()["user"],
            "device": self.identity()["device"],
            "device_name": self._credentials.device_name,
            "address": welcome.address if welcome is not None and connected else "",
            "listening": account.channels.listening,
            "server": str(account.server),
            "server_rtt_ms": milliseconds(rtt),
            "p2p_server": account.p2p_server.name,
            "connected": connected,
        }

    def _network_peer(self, account: Account, user: str) -> dict[str, Any]:
        person = account.people.get(user) or Person(user, "")
        states = [channel_state(channel).as_json() for channel in account.channels.all() if channel.user == user]
        route = best_route(account, user)
        best = next((state for state in states if state["kind"] == route.kind), {})
        return {
            "user": user,
            "status": person.status or "unknown",
            **route.as_json(),
            "local_address": best.get("local_address", ""),
            "sent": sum(state["sent"] for state in states),
            "received": sum(state["received"] for state in states),
            "since": best.get("since"),
            "channels": states,
        }
