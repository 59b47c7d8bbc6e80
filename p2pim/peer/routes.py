"""By which way things go to another device: a direct channel, the server, or a relayed channel for bulk."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Hashable
from typing import Protocol

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from p2pim.core.delivery import DIRECT, RELAY
from p2pim.core.limits import BULK_PATIENCE
from p2pim.errors import NoDirectPath, NoRoute, Offline, P2pimError
from p2pim.peer.interfaces import IChannel
from p2pim.peer.people import UNKNOWN, People
from p2pim.wire.messages import MESSAGE
from p2pim.wire.signals import Signal, decode_signal

DIRECT_KINDS = ("tcp", "udp")
Answered = Callable[[P2pimError | None], None]
"""Told that the server has stored an envelope (None), or why it could not take it."""


class EnvelopeSender(Protocol):
    """The part of a session that carries envelopes."""

    def send_envelope(
        self,
        user: str,
        device: bytes,
        kind: int,
        payload: bytes,
        on_failed: Callable[[P2pimError], None] | None = None,
        message: bytes = b"",
        on_stored: Callable[[], None] | None = None,
    ) -> None: ...


class SignalSender(Protocol):
    """The part of `p2pim.peer.seals.Seals` that sends signals through the server."""

    def send(
        self,
        user: str,
        device: bytes,
        signal: Signal,
        failed: Callable[[P2pimError], None] | None = None,
        message: bytes = b"",
    ) -> None: ...


class Channels(Protocol):
    """The part of a channel table that gives channels."""

    def channel_to(self, user: str, device: bytes | None = None) -> IChannel | None: ...
    def relay_channel_to(self, device: bytes) -> IChannel | None: ...
    def all(self) -> list[IChannel]: ...
    def reasons_for(self, user: str) -> tuple[tuple[str, str], ...]: ...
    async def connect(self, user: str, *, wait: bool = True) -> IChannel: ...
    async def open_relay(self, user: str, device: bytes) -> IChannel: ...


class Routes:
    """The choice of ways, and sending by them.

    :param look_up: asks the server for the presence of a user; raises `NoSuchUser`.
    :param server: the server's address, as reports show it.
    :param clock: bounds how long bulk waits for a direct channel.
    :param new_id: makes the ids of mail.
    :param connects: whether a direct channel is tried for bulk that does not demand one.
    """

    def __init__(
        self,
        people: People,
        session: EnvelopeSender,
        seals: SignalSender,
        channels: Channels,
        look_up: Callable[[str], Awaitable[object]],
        server: str,
        clock: IReactorTime,
        *,
        new_id: Callable[[], bytes],
        connects: bool = True,
    ) -> None:
        self._people = people
        self._session = session
        self._seals = seals
        self._channels = channels
        self._look_up = look_up
        self._server = server
        self._clock = clock
        self._new_id = new_id
        self._connects = connects
        self._direct_messages = 0

    # --- messages

    def sent_directly(self) -> int:
        """Messages handed to direct channels so far."""
        return self._direct_messages

    def ways(self, user: str) -> dict[bytes, dict[str, Hashable]]:
        """How each device of ``user`` that is there can be reached now."""
        ways: dict[bytes, dict[str, Hashable]] = {
            device: {RELAY: token} for device, token in self._people.devices(user).items()
        }
        for channel in self._channels.all():
            if channel.user == user and channel.kind in DIRECT_KINDS:
                best = self._channels.channel_to(user, channel.device)
                ways.setdefault(channel.device, {})[DIRECT] = best
        return ways

    def is_there(self, user: str) -> bool:
        """Whether some device of ``user`` is known to be there: of strangers only those with a channel are."""
        person = self._people.get(user)
        told = person is not None and person.status != UNKNOWN
        return any(told or DIRECT in ways for ways in self.ways(user).values())

    def may_be_there(self, user: str) -> bool:
        """Whether some device of ``user`` is there for all that is known."""
        return bool(self.ways(user))

    def copy_ways(self, user: str, device: bytes) -> dict[str, Hashable]:
        """How a copy for a device goes now, for `p2pim.core.delivery.Sending.set_ways`: the server takes it also for
        one that is away."""
        ways: dict[str, Hashable] = {}
        if self._people.connected:
            ways[RELAY] = self._people.session
        channel = self._channels.channel_to(user, device)
        if channel is not None and channel.kind in DIRECT_KINDS:
            ways[DIRECT] = channel
        return ways

    def send_copy(
        self, user: str, device: bytes, sealed: bytes, message: bytes, way: str, answered: Answered
    ) -> tuple[str, str]:
        """Send a sealed message by ``way``; gives the route and the address to tell people.

        :param answered: told when the server has stored it (None), or could not take it.
        """
        channel = self._channels.channel_to(user, device) if way == DIRECT else None
        if channel is not None:
            self._direct_messages += 1
            channel.send(decode_signal(sealed))
            return channel.kind, channel.address
        self._session.send_envelope(user, device, MESSAGE, sealed, answered, message, lambda: answered(None))
        return RELAY, self._server

    def send_direct(self, user: str, device: bytes, sealed: bytes) -> tuple[str, str] | None:
        """Send a sealed message over a direct channel; its kind and address, or None when there is none."""
        channel = self._channels.channel_to(user, device)
        if channel is None or channel.kind not in DIRECT_KINDS:
            return None
        self._direct_messages += 1
        channel.send(decode_signal(sealed))
        return channel.kind, channel.address

    def send(
        self, user: str, device: bytes, signal: Signal, on_failed: Callable[[P2pimError], None] | None = None
    ) -> None:
        """Send a signal by the best way there is; it may get lost. ``on_failed`` hears when the server says so."""
        channel = self._channels.channel_to(user, device)
        if channel is not None:
            channel.send(signal)
        else:
            self.send_through_server(user, device, signal, on_failed)

    def send_through_server(
        self, user: str, device: bytes, signal: Signal, on_failed: Callable[[P2pimError], None] | None = None
    ) -> None:
        """Send a signal through the server, sealed and uncounted; it is lost when the device is away."""
        self._seals.send(user, device, signal, on_failed)

    def send_surely(self, user: str, device: bytes, signal: Signal) -> None:
        """Send a signal by a channel, or as mail, which waits for a device that is away."""
        channel = self._channels.channel_to(user, device)
        if channel is not None:
            channel.send(signal)
        else:
            self.send_mail(user, device, signal)

    def send_mail(self, user: str, device: bytes, signal: Signal) -> None:
        """Send a signal as mail."""
        self._seals.send(user, device, signal, message=self._new_id())

    def direct_devices(self, user: str) -> list[bytes]:
        """The devices of ``user`` to which a direct channel stands, the best one first."""
        best = self._channels.channel_to(user)
        others = [each for each in self._channels.all() if each.user == user and each.kind in DIRECT_KINDS]
        return list(dict.fromkeys(each.device for each in [best, *others] if each is not None))

    # --- bulk

    def bulk_channel(self, user: str, device: bytes, route: str) -> IChannel | None:
        """The channel by which bulk goes to ``device`` now, or None when one must be made first."""
        direct = None if route == RELAY else self._channels.channel_to(user, device)
        if direct is not None or route == DIRECT:
            return direct
        return self._channels.relay_channel_to(device)

    async def need_bulk_channel(self, user: str, device: bytes, route: str) -> IChannel:
        """A channel for bulk, made when there is none: direct where that can be had soon, else relayed.

        :raises NoRoute: the route asked for cannot be had.
        :raises Offline: the device is not there.
        """
        channel = self.bulk_channel(user, device, route)
        if channel is not None:
            return channel
        if route == DIRECT:
            return await self._need_direct(user, device)
        if route != RELAY and self._connects and self._promising(user, device):
            channel = await self._try_direct(user, device)
            if channel is not None:
                return channel
        return await self._channels.open_relay(user, device)

    async def _need_direct(self, user: str, device: bytes) -> IChannel:
        try:
            await self._channels.connect(user)
        except NoDirectPath as error:
            raise NoRoute(f"There is no direct path to {user}: {error.message}") from None
        channel = self._channels.channel_to(user, device)
        if channel is None:
            raise NoRoute(f"There is no direct path to this device of {user}.")
        return channel

    def _promising(self, user: str, device: bytes) -> bool:
        """Whether it is worth waiting for a direct channel: none was found out to be impossible, or has gone silent."""
        silent = any(each.device == device and each.kind in DIRECT_KINDS for each in self._channels.all())
        return not silent and not self._channels.reasons_for(user)

    async def _try_direct(self, user: str, device: bytes) -> IChannel | None:
        """A direct channel to ``device``, if one is made within `BULK_PATIENCE`; else the attempt goes on by itself."""
        with contextlib.suppress(NoDirectPath, TimeoutError):
            attempt = Deferred.fromCoroutine(self._channels.connect(user))
            await attempt.addTimeout(BULK_PATIENCE, self._clock)
        return self._channels.channel_to(user, device)

    async def devices_of(self, user: str) -> list[bytes]:
        """The devices of ``user`` that can be reached now.

        :raises NoSuchUser: there is no such user.
        :raises Offline: the server cannot be asked, and no channel stands.
        """
        if not self._people.devices(user) and self._people.connected:
            await self._look_up(user)
        devices = list(self.ways(user))
        if not devices and not self._people.connected:
            raise Offline("There is no connection to the server.")
        return devices
