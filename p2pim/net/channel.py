"""One channel over TLS: the kinds ``tcp`` and ``relay``, which differ only in how their bytes travel.

The life of a connection that may become a channel: TLS stands, each side proves itself (`Prove`), the offerer
nominates, and only then is the channel `adopt`-ed and anything but a proof taken from it. Until then a `LinkOwner`
decides; a connection that has not come so far in `HANDSHAKE` seconds is closed.

Control is written at once, bulk only while the transport wants more, one chunk at a time: between a control frame and
the wire there are never more than one chunk in this process and `NOT_SENT` bytes in the kernel.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Final, Protocol, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionClosed, ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IDelayedCall,
    IHandshakeListener,
    IPushProducer,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim.core.addresses import format_address
from p2pim.core.heartbeat import Beat, Heartbeat, smoothed
from p2pim.core.limits import (
    BULK_CHUNK,
    CHANNEL_CLOSING,
    CHANNEL_PING,
    CHANNEL_PINGS,
    HANDSHAKE,
    HEARTBEAT,
    PATIENCE,
    SEND_BACKLOG,
)
from p2pim.errors import ChannelClosed, HandshakeTimeout, HeartbeatTimeout, TimedOut, TooSlow, WireError
from p2pim.net.bulk import BulkQueue
from p2pim.net.channel_frames import ChannelParser
from p2pim.net.interfaces import IChannel, IChannelUser
from p2pim.net.peer_tls import exported_key, is_pinned, speaks_channel
from p2pim.wire.channel import pack_control
from p2pim.wire.signals import AnySignal, Bye, ChannelPing, ChannelPong, Nominate, Prove, Signal, decode_signal

NOT_SENT: Final = 4 * BULK_CHUNK
"""Unsent bytes that the kernel may hold (TCP_NOTSENT_LOWAT), which is what a control frame may have to wait for: 0.2
s at 10 Mbit/s. Half of it made bulk on loopback a tenth dearer, in wake-ups."""
_REASON: Final = 300


class LinkOwner(Protocol):
    """Who decides about a connection until it is a channel."""

    def link_secured(self, link: TcpChannel) -> None:
        """TLS stands; nothing has been said inside it."""

    def link_signal(self, link: TcpChannel, signal: AnySignal) -> None:
        """A `Prove` or `Nominate`. A `p2pim.errors.WireError` raised here ends the connection."""

    def link_lost(self, link: TcpChannel, reason: str) -> None:
        """It ended before it was a channel."""


@implementer(IChannel, IPushProducer, IHandshakeListener)
class TcpChannel(TwistedProtocol):
    """A TLS connection to another device; see the module for its life.

    :param owner: who decides until `adopt`.
    :param wall: seconds since 1970, for `since`.
    :param kind: "tcp" or "relay".
    """

    user = ""
    device = b""
    same_lan = False
    rtt: float | None = None
    since = 0.0
    parted = False  # whether it ended because one side wanted it to

    def __init__(self, clock: IReactorTime, owner: LinkOwner, *, wall: Callable[[], float], kind: str = "tcp") -> None:
        self.kind = kind
        self.address = self.local_address = ""
        self.sent = 0
        self.received = 0
        self.ended = False
        """Whether it is over: nothing more is sent, and nothing more comes from it."""
        self._clock = clock
        self._wall = wall
        self._owner: LinkOwner | None = owner
        self._known: Callable[[], None] | None = None
        self._closed: Callable[[TcpChannel, str], None] | None = None
        self._user: IChannelUser | None = None
        self._parser = ChannelParser(self)
        self._bulk = BulkQueue()
        self._paused = False
        self._pumping = False
        self._behind = 0
        self._heartbeat = Heartbeat(HEARTBEAT, PATIENCE, clock.seconds())
        self._timer: IDelayedCall | None = None
        self._nonce = 0
        self._pings: dict[int, tuple[float, Deferred[float] | None]] = {}

    # --- the connection

    def connectionMade(self) -> None:
        transport = self._transport()
        self.address = _text(transport.getPeer())
        self.local_address = _text(transport.getHost())
        tune(transport)
        self._timer = self._clock.callLater(HANDSHAKE, self._too_late)

    def handshakeCompleted(self) -> None:
        if self._owner is None or self.ended:
            return
        if speaks_channel(self._transport()):
            self._owner.link_secured(self)
        else:
            self.drop("what is at the other end does not speak this protocol")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_timer()
        if not self.ended:
            self._finish(explain(reason))

    def dataReceived(self, data: bytes) -> None:
        if self.ended:
            return
        self.received += len(data)
        self._heartbeat.heard = True
        try:
            self._parser.feed(data)
        except WireError as error:
            self.drop(error.message)

    def _transport(self) -> ITCPTransport:
        assert self.transport is not None
        return cast(ITCPTransport, self.transport)

    def _too_late(self) -> None:
        self._timer = None
        self.drop(HandshakeTimeout.default)

    def exported_key(self) -> bytes:
        """What stands for this TLS session in a proof. From `LinkOwner.link_secured` on."""
        return exported_key(self._transport())

    def is_pinned(self, fingerprint: bytes) -> bool:
        """Whether the other end has the certificate with ``fingerprint``. From `LinkOwner.link_secured` on."""
        return is_pinned(self._transport(), fingerprint)

    # --- becoming a channel

    def hand_to(self, owner: LinkOwner) -> None:
        """Another decides about it from now on."""
        if self._owner is not None:
            self._owner = owner

    def when_known(self, known: Callable[[], None]) -> None:
        """``known`` is called once: when the other end has proved itself, or it is all over."""
        self._known = known

    def trust(self) -> None:
        """The other end has proved itself: what it sends may be longer now."""
        self._parser.trust()
        self._tell_known()

    def _tell_known(self) -> None:
        known, self._known = self._known, None
        if known is not None:
            known()

    def adopt(
        self,
        user: str,
        device: bytes,
        channel_user: IChannelUser,
        *,
        same_lan: bool,
        closed: Callable[[TcpChannel, str], None],
    ) -> None:
        """It is a channel to ``device`` of ``user`` from now on: ``channel_user`` gets what comes, ``closed`` is told
        of the end."""
        self.user, self.device, self.same_lan = user, device, same_lan
        self._closed = closed
        self.since = self._wall()
        self._owner, self._user = None, channel_user
        self.trust()
        cast(IConsumer, self.transport).registerProducer(self, True)
        self._stop_timer()
        self._heartbeat.heard = True
        self._beat()

    # --- IChannel

    def send(self, signal: Signal) -> None:
        if self.ended:
            return
        data = pack_control(signal)
        self.sent += len(data)
        self._transport().write(data)
        if self._paused:
            self._behind += len(data)
            if self._behind > SEND_BACKLOG:
                self.drop(TooSlow.default)

    def send_bulk(self, stream: int, pieces: list[bytes], digest: bytes) -> Deferred[None]:
        queued = self._bulk.add(stream, pieces, digest)
        if self.ended:
            self._bulk.fail(ChannelClosed.default)
        self._pump()
        return queued

    def cancel_bulk(self, stream: int) -> None:
        self._bulk.cancel(stream)

    def ping(self) -> Deferred[float]:
        answer: Deferred[float] = Deferred()
        if self.ended or len(self._pings) >= CHANNEL_PINGS:
            answer.errback(ChannelClosed() if self.ended else TimedOut("Too many pings wait for an answer."))
            return answer
        nonce = self._send_ping(answer)
        late = self._clock.callLater(CHANNEL_PING, self._ping_late, nonce)
        answer.addBoth(_cancelling(late))
        return answer

    def close(self, reason: str) -> None:
        if self.ended:
            return
        self._transport().write(pack_control(Bye(reason[:_REASON])))
        self._finish(reason, self._leave)

    def drop(self, reason: str) -> None:
        """End it without a word: the other end is gone, or not to be spoken to."""
        if not self.ended:
            self._finish(reason, self._abort)

    # --- frames

    def bulk_slice(self, stream: int, data: bytes) -> None:
        if self._user is not None:
            self._user.bulk_received(self, stream, data)

    def bulk_end(self, stream: int, digest: bytes) -> None:
        if self._user is not None:
            self._user.bulk_ended(self, stream, digest)

    def control_frame(self, body: bytes) -> None:
        signal = decode_signal(body)
        if self._owner is not None:
            self._owner.link_signal(self, signal)
        elif isinstance(signal, ChannelPing):
            self.send(ChannelPong(signal.nonce))
        elif isinstance(signal, ChannelPong):
            self._pong(signal.nonce)
        elif isinstance(signal, Bye):
            self._said_bye(signal.reason)
        elif self._user is not None and not isinstance(signal, Prove | Nominate):
            self._user.signal_received(self.user, self.device, signal, self)

    def _said_bye(self, reason: str) -> None:
        self._finish(f"closed by the other side: {reason}" if reason else "closed by the other side", self._leave)

    # --- bulk

    def _pump(self) -> None:
        """Write chunks while they are wanted. What fires meanwhile may queue more, which this same loop takes."""
        if self._pumping or self.ended or self._user is None:
            return
        self._pumping = True
        write = self._transport().write
        while not self._paused and self._bulk and not self.ended:
            data, finished = self._bulk.next()
            self.sent += len(data)
            write(data)
            if finished is not None and not finished.called:
                finished.callback(None)
        self._pumping = False

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._behind = 0
        self._pump()

    def stopProducing(self) -> None:
        self._paused = True

    # --- life signs

    def _beat(self) -> None:
        self._timer = None
        if self._heartbeat.beat(self._clock.seconds()) is Beat.DEAD:
            self.drop(HeartbeatTimeout.default)
            return
        self._timer = self._clock.callLater(HEARTBEAT, self._beat)
        self._send_ping(None)

    def _send_ping(self, answer: Deferred[float] | None) -> int:
        self._nonce += 1
        self._pings[self._nonce] = (self._clock.seconds(), answer)
        self.send(ChannelPing(self._nonce))
        return self._nonce

    def _pong(self, nonce: int) -> None:
        at, answer = self._pings.pop(nonce, (None, None))
        if at is None:
            return
        took = self._clock.seconds() - at
        self.rtt = smoothed(self.rtt, took)
        for older in [known for known, (_, waiting) in self._pings.items() if known < nonce and waiting is None]:
            del self._pings[older]
        if answer is not None:
            answer.callback(took)

    def _ping_late(self, nonce: int) -> None:
        _, answer = self._pings.pop(nonce, (0.0, None))
        if answer is not None:
            answer.errback(TimedOut("The other side did not answer the ping in time."))

    # --- the end

    def _finish(self, reason: str, leave: Callable[[], None] | None = None) -> None:
        """From here on it does not exist for its owner or user; ``leave`` ends the connection."""
        self.ended = True
        self._parser.stop()
        self._stop_timer()
        owner, self._owner = self._owner, None
        user, self._user = self._user, None
        closed, self._closed = self._closed, None
        if user is not None:
            cast(IConsumer, self.transport).unregisterProducer()
        if leave is not None:
            leave()
        self._bulk.fail(reason)
        pings, self._pings = self._pings, {}
        for _, answer in pings.values():
            if answer is not None:
                answer.errback(ChannelClosed(reason))
        if owner is not None:
            owner.link_lost(self, reason)
        self._tell_known()
        if closed is not None:
            closed(self, reason)

    def _leave(self) -> None:
        self.parted = True
        self._transport().loseConnection()
        self._timer = self._clock.callLater(CHANNEL_CLOSING, self._abort)

    def _abort(self) -> None:
        self._timer = None
        self._transport().abortConnection()

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def _cancelling(late: IDelayedCall) -> Callable[[object], object]:
    def passed_on(result: object) -> object:
        if late.active():
            late.cancel()
        return result

    return passed_on


def _text(address: IAddress) -> str:
    host, port = getattr(address, "host", ""), getattr(address, "port", 0)
    return format_address(host, port) if host else ""


def tune(transport: ITCPTransport) -> None:
    """Make the kernel send small frames at once and hold little of the large ones back."""
    transport.setTcpNoDelay(True)
    raw = getattr(transport, "transport", transport)
    handle = raw.getHandle() if hasattr(raw, "getHandle") else None
    if isinstance(handle, socket.socket) and hasattr(socket, "TCP_NOTSENT_LOWAT"):
        handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT)


def explain(reason: Failure) -> str:
    """Why a connection ended, for people."""
    if reason.check(ConnectionDone):
        return "the other side closed the connection"
    if reason.check(ConnectionClosed):
        return "the connection was lost"
    return reason.getErrorMessage()[:_REASON] or type(reason.value).__name__
