"""Messages of mine to groups: on disk before they go, sealed once for all, by the best route to each device.

Devices with a direct channel get their copy over it; for all others there is one upload, which the server copies. A
message stays until every device has confirmed it. When the group has changed since it was sealed it is sealed anew, for
the present members and with a new key where somebody has left, and sent again to those who have not got it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.core.delivery import DELIVERED, DIRECT, RELAY, SENT, STORED, Outgoing, Target
from p2pim.core.limits import GROUP_RENEW_RETRY, OUTBOX, RESEND_MAX
from p2pim.core.sealing import DeviceRef
from p2pim.errors import (
    GroupChangedMeanwhile,
    MailboxFull,
    NoKeys,
    NoSuchGroup,
    NotSignedIn,
    P2pimError,
    TooMany,
    Usage,
)
from p2pim.peer.background import Background
from p2pim.peer.group_broadcast import SKIPPED
from p2pim.peer.group_keys import GroupKeyPost
from p2pim.peer.group_receipts import GroupReceipts
from p2pim.peer.group_recipients import GroupRecipients
from p2pim.peer.group_renewal import GroupRenewal
from p2pim.peer.group_traffic import GroupRoutes, Letter, NumberedSession, Traffic
from p2pim.peer.groups import MyGroups
from p2pim.storage.group_outbox import UNSEALED, WAITING, GroupOutboxStore, Parcel
from p2pim.storage.inbox import GroupReceipt
from p2pim.wire.groups import Group, SendToGroup


class GroupOutbox:
    """The sending side of groups.

    :param wall: the time in seconds since 1970.
    :param new_id: makes ids of messages, which tell when they were made.
    :param server: its address, as reports show it.
    :param me: my user name.
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
        recipients: GroupRecipients,
        receipts: GroupReceipts,
        session: NumberedSession,
        journal: Callable[[str, str, str], None],
        new_id: Callable[[], bytes],
        background: Background,
        server: str,
        me: str,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._store = store
        self._groups = groups
        self._keys = keys
        self._routes = routes
        self._recipients = recipients
        self._receipts = receipts
        self._session = session
        self._journal = journal
        self._new_id = new_id
        self._background = background
        self._server = server
        self._me = me
        self._traffic: dict[str, Traffic] = {}
        self._where: dict[bytes, Traffic] = {}
        self._stopped = False
        self._renewal = GroupRenewal(
            clock, wall, store, groups, keys, recipients, session, journal, background, self._renewed
        )
        self.wait = receipts.wait

    async def load(self) -> None:
        """Take up what earlier runs left."""
        for left in await self._store.unsettled():
            traffic = self._of(left.group)
            rows = await self._store.members(left.group, left.message.id)
            members = {user: state for user, state, _ in rows}
            self._add(traffic, Letter(left.message, left.version, left.copies, members))

    def stop(self) -> None:
        """Send nothing any more; what waits is on disk."""
        self._stopped = True
        for traffic in self._traffic.values():
            traffic.stop()
        self._receipts.stop()

    # --- sending

    async def put(self, name: str, text: str, route: str) -> bytes:
        """Put a message into the outbox; once it is on disk, send it to everybody. Gives its id.

        :raises NoSuchGroup: I am in no group of this name.
        :raises TooMany: too many wait already.
        :raises IdentityChanged: a verified member has a device that nobody has looked at.
        """
        group, traffic = self._groups.need(name), self._of(name)
        if self._recipients.alone(group):
            raise Usage(f"Nobody but you is in #{name}; add somebody first.")
        waiting = traffic.sending.waiting + traffic.coming
        if waiting >= OUTBOX:
            raise TooMany(f"{waiting} messages wait for #{name} already; more are taken when some have gone.")
        traffic.coming += 1
        try:
            return await self._write(traffic, group, text, route)
        finally:
            traffic.coming -= 1

    async def _write(self, traffic: Traffic, group: Group, text: str, route: str) -> bytes:
        """On disk and out, in the order in which it was asked for."""
        await traffic.order.acquire()
        try:
            targets = await self._recipients.targets(group)
            if not targets and self._session.connected:
                raise NoKeys(f"No device in #{group.name} has published keys yet; the others must sign in once.")
            group = self._groups.need(group.name)
            message = Outgoing(self._new_id(), 0, text, round(self._wall() * 1000), route)
            members = [member.user for member in group.members]
            written = self._store.enqueue(message, group.name, group.version, members, targets, self._wall())
            out = written.addCallback(lambda parcel: self._written(traffic, parcel, targets, members))
        finally:
            traffic.order.release()
        return await out

    def _written(self, traffic: Traffic, parcel: Parcel, targets: list[Target], members: list[str]) -> bytes:
        states = {user: SENT for user in members if user != self._me}
        copies = dict.fromkeys(targets, WAITING) if parcel.version != UNSEALED else {}
        self._add(traffic, Letter(parcel.message, parcel.version, copies, states))
        traffic.keep_fresh(parcel)
        self._keys.send(parcel.letters)
        self._refresh(traffic)
        return parcel.message.id

    def _add(self, traffic: Traffic, letter: Letter) -> None:
        traffic.add(letter)
        self._where[letter.message.id] = traffic

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

    def _refresh(self, traffic: Traffic) -> None:
        if self._stopped:
            return
        for target in traffic.sending.targets():
            traffic.sending.set_ways(target, self._routes.copy_ways(*target))
        group = self._groups.get(traffic.name)
        if group is None:
            if self._session.connected:
                self._give_up(traffic, NoSuchGroup(f"You are in #{traffic.name} no more."))
        elif any(letter.is_stale(group) for letter in traffic.letters.values()):
            self._renewal.renew(traffic)
            if traffic.renewing:
                traffic.disarm()
        else:
            self._pump(traffic)

    def _give_up(self, traffic: Traffic, error: P2pimError) -> None:
        ids = list(traffic.letters)
        for id in ids:
            self._forget(traffic, id)
            self._receipts.given_up(traffic.name, id, error)
        if ids:
            self._journal("message", "#" + traffic.name, f"{len(ids)} given up: {error.message}")
            failed = self._store.fail(traffic.name, ids)
            failed.addErrback(self._not_noted, "cannot note a failed message")

    def _renewed(self, traffic: Traffic, ids: list[bytes]) -> None:
        """These were sealed for the group as it is now, and perhaps for fewer than before."""
        for id in ids:
            self._see(traffic, id)
        self._refresh(traffic)

    # --- going

    def _pump(self, traffic: Traffic) -> None:
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

    def _arm(self, traffic: Traffic) -> None:
        traffic.disarm()
        due = traffic.sending.next_due()
        if due is not None:
            wait = max(0.0, due - self._clock.seconds())
            traffic.timer = self._clock.callLater(wait, self._refresh, traffic)

    async def _drain(self, traffic: Traffic) -> None:
        try:
            while traffic.queue and not self._stopped:
                id, directs, relays = traffic.queue.popleft()
                sealed = traffic.fresh.get(id) or await self._read(traffic, id)
                if sealed is not None:
                    self._send(traffic, id, sealed, directs, relays)
        finally:
            traffic.reading = False

    async def _read(self, traffic: Traffic, id: bytes) -> bytes | None:
        """The envelope from the disk, unless it was sealed anew meanwhile."""
        found = await self._store.envelopes(traffic.name, [id])
        letter, (version, sealed) = traffic.letters.get(id), found.get(id, (UNSEALED, b""))
        return sealed if letter is not None and letter.version == version else None

    def _send(self, traffic: Traffic, id: bytes, sealed: bytes, directs: list[Target], relays: list[Target]) -> None:
        letter, group = traffic.letters.get(id), self._groups.get(traffic.name)
        if letter is None or group is None or self._stopped:
            return
        if letter.version != group.version:
            self._renewal.renew(traffic)
            return
        for target in directs:
            went = self._routes.send_direct(*target, sealed)
            if went is not None and letter.went is None:
                letter.went = went
        if relays:
            self._upload(traffic, letter, sealed, relays)
        how = f"{len(directs)} directly, {len(relays)} through the server"
        self._journal("message", "#" + traffic.name, f"sent: {how}")

    def _upload(self, traffic: Traffic, letter: Letter, sealed: bytes, targets: list[Target]) -> None:
        """Once, for all of these; the server copies it to everybody else as well but those it is told to skip."""
        letter.went = (RELAY, self._server)
        id, version, wanted = letter.message.id, letter.version, set(targets)
        skip = [device for user, device in letter.copies if (user, device) not in wanted][:SKIPPED]
        self._session.send_numbered(
            lambda number: SendToGroup(number, traffic.name, version, id, sealed, skip),
            lambda error: self._failed(traffic, id, targets, error),
            lambda: self._stored(traffic, id, targets),
        )

    # --- answers

    def _failed(self, traffic: Traffic, id: bytes, targets: list[Target], error: P2pimError) -> None:
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

    async def _ask_again(self, traffic: Traffic) -> None:
        try:
            await self._groups.ask()
        except P2pimError as error:
            self._journal("message", "#" + traffic.name, f"the group is not known for certain: {error.message}")
            return
        self._refresh(traffic)

    def _stored(self, traffic: Traffic, id: bytes, targets: list[Target]) -> None:
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

    def _noted_stored(self, result: tuple[list[str], str], traffic: Traffic, id: bytes) -> None:
        letter = traffic.letters.get(id)
        if letter is not None:
            self._receipts.stored(traffic.name, letter, result[0])
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
        for each in receipts:
            if each.news:
                self._receipts.say(each.group, each.id, each.user, each.state, route)
            traffic = self._where.get(each.id)
            if traffic is not None and each.id in traffic.letters:
                self._confirm(traffic, traffic.letters[each.id], each)

    def _confirm(self, traffic: Traffic, letter: Letter, receipt: GroupReceipt) -> None:
        target = receipt.user, receipt.device
        if target in letter.copies:
            letter.copies[target] = DELIVERED
            traffic.sending.settle(target, receipt.id, DELIVERED, self._clock.seconds())
        if receipt.user in letter.members:
            letter.members[receipt.user] = receipt.state
        if receipt.all == DELIVERED and letter.went is not None:
            went = self._store.went(receipt.group, receipt.id, *letter.went)
            went.addErrback(self._not_noted, "cannot note a route")
        self._see(traffic, receipt.id)
        self._pump(traffic)

    def _see(self, traffic: Traffic, id: bytes) -> None:
        """Whether it is settled: for those who wait, and for the outbox."""
        letter = traffic.letters.get(id)
        if letter is not None:
            self._receipts.see(letter)
            if letter.done:
                self._forget(traffic, id)

    # --- keeping house

    def _not_noted(self, failure: Failure, what: str) -> None:
        if not self._stopped:
            self.log.failure("{what}", failure, what=what)

    def _of(self, name: str) -> Traffic:
        if name not in self._traffic:
            self._traffic[name] = Traffic(name, self._me)
        return self._traffic[name]

    def _forget(self, traffic: Traffic, id: bytes) -> None:
        traffic.forget(id)
        self._where.pop(id, None)
