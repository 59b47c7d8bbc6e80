"""Groups, for programs: see `p2pim.peer.api.Peer`, which has these methods too."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred

from p2pim.core.delivery import AUTO, DIRECT, RELAY
from p2pim.core.limits import GROUP_CONNECT, GROUP_TOPIC
from p2pim.core.message_ids import show_message_id
from p2pim.core.names import canonical_name
from p2pim.errors import NotSignedIn, ServerUnreachable, TimedOut, Usage
from p2pim.peer.account import Account
from p2pim.peer.events import ConversationRead
from p2pim.peer.groups import group_name
from p2pim.peer.home_account import HomeAccount
from p2pim.peer.outbox import Settled
from p2pim.peer.states import SentMessage
from p2pim.storage.group_receipts import mark_read
from p2pim.wire.groups import Group
from p2pim.wire.signals import Query, ReadMark, Receipt

ROLES = ("owner", "admin", "member")


def _connect_in_background(account: Account, name: str) -> None:
    group = account.groups.known.get(name)
    if group is not None and len(group.members) <= GROUP_CONNECT:
        for member in group.members:
            account.conversations.connect_in_background(member.user)


class GroupApi(HomeAccount):
    """What a person or a program does with groups. Names of groups come with ``#`` or without."""

    def _account_with_server(self) -> Account:
        if self._account is None:
            raise NotSignedIn
        if not self._account.people.connected:
            raise ServerUnreachable("There is no connection to the server now; p2pim keeps trying.")
        return self._account

    async def groups(self) -> list[Group]:
        """The groups that I am in; as they were known last when there is no server."""
        return (await self.opened()).groups.known.all()

    async def create_group(self, name: str, users: Sequence[str] = ()) -> Group:
        """Make a group with ``users`` in it; I am its owner.

        :raises GroupNameTaken: there is one of this name on the server.
        :raises NoSuchUser: (or `Blocked`) one of them cannot be added, and none is.
        """
        return await self._change(name, "create", users)

    async def add_to_group(self, name: str, users: Sequence[str]) -> Group:
        """Add ``users``, who read what is said from now on.

        :raises NotAllowed: I am neither owner nor admin.
        """
        return await self._change(name, "add", users)

    async def remove_from_group(self, name: str, users: Sequence[str]) -> Group:
        """Remove ``users``, who read nothing that is said from now on.

        :raises NotAllowed: I am neither owner nor admin, or no owner and they are more than members.
        """
        return await self._change(name, "remove", users)

    async def leave_group(self, name: str) -> None:
        """Leave; when I was the last owner, whoever is longest an admin, or else a member, follows me."""
        await self._change(name, "leave")

    async def end_group(self, name: str) -> None:
        """End the group, for all."""
        await self._change(name, "end")

    async def set_group_role(self, name: str, user: str, role: str) -> Group:
        """Make a member "owner", "admin" or "member" of it."""
        if role not in ROLES:
            raise Usage(f"{role!r} is no role: {', '.join(ROLES)}.")
        return await self._change(name, "role", [user], role)

    async def set_group_topic(self, name: str, topic: str) -> Group:
        """Say what the group is about."""
        if len(topic) > GROUP_TOPIC:
            raise Usage(f"A topic has at most {GROUP_TOPIC} characters.")
        return await self._change(name, "topic", (), topic)

    async def _change(self, name: str, action: str, users: Sequence[str] = (), role: str = "") -> Group:
        account = self._account_with_server()
        return await account.groups.known.change(
            group_name(name), action, [canonical_name(user) for user in users], role
        )

    # --- messages

    async def broadcast(self, name: str, topic: str, body: bytes) -> int:
        """Tell the applications at all devices of all members something; it is in no history. To how many it went.

        They get a `BroadcastReceived`. Who is away gets it when they come back.
        """
        account = self._account_with_server()
        number = int.from_bytes(self._random_bytes(7), "big")
        return await account.groups.broadcast(group_name(name), Query(number, topic, body))

    async def _say_to_group(self, name: str, text: str, route: str, wait: bool, timeout: float | None) -> SentMessage:
        if route == DIRECT:
            raise Usage(
                "A message to a group goes by the best route to each device; --route direct would leave members out."
            )
        account, group = await self.opened(), group_name(name)
        started = self._reactor.seconds()
        message = await account.groups.outbox.put(group, text, route)
        self._wrote(message, "#" + group, text)
        settled = account.groups.outbox.wait(message) if wait else None
        if route == AUTO:
            _connect_in_background(account, group)
        if settled is None or not account.people.connected:
            if settled is not None:
                settled.addErrback(lambda failure: failure.trap(CancelledError))
                settled.cancel()
            return await self._sent_to_group(account, group, message, None, None)
        result = await self._in_time_for_group(account, group, message, settled, timeout)
        ms = round((self._reactor.seconds() - started) * 1000, 3)
        return await self._sent_to_group(account, group, message, result, ms)

    async def _in_time_for_group(
        self, account: Account, group: str, message: bytes, settled: Deferred[Settled], timeout: float | None
    ) -> Settled:
        late: list[bool] = []
        if timeout is not None:
            settled.addTimeout(timeout, self._reactor, onTimeoutCancel=lambda _, __: late.append(True))
        result = await settled
        if late:
            members = await account.groups.store.members(group, message)
            have = sum(state in ("delivered", "read") for _, state, _ in members)
            safe = sum(state == "stored" for _, state, _ in members)
            raise TimedOut(
                f"{have} of {len(members)} members have it and {safe} more will get it from their mailbox; for the"
                " others it stays in the outbox and is sent again."
            )
        return result

    async def _sent_to_group(
        self, account: Account, group: str, message: bytes, result: Settled | None, ms: float | None
    ) -> SentMessage:
        rows = await account.groups.store.members(group, message)
        members = tuple({"user": user, "state": state} for user, state, _ in rows)
        if result is not None:
            state, route, address = result.state, result.route, result.address
        else:
            state, (route, address) = "sent", account.groups.outbox.went_by(message)
        queued = result is None and not account.people.connected
        note = "the server cannot be reached; it goes when it can" if queued else ""
        return SentMessage(
            id=show_message_id(message), state=state, route=route if not queued else RELAY,
            address=address if not queued else "", ms=ms, queued=queued, note=note, members=members,
        )  # fmt: skip

    async def _mark_group_read(self, name: str) -> int:
        account, conversation = await self.opened(), "#" + group_name(name)
        at = round(self._wall() * 1000)
        by_device: dict[tuple[str, bytes], list[bytes]] = {}
        last = b""
        for user, device, last in await account.database.write(lambda db: mark_read(db, conversation, at)):
            by_device.setdefault((user, device), []).append(last)
        for (user, device), ids in by_device.items():
            for start in range(0, len(ids), 256):
                account.routes.send_surely(user, device, Receipt(ids[start : start + 256], "read"))
        if last:
            account.delivery.tell_my_devices(ReadMark(conversation, last))
            self._emit(ConversationRead(at=self._wall(), user=conversation))
        return sum(map(len, by_device.values()))
