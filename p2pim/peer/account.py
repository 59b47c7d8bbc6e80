"""One account on this device: its parts, and what goes from one to another.

The session and the channel table say what happened; `Account` tells the parts that must know: who is there, the outbox
(which ways there are), the transfers, and whoever listens to events. What other devices say goes to the part that it
is for by way of the `Dispatcher`.

A new part is made in `Account._make_parts` (or by a method of its own that is called there), with its `Lives.add` when
it begins or ends with the account; below it is told what it must hear, a line each.
"""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from p2pim.core.message_ids import make_message_id
from p2pim.errors import IdentityChanged
from p2pim.peer import events
from p2pim.peer.account_context import AccountContext, Lives
from p2pim.peer.background import Background
from p2pim.peer.channels import ChannelTable
from p2pim.peer.contacts import Contacts
from p2pim.peer.conversations import Conversations
from p2pim.peer.delivery import Delivery
from p2pim.peer.direct_traffic import DirectTraffic
from p2pim.peer.dispatcher import Dispatcher
from p2pim.peer.group_parts import GroupParts
from p2pim.peer.guests import MetGuests
from p2pim.peer.interfaces import IChannel, IChannelUser, ISessionUser
from p2pim.peer.look_ups import LookUps, RecipientSearch
from p2pim.peer.own_status import OwnStatus
from p2pim.peer.p2p_server import KnownP2pServer
from p2pim.peer.people import People
from p2pim.peer.queries import Queries
from p2pim.peer.routes import DIRECT_KINDS, Routes
from p2pim.peer.seals import Seals
from p2pim.peer.session import Session
from p2pim.peer.session_rules import lost_keys
from p2pim.peer.states import milliseconds
from p2pim.peer.store_access import StoreAccess
from p2pim.peer.store_watch import StoreWatch
from p2pim.peer.transfers import Transfers
from p2pim.peer.verification import Verification
from p2pim.peer.whereabouts import Whereabouts
from p2pim.storage.database import Database
from p2pim.storage.history import History
from p2pim.wire import messages as m
from p2pim.wire import signals as s
from p2pim.wire.groups import GroupChanged
from p2pim.wire.guests import GuestChanged, GuestSaid, GuestsOffered
from p2pim.wire.keys import DeviceList


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
        self.database = Database(context.reactor, context.home.database, "peer")
        self.history = History(self.database)
        self._lives.add(load=self.history.open)
        self.session = session(self)
        self._make_parts()

    # --- the parts: each is handed those before it

    def _make_parts(self) -> None:
        context, background = self._context, self._background
        self.people = People(self.device)
        self.look_ups = LookUps(
            self.session, self.people, self.device, lambda user, before: self.whereabouts.appeared(user, before)
        )
        self.p2p_server = KnownP2pServer(context.reactor, self.settings.p2p_server, self.journal.write)
        self.seals = self._make_seals()
        self.channels = self._make_channels()
        self.contacts = Contacts(context, self.session, self.people, self.look_ups, self.channels, background)
        self.p2p_server.changed = lambda: self.channels.use_p2p(self.p2p_server.endpoints)
        self.routes = self._make_routes()
        self._make_delivery()
        self.guests = MetGuests(context, self.database, self.session, background, self._new_id)
        self.queries = Queries(context.reactor, self.routes, context.rng.getrandbits(62))
        self.status = OwnStatus(
            context.reactor, self.session, context.home.credentials().status, self.settings.away_after
        )
        self.transfers = self._make_transfers()
        self.whereabouts = Whereabouts(
            self.people, self.look_ups, self.routes, self.delivery, self.transfers, self.journal.write, background
        )
        self.conversations = Conversations(context, self.people, self.channels, self.outbox, background)
        self._search = RecipientSearch(context, self.people, self.outbox, background)
        self._dispatcher = Dispatcher(
            context, self.people, self.look_ups, self.seals,
            channels=self.channels, inbox=self.inbox, outbox=self.outbox, transfers=self.transfers,
            queries=self.queries, groups=self.groups,
        )  # fmt: skip
        self._direct = DirectTraffic(context.reactor, self.session, self.channels, self.routes)
        for part in (self.queries, self.p2p_server, self._search, self.status, self._direct):
            self._lives.add(stop=part.stop)

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
            known=self.people.knows_me,
            changed=self._context.route_changed,
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
        seals.stock.differ = self._keys_differ
        self._lives.add(load=seals.load, stop=seals.stop)
        self.verification = Verification(context.reactor, self._wall, seals, self._emit, context.random_bytes)
        return seals

    def _seal_again(self, user: str, device: bytes, messages: list[bytes]) -> None:
        self._background.run(self.outbox.seal_again(user, device, messages), "sealing messages again")

    def _make_delivery(self) -> None:
        self.groups = GroupParts(
            self._context, self.database, self.session, self.seals, self.routes, self.look_ups, self._background
        )
        self.delivery = Delivery(
            self._context, self.database, self.session, self.seals, self.routes, self.people, self.groups,
            gone=lambda user, device: self.whereabouts.gone(user, device),
            doubted=lambda user: self.whereabouts.doubt(user),
            signal=lambda user, device, signal: self._dispatcher.opened(user, device, signal),
            full=lambda reason: self._store_watch.failed(reason),
        )  # fmt: skip
        self.outbox, self.inbox = self.delivery.outbox, self.delivery.inbox
        self._lives.add(load=self.delivery.load, stop=self.delivery.stop)
        self._store_watch = StoreWatch(
            self._context.reactor, self._context.rng, self.database.probe, self._leave_for_now, self._come_back
        )
        self._lives.add(stop=self._store_watch.stop)

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
            access=StoreAccess(self._context.reactor, self.session, self._post, lambda: self.seals.alone),
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

    def _keys_differ(self) -> None:
        """The keys that others seal for are not here (any more)."""
        self.session.give_up("keys-differ", lost_keys(self._context.home.path, self.device))

    def _leave_for_now(self, reason: str) -> None:
        """Nothing can be stored: take nothing until it can."""
        self.session.pause(f"nothing can be stored: {reason}")
        self.channels.leave("what comes cannot be stored there")

    def _come_back(self) -> None:
        self.inbox.resume()
        self.session.resume("there is room to store again")

    # --- ISessionUser

    def signed_in(self, welcome: m.Welcome) -> None:
        """A session stands."""
        self._welcomed(welcome)
        related = self.people.signed_in(welcome.contacts)
        self.guests.signed_in()
        self.journal.write("session", "", f"signed in as {welcome.user}, seen as {welcome.address}")
        self.seals.signed_in(welcome)
        self.p2p_server.welcomed(welcome.p2p_server, self.session.server_address[0])
        self._direct.signed_in(welcome)
        self.channels.signed_in(welcome, self.session.local_address)
        self._emit(
            events.SignedIn(
                at=self._wall(), user=welcome.user, device=self.device.hex(), server=str(self.server),
                address=welcome.address, p2p_server=self.p2p_server.name,
            )
        )  # fmt: skip
        self.delivery.signed_in(welcome)
        for person in welcome.contacts:
            self.whereabouts.appeared(person.user, set())
        self.contacts.signed_in(related, self.outbox.users())
        self.transfers.left.server_appeared()
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
        self._direct.interrupted()
        self._search.stop()
        self.delivery.interrupted()
        self.seals.interrupted()
        self.people.interrupted()
        self.channels.interrupted()
        self.delivery.refresh_all()
        self.transfers.session_lost()

    def envelope_received(self, envelope: m.Incoming) -> None:
        """An envelope came through the server."""
        self._dispatcher.envelope(envelope)

    def mail_waiting(self, count: int) -> None:
        """There is mail in this device's mailbox."""
        self.delivery.mailbox.waiting()

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

    def guests_told(self, message: GuestsOffered | GuestChanged | GuestSaid) -> None:
        """Something about guests of the classic gateway."""
        self.guests.told(message)

    def presence_changed(self, person: m.Person) -> None:
        """The server says that someone came, went or changed."""
        before, relation = set(self.people.devices(person.user)), self.people.relation(person.user)
        changed = self.people.changed(person)
        self.channels.presence_changed(person)
        self.contacts.changed(person.user, relation)
        if changed and person.status:
            self._emit(events.PresenceChanged(at=self._wall(), user=person.user, status=person.status))
        self.whereabouts.appeared(person.user, before)
        if before and not self.people.devices(person.user):
            self.whereabouts.away(person.user)

    def stored_ended(self, file: bytes, outcome: str) -> None:
        """The server says what became of a file in its store."""
        self.transfers.left.ended(file, outcome)

    async def _post(self, user: str, signal: s.FileLeft) -> None:
        """Leave ``signal`` with every device of ``user``; those who are away hear it when they come."""
        if self.seals.blocked_by_change(user):
            raise IdentityChanged
        for device in await self.seals.ready(user):
            self.routes.send_mail(user, device, signal)

    def p2p_server_changed(self, told: str | None) -> None:
        """The server names another P2P server, or none any more."""
        self.p2p_server.welcomed(told, self.session.server_address[0])

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
            self.delivery.refresh(channel.user)
        self.transfers.route_appeared(channel.user, channel.device)

    def channel_closed(self, channel: IChannel, reason: str) -> None:
        """A channel ended: what was on it goes by the next route."""
        device = channel.device.hex()
        self._emit(
            events.ChannelClosed(at=self._wall(), user=channel.user, device=device, kind=channel.kind, reason=reason)
        )
        self.delivery.refresh(channel.user)
        self.transfers.route_lost(channel)
        if not self._stopped:
            self.conversations.lost(channel.user)

    def _channel_trusted(self, channel: IChannel, good: bool) -> None:
        """A channel went silent, and what is on its way over it goes by another route; or it was heard again."""
        self.delivery.refresh(channel.user)
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
