"""One account on this device: its parts, and what goes from one to another.

The session and the channel table say what happened; `Account` tells the parts that must know: who is there, the outbox
(which ways there are), the inbox (what came), the transfers, and whoever listens to events.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim.core.limits import DIRECT_RETRY, LOOK_UP_EVERY, LOOK_UP_FIRST, LOOK_UPS_AT_ONCE
from p2pim.errors import BadMessage, NoDirectPath, NoSuchUser, NotSignedIn, P2pimError, ServerUnreachable, WireError
from p2pim.net.trust import ServerAddress
from p2pim.peer import events
from p2pim.peer.channels import ChannelTable
from p2pim.peer.home import Home
from p2pim.peer.inbox import Inbox
from p2pim.peer.interfaces import IChannel, IChannelUser, ISessionUser
from p2pim.peer.journal import Journal
from p2pim.peer.outbox import FINAL_FAILURES, Outbox
from p2pim.peer.p2p_server import KnownP2pServer
from p2pim.peer.people import People
from p2pim.peer.routes import DIRECT_KINDS, Routes
from p2pim.peer.session import Session
from p2pim.peer.states import PeerSettings, milliseconds, reason_pairs
from p2pim.peer.transfers import Transfers
from p2pim.storage.database import Database
from p2pim.storage.home import HomeStore
from p2pim.wire import messages as m
from p2pim.wire import signals as s


@implementer(ISessionUser, IChannelUser)
class Account:
    """The parts of a peer that exist once it is known whose it is.

    :param reactor: clock, sockets and threads.
    :param wall: the time in seconds since 1970.
    :param welcomed: told the Welcome of each new session, to keep its token.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        *,
        home: Home,
        session: Callable[[Account], Session],
        device: bytes,
        server: ServerAddress,
        settings: PeerSettings,
        wall: Callable[[], float],
        rng: Random,
        random_bytes: Callable[[int], bytes],
        emit: Callable[[events.Event], None],
        journal: Journal,
        welcomed: Callable[[m.Welcome], None],
    ) -> None:
        self._clock = reactor
        self._wall = wall
        self._emit = emit
        self._welcomed = welcomed
        self.settings = settings
        self.server = server
        self.device = device
        self.journal = journal
        self.people = People(device)
        self.database = Database(reactor, home.database, "peer")
        self.store = HomeStore(self.database)
        self.p2p_server = KnownP2pServer(reactor, settings.p2p_server, journal.write)
        self.session = session(self)
        self.channels = ChannelTable(
            reactor,
            user=self,
            session=self.session,
            my_device=device,
            devices_of=self.look_up_devices,
            journal=journal.write,
            mode=settings.channel,
            lan=settings.connect == "lan",
            rng=rng,
            wall=wall,
            trusted=self._channel_trusted,
        )
        self.p2p_server.changed = lambda: self.channels.use_p2p(self.p2p_server.endpoints)
        self.routes = Routes(
            self.people, self.session, self.channels, self.look_up, str(server), reactor,
            connects=settings.connect != "never",
        )  # fmt: skip
        self.outbox = Outbox(reactor, wall, self.store, self.routes, emit, journal.write, random_bytes, self._gone)
        self.inbox = Inbox(reactor, wall, self.store, self.routes.send, emit, journal.write)
        self.transfers = Transfers(
            reactor,
            wall=wall,
            database=self.database,
            downloads=home.downloads(settings.downloads),
            accept=settings.accept,
            quota=settings.quota,
            routes=self.routes,
            emit=emit,
            journal=journal.write,
            is_contact=self.people.is_contact,
        )
        self._attempts: dict[str, float] = {}
        self._look_again: IDelayedCall | None = None
        self._look_wait = LOOK_UP_FIRST
        self._stopped = False

    async def load(self) -> None:
        """Take up what earlier runs left; before the session begins."""
        await self.outbox.load()
        await self.inbox.load()
        await self.transfers.start()

    async def stop(self, *, forget: bool = False) -> None:
        """End everything; what is under way waits on disk."""
        if self._stopped:
            return
        self._stopped = True
        self._look_later(None)
        self.p2p_server.stop()
        await self.transfers.stop()
        self.outbox.stop()
        self.inbox.stop()
        self.channels.stop()
        await self.session.stop(forget=forget)
        await self.database.close()

    # --- ISessionUser

    def signed_in(self, welcome: m.Welcome) -> None:
        """A session stands."""
        self._welcomed(welcome)
        self.people.signed_in(welcome.contacts)
        self.journal.write("session", "", f"signed in as {welcome.user}, seen as {welcome.address}")
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
        for person in welcome.contacts:
            self._devices_appeared(person.user, set())
        self._look_wait = LOOK_UP_FIRST
        self._look_later(0.0)

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
        self._look_later(None)
        self.people.interrupted()
        self.channels.interrupted()
        self.outbox.refresh_all()
        self.transfers.session_lost()

    def envelope_received(self, sender: str, device: bytes, kind: int, payload: bytes) -> None:
        """An envelope came through the server. One that cannot be read is its sender's fault and ends nothing."""
        try:
            signal = s.decode_signal(payload)
        except BadMessage as error:
            self.journal.write("error", sender, f"an envelope could not be read: {error.message}")
            return
        if isinstance(signal, s.CHANNEL_ONLY) or isinstance(signal, s.ChatMessage) != (kind == m.MESSAGE):
            self.journal.write("error", sender, "an envelope carried what may not come that way")
            return
        before = set(self.people.devices(sender))
        if self.people.heard_from(sender, device):
            self._devices_appeared(sender, before)
        self.signal_received(sender, device, signal, None)

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
            self._attempts.pop(channel.user, None)
            self.outbox.refresh(channel.user)
        self.transfers.route_appeared(channel.user, channel.device)

    def channel_closed(self, channel: IChannel, reason: str) -> None:
        """A channel ended: what was on it goes by the next route."""
        self._emit(
            events.ChannelClosed(
                at=self._wall(), user=channel.user, device=channel.device.hex(), kind=channel.kind, reason=reason
            )
        )
        self.outbox.refresh(channel.user)
        self.transfers.route_lost(channel)
        if self.outbox.direct_only(channel.user) and not self._stopped:
            self.watch(self._find_direct_again(channel.user), "a message that goes directly or not at all")

    def _channel_trusted(self, channel: IChannel, good: bool) -> None:
        """A channel went silent, and what is on its way over it goes by another route; or it was heard again."""
        self.outbox.refresh(channel.user)
        if good:
            self.transfers.route_appeared(channel.user, channel.device)
        else:
            self.transfers.route_doubted(channel)

    def signal_received(self, user: str, device: bytes, signal: s.AnySignal, channel: IChannel | None) -> None:
        """A signal from a device, by ``channel`` or through the server."""
        if self.people.is_blocked(user):
            return
        route, address = (channel.kind, channel.address) if channel is not None else ("relay", str(self.server))
        if isinstance(signal, s.ChatMessage):
            self.inbox.message(user, device, signal, route, address)
        elif isinstance(signal, s.Receipt):
            self.outbox.receipt(user, device, signal.ids, signal.state, route)
        elif isinstance(signal, s.Typing):
            self._emit(events.Typing(at=self._wall(), user=user))
        elif isinstance(signal, s.TRANSFER):
            self._transfer_signal(user, device, signal, channel)
        elif isinstance(signal, s.NEGOTIATION) and channel is None:
            self.channels.envelope(user, device, signal)

    def _transfer_signal(self, user: str, device: bytes, signal: s.AnySignal, channel: IChannel | None) -> None:
        try:
            self.transfers.signal_received(user, device, signal, channel)
        except WireError as error:
            if channel is not None:
                raise
            self.journal.write("error", user, f"a signal made no sense: {error.message}")

    def bulk_received(self, channel: IChannel, stream: int, data: bytes) -> None:
        """A chunk of a range."""
        self.transfers.bulk_received(channel, stream, data)

    def bulk_ended(self, channel: IChannel, stream: int, digest: bytes) -> None:
        """A range is complete."""
        self.transfers.bulk_ended(channel, stream, digest)

    # --- asking the server

    async def look_up(self, user: str) -> m.Person:
        """The presence of ``user`` now.

        :raises NoSuchUser: (or `Blocked`) there is nobody of that name, or they have blocked me.
        """
        found = await self.session.request(lambda number: m.LookUp(number, [user]))
        for person in found.people if isinstance(found, m.Found) else []:
            self.note(person)
            if person.user == user:
                return person
        raise NoSuchUser(f"There is no user {user} on this server.")

    async def look_up_devices(self, user: str) -> list[m.Device]:
        """The devices of ``user`` that are online, for the channel table."""
        person = self.people.get(user)
        if person is None or not person.relation or not person.devices:
            person = await self.look_up(user)
        return [device for device in person.devices if device.id != self.device]

    def note(self, person: m.Person) -> None:
        """The server answered a question with this: no event, but perhaps a way for what waits."""
        before = set(self.people.devices(person.user))
        self.people.changed(person)
        self._devices_appeared(person.user, before)

    def _look_later(self, seconds: float | None) -> None:
        """Ask for recipients after so long, instead of whenever that was to happen; None: not at all."""
        if self._look_again is not None and self._look_again.active():
            self._look_again.cancel()
        self._look_again = None
        if seconds is not None:
            self._look_again = self._clock.callLater(seconds, self._look)

    def _look(self) -> None:
        self._look_later(self._look_wait)
        self._look_wait = min(2 * self._look_wait, LOOK_UP_EVERY)
        self.watch(self._look_for_recipients(), "asking for recipients")

    async def _look_for_recipients(self) -> None:
        """Ask for those for whom something waits, and whose coming the server does not announce."""
        waiting = [user for user in self.outbox.users() if not self.people.devices(user)]
        for user in waiting[:LOOK_UPS_AT_ONCE]:
            if not self.people.connected:
                return
            try:
                await self.look_up(user)
            except FINAL_FAILURES as error:
                self._give_up(user, error)
            except P2pimError as error:
                self.journal.write("error", user, f"presence is unknown: {error.message}")

    def _give_up(self, user: str, error: P2pimError) -> None:
        for message in self.outbox.all_to(user):
            self.outbox.withdraw(user, message, error)

    # --- conversations

    def connect_in_background(self, user: str) -> None:
        """A conversation with ``user`` goes on: try for a direct channel, unless there was an attempt just now."""
        now = self._clock.seconds()
        if self.settings.connect == "never" or self.settings.channel == "none" or not self.people.devices(user):
            return
        if self.channels.channel_to(user) is not None or now - self._attempts.get(user, -DIRECT_RETRY) < DIRECT_RETRY:
            return
        self._attempts[user] = now
        self.watch(self._try_to_connect(user), "connecting in the background")

    async def connect(self, user: str) -> IChannel:
        """A direct channel to ``user``: the one there is, or a new one.

        :raises NoDirectPath: none can be made, with the reasons.
        :raises ServerUnreachable: for now, so nobody can introduce the two.
        """
        try:
            return await self.channels.connect(user)
        except NotSignedIn as error:
            raise ServerUnreachable(error.message) from None
        except NoDirectPath as error:
            self._emit(events.ConnectFailed(at=self._wall(), user=user, reasons=reason_pairs(error.reasons)))
            raise

    async def _try_to_connect(self, user: str) -> None:
        try:
            await self.connect(user)
        except P2pimError as error:
            self.journal.write("connect", user, f"no direct channel: {error.message}")

    async def _find_direct_again(self, user: str) -> None:
        """Messages that may only go directly lost their channel: make another, or give them up."""
        try:
            await self.connect(user)
        except P2pimError as error:
            if self.channels.channel_to(user) is None:
                for message in self.outbox.direct_only(user):
                    self.outbox.withdraw(user, message, error)

    def _gone(self, user: str, device: bytes) -> None:
        """The server says that a device is not there."""
        self.people.gone(user, device)
        self.outbox.refresh(user)
        if not self.people.devices(user):
            self._away(user)

    def _away(self, user: str) -> None:
        if not self.outbox.reachable(user):
            self.outbox.nobody_there(user)
            self.transfers.peer_offline(user)

    def _devices_appeared(self, user: str, before: set[bytes]) -> None:
        """What is known of the devices of ``user`` has changed; those not in ``before`` are new."""
        self.outbox.refresh(user)
        for device in set(self.people.devices(user)) - before:
            self.transfers.route_appeared(user, device)

    # --- what nobody waits for

    def watch(self, work: Awaitable[object], what: str) -> None:
        """Run ``work``, and log its failure, since nobody waits for it."""
        done: Deferred[Any] = Deferred.fromCoroutine(work)  # type: ignore[arg-type]
        done.addErrback(self._failed, what)

    def _failed(self, failure: Failure, what: str) -> None:
        if not self._stopped:
            self.log.failure("{what} failed", failure, what=what)
