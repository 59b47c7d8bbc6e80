"""The ``udp`` channel: QUIC over a path that checks have proved.

Its life is that of a `p2pim.net.channel.TcpChannel`: the handshake, a proof from each side, nomination, and only then
is it `adopt`-ed and anything else taken from it. Until then a `LinkOwner` decides.

What goes where: the first unidirectional stream in each direction carries control frames, `QUIC_LANES` further ones
carry bulk, in the frames of `p2pim.wire.channel`. A bulk stream keeps to one lane, so that its ranges arrive in order
whatever gets lost; a QUIC stream for each range would let a range overtake the end of the one before.

Control goes first because bulk is held back here: QUIC is given no more than `QUIC_BULK_BUFFER` at a time, and its
streams take turns packet by packet. Back-pressure to the reader of the file is the Deferred of `send_bulk`. At the
other end what has been handed on counts as read, and the receiver asks only for ranges that it can take; a user that
cannot keep up calls `pause`, and the windows close.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from qh3.quic.events import HandshakeCompleted, QuicEvent, StreamDataReceived, StreamReset
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from p2pim.core import limits
from p2pim.core.addresses import format_address
from p2pim.core.keepalive import Trust
from p2pim.errors import BadMessage, ChannelClosed, HandshakeTimeout, TooSlow, WireError
from p2pim.net.bulk import BulkQueue
from p2pim.net.channel_frames import ChannelParser
from p2pim.net.interfaces import IChannel, IChannelUser
from p2pim.net.own_addresses import source_towards
from p2pim.net.pings import Pings
from p2pim.net.quic_link import QuicLink
from p2pim.wire.channel import BULK_HEADER, pack_control
from p2pim.wire.signals import AnySignal, Bye, ChannelPing, ChannelPong, Nominate, Prove, Signal, decode_signal


class LinkOwner(Protocol):
    """Who decides about a connection until it is a channel; like that of a `p2pim.net.channel.TcpChannel`."""

    def link_secured(self, link: QuicChannel) -> None:
        """The handshake is done (and, for the dialler, the certificate the right one); nothing has been said."""

    def link_signal(self, link: QuicChannel, signal: AnySignal) -> None:
        """A `Prove` or `Nominate`. A `p2pim.errors.WireError` raised here ends the connection."""

    def link_lost(self, link: QuicChannel, reason: str) -> None:
        """It ended before it was a channel."""


_ANY: Final = ("0.0.0.0", "::")  # noqa: S104 - what a socket says that is bound to all addresses


class _Control:
    """Takes the frames of the control stream."""

    def __init__(self, channel: QuicChannel) -> None:
        self._channel = channel

    def control_frame(self, body: bytes) -> None:
        self._channel.control_received(decode_signal(body))

    def bulk_slice(self, stream: int, data: bytes) -> None:
        raise BadMessage("Bulk came on the control stream.")

    def bulk_end(self, stream: int, digest: bytes) -> None:
        raise BadMessage("Bulk came on the control stream.")


class _Lane:
    """Takes the frames of a stream of bulk."""

    def __init__(self, channel: QuicChannel, user: IChannelUser) -> None:
        self._channel = channel
        self._user = user

    def control_frame(self, body: bytes) -> None:
        raise BadMessage("A control frame came among bulk.")

    def bulk_slice(self, stream: int, data: bytes) -> None:
        self._user.bulk_received(self._channel, stream, data)

    def bulk_end(self, stream: int, digest: bytes) -> None:
        self._user.bulk_ended(self._channel, stream, digest)


@implementer(IChannel)
class QuicChannel:
    """A QUIC connection to another device. Made by `p2pim.net.quic_factory.UdpChannelFactory`.

    :param owner: who decides until `adopt`.
    :param dialler: whether this side dialled.
    :param wall: the time of day, in seconds since 1970.
    """

    kind = "udp"
    user = ""
    device = b""
    same_lan = False
    since = 0.0

    def __init__(
        self, clock: IReactorTime, owner: LinkOwner, link: QuicLink, *, dialler: bool, wall: Callable[[], float]
    ) -> None:
        self.link = link
        self.dialler = dialler
        self.sent = 0
        self.received = 0
        self.ended = False
        """Whether it is over: nothing more is sent, and nothing more comes from it."""
        self.parted = False
        """Whether it ended because one side wanted it to."""
        self.on_trust: Callable[[QuicChannel, Trust], None] | None = None
        """Called when the path is doubted, and when it is good again."""
        self._wall = wall
        self._owner: LinkOwner | None = owner
        self._user: IChannelUser | None = None
        self._closed: Callable[[QuicChannel, str], None] | None = None
        self._exported = b""
        self._bulk = BulkQueue()
        self._control = ChannelParser(_Control(self))
        self._lanes: dict[int, ChannelParser] = {}
        self._early: list[StreamDataReceived] = []
        self._pings = Pings(clock)
        self._timer: IDelayedCall | None = clock.callLater(limits.HANDSHAKE, self._too_late)
        link.user = self

    # --- what it is

    @property
    def address(self) -> str:
        """The other end's address, which changes with the path."""
        return format_address(*self.link.remote[:2])

    @property
    def local_address(self) -> str:
        """This end's address on the way to the other one."""
        host, port = self.link.socket.address[:2]
        if host in _ANY:
            host = source_towards(self.link.remote[:2]) or host
        return format_address(host, port)

    @property
    def rtt(self) -> float | None:
        """QUIC's own smoothed round-trip time."""
        return self.link.connection.rtt

    @property
    def trust_in_path(self) -> Trust:
        """What to think of the path."""
        return self.link.trust

    def exported_key(self) -> bytes:
        """What stands for this TLS session in a proof. From `LinkOwner.link_secured` on."""
        return self._exported

    def is_pinned(self, fingerprint: bytes) -> bool:
        """The dialler compared the certificate during the handshake, or there would be no link."""
        return self.dialler

    # --- becoming a channel

    def hand_to(self, owner: LinkOwner) -> None:
        """Another decides about it from now on."""
        if self._owner is not None:
            self._owner = owner

    def trust(self) -> None:
        """The other end has proved itself: what it sends may be longer now."""
        self._control.trust()

    def adopt(
        self,
        user: str,
        device: bytes,
        channel_user: IChannelUser,
        *,
        same_lan: bool,
        closed: Callable[[QuicChannel, str], None],
    ) -> None:
        """It is a channel to ``device`` of ``user`` from now on: ``channel_user`` gets what comes, ``closed`` is told
        of the end."""
        self.user, self.device, self.same_lan = user, device, same_lan
        self._closed = closed
        self.since = self._wall()
        self._owner, self._user = None, channel_user
        self._control.trust()
        self._stop_timer()
        self.link.used()
        if self._early:
            self.link.later(self._take_early)
        self.link.wake()

    def _take_early(self) -> None:
        """Bulk that had overtaken the nomination."""
        early, self._early = self._early, []
        for event in early:
            self.quic_event(event)

    def _too_late(self) -> None:
        self._timer = None
        self.drop(HandshakeTimeout.default)

    # --- sending

    def send(self, signal: Signal) -> None:
        """See `IChannel`."""
        if self.ended:
            return
        data = pack_control(signal)
        waiting = self.link.write(2 if self.dialler else 3, data)
        self.sent += len(data)
        self.link.wake()
        if not isinstance(signal, ChannelPing | ChannelPong):
            self.link.used()
        if waiting > limits.SEND_BACKLOG:
            self.drop(TooSlow.default)

    def send_bulk(self, stream: int, pieces: list[bytes], digest: bytes) -> Deferred[None]:
        """See `IChannel`."""
        done = self._bulk.add(stream, pieces, digest)
        if self.ended:
            self._bulk.fail(ChannelClosed.default)
        else:
            self.link.used()
            self.link.wake()
        return done

    def cancel_bulk(self, stream: int) -> None:
        """See `IChannel`. What QUIC has been given already still goes out: `QUIC_BULK_BUFFER` at most."""
        self._bulk.cancel(stream)

    def has_bulk(self) -> bool:
        """See `p2pim.net.quic_link.LinkUser`."""
        return bool(self._bulk) and self._user is not None

    def refill(self) -> None:
        """Give QUIC what it has room for."""
        room = limits.QUIC_BULK_BUFFER - self.link.connection.get_send_buffer_size()
        first_lane = 6 if self.dialler else 7
        while room > 0 and self._bulk and not self.ended:
            data, finished = self._bulk.next()
            stream = BULK_HEADER.unpack_from(data)[2]
            self.link.write(first_lane + 4 * (stream % limits.QUIC_LANES), data)
            room -= len(data)
            self.sent += len(data)
            if finished is not None and not finished.called:
                finished.callback(None)

    def ping(self) -> Deferred[float]:
        """See `IChannel`."""
        nonce, answer = self._pings.new()
        if self.ended:
            self._pings.fail(ChannelClosed.default)
        elif nonce is not None:
            self.send(ChannelPing(nonce))
        return answer

    def pause(self) -> None:
        """Take nothing more from the other side until `resume`: its windows fill, and it stops."""
        self.link.connection.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self.link.connection.resume()
        self.link.wake()

    def close(self, reason: str) -> None:
        """See `IChannel`."""
        self.parted = True
        self.link.close(reason)

    def drop(self, reason: str) -> None:
        """End it: the other end is gone, or not to be spoken to."""
        self.link.close(reason)

    # --- receiving

    def quic_event(self, event: QuicEvent) -> None:
        """See `p2pim.net.quic_link.LinkUser`."""
        try:
            if isinstance(event, StreamDataReceived):
                self._stream_data(event)
            elif isinstance(event, HandshakeCompleted):
                self._secured()
            elif isinstance(event, StreamReset):
                raise BadMessage("A stream was reset, which nobody does here.")
        except WireError as error:
            self.drop(error.message)

    def _secured(self) -> None:
        self._exported = self.link.connection.take_binding()
        self.link.live()
        if self._owner is not None:
            self._owner.link_secured(self)

    def _stream_data(self, event: StreamDataReceived) -> None:
        number = event.stream_id - (3 if self.dialler else 2)
        if number & 3 or not 0 <= number >> 2 <= limits.QUIC_LANES or event.end_stream:
            raise BadMessage(f"Nothing may come on stream {event.stream_id}, and none ends.")
        if number and self._user is None:
            self._keep(event)
            return
        self.received += len(event.data)
        (self._lane(number, self._user) if number and self._user else self._control).feed(event.data)

    def _keep(self, event: StreamDataReceived) -> None:
        """Bulk for a channel that is none yet: the proof or the nomination before it was lost and is on its way."""
        self._early.append(event)
        if (
            sum(len(kept.data) for kept in self._early) > limits.QUIC_EARLY
            or len(self._early) > limits.QUIC_EARLY_PARTS
        ):
            raise BadMessage("Bulk came before the proof.")

    def _lane(self, number: int, user: IChannelUser) -> ChannelParser:
        parser = self._lanes.get(number)
        if parser is None:
            parser = self._lanes[number] = ChannelParser(_Lane(self, user))
            parser.trust()
        return parser

    def control_received(self, signal: AnySignal) -> None:
        """A signal on the control stream."""
        if self.ended:
            return
        if self._owner is not None:
            self._owner.link_signal(self, signal)
        elif isinstance(signal, ChannelPing):
            self.send(ChannelPong(signal.nonce))
        elif isinstance(signal, ChannelPong):
            self._pings.answered(signal.nonce)
        elif isinstance(signal, Bye):
            self.drop(signal.reason)
        elif self._user is not None and not isinstance(signal, Prove | Nominate):
            self.link.used()
            self._user.signal_received(self.user, self.device, signal, self)

    # --- the end

    def link_trust(self, trust: Trust) -> None:
        """See `p2pim.net.quic_link.LinkUser`."""
        if self.on_trust is not None:
            self.on_trust(self, trust)

    def link_ended(self, reason: str) -> None:
        """See `p2pim.net.quic_link.LinkUser`. From here on it does not exist for its owner or user."""
        self.ended = True
        self.parted = self.parted or self.link.closed_there
        self._stop_timer()
        self._control.stop()
        for parser in self._lanes.values():
            parser.stop()
        self._early = []
        owner, self._owner = self._owner, None
        self._user = None
        closed, self._closed = self._closed, None
        self._bulk.fail(reason)
        self._pings.fail(reason)
        if owner is not None:
            owner.link_lost(self, reason)
        if closed is not None:
            closed(self, reason)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
