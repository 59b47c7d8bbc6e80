"""The parts of the server put together: what runs behind the port, apart from starting and stopping."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from twisted.internet.defer import Deferred, DeferredLock, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.counters import CounterTable, Increase
from p2pim.core.limits import EVERYONE_ROSTER
from p2pim.core.presence import PresenceGraph
from p2pim.core.series import Reading
from p2pim.net.server_tls import ServerTls
from p2pim.net.stream import Flusher
from p2pim.server.beside import BesideP2p
from p2pim.server.connection import ServerConnection
from p2pim.server.devices import Devices
from p2pim.server.direct import DirectTotals
from p2pim.server.gate import Gate
from p2pim.server.group_mail import GroupMail
from p2pim.server.groups import GroupDesk
from p2pim.server.guests import APART, GuestDesk
from p2pim.server.health import Health
from p2pim.server.keys import Keys
from p2pim.server.live import LiveTable, StoredTotals
from p2pim.server.mail import Mail
from p2pim.server.mailboxes import Mailboxes
from p2pim.server.meter import Meter
from p2pim.server.names import KnownNames
from p2pim.server.passwords import Passwords
from p2pim.server.port import PortFactory
from p2pim.server.presence import Announcer
from p2pim.server.refusals import Refusals
from p2pim.server.relay import Relay
from p2pim.server.requests import Answer, Requests
from p2pim.server.sessions import Directory, Session
from p2pim.server.settings import ServerSettings
from p2pim.server.signin import Admitted, Origin, SignInDesk
from p2pim.server.splices import SpliceDesk
from p2pim.server.store import IDatabase, Store
from p2pim.server.store_bulk import Threads
from p2pim.server.store_desk import StoreDesk
from p2pim.server.users import Users
from p2pim.storage import accounts
from p2pim.storage.stored_files import StoredFolder
from p2pim.wire.messages import (
    GUESTS,
    P2P_SERVER_CHANGES,
    AckMail,
    ChangeGroup,
    ClaimKeys,
    DirectReport,
    FetchMail,
    Got,
    GuestsOffered,
    ListDevices,
    ListGroups,
    MeetGuests,
    Message,
    P2pServerChanged,
    Person,
    PublishKeys,
    Register,
    RemoveDevice,
    RenameDevice,
    SayToGuest,
    SendToGroup,
    SignIn,
)

_log = Logger()


class House:
    """Everything that a connection may need, composed once.

    :param wall: the time in seconds since 1970.
    :param random_bytes: a source of secrets, as `os.urandom`.
    :param beside: the P2P server beside this one.
    :param stored: where files for people who are away are kept; None: they are not.
    :param disk: runs disk jobs.
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: ServerSettings,
        database: IDatabase,
        passwords: Passwords,
        tls: ServerTls,
        wall: Callable[[], float],
        random_bytes: Callable[[int], bytes],
        beside: BesideP2p | None = None,
        stored: StoredFolder | None = None,
        disk: Threads = maybeDeferred,
    ) -> None:
        self.clock, self.beside = clock, beside or BesideP2p(None)
        self.settings, self.passwords = settings, passwords
        self.wall, self.random_bytes = wall, random_bytes
        self.store = Store(database)
        self.flusher = Flusher(clock)
        self.counters = CounterTable()
        self.directory = Directory()
        self.announcer = Announcer(clock, self.directory, PresenceGraph())
        self.users = Users(self.directory, self.announcer, self.counters)
        self.names = KnownNames(self.store)
        self.splices = SpliceDesk(clock, self.directory, self.counters, random_bytes)
        self.files = StoreDesk(clock, self.store, self.directory, stored, disk, random_bytes, wall)
        self.take_bulk = self.files.take
        self._make_post(clock, wall)
        self._make_guests(clock, wall, random_bytes)
        self.gate = Gate(clock, settings.limits.connections_per_address)
        self.complain = self.gate.complain
        self._make_books(clock, wall)
        self.request = self._make_requests(clock).handle
        self.port = PortFactory(self.gate, self, tls, self.splices.take)
        self.connections: dict[ServerConnection, None] = {}
        self.tls = tls
        self._counting = DeferredLock()
        self._desk = SignInDesk(
            clock, lambda: self.settings, self.store, passwords, self.users, self.names, wall, random_bytes
        )
        self.use(settings)

    def _make_books(self, clock: IReactorTime, wall: Callable[[], float]) -> None:
        """What the operator is shown."""
        self.started = wall()
        self.listening: dict[str, str | None] = {}
        """Every address that is listened on, by what for: ``tcp``, ``udp``, ``web``."""
        self.refusals = Refusals(wall)
        self.gate.refused = self.refusals.add
        self.direct = DirectTotals(clock)
        self._counted: Callable[[Iterable[Increase]], None] | None = None
        self.meter = Meter(clock, self.store, self.read_counters, wall)
        self.health = Health(clock, self.store, self.meter.write)
        self.live = LiveTable(self)

    def _make_post(self, clock: IReactorTime, wall: Callable[[], float]) -> None:
        """What takes envelopes and mail, and those who are told where it goes."""
        self.mail = Mail(clock, self.store, self.directory, self.counters, wall, lambda: self.settings.mail.quota)
        self.mailboxes = Mailboxes(clock, self.store, self.mail, wall, lambda: self.settings.mail.lifetime)
        self.group_mail = GroupMail(clock, self.store, self.directory, self.counters, self.mail, wall)
        self.groups = GroupDesk(clock, self.store, self.directory, self.group_mail.rosters, wall)
        self.devices = Devices(clock, self.store, self.users)
        self.keys = Keys(clock, self.store, self.directory, self.devices)
        self.devices.moved = self.groups.devices_changed
        self.forward = Relay(clock, self.directory, self.names, self.mail.take).forward

    def _make_requests(self, clock: IReactorTime) -> Requests:
        return Requests(
            clock, self.store, self.users, self.names, self.splices,
            {Got: self.mail.got, SendToGroup: self.group_mail.take, DirectReport: self.direct.take},
            self._further_answers(),
        )  # fmt: skip

    def _make_guests(
        self, clock: IReactorTime, wall: Callable[[], float], random_bytes: Callable[[int], bytes]
    ) -> None:
        """Where guests of the classic gateway and users meet."""
        self.guests = GuestDesk(clock, self.directory, wall, random_bytes, self._offer_guests)
        self.users.left = self._session_left
        self.users.came = self.guests.account_here
        self.announcer.hearers = [self.guests.presence_changed]

    def _further_answers(self) -> dict[type[Message], Answer]:
        return {
            FetchMail: self.mailboxes.fetch,
            AckMail: self.mailboxes.acknowledge,
            PublishKeys: self.keys.publish,
            ClaimKeys: self.keys.claim,
            ListDevices: self.devices.list,
            RenameDevice: self.devices.rename,
            RemoveDevice: self.devices.remove,
            ChangeGroup: self.groups.change,
            ListGroups: self.groups.list_mine,
            MeetGuests: self.guests.meet,
            SayToGuest: self.guests.say,
            **self.files.answers,
        }

    def use(self, settings: ServerSettings) -> None:
        """Take these settings from now on; sessions that stand keep theirs."""
        self.settings = settings
        self.gate.per_address = settings.limits.connections_per_address
        self.files.section = settings.files
        self.announcer.graph.everyone = EVERYONE_ROSTER if settings.server.roster == "everyone" else 0

    # --- for connections

    def enter(self, message: SignIn | Register, origin: Origin) -> Deferred[Admitted]:
        """Sign in or register."""
        if isinstance(message, SignIn):
            return Deferred.fromCoroutine(self._desk.sign_in(message, origin))
        return Deferred.fromCoroutine(self._desk.register(message, origin))

    def contacts_of(self, session: Session) -> list[Person]:
        """What a newcomer is told of others."""
        return self.announcer.people(session.user.name)

    def p2p_server(self) -> str | None:
        """What a newcomer is told of a P2P server: the one configured, else the one beside this server."""
        return self.settings.p2p.address or self.beside.told()

    def welcomed(self, admitted: Admitted, connection: ServerConnection) -> None:
        """The device has been told how it stands."""
        self.mail.arrived(admitted.session, admitted.standing.mail)
        if self.guests.policy != APART:
            connection.tell(GUESTS, GuestsOffered(self.guests.policy))

    def tell_p2p_server(self) -> None:
        """Tell those who are signed in of what newcomers are told of a P2P server."""
        told = self.p2p_server()
        for connection in list(self.connections):
            connection.tell(P2P_SERVER_CHANGES, P2pServerChanged(told))

    def leave(self, session: Session) -> None:
        """The session ends."""
        self.users.leave(session)

    def _session_left(self, session: Session) -> None:
        self.mail.left(session)
        self.guests.left(session)

    def _offer_guests(self, policy: str) -> None:
        for connection in list(self.connections):
            connection.tell(GUESTS, GuestsOffered(policy))

    def opened(self, connection: ServerConnection) -> None:
        """Watch over this connection."""
        self.connections[connection] = None

    def closed(self, connection: ServerConnection) -> None:
        """It is gone."""
        self.connections.pop(connection, None)

    # --- from time to time

    def sweep(self) -> None:
        """End what takes too long."""
        now = self.clock.seconds()
        self.port.sweep(now, self.settings.limits.handshake)
        for connection in list(self.connections):
            connection.check(now)
        self.splices.sweep(now)
        self.files.sweep(now)
        self.mail.sweep()
        self.mailboxes.sweep()

    def write_counters(self) -> Deferred[None]:
        """Commit what was counted; one writing at a time. Does not fail: what cannot be written is counted on."""
        return self._counting.run(lambda: Deferred.fromCoroutine(self._write_counters()))

    async def _write_counters(self) -> None:
        increases = self.counters.take(self.wall(), self.directory.users)
        if not increases:
            return
        try:
            await self.store.write(lambda db: accounts.add_increases(db, increases))
        except Exception as error:  # noqa: BLE001 - nothing may stop the counting
            self.counters.put_back(increases)
            _log.error("the counters could not be written: {reason}", reason=str(error))
            return
        if self._counted is not None:
            self._counted(increases)

    # --- for the operator

    def watch(
        self, touched: Callable[[str], None] | None, counted: Callable[[Iterable[Increase]], None] | None
    ) -> None:
        """Tell ``touched`` of everybody who comes, goes or changes, and ``counted`` of what was counted and stored."""
        self.announcer.hearers = [self.guests.presence_changed, *([touched] if touched is not None else [])]
        self._counted = counted

    async def read_totals(self, names: list[str], use: Callable[[Mapping[str, StoredTotals]], None]) -> None:
        """See `p2pim.server.live.Watched`."""

        async def read() -> None:
            use(await self.store.read(partial(accounts.read_totals, names=names)))

        await self._counting.run(lambda: Deferred.fromCoroutine(read()))

    def read_counters(self) -> Reading:
        """What the counters say at this moment."""
        counters, p2p = self.counters, self.beside.counters()
        requests = p2p["requests"] if p2p is not None else 0
        return Reading(
            connections=self.gate.connections,
            messages=counters.messages,
            relayed=counters.message_bytes + counters.spliced_bytes + self.files.uploaded,
            requests=requests if isinstance(requests, int) else 0,
            direct_messages=self.direct.messages,
            direct=self.direct.bytes,
        )

    def farewell(self, reason: str, message: str) -> None:
        """Tell everybody that it is over, and close."""
        self.health.stopping = True
        self.announcer.stop()
        for connection in list(self.connections):
            connection.sign_out(reason, message)
        self.splices.stop()
        self.mail.flush()
        self.flusher.flush()
