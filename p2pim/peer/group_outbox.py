"""Messages of mine to groups: on disk before they go, sealed once for all, by the best route to each device.

Devices with a direct channel get their copy over it; for all others there is one upload, which the server copies. A
message stays until every device has confirmed it. When the group has changed since it was sealed it is sealed anew, for
the present members and with a new key where somebody has left, and sent again to those who have not got it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.core.delivery import DELIVERED, DIRECT, RELAY, SENT, STORED, Outgoing, Sending, Target
from p2pim.core.limits import (
    GROUP_ENVELOPES,
    GROUP_RECEIPT_WAIT,
    GROUP_RENEW_RETRY,
    LOOK_UPS_AT_ONCE,
    OUTBOX,
    RESEND_MAX,
)
from p2pim.core.message_ids import make_message_id, show_message_id
from p2pim.core.sealing import DeviceRef
from p2pim.errors import (
    Blocked,
    GroupChangedMeanwhile,
    IdentityChanged,
    MailboxFull,
    NoKeys,
    NoSuchGroup,
    NoSuchUser,
    NotSignedIn,
    P2pimError,
    RateLimited,
    TooMany,
    Usage,
)
from p2pim.peer.background import Background
from p2pim.peer.events import Event, ReceiptReceived
from p2pim.peer.group_keys import GroupKeyPost
from p2pim.peer.groups import MyGroups
from p2pim.peer.waiters import Settled, Waiters
from p2pim.storage.group_outbox import UNSEALED, WAITING, GroupOutboxStore, Parcel
from p2pim.storage.inbox import GroupReceipt
from p2pim.wire.groups import Group, SendToGroup
from p2pim.wire.messages import Message
from p2pim.wire.signals import Signal

SKIPPED = 1024
"""As many devices as `SendToGroup` names."""
_TRIES = 5


class GroupRoutes(Protocol):
    """What is needed of `p2pim.peer.routes.Routes`."""

    def copy_ways(self, user: str, device: bytes) -> dict[str, Hashable]: ...
    def is_there(self, user: str) -> bool: ...
    def send_direct(self, user: str, device: bytes, sealed: bytes) -> tuple[str, str] | None: ...


class Recipients(Protocol):
    """What is needed of `p2pim.peer.seals.Seals`."""

    async def ready(self, user: str) -> list[bytes]: ...
    def devices(self, user: str) -> Sequence[Any]: ...
    def blocked_by_change(self, user: str) -> bool: ...


class NumberedSession(Protocol):
    """The part of a session that carries messages to groups."""

    @property
    def connected(self) -> bool: ...
    def send_numbered(
        self,
        message: Callable[[int], Message],
        on_failed: Callable[[P2pimError], None] | None = None,
        on_stored: Callable[[], None] | None = None,
    ) -> None: ...


@dataclass(slots=True)
class _Letter:
    """A message on its way: for whom, and how far with whom."""

    message: Outgoing
    version: int
    copies: dict[Target, str]
    members: dict[str, str]
    went: tuple[str, str] | None = None


@dataclass(slots=True)
class _Traffic:
    """The messages to one group."""

    name: str
    sending: Sending = field(default_factory=Sending)
    letters: OrderedDict[bytes, _Letter] = field(default_factory=OrderedDict)
    fresh: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)
    queue: deque[tuple[bytes, list[Target], list[Target]]] = field(default_factory=deque)
    timer: IDelayedCall | None = None
    retry: IDelayedCall | None = None
    reading: bool = False
    renewing: bool = False
    coming: int = 0
    order: DeferredLock = field(default_factory=DeferredLock)


def _is_stale(letter: _Letter, group: Group) -> bool:
    """Whether it must be sealed for the group as it is now: somebody is to get it who has not."""
    return letter.version != group.version and (letter.version == UNSEALED or WAITING in letter.copies.values())


class GroupOutbox:
    """The sending side of groups.

    :param wall: the time in seconds since 1970.
    :param ask_for: finds out whether a user is there of whom that is not known.
    :param server: its address, as reports show it.
    :param me: my user name, and this device.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        wall: Callable[[], float],
        store: GroupOutboxStore,
        groups: MyGroups,
        keys: GroupKeyPost,
        routes: GroupRoutes,
        recipients: Recipients,
        session: NumberedSession,
        emit: Callable[[Event], None],
        journal: Callable[[str, str, str], None],
        random_bytes: Callable[[int], bytes],
        ask_for: Callable[[str], Awaitable[object]],
        background: Background,
        server: str,
        me: Target,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._store = store
        self._groups = groups
        self._keys = keys
        self._routes = routes
        self._recipients = recipients
        self._session = session
        self._emit = emit
        self._journal = journal
        self._random_bytes = random_bytes
        self._ask_for = ask_for
        self._background = background
        self._server = server
        self._me = me
        self._traffic: dict[str, _Traffic] = {}
        self._where: dict[bytes, _Traffic] = {}
        self._known: dict[str, list[bytes]] = {}
        self._waiters = Waiters()
        self._stored_ids: set[bytes] = set()
        self._grace: dict[bytes, IDelayedCall] = {}
        self._stopped = False

    async def load(self) -> None:
        """Take up what earlier runs left."""
        for left in await self._store.unsettled():
            traffic = self._of(left.group)
            rows = await self._store.members(left.group, left.message.id)
            members = {user: state for user, state, _ in rows}
            self._add(traffic, left.message, left.version, left.copies, members)

    def stop(self) -> None:
        """Send nothing any more; what waits is on disk."""
        self._stopped = True
        for traffic in self._traffic.values():
            for call in (traffic.timer, traffic.retry):
                if call is not None and call.active():
                    call.cancel()
        for call in self._grace.values():
            call.cancel()
        self._grace.clear()
        self._waiters.stop()

    # --- sending

    async def put(self, name: str, text: str, route: str) -> bytes:
        """Put a message into the outbox; once it is on disk, send it to everybody. Gives its id.

        :raises NoSuchGroup: I am in no group of this name.
        :raises TooMany: too many wait already.
        :raises IdentityChanged: a verified member has a device that nobody has looked at.
        """
        group, traffic = self._groups.need(name), self._of(name)
        if len(group.members) < 2 and not self._others(group):
            raise Usage(f"Nobody but you is in #{name}; add somebody first.")
        waiting = traffic.sending.waiting + traffic.coming
        if waiting >= OUTBOX:
            raise TooMany(f"{waiting} messages wait for #{name} already; more are taken when some have gone.")
        traffic.coming += 1
        try:
            return await self._write(traffic, group, text, route)
        finally:
            traffic.coming -= 1

    async def _write(self, traffic: _Traffic, group: Group, text: str, route: str) -> bytes:
        """On disk and out, in the order in which it was asked for."""
        await traffic.order.acquire()
        try:
            targets = await self._targets(group)
            if not targets and self._session.connected:
                raise NoKeys(f"No device in #{group.name} has published keys yet; the others must sign in once.")
            group = self._groups.need(group.name)
            now = round(self._wall() * 1000)
            message = Outgoing(make_message_id(now, self._random_bytes(10)), 0, text, now, route)
            members = [member.user for member in group.members]
            written = self._store.enqueue(message, group.name, group.version, members, targets, self._wall())
            out = written.addCallback(lambda parcel: self._written(traffic, parcel, targets, members))
        finally:
            traffic.order.release()
        return await out

    def _written(self, traffic: _Traffic, parcel: Parcel, targets: list[Target], members: list[str]) -> bytes:
        states = {user: SENT for user in members if user != self._me[0]}
        copies = dict.fromkeys(targets, WAITING) if parcel.version != UNSEALED else {}
        self._add(traffic, parcel.message, parcel.version, copies, states)
        self._send_keys_and_keep(traffic, parcel)
        self._refresh(traffic)
        return parcel.message.id

    def _add(
        self, traffic: _Traffic, message: Outgoing, version: int, copies: dict[Target, str], members: dict[str, str]
    ) -> None:
        letter = _Letter(message, version, dict(copies), dict(members))
        traffic.letters[message.id] = letter
        self._where[message.id] = traffic
        open_ = [target for target, state in copies.items() if state != DELIVERED]
        theirs = [target for target in open_ if target[0] != self._me[0]] if letter.members else open_
        state = DELIVERED if letter.members and any(each in (DELIVERED, "read") for each in members.values()) else SENT
        traffic.sending.add(message, theirs, [target for target in open_ if target not in theirs], state=state)
        for target in open_:
            if copies[target] == STORED:
                traffic.sending.in_mailbox(target, message.id)

    def _send_keys_and_keep(self, traffic: _Traffic, parcel: Parcel) -> None:
        if parcel.sealed:
            self._keys.send(parcel.letters)
            traffic.fresh[parcel.message.id] = parcel.sealed
            if len(traffic.fresh) > GROUP_ENVELOPES:
                traffic.fresh.popitem(last=False)

    async def broadcast(self, name: str, signal: Signal) -> int:
        """Tell all devices of all members something that nobody keeps; to how many devices it went.

        :raises P2pimError: the server did not take it.
        """
        for _ in range(_TRIES):
            group = self._groups.need(name)
            targets = await self._targets(group)
            id = make_message_id(round(self._wall() * 1000), self._random_bytes(10))
            sealed, letters = await self._store.seal_signal(name, group.version, signal, id, targets, self._wall())
            self._keys.send(letters)
            skip = [target for target in targets if self._routes.send_direct(*target, sealed) is not None]
            if len(skip) == len(targets):
                return len(targets)
            try:
                await self._upload(group, id, sealed, skip)
                return len(targets)
            except GroupChangedMeanwhile:
                await self._groups.ask()
        raise GroupChangedMeanwhile

    def _upload(self, group: Group, id: bytes, sealed: bytes, skip: list[Target]) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        devices = [device for _, device in skip][:SKIPPED]
        self._session.send_numbered(
            lambda number: SendToGroup(number, group.name, group.version, id, sealed, devices),
            lambda error: None if done.called else done.errback(error),
            lambda: None if done.called else done.callback(None),
        )
        return done.addTimeout(RESEND_MAX, self._clock, onTimeoutCancel=lambda result, _: None)

    # --- for whom

    def _others(self, group: Group) -> list[str]:
        """My other devices, when I am alone."""
        return [device.id for device in self._recipients.devices(self._me[0]) if device.id != self._me[1]]

    async def _targets(self, group: Group) -> list[Target]:
        """All devices of all members that can be sealed for, this one excepted.

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

    # --- what becomes of it

    def wait(self, message: bytes) -> Deferred[Settled]:
        """Fires when all members have the message, or when it is in the mailboxes of those who are away.

        :raises NoSuchGroup: I am not in the group any more.
        """
        return self._waiters.add(message)

    async def members(self, name: str, message: bytes) -> list[tuple[str, str, int | None]]:
        """How far each member is with a message."""
        return await self._store.members(name, message)

    def went_by(self, message: bytes) -> tuple[str, str]:
        """The route and address by which it went."""
        traffic = self._where.get(message)
        letter = traffic.letters.get(message) if traffic is not None else None
        return letter.went if letter is not None and letter.went is not None else (RELAY, self._server)

    # --- ways and changes

    def refresh(self, user: str) -> None:
        """The ways to ``user`` may have changed."""
        for traffic in self._traffic.values():
            if any(target[0] == user for target in traffic.sending.targets()):
                self._refresh(traffic)

    def refresh_all(self) -> None:
        """All ways may have."""
        for traffic in list(self._traffic.values()):
            self._refresh(traffic)

    def changed(self, name: str) -> None:
        """A group is another than before."""
        if name in self._traffic:
            self._refresh(self._traffic[name])

    def _refresh(self, traffic: _Traffic) -> None:
        if self._stopped:
            return
        for target in traffic.sending.targets():
            traffic.sending.set_ways(target, self._routes.copy_ways(*target))
        group = self._groups.get(traffic.name)
        if group is None:
            if self._session.connected:
                self._give_up(traffic, NoSuchGroup(f"You are in #{traffic.name} no more."))
        elif any(_is_stale(letter, group) for letter in traffic.letters.values()):
            self._renew(traffic)
            if traffic.renewing:
                self._disarm(traffic)
        else:
            self._pump(traffic)

    def _give_up(self, traffic: _Traffic, error: P2pimError) -> None:
        ids = list(traffic.letters)
        for id in ids:
            traffic.sending.remove(id)
            self._forget(traffic, id)
            self._waiters.fail(id, error)
        if ids:
            self._journal("message", "#" + traffic.name, f"{len(ids)} given up: {error.message}")
            failed = self._store.fail(traffic.name, ids)
            failed.addErrback(self._not_noted, "cannot note a failed message")

    # --- sealing anew

    def _renew(self, traffic: _Traffic) -> None:
        """Seal what is for another version of the group; nothing goes meanwhile."""
        if traffic.renewing or not self._session.connected:
            return
        traffic.renewing = True
        self._background.run(self._renew_now(traffic), "sealing for a changed group")

    async def _renew_now(self, traffic: _Traffic) -> None:
        await traffic.order.acquire()
        try:
            sealed = await self._seal_again(traffic)
        except P2pimError as error:
            self._journal("message", "#" + traffic.name, f"waits, since it cannot be sealed anew: {error.message}")
            sealed = False
        finally:
            traffic.renewing = False
            traffic.order.release()
        if sealed:
            self._refresh(traffic)
        elif not self._stopped and (traffic.retry is None or not traffic.retry.active()):
            traffic.retry = self._clock.callLater(GROUP_RENEW_RETRY, self._refresh, traffic)

    async def _seal_again(self, traffic: _Traffic) -> bool:
        """Whether all is sealed for the group as it is now."""
        group = self._groups.get(traffic.name)
        if group is None:
            return True
        targets = await self._targets(group)
        if self._groups.get(traffic.name) is not group or not targets:
            return bool(targets)
        ids = [id for id, letter in traffic.letters.items() if _is_stale(letter, group)]
        members = [member.user for member in group.members]
        parcels = await self._store.seal_again(traffic.name, group.version, ids, members, targets, self._wall())
        for parcel in parcels:
            self._sealed_again(traffic, parcel, targets, members)
        return len(parcels) == len(ids)

    def _sealed_again(self, traffic: _Traffic, parcel: Parcel, targets: list[Target], members: list[str]) -> None:
        id = parcel.message.id
        letter = traffic.letters.get(id)
        if letter is None:
            return
        self._send_keys_and_keep(traffic, parcel)
        letter.version = parcel.version
        for user in [user for user in letter.members if user not in members and letter.members[user] == SENT]:
            del letter.members[user]
        for user in members:
            if user != self._me[0]:
                letter.members.setdefault(user, SENT)
        for target in targets:
            if letter.copies.setdefault(target, WAITING) == WAITING:
                traffic.sending.add_copy(target, id, mine=target[0] == self._me[0] and bool(letter.members))
        for target in [target for target in letter.copies if target not in targets]:
            del letter.copies[target]
            traffic.sending.remove_copy(target, id)
        self._see(traffic, id)

    # --- going

    def _pump(self, traffic: _Traffic) -> None:
        if self._stopped or traffic.renewing:
            return
        batches: dict[bytes, tuple[list[Target], list[Target]]] = {}
        for dispatch in traffic.sending.to_send(self._clock.seconds()):
            id, target = dispatch.message.id, dispatch.target
            if id in traffic.letters:  # also what was thought to be safe, and goes once more
                traffic.letters[id].copies[target] = WAITING
            directs, relays = batches.setdefault(id, ([], []))
            (directs if dispatch.way == DIRECT else relays).append(target)
        for id, (directs, relays) in batches.items():
            traffic.queue.append((id, directs, relays))
        if batches and not traffic.reading:
            traffic.reading = True
            self._background.run(self._drain(traffic), "sending to a group")
        self._arm(traffic)

    def _arm(self, traffic: _Traffic) -> None:
        self._disarm(traffic)
        due = traffic.sending.next_due()
        if due is not None:
            wait = max(0.0, due - self._clock.seconds())
            traffic.timer = self._clock.callLater(wait, self._refresh, traffic)

    @staticmethod
    def _disarm(traffic: _Traffic) -> None:
        if traffic.timer is not None and traffic.timer.active():
            traffic.timer.cancel()
        traffic.timer = None

    async def _drain(self, traffic: _Traffic) -> None:
        try:
            while traffic.queue and not self._stopped:
                id, directs, relays = traffic.queue.popleft()
                sealed = traffic.fresh.get(id)
                if sealed is None:
                    found = await self._store.envelopes(traffic.name, [id])
                    sealed = found[id][1] if id in found else None
                if sealed is not None:
                    self._send(traffic, id, sealed, directs, relays)
        finally:
            traffic.reading = False

    def _send(self, traffic: _Traffic, id: bytes, sealed: bytes, directs: list[Target], relays: list[Target]) -> None:
        letter, group = traffic.letters.get(id), self._groups.get(traffic.name)
        if letter is None or group is None or self._stopped:
            return
        if letter.version != group.version:
            self._renew(traffic)
            return
        for target in directs:
            went = self._routes.send_direct(*target, sealed)
            if went is not None and letter.went is None:
                letter.went = went
        if relays:
            letter.went = (RELAY, self._server)
            wanted = set(relays)
            skip = [device for user, device in letter.copies if (user, device) not in wanted][:SKIPPED]
            self._session.send_numbered(
                lambda number: SendToGroup(number, traffic.name, letter.version, id, sealed, skip),
                lambda error: self._failed(traffic, id, relays, error),
                lambda: self._stored(traffic, id, relays),
            )
        how = f"{len(directs)} directly, {len(relays)} through the server"
        self._journal("message", "#" + traffic.name, f"sent: {how}")

    # --- answers

    def _failed(self, traffic: _Traffic, id: bytes, targets: list[Target], error: P2pimError) -> None:
        if self._stopped:
            return
        self._journal("message", "#" + traffic.name, f"not taken by the server: {error.message}")
        if isinstance(error, GroupChangedMeanwhile | NoSuchGroup):
            self._background.run(self._ask_again(traffic), "asking for a changed group")
            wait = GROUP_RENEW_RETRY
        elif isinstance(error, MailboxFull):
            wait = max(error.retry_after, RESEND_MAX)
        elif isinstance(error, NotSignedIn):
            return
        else:
            wait = error.retry_after
        for target in targets:
            traffic.sending.busy(target, id, wait, self._clock.seconds())
        self._arm(traffic)

    async def _ask_again(self, traffic: _Traffic) -> None:
        try:
            await self._groups.ask()
        except P2pimError as error:
            self._journal("message", "#" + traffic.name, f"the group is not known for certain: {error.message}")
            return
        self._refresh(traffic)

    def _stored(self, traffic: _Traffic, id: bytes, targets: list[Target]) -> None:
        letter = traffic.letters.get(id)
        if letter is None or self._stopped:
            return
        safe = [target for target in targets if letter.copies.get(target) == WAITING]
        for target in safe:
            letter.copies[target] = STORED
            traffic.sending.settle(target, id, STORED, self._clock.seconds())
        at = round(self._wall() * 1000)
        noted = self._store.stored(traffic.name, id, safe, at, self._server)
        noted.addCallback(self._noted_stored, traffic, id)
        noted.addErrback(self._not_noted, "cannot note what is stored")
        self._pump(traffic)

    def _noted_stored(self, result: tuple[list[str], str], traffic: _Traffic, id: bytes) -> None:
        letter = traffic.letters.get(id)
        for user in result[0]:
            if letter is not None and letter.members.get(user) == SENT:
                letter.members[user] = STORED
                self._say(traffic.name, id, user, STORED, "mailbox")
        self._see(traffic, id)

    def receipt(self, user: str, device: bytes, ids: Sequence[bytes], state: str, route: str) -> None:
        """``device`` says that it stored, or a person read, these messages, of which some may be to groups."""
        mine = [id for id in ids if id in self._where] if state == DELIVERED else list(ids)
        if mine:
            noted = self._store.confirm(DeviceRef(user, device), mine, state, round(self._wall() * 1000))
            noted.addCallback(self.confirmed, route)
            noted.addErrback(self._not_noted, "cannot note a receipt")

    def confirmed(self, receipts: Sequence[GroupReceipt], route: str) -> None:
        """Receipts came, and are noted."""
        now = self._clock.seconds()
        for each in receipts:
            if each.news:
                self._say(each.group, each.id, each.user, each.state, route)
            traffic = self._where.get(each.id)
            letter = traffic.letters.get(each.id) if traffic is not None else None
            if traffic is None or letter is None:
                continue
            target = each.user, each.device
            if target in letter.copies:
                letter.copies[target] = DELIVERED
                traffic.sending.settle(target, each.id, DELIVERED, now)
            if each.user in letter.members:
                letter.members[each.user] = each.state
            if each.all == DELIVERED and letter.went is not None:
                went = self._store.went(each.group, each.id, *letter.went)
                went.addErrback(self._not_noted, "cannot note a route")
            self._see(traffic, each.id)
            self._pump(traffic)

    def _say(self, name: str, id: bytes, user: str, state: str, route: str) -> None:
        self._emit(
            ReceiptReceived(
                at=self._wall(), id=show_message_id(id), user=user, state=state, route=route, group="#" + name
            )
        )

    def _see(self, traffic: _Traffic, id: bytes) -> None:
        """Whether it is settled: for those who wait, and for the outbox."""
        letter = traffic.letters.get(id)
        if letter is None:
            return
        states = set(letter.members.values())
        if not states & {SENT, STORED} and (states or DELIVERED in letter.copies.values()):
            self._resolve(id, DELIVERED, letter)
        elif SENT not in states and id not in self._stored_ids:
            self._stored_ids.add(id)
            self._background.run(self._wait_for_receipts(id, letter), "waiting for receipts")
        if letter.version != UNSEALED and all(state == DELIVERED for state in letter.copies.values()):
            traffic.sending.remove(id)
            self._forget(traffic, id)

    async def _wait_for_receipts(self, id: bytes, letter: _Letter) -> None:
        """Everybody has it or will get it: those who are there will say so in a moment."""
        away = [user for user, state in letter.members.items() if state == STORED]
        for user in away[:LOOK_UPS_AT_ONCE]:
            try:
                await self._ask_for(user)
            except P2pimError as error:
                self._journal("message", user, f"presence is unknown: {error.message}")
        if id in self._stored_ids and not self._stopped:
            there = any(self._routes.is_there(user) for user in away)
            wait = GROUP_RECEIPT_WAIT if there else 0.0
            self._grace[id] = self._clock.callLater(wait, self._resolve, id, STORED, letter)

    def _resolve(self, id: bytes, state: str, letter: _Letter) -> None:
        self._stored_ids.discard(id)
        grace = self._grace.pop(id, None)
        if grace is not None and grace.active():
            grace.cancel()
        route, address = letter.went or (RELAY, self._server)
        self._waiters.resolve(id, Settled(state, "mailbox" if state == STORED else route, address))

    # --- keeping house

    def _not_noted(self, failure: Failure, what: str) -> None:
        if not self._stopped:
            self.log.failure("{what}", failure, what=what)

    def _of(self, name: str) -> _Traffic:
        if name not in self._traffic:
            self._traffic[name] = _Traffic(name)
        return self._traffic[name]

    def _forget(self, traffic: _Traffic, id: bytes) -> None:
        traffic.letters.pop(id, None)
        traffic.fresh.pop(id, None)
        self._where.pop(id, None)


__all__ = ["GroupOutbox"]
