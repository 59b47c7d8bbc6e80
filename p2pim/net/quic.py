"""The ``udp`` channel: QUIC over a path that checks have proved.

What goes where:

- The bidirectional stream 0, opened by the dialler, carries control frames both ways, `Prove` first.
- `QUIC_LANES` unidirectional streams in each direction carry bulk, in the frames of `p2pim.wire.channel`. A bulk stream
  keeps to one lane, so its ranges arrive in order whatever gets lost; a QUIC stream for each range would let a range
  overtake the end of the one before it.

Control goes first because bulk is held back here: QUIC is given no more than `QUIC_BULK_BUFFER` at a time, and its
streams take turns packet by packet. Back-pressure to the reader of the file is the Deferred of `send_bulk`. At the
other end what has been handed on counts as read, and the receiver asks only for ranges that it can take; a user that
cannot keep up calls `pause`, and the windows close.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from qh3.quic.events import HandshakeCompleted, QuicEvent, StreamDataReceived, StreamReset
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from p2pim.core import limits
from p2pim.core.addresses import format_address
from p2pim.core.keepalive import Trust
from p2pim.core.proof import DIALLED, DIALLER, is_proof, make_proof
from p2pim.errors import BadMessage, ChannelProofFailed, WireError
from p2pim.net.bulk import BulkQueue
from p2pim.net.channel_frames import ChannelParser
from p2pim.net.interfaces import IChannel, IChannelUser
from p2pim.net.pings import Pings
from p2pim.net.quic_link import QuicLink
from p2pim.wire.channel import BULK_HEADER, pack_control
from p2pim.wire.signals import AnySignal, Bye, ChannelPing, ChannelPong, Prove, Signal, decode_signal

CONTROL_STREAM: Final = 0


@dataclass(frozen=True)
class Introduction:
    """What a negotiation settled about the device at the other end of a path."""

    negotiation: bytes
    key: bytes = field(repr=False)
    """See `p2pim.core.proof.channel_key`."""
    user: str
    device: bytes
    fingerprint: bytes
    """Of its certificate."""
    same_lan: bool = False


class Registry(Protocol):
    """Where a channel finds out who is at the other end, and tells how it went."""

    def introduced(self, negotiation: bytes) -> Introduction | None:
        """Who was to come with this ``negotiation``."""

    def channel_opened(self, channel: QuicChannel) -> None:
        """Both ends have proved themselves."""

    def channel_failed(self, channel: QuicChannel, reason: str) -> None:
        """It ended before that."""


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
    """See `IChannel`. Made by `p2pim.net.quic_factory.UdpChannelFactory`.

    :param introduction: who is dialled; None at the side that is called, which learns it from the caller's `Prove`.
    :param wall: the time of day, in seconds since 1970.
    """

    kind = "udp"

    def __init__(
        self,
        clock: IReactorTime,
        link: QuicLink,
        user: IChannelUser,
        registry: Registry,
        introduction: Introduction | None,
        wall: Callable[[], float],
    ) -> None:
        self.link = link
        self._channel_user = user
        self._registry = registry
        self._introduction = introduction
        self._dialler = introduction is not None
        self._binding = b""
        self._wall = wall
        self.proved = self.closed = False
        self.user, self.device, self.same_lan = "", b"", False
        self.sent = self.received = 0
        self.since = 0.0
        self._bulk = BulkQueue()
        self._control = ChannelParser(_Control(self))
        self._lanes: dict[int, ChannelParser] = {}
        self._early: list[StreamDataReceived] = []  # a bounded many: no more than the windows let through
        self._pings = Pings(clock)
        self.on_trust: Callable[[QuicChannel, Trust], None] | None = None
        """Called when the path is doubted, and when it is good again."""
        link.user = self

    # --- what it is

    @property
    def address(self) -> str:
        """The other end's address, which changes with the path."""
        return format_address(*self.link.remote[:2])

    @property
    def local_address(self) -> str:
        """This end's address as the socket is bound."""
        return format_address(*self.link.socket.address[:2])

    @property
    def rtt(self) -> float | None:
        """QUIC's own smoothed round-trip time."""
        return self.link.connection.rtt if self.proved else None

    @property
    def trust(self) -> Trust:
        """What to think of the path."""
        return self.link.trust

    # --- sending

    def send(self, signal: Signal) -> None:
        """See `IChannel`."""
        if self.closed or not self.proved:
            return
        self._send_control(signal)
        self.link.used()
        if self.link.connection.get_send_buffer_size(CONTROL_STREAM) > limits.SEND_BACKLOG:
            self.close("The other side does not read.")

    def _send_control(self, signal: Signal) -> None:
        data = pack_control(signal)
        self.link.connection.send_stream_data(CONTROL_STREAM, data)
        self.sent += len(data)
        self.link.wake()

    def send_bulk(self, stream: int, pieces: list[bytes], digest: bytes) -> Deferred[None]:
        """See `IChannel`."""
        done = self._bulk.add(stream, pieces, digest)
        if self.closed or not self.proved:
            self._bulk.fail("The channel is closed.")
        else:
            self.link.used()
            self.link.wake()
        return done

    def cancel_bulk(self, stream: int) -> None:
        """See `IChannel`. What QUIC has been given already still goes out: `QUIC_BULK_BUFFER` at most."""
        self._bulk.cancel(stream)

    def refill(self) -> None:
        """Give QUIC what it has room for."""
        if not self._bulk:
            return
        connection = self.link.connection
        room = limits.QUIC_BULK_BUFFER - connection.get_send_buffer_size()
        first = 2 if self._dialler else 3
        while room > 0 and self._bulk:
            data, done = self._bulk.next()
            stream = BULK_HEADER.unpack_from(data)[2]
            connection.send_stream_data(first + 4 * (stream % limits.QUIC_LANES), data)
            room -= len(data)
            self.sent += len(data)
            if done is not None:
                done.callback(None)

    def ping(self) -> Deferred[float]:
        """See `IChannel`."""
        nonce, answer = self._pings.new()
        if self.closed or not self.proved:
            self._pings.fail("The channel is closed.")
        else:
            self._send_control(ChannelPing(nonce))
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
        self.link.close(reason)

    # --- receiving

    def quic_event(self, event: QuicEvent) -> None:
        """See `p2pim.net.quic_link.LinkUser`."""
        try:
            if isinstance(event, StreamDataReceived):
                self._stream_data(event)
            elif isinstance(event, HandshakeCompleted):
                self._shaken()
            elif isinstance(event, StreamReset):
                raise BadMessage("A stream was reset, which nobody does here.")
        except WireError as error:
            self.close(error.message)

    def _stream_data(self, event: StreamDataReceived) -> None:
        if event.stream_id == CONTROL_STREAM:
            self.received += len(event.data)
            self._control.feed(event.data)
        elif self.proved:
            self.received += len(event.data)
            self._lane(event.stream_id).feed(event.data)
        elif self._dialler:
            self._early.append(event)  # it has overtaken the other side's proof
        else:
            raise BadMessage("Bulk came before the proof.")
        if event.end_stream:
            raise BadMessage("A stream ended, which none does here.")

    def _lane(self, stream_id: int) -> ChannelParser:
        parser = self._lanes.get(stream_id)
        if parser is None:
            if stream_id & 3 != (3 if self._dialler else 2) or stream_id >> 2 >= limits.QUIC_LANES:
                raise BadMessage(f"There is no stream {stream_id} here.")
            parser = self._lanes[stream_id] = ChannelParser(_Lane(self, self._channel_user))
            parser.trust()
        return parser

    def control_received(self, signal: AnySignal) -> None:
        """A signal on the control stream."""
        if self.closed:
            return
        if not self.proved:
            self._check_proof(signal)
        elif isinstance(signal, ChannelPing):
            self._send_control(ChannelPong(signal.nonce))
        elif isinstance(signal, ChannelPong):
            self._pings.answered(signal.nonce)
        elif isinstance(signal, Bye):
            self.close(signal.reason)
        elif isinstance(signal, Prove):
            raise BadMessage("A second proof came.")
        else:
            self.link.used()
            self._channel_user.signal_received(self.user, self.device, signal, self)

    # --- proof

    def _shaken(self) -> None:
        """TLS is done: the dialler has checked the certificate, and proves itself."""
        self._binding = self.link.connection.take_binding()
        self.link.live()
        if self._introduction is not None:
            self._prove(self._introduction, DIALLER)

    def _prove(self, introduction: Introduction, role: bytes) -> None:
        mac = make_proof(introduction.key, role, self._binding)
        self._send_control(Prove(introduction.negotiation, mac))

    def _check_proof(self, signal: AnySignal) -> None:
        introduction = self._introduction
        if isinstance(signal, Prove) and introduction is None:
            introduction = self._registry.introduced(signal.negotiation)
        role = DIALLED if self._dialler else DIALLER
        if (
            not isinstance(signal, Prove)
            or introduction is None
            or introduction.negotiation != signal.negotiation
            or not is_proof(signal.mac, introduction.key, role, self._binding)
        ):
            self.close(ChannelProofFailed().message)
            return
        if not self._dialler:
            self._prove(introduction, DIALLED)
        self._open(introduction)

    def _open(self, introduction: Introduction) -> None:
        self._introduction = introduction
        self.user, self.device = introduction.user, introduction.device
        self.same_lan = introduction.same_lan
        self.since = self._wall()
        self.proved = True
        self._control.trust()
        self._registry.channel_opened(self)
        early, self._early = self._early, []
        for event in early:
            self.quic_event(event)

    # --- the end

    def link_trust(self, trust: Trust) -> None:
        """See `p2pim.net.quic_link.LinkUser`."""
        if self.on_trust is not None:
            self.on_trust(self, trust)

    def link_ended(self, reason: str) -> None:
        """See `p2pim.net.quic_link.LinkUser`."""
        self.closed = True
        self._control.stop()
        for parser in self._lanes.values():
            parser.stop()
        self._early = []
        self._bulk.fail(reason)
        self._pings.fail(reason)
        if self.proved:
            self._channel_user.channel_closed(self, reason)
        else:
            self._registry.channel_failed(self, reason)
