"""One QUIC connection on one path: datagrams in and out, and its timers.

Whoever reads hands over batches and says once, at the end of the wake-up, that it is time to `work`: to hand on what
came, to bring what there is to send, and to send it, all of it together. One transmit per wake-up rather than one per
datagram is worth a factor of five.

The path is a socket and a remote address, and changing it (`move`) is nothing that QUIC hears of: see
`p2pim.net.quic_connection`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from qh3.quic.events import ConnectionIdIssued, ConnectionIdRetired, ConnectionTerminated, QuicEvent
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from p2pim.core.keepalive import KeepAlive, Trust
from p2pim.net.datagram import Address
from p2pim.net.quic_connection import LeanConnection, QuicConnectionError
from p2pim.wire.demux import Batch

_EARLY = 0.0005
"""Twisted's timers are good to a millisecond: one that is due in less is due."""
_PROBING = 5.0
"""Seconds without a larger datagram getting through after which none is hoped for."""
_HEARTBEAT = 0  # the id of a ping that nobody asks about


class DatagramSender(Protocol):
    """What a link needs of a socket."""

    address: Address

    @property
    def full(self) -> bool: ...

    def send(self, datagrams: Sequence[bytes], address: Address) -> None: ...


class LinkUser(Protocol):
    """Who uses a link."""

    def quic_event(self, event: QuicEvent) -> None:
        """Something happened in the connection."""

    def has_bulk(self) -> bool:
        """Whether bulk waits to be brought."""

    def refill(self) -> None:
        """The link is about to send: bring bulk, as much as there is room for."""

    def link_trust(self, trust: Trust) -> None:
        """What to think of the path has changed, but for `Trust.DEAD`, which ends the link."""

    def link_ended(self, reason: str) -> None:
        """Nothing comes or goes any more. Called once."""


def _why(event: ConnectionTerminated) -> str:
    """Why a connection ended, for people."""
    if event.frame_type is not None:
        return f"QUIC failed: {event.reason_phrase}"
    return f"closed by the other side: {event.reason_phrase}" if event.reason_phrase else "closed by the other side"


class QuicLink:
    """A connection at work.

    :param remote: where its datagrams go, and the only address they are taken from.
    :param forget: called once, when the connection has no use for datagrams any more.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        socket: DatagramSender,
        remote: Address,
        connection: LeanConnection,
        forget: Callable[[QuicLink], None],
        rng: random.Random,
    ) -> None:
        self._clock = clock
        self.socket = socket
        self.remote = remote
        self.connection = connection
        self.user: LinkUser | None = None
        self.on_connection_id: Callable[[QuicLink, QuicEvent], None] | None = None
        """Told of the connection ids that come and go."""
        self._forget = forget
        self._rng = rng
        self._life: KeepAlive | None = None
        self._size = 0
        self._probe_until: float | None = None
        self.trust = Trust.GOOD
        self.closed_there = False
        """Whether the other side has said goodbye."""
        self._ended = self._forgotten = False
        self._postponed: list[Callable[[], None]] = []
        self._timer: IDelayedCall | None = None
        self._soon: IDelayedCall | None = None

    def live(self) -> None:
        """The handshake is done: heartbeats from now on."""
        now = self._clock.seconds()
        self._life = KeepAlive(now, self._rng)
        if self.connection.configuration.is_client:
            self._probe_until = now + _PROBING

    def used(self) -> None:
        """Something of a person's goes over the link."""
        if self._life is not None:
            self._life.used(self._clock.seconds())

    def move(self, socket: DatagramSender, remote: Address) -> None:
        """Go on over another path, one that a keyed check has proved."""
        self.socket, self.remote = socket, remote
        self.wake()

    # --- work

    def receive(self, batch: Batch) -> None:
        """Datagrams for this connection came; `work` follows."""
        now = self._clock.seconds()
        try:
            if self.connection.receive(batch.data, batch.size, now) and self._life is not None:
                self._life.answered(now)
        except QuicConnectionError as error:
            self._fail(f"QUIC failed: {error.reason_phrase}")

    def wake(self) -> None:
        """There is something to send: `work` at the next turn of the reactor."""
        if self._soon is None and not self._forgotten:
            self._soon = self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        self._soon = None
        self.work()

    def work(self) -> None:
        """Hand on what came, send what is to be sent, and set the timer."""
        try:
            self._hand_on()
            if self.user is not None and self.user.has_bulk() and self._room():
                if self._probing():
                    self._send()  # with nothing left to send, which is when qh3 sends a probe
                self.user.refill()
            self._send()  # no oftener than needed: qh3 counts each time against its pacing
        except QuicConnectionError as error:
            self._fail(f"QUIC failed: {error.reason_phrase}")
        if not self._forgotten:
            self._check_life()
            self._set_timer()

    def later(self, function: Callable[[], None]) -> None:
        """Call ``function`` in the next `work`, before anything newer is handed on."""
        self._postponed.append(function)
        self.wake()

    def _hand_on(self) -> None:
        connection = self.connection
        while self._postponed and not self._ended:
            self._postponed.pop(0)()
        while (event := connection.next_event()) is not None:
            if isinstance(event, ConnectionTerminated):
                self._closed(event)
                self._drop()
            elif isinstance(event, ConnectionIdIssued | ConnectionIdRetired):
                if self.on_connection_id is not None:
                    self.on_connection_id(self, event)
            elif self.user is not None and not self._ended:
                self._tell(self.user, event)
        if connection.ended is not None:
            self._closed(connection.ended)

    def _tell(self, user: LinkUser, event: QuicEvent) -> None:
        try:
            user.quic_event(event)
        except Exception:  # noqa: BLE001  (other connections share this wake-up)
            self._log.failure("What came over a channel could not be handled")
            self.close("something went wrong here")

    def _room(self) -> bool:
        """Whether bulk may be brought. While the path's size is being found, only once all that was brought is gone."""
        if self._ended or self.socket.full:
            return False
        return not self._probing() or not self.connection.get_send_buffer_size()

    def _probing(self) -> bool:
        """Whether a larger datagram may soon be known to pass: no news for a while mean that none does."""
        if self._probe_until is None:
            return False
        size, now = self.connection.largest_datagram, self._clock.seconds()
        if size > self._size:
            self._size, self._probe_until = size, now + _PROBING
        if size >= self.connection.most_datagram or now > self._probe_until:
            self._probe_until = None
        return self._probe_until is not None

    def _send(self) -> None:
        if not self.socket.full and not self._forgotten:
            datagrams = self.connection.transmit(self._clock.seconds())
            if datagrams:
                self.socket.send(datagrams, self.remote)

    def write(self, stream: int, data: bytes) -> int:
        """Queue ``data`` on a QUIC stream; how many bytes wait there now. On an ended connection nothing happens."""
        connection = self.connection
        if self._ended or connection.ended is not None:
            return 0
        connection.send_stream_data(stream, data)
        return connection.get_send_buffer_size(stream)

    # --- time

    def _check_life(self) -> None:
        if self._life is None or self._ended:
            return
        now = self._clock.seconds()
        if self._life.probe_due(now):
            self.connection.send_ping(_HEARTBEAT)
            self._send()
        trust = self._life.trust(now)
        if trust is not self.trust:
            self.trust = trust
            if trust is Trust.DEAD:
                self._fail("The other side has not answered for too long.")
            elif self.user is not None:
                self.user.link_trust(trust)

    def _set_timer(self) -> None:
        """Keep one timer, never later than needed. An earlier one is left: resetting it each time costs more."""
        times = [time for time in (self.connection.timer(), self._life_time()) if time is not None]
        if not times:
            return
        at = min(times)
        if self._timer is None or not self._timer.active():
            self._timer = self._clock.callLater(max(at - self._clock.seconds(), 0.0), self._timed)
        elif at < self._timer.getTime() - _EARLY:
            self._timer.reset(max(at - self._clock.seconds(), 0.0))

    def _life_time(self) -> float | None:
        if self._life is None or self._ended:
            return None
        return self._life.next_time(self._clock.seconds())

    def _timed(self) -> None:
        now = self._clock.seconds()
        due = self.connection.timer()
        try:
            if due is not None and due <= now + _EARLY:
                self.connection.time_passed(max(due, now))
        except QuicConnectionError as error:
            self._fail(f"QUIC failed: {error.reason_phrase}")
        self.work()

    # --- the end

    def close(self, reason: str) -> None:
        """Say goodbye. The connection lingers, to say it again to whoever did not hear it."""
        if self._ended:
            return
        self._ended = True
        try:
            self._send()
            self.connection.close(reason_phrase=reason)
            self.work()
        except QuicConnectionError:
            self._drop()
        if self.user is not None:
            self.user.link_ended(reason)

    def _closed(self, event: ConnectionTerminated) -> None:
        self.closed_there = event.frame_type is None
        self._end(_why(event))

    def _end(self, reason: str) -> None:
        """The other side has closed, or broken the protocol."""
        if not self._ended:
            self._ended = True
            if self.user is not None:
                self.user.link_ended(reason)

    def _fail(self, reason: str) -> None:
        """End without a word: there is nobody to say it to."""
        self._end(reason)
        self._drop()

    def _drop(self) -> None:
        if not self._forgotten:
            self._forgotten = True
            for timer in (self._timer, self._soon):
                if timer is not None and timer.active():
                    timer.cancel()
            self._timer = self._soon = None
            self._forget(self)

    def abandon(self, reason: str) -> None:
        """End at once, telling the other side a single time: the socket is about to close."""
        self.close(reason)
        self._drop()
