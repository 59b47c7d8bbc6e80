"""The channels of a peer: which there are, and how there come to be more.

At most one direct and one relayed channel stand to a device; a newer one takes the older one's place. Whoever asks
for a channel while one is being made waits for that one.

A channel needs the server only to be made. It outlives the server's absence; it ends by itself (closed, silent for too
long), when either side wants it to, and when the server says that the other device has gone *and* the channel, asked,
does not answer.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from p2pim.core.addresses import format_address, is_loopback
from p2pim.core.candidates import Endpoint, Surroundings, split_address
from p2pim.core.keepalive import Trust
from p2pim.core.limits import CHANNELS, NEGOTIATIONS_PER_USER, OFFLINE_PROBE
from p2pim.core.rungs import Reasons
from p2pim.errors import NotSignedIn, Offline, P2pimError, TooMany
from p2pim.net.channel_factory import TcpChannelFactory
from p2pim.net.links import Link
from p2pim.net.quic import QuicChannel
from p2pim.peer.attempts import Attempt, in_words, no_direct_path
from p2pim.peer.channel_choice import LastReasons, cost, doubted, one_lan
from p2pim.peer.interfaces import IChannel, IChannelUser
from p2pim.peer.negotiation_calls import Place
from p2pim.peer.network_watch import NetworkWatch
from p2pim.peer.switchboard import SplicingSession, Switchboard
from p2pim.peer.udp_paths import KERNEL, Ground, UdpPaths
from p2pim.peer.upkeep import Upkeep
from p2pim.wire.messages import Device, Person, Welcome
from p2pim.wire.signals import AnySignal, Signal

MODES: Final = ("auto", "tcp", "udp", "none")
"""Which direct channels are made. The mode "udp" has no rung yet; relayed channels can always be had."""


SendSignal = Callable[[str, bytes, Signal, Callable[[P2pimError], None] | None], None]
"""Takes user, device, signal, and who hears that it could not be sent: the way through the server."""


class ChannelTable:
    """All channels of one device.

    :param user: hears of channels and gets what comes over them.
    :param send: sends a signal through the server.
    :param my_device: this device's id.
    :param devices_of: asks for the devices of a user that are online.
    :param journal: the readable log: (kind, user, text).
    :param mode: one of `MODES`.
    :param lan: connect to everyone in my network after each sign-in.
    :param rng: spreads repeated attempts; ``random`` makes secrets.
    :param wall: seconds since 1970.
    :param trusted: told when a channel has gone silent, so that other ways are better, and when it is good again.
    :param changed: told that the best way to a user may be another.
    :param ground: where UDP sockets come from.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        *,
        user: IChannelUser,
        session: SplicingSession,
        send: SendSignal,
        my_device: bytes,
        devices_of: Callable[[str], Awaitable[list[Device]]],
        journal: Callable[[str, str, str], None],
        rng: Random,
        wall: Callable[[], float],
        mode: str = "auto",
        lan: bool = False,
        random: Callable[[int], bytes] = secrets.token_bytes,
        trusted: Callable[[IChannel, bool], None] = lambda channel, good: None,
        known: Callable[[str], bool] = lambda user: True,
        changed: Callable[[str], None] = lambda user: None,
        ground: Ground = KERNEL,
    ) -> None:
        self.mode = mode
        self.listening = ""
        """Where other peers can connect, as ``host:port``; empty when nowhere."""
        self._clock = reactor
        self._user, self._session, self._device = user, session, my_device
        self._devices_of, self._journal = devices_of, journal
        self._factory = TcpChannelFactory(reactor, wall)
        self.udp = self._make_udp(rng, wall, ground)
        """The UDP half; closed while there is no P2P server."""
        self._p2p_servers: Sequence[Endpoint] = ()
        self._local_host = ""
        place = Place(reactor, self._factory, self.udp, rng, random, send)
        self._switchboard = Switchboard(place, self, session, my_device, mode, journal, known)
        self._watch = NetworkWatch(reactor, lambda: list(ground.interfaces()), self._network_changed)
        self._trusted, self._changed = trusted, changed
        self._upkeep = Upkeep(reactor, self, session, my_device, rng, journal, lan=lan)
        self._signed_in, self._sent_before = False, 0
        self._channels: dict[tuple[bytes, bool], Link] = {}
        self._attempts: dict[str, Attempt] = {}
        self._reasons = LastReasons()

    def _make_udp(self, rng: Random, wall: Callable[[], float], ground: Ground) -> UdpPaths:
        return UdpPaths(
            self._clock,
            identity=self._factory.identity,
            rng=rng,
            wall=wall,
            journal=self._journal,
            changed=lambda: self._switchboard.candidates_changed(),
            ground=ground,
        )

    # --- what there is

    def channel_to(self, user: str, device: bytes | None = None) -> IChannel | None:
        """The best direct channel to ``user`` (to that ``device``); None when there is nothing."""
        found = [
            channel
            for (at, relay), channel in self._channels.items()
            if not relay and channel.user == user and device in (None, at) and not doubted(channel)
        ]
        return min(found, key=cost, default=None)

    def relay_channel_to(self, device: bytes) -> IChannel | None:
        """The relayed channel to ``device``; None when there is none."""
        return self._channels.get((device, True))

    def all(self) -> list[IChannel]:
        """Every channel."""
        return list(self._channels.values())

    def sent_directly(self) -> int:
        """Bytes sent over direct channels so far, those that are over included."""
        return self._sent_before + sum(link.sent for (_, relay), link in self._channels.items() if not relay)

    def reasons_for(self, user: str) -> Reasons:
        """Why there is no direct channel to ``user``: (rung, reason) pairs of the last attempt; empty when there is
        one, and when none was tried."""
        return () if self.channel_to(user) is not None else self._reasons.get(user)

    def failed_users(self) -> list[str]:
        """Those to whom no direct channel could be made the last time."""
        return self._reasons.users()

    # --- making them

    async def connect(self, user: str, *, wait: bool = True) -> IChannel:
        """A direct channel to ``user``: the one there is, the one being made, or a new one.

        :param wait: if not, the attempt goes on by itself and this raises `NoDirectPath` at once unless there is a
        channel. :raises NoDirectPath: none can be made; ``reasons`` tell why. :raises NotSignedIn: there is nobody to
        introduce us. :raises Offline: ``user`` is not there.
        """
        self._upkeep.used(user)
        known = self.channel_to(user)
        if known is not None:
            return known
        self._check_possible(user)
        attempt = self._attempts.get(user) or self._begin(user)
        if not wait:
            raise no_direct_path(user, (("attempt", "it has just begun"),))
        return await attempt.wait()

    def connect_soon(self, user: str) -> Attempt | None:
        """An attempt at a direct channel: the one under way or a new one; None when there is a channel, or none is
        possible."""
        if not self._signed_in or not self._switchboard.modes or self.channel_to(user) is not None:
            return None
        return self._attempts.get(user) or self._begin(user)

    def befriended(self, user: str) -> None:
        """``user`` may know my addresses now: what could not be had a moment ago may be possible."""
        if self._upkeep.wants(user):
            self.connect_soon(user)

    def connect_device(self, user: str, device: bytes) -> Deferred[Any]:
        """An attempt at a direct channel to this one device; fires when it is over, however it ended."""
        over: Deferred[Any] = Deferred()
        if (device, False) in self._channels or not self._signed_in or not self._switchboard.modes:
            over.callback(None)
        else:
            self._switchboard.direct(user, device).tell_me(over.callback)
        return over

    async def open_relay(self, user: str, device: bytes) -> IChannel:
        """A relayed channel to ``device``: the one there is, the one being made, or a new one.

        :raises P2pimError: it cannot be had, and why.
        """
        self._upkeep.used(user)
        known = self.relay_channel_to(device)
        if known is not None:
            return known
        if self._switchboard.pending(device, relay=True) is None and not self._signed_in:
            raise NotSignedIn("There is no connection to the server now, so nothing can be relayed.")
        return await self._switchboard.relay(user, device).wait()

    def _check_possible(self, user: str) -> None:
        if not self._switchboard.modes:
            off = "direct channels are switched off"
            why = "UDP needs a P2P server, and none is known" if self.mode == "udp" else off
            raise no_direct_path(user, (("channel", why),))
        if not self._signed_in and user not in self._attempts:
            raise NotSignedIn("There is no connection to the server now, so nobody can introduce us.")

    def _begin(self, user: str) -> Attempt:
        attempt = self._attempts[user] = Attempt(user)
        attempt.tell_me(lambda _: self._attempt_over(user))
        begun = Deferred.fromCoroutine(self._follow(attempt))
        begun.addErrback(lambda failure: self._log.failure("An attempt to connect broke.", failure))
        return attempt

    def _attempt_over(self, user: str) -> None:
        self._attempts.pop(user, None)

    async def _follow(self, attempt: Attempt) -> None:
        user = attempt.user
        try:
            devices = [device.id for device in await self._devices_of(user) if device.id != self._device]
        except P2pimError as error:
            attempt.settle(error)
            return
        if not devices:
            attempt.settle(Offline(f"{user} is not online."))
        elif not attempt.over:
            attempt.follow([self._switchboard.direct(user, device) for device in devices[:NEGOTIATIONS_PER_USER]])

    def disconnect(self, user: str, reason: str) -> None:
        """Close every channel to ``user`` and stop trying."""
        self._upkeep.forget(user)
        self._switchboard.give_up(reason, user=user)
        for channel in self.all():
            if channel.user == user:
                channel.close(reason)

    # --- what the session says

    def envelope(self, user: str, device: bytes, signal: AnySignal) -> None:
        """An `Offer`, `Answer` or `Decline` that came through the server."""
        self._switchboard.envelope(user, device, signal)

    def signed_in(self, welcome: Welcome, local_address: Endpoint) -> None:
        """The session stands: listen where it comes from, so that the address the server sees is the one to dial."""
        self._signed_in = True
        self._local_host = local_address[0]
        self.use_p2p(self._p2p_servers)
        listening = self._listen(local_address) if self.mode in ("auto", "tcp") else frozenset[Endpoint]()
        self._switchboard.around = Surroundings(
            listening=listening,
            server=self._session.server_address,
            loopback=is_loopback(local_address[0]),
        )
        self._watch.start()
        self._upkeep.signed_in(split_address(welcome.address) or local_address)

    def use_p2p(self, servers: Sequence[Endpoint]) -> None:
        """The addresses of the P2P server; with none of them UDP is not used at all."""
        self._p2p_servers = servers
        if self._signed_in and self.mode in ("auto", "udp"):
            self.udp.use(servers, self._local_host, self._switchboard)

    def _network_changed(self) -> None:
        """An interface came or went: other addresses lead here now, and perhaps other ways to others."""
        self._journal("channel", "", "this machine's network has changed")
        self.udp.network_changed()
        self._upkeep.try_now()

    def _listen(self, local_address: Endpoint) -> frozenset[Endpoint]:
        try:
            endpoint = self._factory.listen(local_address, lambda: self._switchboard)
        except CannotListenError as error:
            self.listening = ""
            self._journal("channel", "", f"other peers cannot connect to this one: {error}")
            return frozenset()
        self.listening = format_address(*endpoint)
        same = "the address of the server connection" if endpoint == local_address else "a free port, its own was taken"
        self._journal("channel", "", f"listening for peers on {self.listening} ({same})")
        return frozenset((endpoint,))

    def interrupted(self) -> None:
        """There is no session for now. Channels stay; what has not been answered yet will not be."""
        self._signed_in = False
        self._upkeep.interrupted()
        self._switchboard.give_up("the connection to the server was lost", unanswered=True)

    def presence_changed(self, person: Person) -> None:
        """Someone came or went. A channel to a device that has gone must show that it lives."""
        if not self._signed_in:
            return
        there = {device.id for device in person.devices} if person.status != "offline" else set()
        for channel in list(self._channels.values()):
            if channel.user == person.user and channel.device not in there:
                self._probe(channel)

    def _probe(self, channel: Link) -> None:
        late = self._clock.callLater(OFFLINE_PROBE, channel.drop, "the other side went offline")

        def answered(result: Any) -> None:
            if late.active():
                late.cancel()

        channel.ping().addBoth(answered)

    def leave(self, reason: str) -> None:
        """This device is not signed in any more: close everything and listen no longer. A later sign-in begins anew."""
        self._signed_in = False
        self._upkeep.stop()
        self._watch.stop()
        self._switchboard.give_up(reason)
        self._factory.stop_listening()
        self._switchboard.around = Surroundings()
        self.listening = ""
        for channel in self.all():
            channel.close(reason)
        self.udp.stop()

    def stop(self, reason: str = "stopping") -> None:
        """Close everything, for good."""
        self.leave(reason)

    # --- what negotiations say (SwitchboardOwner)

    def made(self, user: str, device: bytes, channel: Link, *, relay: bool) -> None:
        """A proved and nominated connection: it is the channel to ``device`` now."""
        older = self._channels.get((device, relay))
        if older is None and len(self._channels) >= CHANNELS:
            channel.drop(TooMany.default)
            return
        self._channels[device, relay] = channel
        lan = not relay and one_lan(channel)
        channel.adopt(user, device, self._user, same_lan=lan, closed=self._closed)
        if channel.ended:
            return
        if not relay:
            self._reasons.forget(user)
            self._upkeep.found(user)
        if isinstance(channel, QuicChannel):
            channel.on_trust = self._trust_changed
        where = f" with {channel.address}{' in the same LAN' if lan else ''}, from {channel.local_address}"
        self._journal("channel", user, f"{channel.kind} channel opened{'' if relay else where}")
        self._user.channel_opened(channel)
        if older is not None:
            older.close("a newer channel took its place")
        self._settle_attempt(user, channel, relay=relay)

    def _settle_attempt(self, user: str, channel: Link, *, relay: bool) -> None:
        attempt = self._attempts.get(user)
        if attempt is not None and not relay and not channel.ended:
            attempt.settle(channel)

    def not_made(self, user: str, device: bytes, reasons: Reasons, *, relay: bool) -> None:
        """No channel came of a negotiation."""
        kind = "relayed" if relay else "direct"
        self._journal(
            "channel", user, f"no {kind} channel to device {device.hex()[:8]}: {in_words(reasons) or 'given up'}"
        )
        if relay or not reasons:
            return
        self._reasons.keep(user, reasons)
        self._changed(user)

    def _closed(self, channel: Link, reason: str) -> None:
        key = channel.device, channel.kind == "relay"
        if self._channels.get(key) is channel:
            del self._channels[key]
        self._sent_before += 0 if key[1] else channel.sent
        self._journal("channel", channel.user, f"{channel.kind} channel closed: {reason}")
        self._user.channel_closed(channel, reason)
        if not key[1] and not channel.parted and self.channel_to(channel.user) is None:
            self._upkeep.lost(channel.user)

    def _trust_changed(self, channel: QuicChannel, trust: Trust) -> None:
        """A path answers no more: use and find others. Or it has come back."""
        if self._channels.get((channel.device, False)) is not channel:
            return
        good = trust is Trust.GOOD
        what = "answers again" if good else "does not answer; what there is goes by other ways"
        self._journal("channel", channel.user, f"{channel.kind} channel with {channel.address} {what}")
        if good:
            self._upkeep.found(channel.user)
        self._trusted(channel, good)
        self._changed(channel.user)
        if not good:
            self._upkeep.lost(channel.user)
