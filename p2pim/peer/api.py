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
from p2pim.core.limits import FIRST_PING, MESSAGE_TEXT
from p2pim.core.message_ids import show_message_id
from p2pim.core.names import canonical_conversation, canonical_name, is_guest_user
from p2pim.core.p2p_choice import choose_p2p_server
from p2pim.errors import Blocked, NoRoute, Offline, P2pimError, TimedOut, Usage
from p2pim.peer.account import Account
from p2pim.peer.conversation_calls import ConversationCalls
from p2pim.peer.doctor import diagnose
from p2pim.peer.events import ConversationRead
from p2pim.peer.group_api import GroupApi
from p2pim.peer.home_history import HomeHistory
from p2pim.peer.interfaces import IChannel
from p2pim.peer.key_calls import KeyCalls, check_not_changed
from p2pim.peer.outbox import Settled
from p2pim.peer.people_api import PeopleApi
from p2pim.peer.settings_calls import SettingsCalls
from p2pim.peer.states import ChannelState, SentMessage, channel_state
from p2pim.peer.transfer import Transfer
from p2pim.peer.transfers import Transfers
from p2pim.peer.udp_paths import UdpPaths
from p2pim.wire import signals as s


class Peer(GroupApi, PeopleApi, KeyCalls, HomeHistory, ConversationCalls, SettingsCalls):
    """A person's side: one device of one account.

    See `HomeAccount` for signing in and out, and for events; `PeopleApi` for contacts, presence, and queries;
    `GroupApi` for groups; `KeyCalls` for verification and devices; `HomeHistory` for what was said; `ConversationCalls`
    for what a window shows; `SettingsCalls` for how it behaves.
    """

    @property
    def p2p(self) -> UdpPaths | None:
        """The UDP half: sockets, candidates, checks. None while there is no P2P server, when no UDP is ever sent."""
        udp = self._account.channels.udp if self._account is not None else None
        return udp if udp is not None and udp.open else None

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
        self.active()
        if user.startswith("#"):
            return await self._say_to_group(user, text, route, wait, timeout)
        if is_guest_user(user):
            return await self._say_to_guest(user, text, route)
        account, user = self._running(), canonical_name(user)
        started = self._reactor.seconds()
        message = await self._put(account, user, text, route)
        self._wrote(message, user, text)
        settled = account.outbox.wait(user, message) if wait else None
        if route == AUTO:
            account.conversations.connect_in_background(user)
        if not self.connected and not account.outbox.reachable(user):
            if settled is not None:
                settled.addErrback(lambda failure: failure.trap(CancelledError))
                settled.cancel()
            return _queued(message, user, connected=self.connected)
        if settled is None:
            return _sent(message, account.outbox.went_by(user, message) or (RELAY, ""))
        result = await self._in_time(account, settled, timeout, user, message)
        if result.state == "waiting":
            return _queued(message, user, connected=self.connected)
        return _settled(message, result, round((self._reactor.seconds() - started) * 1000, 3))

    async def _put(self, account: Account, user: str, text: str, route: str) -> bytes:
        """Into the outbox, in the order in which it was asked for, whatever there is to be found out first; but nothing
        waits for the channel that another message demands."""
        turn = account.outbox.turn(user)
        if route == DIRECT:
            await self._prepare(account, user, route)
        await turn.acquire()
        try:
            if route != DIRECT:
                await self._prepare(account, user, route)
            written = Deferred.fromCoroutine(account.outbox.put(user, text, route))
        finally:
            turn.release()
        return await written

    async def _prepare(self, account: Account, user: str, route: str) -> None:
        """Find out whether and where ``user`` is, as far as the route needs it."""
        _check_not_blocked(account, user)
        await check_not_changed(account, user)
        await account.contacts.acquaint(user)
        if route == DIRECT:
            await account.conversations.connect(user)
        elif self.connected:
            await account.look_ups.ask_once(user)

    async def _in_time(
        self, account: Account, settled: Deferred[Settled], timeout: float | None, user: str, message: bytes
    ) -> Settled:
        """What became of it within ``timeout``: in the end also that it is stored, though they seemed to be there."""

        def late(value: object, _: float) -> Settled:
            so_far = account.outbox.so_far(user, message)
            return so_far if so_far.state == "stored" else _no_receipt(user)

        if timeout is not None:
            settled.addTimeout(timeout, self._reactor, onTimeoutCancel=late)
        return await settled

    async def mark_read(self, user: str) -> int:
        """I have seen everything from ``user``: they get read receipts. Gives how many that was new for."""
        if user.startswith("#"):
            return await self._mark_group_read(user)
        account, user = await self.opened(), canonical_conversation(user)
        by_device: dict[bytes, list[bytes]] = {}
        last = b""
        for device, last in await account.delivery.arrived.mark_read(user, round(self._wall() * 1000)):
            by_device.setdefault(device, []).append(last)
        for device, ids in () if is_guest_user(user) else by_device.items():
            for start in range(0, len(ids), 256):
                account.routes.send_surely(user, device, s.Receipt(ids[start : start + 256], "read"))
        if last:
            account.delivery.tell_my_devices(s.ReadMark(user, last))
            self._emit(ConversationRead(at=self._wall(), user=user))
        return sum(map(len, by_device.values()))

    # --- channels

    async def connect(self, user: str) -> ChannelState:
        """A direct channel to ``user``, made when there is none.

        :raises NoDirectPath: none can be made; ``reasons`` tell why.
        """
        account, user = self._running(), canonical_name(user)
        _check_not_blocked(account, user)
        await account.contacts.acquaint(user)
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

    async def ping_channel(self, user: str) -> tuple[float, str]:
        """The same by the direct channel that stands; none is made.

        :raises NoRoute: there is none.
        """
        account, user = self._running(), canonical_name(user)
        channel = account.channels.channel_to(user)
        if channel is None:
            raise NoRoute(f"There is no channel to {user}; connect first.")
        return await channel.ping(), channel.kind

    async def _channel_for(self, account: Account, user: str, route: str) -> IChannel:
        if route not in ROUTES:
            raise Usage(f"{route!r} is no route: {', '.join(ROUTES)}.")
        if route == DIRECT:
            return await account.conversations.connect(user)
        failed: P2pimError = NoRoute(f"{user} is not online.")
        for device in await account.routes.devices_of(user):
            try:
                return await account.routes.need_bulk_channel(user, device, route)
            except Offline as error:  # the next one may be there: of strangers it is not known which are
                failed = error
        raise failed

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

    async def send_file(
        self, user: str, path: Path, comment: str = "", route: str = AUTO, leave: str = AUTO
    ) -> Transfer:
        """Offer a file or folder to ``user``; it goes when they accept.

        :param leave: it is left, sealed, at the server's store: "auto": when ``user`` is away, "always" or "never".
        :raises FileUnreadable: it cannot be read.
        :raises IdentityChanged: a device of a verified user has other keys, which were not accepted.
        """
        account, user = self._running(), canonical_name(user)
        _check_not_blocked(account, user)
        await check_not_changed(account, user)
        self.active()
        await account.contacts.acquaint(user)
        if self.connected and not account.people.devices(user):
            await account.look_ups.look_up(user)
        return await account.transfers.offer(user, path, comment, route, leave)


def _check_not_blocked(account: Account, user: str) -> None:
    if account.people.is_blocked(user):
        raise Blocked(f"You have blocked {user}; unblock them first.")


def _check_message(text: str, route: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise Usage("The message is no text: it holds half a character.") from None
    if not text:
        raise Usage("The message is empty.")
    if size > MESSAGE_TEXT:
        raise Usage(f"The message has {size} bytes, {MESSAGE_TEXT} are the most; send it as a file.")
    if route not in ROUTES:
        raise Usage(f"{route!r} is no route: {', '.join(ROUTES)}.")


def _sent(message: bytes, way: tuple[str, str]) -> SentMessage:
    return SentMessage(id=show_message_id(message), state="sent", route=way[0], address=way[1], ms=None)


def _settled(message: bytes, result: Settled, ms: float) -> SentMessage:
    return SentMessage(
        id=show_message_id(message), state=result.state, route=result.route, address=result.address, ms=ms
    )


def _queued(message: bytes, user: str, *, connected: bool) -> SentMessage:
    why = f"{user} is not online" if connected else "the server cannot be reached"
    note = f"{why}; it goes when both are there"
    return SentMessage(
        id=show_message_id(message), state="sent", route=RELAY, address="", ms=None, queued=True, note=note
    )


def _no_receipt(user: str) -> Settled:
    raise TimedOut(f"No receipt from {user} in time; the message stays in the outbox and is sent again.")
