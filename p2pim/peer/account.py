"""One account on this device: its parts, and what goes from one to another.

The session and the channel table say what happened; `Account` tells the parts that must know: who is there, the outbox
(which ways there are), the transfers, and whoever listens to events. What other devices say goes to the part that it
is for by way of the `Dispatcher`.

A new part is made in `Account._make_parts` (or by a method of its own that is called there), with its `Lives.add` when
it begins or ends with the account; below it is told what it must hear, a line each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from zope.interface import implementer

from p2pim.core.limits import RECEIPTS_KEPT, RECEIPTS_REPEATED
from p2pim.core.message_ids import make_message_id
from p2pim.errors import P2pimError
from p2pim.peer import events
from p2pim.peer.account_context import AccountContext, Lives
from p2pim.peer.background import Background
from p2pim.peer.channels import ChannelTable
from p2pim.peer.conversations import Conversations
from p2pim.peer.dispatcher import Dispatcher
from p2pim.peer.group_parts import GroupParts
from p2pim.peer.inbox import Inbox, InboxWays
from p2pim.peer.interfaces import IChannel, IChannelUser, ISessionUser
from p2pim.peer.look_ups import LookUps, RecipientSearch
from p2pim.peer.mailbox import Mailbox
from p2pim.peer.outbox import Outbox
from p2pim.peer.p2p_server import KnownP2pServer
from p2pim.peer.people import People
from p2pim.peer.routes import DIRECT_KINDS, Routes
from p2pim.peer.seals import Seals
from p2pim.peer.session import Session
from p2pim.peer.states import milliseconds
from p2pim.peer.transfers import Transfers
from p2pim.storage.database import Database
from p2pim.storage.home import HomeStore
from p2pim.storage.inbox import GroupReceipt, InboxStore
from p2pim.storage.outbox import Confirmed, OutboxStore
from p2pim.wire import messages as m
from p2pim.wire import signals as s
from p2pim.wire.groups import GroupChanged
from p2pim.wire.keys import DeviceList
from p2pim.wire.mail import MailId


@implementer(ISessionUser, IChannelUser)
class Account:
    """The parts of a peer that exist once it is known whose it is.

    :param session: makes the session with the server, which tells this account what happens to it.
    :param welcomed: told the Welcome of each new session, to keep its token.
    """

    def __init__(
        self,
        context: AccountContext,
        *,
        session: Callable[[Account], Session],
        welcomed: Callable[[m.Welcome], None],
    ) -> None:
        self._context = context
        self._wall = context.wall
        self._emit = context.emit
        self._welcomed = welcomed
        self.settings = context.settings
        self.server = context.server
        self.device = context.device
        self.journal = context.journal
        self._background = Background()
        self._lives = Lives()
        self._stopped = False
        self._doubted: set[str] = set()
        self._receipts: deque[tuple[float, str, bytes, s.Receipt]] = deque(maxlen=RECEIPTS_KEPT)
        self.database = Database(context.reactor, context.home.database, "peer")
        self.store = HomeStore(self.database)
        self.session = session(self)
        self._make_parts()

    # --- the parts: each is handed those before it

    def _make_parts(self) -> None:
        context, background = self._context, self._background
        self.people = People(self.device)
        self.look_ups = LookUps(self.session, self.people, self.device, self._devices_appeared)
        self.p2p_server = KnownP2pServer(context.reactor, self.settings.p2p_server, self.journal.write)
        self.seals = self._make_seals()
        self.channels = self._make_channels()
        self.p2p_server.changed = lambda: self.channels.use_p2p(self.p2p_server.endpoints)
        self.routes = self._make_routes()
        self._make_delivery()
        self.transfers = self._make_transfers()
        self.conversations = Conversations(context, self.people, self.channels, self.outbox, background)
        self._search = RecipientSearch(context, self.people, self.outbox, background)
        self._dispatcher = Dispatcher(
            context, self.people, self.look_ups, self.seals,
            channels=self.channels, inbox=self.inbox, outbox=self.outbox, transfers=self.transfers, groups=self.groups,
        )  # fmt: skip
        self._lives.add(stop=self.p2p_server.stop)
        self._lives.add(stop=self._search.stop)

    def _make_channels(self) -> ChannelTable:
        channels = ChannelTable(
            self._context.reactor,
            user=self,
            session=self.session,
            send=self.seals.send,
            my_device=self.device,
            devices_of=self.look_ups.devices_of,
            journal=self.journal.write,
            mode=self.settings.channel,
            lan=self.settings.connect == "lan",
            rng=self._context.rng,
            wall=self._wall,
            trusted=self._channel_trusted,
        )
        self._lives.add(stop=channels.stop)
        return channels

    def _make_routes(self) -> Routes:
        return Routes(
            self.people, self.session, self.seals, self.channels, self.look_ups.look_up, str(self.server),
            self._context.reactor, new_id=self._new_id, connects=self.settings.connect != "never",
        )  # fmt: skip

    def _new_id(self) -> bytes:
        return make_message_id(round(self._wall() * 1000), self._context.random_bytes(10))

    def _make_seals(self) -> Seals:
        context = self._context
        seals = Seals(
            context.reactor,
            self._wall,
            database=self.database,
            session=self.session,
            user=context.user,
            device=self.device,
            key=context.home.pickle_key(),
            emit=self._emit,
            journal=self.journal.write,
            random_bytes=context.random_bytes,
            again=self._seal_again,
            from_thread=context.reactor.callFromThread,
        )
        self._lives.add(load=seals.load, stop=seals.stop)
        return seals

    def _seal_again(self, user: str, device: bytes, messages: list[bytes]) -> None:
        self._background.run(self.outbox.seal_again(user, device, messages), "sealing messages again")

    def _make_delivery(self) -> None:
        context, clock, wall, journal = self._context, self._context.reactor, self._wall, self.journal.write
        outgoing = OutboxStore(self.database, self.seals.seal_in, context.user)
        self.outbox = Outbox(
            clock, wall, outgoing, self.routes, self.seals, self._emit, journal, context.random_bytes, self._gone,
            self._doubt, (context.user, self.device),
        )  # fmt: skip
        self._lives.add(load=self.outbox.load, stop=self.outbox.stop)
        self.groups = GroupParts(
            context, database=self.database, session=self.session, seals=self.seals, routes=self.routes,
            look_ups=self.look_ups,
            background=self._background,
        )  # fmt: skip
        self._lives.add(load=self.groups.load, stop=self.groups.stop)
        self.arrived = InboxStore(self.database, self.seals.open_in, context.user, self.groups.arrivals)
        ways = InboxWays(self._send_receipt, self._got, self.seals.cannot_open)
        self.inbox = Inbox(clock, wall, self.arrived, ways, self, self._emit, journal, context.user)
        self._lives.add(load=self.inbox.load, stop=self.inbox.stop)
        self.mailbox = Mailbox(clock, self.session, self.inbox, str(self.server), self.people.is_blocked, journal)
        self._lives.add(stop=self.mailbox.stop)

    # --- what the inbox wants said, and heard

    def _send_receipt(self, user: str, device: bytes, receipt: s.Receipt, by_mail: bool) -> None:
        if not by_mail:
            self.routes.send(user, device, receipt)
            return
        self._receipts.append((self._context.reactor.seconds(), user, device, receipt))
        self.routes.send_surely(user, device, receipt)

    def _repeat_receipts(self) -> None:
        """The server may have died with what it had not stored yet: what was said just before goes once more."""
        since = self._context.reactor.seconds() - RECEIPTS_REPEATED
        receipts, self._receipts = self._receipts, deque(maxlen=RECEIPTS_KEPT)
        for at, user, device, receipt in receipts:
            if at >= since:
                self.routes.send_surely(user, device, receipt)

    def _got(self, items: list[MailId]) -> None:
        if self.session.connected:
            self.session.send(m.Got(items))

    def tell_my_devices(self, signal: s.Signal) -> None:
        """Send a signal to the other devices of this account, now or when they come."""
        for device in self.seals.devices(self._context.user):
            if device.id != self.device:
                self.routes.send_mail(self._context.user, device.id, signal)

    def confirmed(self, user: str, device: bytes, receipts: Sequence[tuple[str, Confirmed]]) -> None:
        """Receipts came, and are noted."""
        self.outbox.confirmed(user, device, receipts)

    def read(self, user: str, ids: Sequence[bytes], route: str) -> None:
        """A person has read what I wrote, which is noted."""
        self.outbox.read(user, ids, route)

    def group_confirmed(self, receipts: Sequence[GroupReceipt], route: str) -> None:
        """Receipts for messages to groups came, and are noted."""
        self.groups.confirmed(receipts, route)

    def group_signal(self, user: str, device: bytes, group: str, signal: s.AnySignal) -> None:
        """A signal came that was sealed for a group."""
        self.groups.sealed_for_group(user, device, group, signal)

    def group_key_missing(self, user: str, device: bytes, session: str) -> None:
        """A message to a group waits for its key."""
        self.groups.keys.missing(user, device, session)

    def signal(self, user: str, device: bytes, signal: s.AnySignal) -> None:
        """A signal came by mail."""
        if isinstance(signal, s.AskAgain):
            self.seals.asked_again(user, device, signal)
        elif not self.groups.signal(user, device, signal):
            self._dispatcher.opened(user, device, signal)

    def _make_transfers(self) -> Transfers:
        transfers = Transfers(
            self._context.reactor,
            wall=self._wall,
            database=self.database,
            downloads=self._context.home.downloads(self.settings.downloads),
            accept=self.settings.accept,
            quota=self.settings.quota,
            routes=self.routes,
            emit=self._emit,
            journal=self.journal.write,
            is_contact=self.people.is_contact,
        )
        self._lives.add(load=transfers.start, stop=transfers.stop)
        return transfers

    # --- beginning and end

    async def load(self) -> None:
        """Take up what earlier runs left; before the session begins."""
        await self._lives.load()

    async def stop(self, *, forget: bool = False) -> None:
        """End everything; what is under way waits on disk."""
        if self._stopped:
            return
        self._stopped = True
        self._background.stop()
        await self._lives.stop()
        await self.session.stop(forget=forget)
        await self.database.close()

    # --- ISessionUser

    def signed_in(self, welcome: m.Welcome) -> None:
        """A session stands."""
        self._welcomed(welcome)
        self.people.signed_in(welcome.contacts)
        self.journal.write("session", "", f"signed in as {welcome.user}, seen as {welcome.address}")
        self.seals.signed_in(welcome)
        self.p2p_server.welcomed(welcome.p2p_server, self.session.server_address[0])
        self.channels.signed_in(welcome, self.session.local_address)
        self._emit(
            events.SignedIn(
                at=self._wall(),
                user=welcome.user,
                device=self.device.hex(),
                server=str(self.server),
                address=welcome.address,
                p2p_server=self.p2p_server.name,
            )
        )
        self.outbox.refresh_all()
        self.mailbox.signed_in(welcome.mail)
        self.groups.signed_in()
        self._repeat_receipts()
        for person in welcome.contacts:
            self._devices_appeared(person.user, set())
        self._search.start()

    def interrupted(self, reason: str) -> None:
        """The session ended, perhaps for a moment."""
        self._without_server()
        self.journal.write("session", "", f"interrupted: {reason}")
        self._emit(events.SessionInterrupted(at=self._wall(), reason=reason))

    def reconnecting(self, reason: str) -> None:
        """Another attempt begins; the very first one is no news."""
        if reason != "starting":
            self.journal.write("session", "", f"reconnecting: {reason}")
            self._emit(events.Reconnecting(at=self._wall(), reason=reason))

    def signed_out(self, reason: str, message: str) -> None:
        """The session ended for good, and the channels with it, unless it is only the server that is not believed."""
        self._without_server()
        if reason != "refused":
            self.channels.leave(f"signed out: {reason}")
        self.journal.write("session", "", f"signed out: {message or reason}")
        self._emit(events.SignedOut(at=self._wall(), reason=reason, message=message))

    def _without_server(self) -> None:
        self._search.stop()
        self.mailbox.interrupted()
        self.seals.interrupted()
        self.people.interrupted()
        self.channels.interrupted()
        self.outbox.refresh_all()
        self.groups.outbox.refresh_all()
        self.transfers.session_lost()

    def envelope_received(self, envelope: m.Incoming) -> None:
        """An envelope came through the server."""
        self._dispatcher.envelope(envelope)

    def mail_waiting(self, count: int) -> None:
        """There is mail in this device's mailbox."""
        self.mailbox.waiting()

    def devices_changed(self, devices: DeviceList) -> None:
        """Somebody's devices are others than before."""
        self.seals.devices_changed(devices)
        self._background.run(self.outbox.complete(devices.user), "sealing for a new device")

    def keys_left(self, left: int) -> None:
        """So many one-time keys of this device are left at the server."""
        self.seals.keys_left(left)

    def group_changed(self, change: GroupChanged) -> None:
        """A group of mine was changed."""
        self.groups.told(change)

    def presence_changed(self, person: m.Person) -> None:
        """The server says that someone came, went or changed."""
        before = set(self.people.devices(person.user))
        changed = self.people.changed(person)
        self.channels.presence_changed(person)
        if changed:
            self._emit(events.PresenceChanged(at=self._wall(), user=person.user, status=person.status))
        self._devices_appeared(person.user, before)
        if before and not self.people.devices(person.user):
            self._away(person.user)

    # --- IChannelUser

    def channel_opened(self, channel: IChannel) -> None:
        """A channel stands."""
        self._emit(
            events.ChannelOpened(
                at=self._wall(),
                user=channel.user,
                device=channel.device.hex(),
                kind=channel.kind,
                address=channel.address,
                local_address=channel.local_address,
                same_lan=channel.same_lan,
                rtt_ms=milliseconds(channel.rtt),
            )
        )
        if channel.kind in DIRECT_KINDS:
            self.conversations.found(channel.user)
            self.outbox.refresh(channel.user)
            self.groups.outbox.refresh(channel.user)
        self.transfers.route_appeared(channel.user, channel.device)

    def channel_closed(self, channel: IChannel, reason: str) -> None:
        """A channel ended: what was on it goes by the next route."""
        self._emit(
            events.ChannelClosed(
                at=self._wall(), user=channel.user, device=channel.device.hex(), kind=channel.kind, reason=reason
            )
        )
        self.outbox.refresh(channel.user)
        self.groups.outbox.refresh(channel.user)
        self.transfers.route_lost(channel)
        if not self._stopped:
            self.conversations.lost(channel.user)

    def _channel_trusted(self, channel: IChannel, good: bool) -> None:
        """A channel went silent, and what is on its way over it goes by another route; or it was heard again."""
        self.outbox.refresh(channel.user)
        self.groups.outbox.refresh(channel.user)
        if good:
            self.transfers.route_appeared(channel.user, channel.device)
        else:
            self.transfers.route_doubted(channel)

    def signal_received(self, user: str, device: bytes, signal: s.AnySignal, channel: IChannel | None) -> None:
        """A signal came over a channel."""
        assert channel is not None
        self._dispatcher.signal(user, device, signal, channel)

    def bulk_received(self, channel: IChannel, stream: int, data: bytes) -> None:
        """A chunk of a range."""
        self.transfers.bulk_received(channel, stream, data)

    def bulk_ended(self, channel: IChannel, stream: int, digest: bytes) -> None:
        """A range is complete."""
        self.transfers.bulk_ended(channel, stream, digest)

    # --- who came and went

    def _gone(self, user: str, device: bytes) -> None:
        """The server says that a device is not there."""
        self.people.gone(user, device)
        self.outbox.refresh(user)
        self.groups.outbox.refresh(user)
        if not self.people.devices(user):
            self._away(user)

    def _doubt(self, user: str) -> None:
        """The server stored something for ``user``, who seemed to be there: find out whether they are."""
        if user not in self._doubted:
            self._doubted.add(user)
            self._background.run(self._look_again(user), "asking whether somebody is there")

    async def _look_again(self, user: str) -> None:
        try:
            await self.look_ups.look_up(user)
        except P2pimError as error:
            self.journal.write("error", user, f"presence is unknown: {error.message}")
        finally:
            self._doubted.discard(user)
        if not self.routes.is_there(user):
            self._away(user)

    def _away(self, user: str) -> None:
        if not self.routes.is_there(user):
            self.outbox.nobody_there(user)
            self.transfers.peer_offline(user)

    def _devices_appeared(self, user: str, before: set[bytes]) -> None:
        """What is known of the devices of ``user`` has changed; those not in ``before`` are new."""
        self.outbox.refresh(user)
        self.groups.outbox.refresh(user)
        for device in set(self.people.devices(user)) - before:
            self.transfers.route_appeared(user, device)
