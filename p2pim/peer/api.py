"""The peer, for programs: sign in, talk, connect, send files, and hear what happens.

.. code-block:: python

    peer = Peer(reactor, home=Path("alice"))
    await peer.login("alice@chat.example.org", password)
    peer.subscribe(print)
    await peer.send_message("bob", "hello")

A home belongs to one process at a time: the constructor takes its lock.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.task import deferLater

from p2pim.core.delivery import AUTO, DIRECT, RELAY, ROUTES
from p2pim.core.doctor import Circumstances, Report
from p2pim.core.limits import FIRST_PING, HISTORY_PAGE, MESSAGE_TEXT
from p2pim.core.message_ids import read_message_id, show_message_id
from p2pim.core.names import canonical_name
from p2pim.core.p2p_choice import choose_p2p_server
from p2pim.errors import Blocked, IdentityChanged, NoRoute, NotSignedIn, P2pimError, ServerUnreachable, TimedOut, Usage
from p2pim.peer.account import Account
from p2pim.peer.doctor import diagnose
from p2pim.peer.group_api import GroupApi, conversation_name
from p2pim.peer.interfaces import IChannel
from p2pim.peer.outbox import Settled
from p2pim.peer.states import ChannelState, SentMessage, channel_state
from p2pim.peer.transfer import Transfer
from p2pim.peer.transfers import Transfers
from p2pim.peer.udp_paths import UdpPaths
from p2pim.storage.home import HistoryEntry
from p2pim.wire import messages as m
from p2pim.wire import signals as s


class Peer(GroupApi):
    """A person's side: one device of one account. See `HomeAccount` for signing in and out, and for events."""

    @property
    def connected(self) -> bool:
        """Whether there is a session with the server now."""
        return self._account is not None and self._account.people.connected

    @property
    def p2p(self) -> UdpPaths | None:
        """The UDP half: sockets, candidates, checks. None while there is no P2P server, when no UDP is ever sent."""
        udp = self._account.channels.udp if self._account is not None else None
        return udp if udp is not None and udp.open else None

    def _live(self) -> Account:
        """The account, with a session.

        :raises ServerUnreachable: there is no connection to the server now.
        """
        if self._account is None:
            raise NotSignedIn
        if not self._account.people.connected:
            raise ServerUnreachable("There is no connection to the server now; p2pim keeps trying.")
        return self._account

    def _running(self) -> Account:
        if self._account is None:
            raise NotSignedIn
        return self._account

    # --- people

    async def who(self, all: bool = False) -> list[m.Person]:
        """My contacts with their presence; with ``all`` everyone online whom I may see, too."""
        account = self._live() if all else self._running()
        if not all:
            return account.people.contacts()
        found = await account.session.request(m.WhoIsOnline)
        people = {person.user: person for person in account.people.contacts()}
        for person in found.people if isinstance(found, m.Found) else []:
            account.look_ups.note(person)
            people[person.user] = person
        return sorted(people.values(), key=lambda person: person.user)

    async def add(self, user: str) -> m.Person:
        """Put ``user`` on my contact list; gives their presence.

        :raises NoSuchUser: there is nobody of that name.
        """
        account, user = self._live(), canonical_name(user)
        found = await account.session.request(lambda number: m.AddContact(number, user))
        person = m.Person(user, "offline")
        if isinstance(found, m.Found) and found.people:
            person = found.people[0]
        account.people.relate(user, "contact")
        account.look_ups.note(person)
        return person

    async def remove(self, user: str) -> None:
        """Take ``user`` off my contact list."""
        account, user = self._live(), canonical_name(user)
        await account.session.request(lambda number: m.RemoveContact(number, user))
        account.people.relate(user, "")

    async def block(self, user: str) -> None:
        """``user`` reaches me no more: not through the server, and not by a channel."""
        account, user = self._live(), canonical_name(user)
        await account.session.request(lambda number: m.BlockUser(number, user, True))
        account.people.relate(user, "blocked")
        account.channels.disconnect(user, "blocked")

    async def unblock(self, user: str) -> None:
        """``user`` may reach me again."""
        account, user = self._live(), canonical_name(user)
        await account.session.request(lambda number: m.BlockUser(number, user, False))
        account.people.relate(user, "")

    # --- messages

    async def send_message(
        self, user: str, text: str, route: str = AUTO, wait: bool = True, timeout: float | None = None
    ) -> SentMessage:
        """Send ``text``; it is on disk before it goes, and goes again until a device of ``user`` has stored it.

        ``user`` may be ``#GROUP``: then it goes to all its members, and the result has their states.

        :param route: "auto" (direct where a channel stands, else through the server), "direct" or "relay".
        :param wait: for the receipt; at most ``timeout`` seconds. Without anyone there to confirm it, the result is
            "stored" when it is in their mailbox, or "sent" and ``queued`` when it waits in the outbox.
        :raises NoDirectPath: ``route`` is "direct" and none can be had.
        :raises NoSuchUser: (or `Blocked`) it can never arrive.
        :raises NoKeys: none of their devices has published keys yet.
        :raises MailboxFull: it waits here until there is room.
        :raises TimedOut: neither a receipt yet nor stored; the message stays in the outbox and is sent again.
        """
        _check_message(text, route)
        if user.startswith("#"):
            return await self._say_to_group(user, text, route, wait, timeout)
        account, user = self._running(), canonical_name(user)
        started = self._reactor.seconds()
        await self._prepare(account, user, route)
        message = await account.outbox.put(user, text, route)
        settled = account.outbox.wait(user, message) if wait else None
        if route == AUTO:
            account.conversations.connect_in_background(user)
        if not self.connected and not account.outbox.reachable(user):
            if settled is not None:
                settled.addErrback(lambda failure: failure.trap(CancelledError))
                settled.cancel()
            return _queued(message, user, connected=self.connected)
        if settled is None:
            by, address = account.outbox.went_by(user, message) or (RELAY, "")
            return SentMessage(id=show_message_id(message), state="sent", route=by, address=address, ms=None)
        result = await self._in_time(account, settled, timeout, user, message)
        if result.state == "waiting":
            return _queued(message, user, connected=self.connected)
        ms = round((self._reactor.seconds() - started) * 1000, 3)
        return SentMessage(
            id=show_message_id(message), state=result.state, route=result.route, address=result.address, ms=ms
        )

    async def _prepare(self, account: Account, user: str, route: str) -> None:
        """Find out whether and where ``user`` is, as far as the route needs it."""
        _check_not_blocked(account, user)
        if account.seals.blocked_by_change(user):
            raise IdentityChanged
        if route == DIRECT:
            await account.conversations.connect(user)
        elif self.connected:
            await account.look_ups.ask_once(user)

    async def _in_time(
        self, account: Account, settled: Deferred[Settled], timeout: float | None, user: str, message: bytes
    ) -> Settled:
        """What became of it within ``timeout``: in the end also that it is stored, though somebody seemed to be there."""

        def late(value: object, _: float) -> Settled:
            so_far = account.outbox.so_far(user, message)
            return so_far if so_far.state == "stored" else _no_receipt(user)

        if timeout is not None:
            settled.addTimeout(timeout, self._reactor, onTimeoutCancel=late)
        return await settled

    def typing(self, user: str) -> None:
        """Tell the devices of ``user`` that I am writing; a group is not told."""
        if user.startswith("#"):
            return
        account, user = self._running(), canonical_name(user)
        for device in account.routes.ways(user):
            account.routes.send(user, device, s.Typing())

    async def mark_read(self, user: str) -> int:
        """I have seen everything from ``user``: they get read receipts. Gives how many that was new for."""
        if user.startswith("#"):
            return await self._mark_group_read(user)
        account, user = await self.opened(), canonical_name(user)
        by_device: dict[bytes, list[bytes]] = {}
        last = b""
        for device, last in await account.arrived.mark_read(user, round(self._wall() * 1000)):
            by_device.setdefault(device, []).append(last)
        for device, ids in by_device.items():
            for start in range(0, len(ids), 256):
                account.routes.send_surely(user, device, s.Receipt(ids[start : start + 256], "read"))
        if last:
            account.tell_my_devices(s.ReadMark(user, last))
        return sum(map(len, by_device.values()))

    async def history(
        self, user: str, search: str = "", limit: int = HISTORY_PAGE, before: str = ""
    ) -> list[HistoryEntry]:
        """The newest ``limit`` messages with ``user``, oldest first; ``before`` is a message's id."""
        account = await self.opened()
        point = read_message_id(before) if before else None
        if before and point is None:
            raise Usage(f"{before!r} is no message id.")
        return await account.store.history(conversation_name(user), search, limit, point)

    # --- channels

    async def connect(self, user: str) -> ChannelState:
        """A direct channel to ``user``, made when there is none.

        :raises NoDirectPath: none can be made; ``reasons`` tell why.
        """
        account, user = self._running(), canonical_name(user)
        channel = await account.conversations.connect(user)
        if channel.rtt is None:
            await self._measured(channel)
        return channel_state(channel)

    async def _measured(self, channel: IChannel) -> None:
        """Wait for the answer to a ping, but not for long: the state of a new channel tells its round trip, too."""
        try:
            await channel.ping().addTimeout(FIRST_PING, self._reactor)
        except (TimeoutError, P2pimError) as error:
            self.log.debug("a new channel to {user} is not measured yet: {why}", user=channel.user, why=error)

    def disconnect(self, user: str) -> None:
        """Close the channels to ``user``."""
        self._running().channels.disconnect(canonical_name(user), "disconnected")

    def channels(self) -> list[ChannelState]:
        """All channels."""
        account = self._running()
        return [channel_state(c, account.channels.reasons_for(c.user)) for c in account.channels.all()]

    def channel_state(self, user: str) -> ChannelState | None:
        """The best channel to ``user``; None when there is nothing."""
        account, user = self._running(), canonical_name(user)
        channel = account.channels.channel_to(user)
        if channel is None:
            channel = next((c for c in account.channels.all() if c.user == user), None)
        return None if channel is None else channel_state(channel, account.channels.reasons_for(user))

    async def ping(self, user: str, route: str = AUTO) -> tuple[float, str]:
        """Seconds to ``user`` and back, and the kind of channel: "relay" goes through the server's splice.

        :raises NoRoute: (or `NoDirectPath`, `Offline`) there is no such channel, and none can be made.
        """
        account, user = self._running(), canonical_name(user)
        channel = await self._channel_for(account, user, route)
        return await channel.ping(), channel.kind

    async def _channel_for(self, account: Account, user: str, route: str) -> IChannel:
        if route not in ROUTES:
            raise Usage(f"{route!r} is no route: {', '.join(ROUTES)}.")
        if route == DIRECT:
            return await account.conversations.connect(user)
        for device in await account.routes.devices_of(user):
            return await account.routes.need_bulk_channel(user, device, route)
        raise NoRoute(f"{user} is not online.")

    async def ping_server(self) -> float:
        """Seconds to the server and back."""
        return await self._live().session.ping()

    async def doctor(self, p2p_server: str | None = None, server_problem: str = "") -> Report:
        """What this network lets through, found by asking the P2P server (or another one, ``HOST:PORT``).

        Needs no session; what it cannot know without one it says.

        :param server_problem: why there is no session, where the caller knows better.
        :raises BadP2pServer: ``p2p_server`` is none.
        """
        account = self._account
        server = choose_p2p_server(p2p_server or self.settings.p2p_server, None, "")
        if account is not None and not p2p_server:
            server = account.p2p_server.named
        if account is not None and not self.connected:
            server_problem = server_problem or "there is no connection to the server now"
        around = Circumstances(
            channel=self.settings.channel,
            server=str(account.server) if account is not None and self.connected else "",
            server_problem=server_problem,
        )
        return await diagnose(self._reactor, self._rng, around, server)

    @property
    def listening(self) -> str:
        """Where this peer listens for channels, or empty."""
        return self._running().channels.listening

    async def pause(self, seconds: float) -> None:
        """Nothing, for so long."""
        await deferLater(self._reactor, seconds)

    # --- files

    @property
    def transfers(self) -> Transfers:
        """All transfers: accept, reject, pause, resume, cancel."""
        return self._running().transfers

    async def send_file(self, user: str, path: Path, comment: str = "", route: str = AUTO) -> Transfer:
        """Offer a file or folder to ``user``; it goes when they accept.

        :raises FileUnreadable: it cannot be read.
        """
        account, user = self._running(), canonical_name(user)
        _check_not_blocked(account, user)
        if self.connected and not account.people.devices(user):
            await account.look_ups.look_up(user)
        return await account.transfers.offer(user, path, comment, route)


def _check_not_blocked(account: Account, user: str) -> None:
    if account.people.is_blocked(user):
        raise Blocked(f"You have blocked {user}; unblock them first.")


def _check_message(text: str, route: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass"))
    if not text:
        raise Usage("The message is empty.")
    if size > MESSAGE_TEXT:
        raise Usage(f"The message has {size} bytes, {MESSAGE_TEXT} are the most; send it as a file.")
    if route not in ROUTES:
        raise Usage(f"{route!r} is no route: {', '.join(ROUTES)}.")


def _queued(message: bytes, user: str, *, connected: bool) -> SentMessage:
    why = f"{user} is not online" if connected else "the server cannot be reached"
    note = f"{why}; it goes when both are there"
    return SentMessage(
        id=show_message_id(message), state="sent", route=RELAY, address="", ms=None, queued=True, note=note
    )


def _no_receipt(user: str) -> Settled:
    raise TimedOut(f"No receipt from {user} in time; the message stays in the outbox and is sent again.")
