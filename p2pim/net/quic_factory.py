"""Makes ``udp`` channels, and brings each QUIC datagram to the one that it belongs to.

A datagram belongs to the connection whose id it names, and is taken only from the address that this connection's path
leads to: what comes from elsewhere with a known id is a path that somebody else has to check (`on_stray`). Most of the
time there is one connection with an address, and its batches are handed over whole.

A first packet (Initial) is taken at once from an address that is expected and has answered a keyed check. If a check
has only come from there, which somebody may have sent in its name, the packet is kept until there is an answer: the
flight of a handshake goes to nobody who did not ask for it. From any other address it is answered with a Retry when
strangers are welcome, at a limited rate and keeping nothing, and otherwise not at all.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from qh3.quic.events import ConnectionIdIssued, ConnectionIdRetired, QuicEvent
from twisted.internet.interfaces import IReactorTime

from p2pim.core import limits
from p2pim.core.rate import TokenBucket
from p2pim.net.certificates import CertificateAndKey
from p2pim.net.datagram import Address, DatagramSocket
from p2pim.net.quic import LinkOwner, QuicChannel
from p2pim.net.quic_connection import SMALLEST_DATAGRAM, LeanConnection, accept, dial
from p2pim.net.quic_link import DatagramSender, QuicLink
from p2pim.net.quic_tokens import Proved, RetryTokens
from p2pim.wire.demux import (
    SMALLEST_INITIAL,
    Batch,
    Kind,
    LongHeader,
    has_long_header,
    read_long_header,
    short_header_connection,
)

_LINKS_PER_ADDRESS: Final = 4
"""Connections with one address: the present one, and a new one from either side that is about to replace it."""
_KNOCKS_KEPT: Final = 2
"""First packets kept from an address that is not proved yet: a ClientHello fills one, or two."""
_Path = tuple[DatagramSender, str, int]


@dataclass
class _Awaited:
    """An address from which a call is expected."""

    datagram_size: int
    proved: bool
    """Whether it has answered; until then its first packets are kept."""
    knocks: list[bytes] = field(default_factory=list)


def _path(socket: DatagramSender, address: Address) -> _Path:
    return socket, address[0], address[1]


class UdpChannelFactory:
    """The ``udp`` channels of a peer.

    :param certificate: the peer's own; offers and answers carry its fingerprint.
    :param callers: decides about connections that come in.
    :param wall: the time of day.
    """

    def __init__(
        self,
        clock: IReactorTime,
        certificate: CertificateAndKey,
        callers: LinkOwner,
        rng: random.Random,
        wall: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._certificate = certificate
        self._callers = callers
        self._rng = rng
        self._wall = wall
        self.strangers = False
        """Whether first packets from addresses that nobody expects are answered, with a Retry."""
        self.on_stray: Callable[[QuicChannel, Address], None] | None = None
        """Called when a channel's datagram comes from another address than its path's; the datagram is dropped."""
        self._tokens = RetryTokens()
        self._retries = TokenBucket(limits.QUIC_RETRIES_PER_SECOND, limits.QUIC_RETRY_BURST, clock.seconds())
        self._expected: dict[_Path, _Awaited] = {}
        self._by_path: dict[_Path, list[QuicLink]] = {}
        self._by_id: dict[bytes, QuicLink] = {}
        self._channels: dict[QuicLink, QuicChannel] = {}
        self._touched: dict[QuicLink, None] = {}

    def attach(self, socket: DatagramSocket) -> None:
        """Take the QUIC datagrams of ``socket``."""
        socket.on_quic = partial(self.quic_received, socket)
        socket.on_read = self.read_ended
        socket.on_room = partial(self.room, socket)

    def detach(self, socket: DatagramSender, reason: str) -> None:
        """``socket`` is gone, and with it every channel over it."""
        for link in list(self._channels):
            if link.socket is socket:
                link.abandon(reason)
        for path in [path for path in self._expected if path[0] is socket]:
            del self._expected[path]

    # --- making channels

    def dial(
        self,
        socket: DatagramSender,
        remote: Address,
        fingerprint: bytes,
        owner: LinkOwner,
        *,
        datagram_size: int = SMALLEST_DATAGRAM,
    ) -> QuicChannel:
        """Call whoever is at the other end of the path from ``socket`` to ``remote``.

        :param fingerprint: of its certificate; anybody else is not spoken to.
        :param owner: hears what becomes of it.
        :param datagram_size: what the path is known to carry; more is found out.
        """
        connection = dial(fingerprint, datagram_size=datagram_size, ipv6=":" in remote[0])
        channel = self._new_channel(socket, remote, connection, owner, dialler=True)
        connection.begin(self._clock.seconds())
        channel.link.wake()
        return channel

    def expect(
        self, socket: DatagramSender, remote: Address, *, proved: bool = True, datagram_size: int = SMALLEST_DATAGRAM
    ) -> None:
        """A keyed check has come from ``remote``: its first packet will be taken as it is.

        :param proved: whether ``remote`` has also answered one; if not, its first packet waits until this is said.
        """
        path = _path(socket, remote)
        awaited = self._expected.get(path)
        if awaited is None:
            while len(self._expected) >= limits.QUIC_EXPECTED:
                self._expected.pop(next(iter(self._expected)))
            awaited = self._expected[path] = _Awaited(datagram_size, proved)
        if proved:
            awaited.proved = True
            knocks, awaited.knocks = awaited.knocks, []
            for datagram in knocks:
                self._sort(socket, datagram, remote)
            if knocks:
                self.read_ended()

    def unexpect(self, socket: DatagramSender, remote: Address) -> None:
        """Nobody is awaited from there any more."""
        self._expected.pop(_path(socket, remote), None)

    def move(self, channel: QuicChannel, socket: DatagramSender, remote: Address) -> None:
        """Carry ``channel`` on over another path, which a keyed check has proved. Nothing of it is lost."""
        link = channel.link
        if link in self._channels:
            self._leave_path(link)
            self._by_path.setdefault(_path(socket, remote), []).append(link)
            link.move(socket, remote)

    def stop(self) -> None:
        """Close everything, at once."""
        for link in list(self._channels):
            link.abandon("the other side has stopped")

    def _new_channel(
        self, socket: DatagramSender, remote: Address, connection: LeanConnection, owner: LinkOwner, *, dialler: bool
    ) -> QuicChannel:
        link = QuicLink(self._clock, socket, remote, connection, self._forget, self._rng)
        channel = QuicChannel(self._clock, owner, link, dialler=dialler, wall=self._wall)
        link.on_connection_id = self._connection_id
        self._channels[link] = channel
        self._by_path.setdefault(_path(socket, remote), []).append(link)
        self._by_id[connection.host_cid] = link
        return channel

    # --- what links tell

    def _connection_id(self, link: QuicLink, event: QuicEvent) -> None:
        if isinstance(event, ConnectionIdIssued):
            self._by_id[event.connection_id] = link
        elif isinstance(event, ConnectionIdRetired):
            self._by_id.pop(event.connection_id, None)

    def _leave_path(self, link: QuicLink) -> None:
        path = _path(link.socket, link.remote)
        links = self._by_path.get(path, [])
        if link in links:
            links.remove(link)
        if not links:
            self._by_path.pop(path, None)

    def _forget(self, link: QuicLink) -> None:
        self._channels.pop(link, None)
        self._touched.pop(link, None)
        self._leave_path(link)
        for known in [known for known, other in self._by_id.items() if other is link]:
            del self._by_id[known]

    def _unadopted(self) -> int:
        """Callers that are no channels yet."""
        return sum(1 for channel in self._channels.values() if not channel.dialler and not channel.since)

    # --- datagrams

    def quic_received(self, socket: DatagramSender, batch: Batch, address: Address) -> None:
        """QUIC datagrams came from ``address``."""
        links = self._by_path.get(_path(socket, address))
        if links is not None and len(links) == 1 and not has_long_header(batch):
            self._touched[links[0]] = None
            links[0].receive(batch)
            return
        for datagram in batch.datagrams():
            self._sort(socket, datagram, address)

    def read_ended(self) -> None:
        """Nothing more came in this wake-up: answer."""
        while self._touched:
            link, _ = self._touched.popitem()
            link.work()

    def room(self, socket: DatagramSender) -> None:
        """``socket`` takes datagrams again."""
        for link in list(self._channels):
            if link.socket is socket:
                link.work()

    def _sort(self, socket: DatagramSender, datagram: bytes, address: Address) -> None:
        header = read_long_header(datagram)
        known = self._by_id.get(header.destination if header else short_header_connection(datagram))
        if known is None:
            if header is not None and header.initial and len(datagram) >= SMALLEST_INITIAL:
                self._knock(socket, datagram, header, address)
        elif _path(known.socket, known.remote) == _path(socket, address):
            self._touched[known] = None
            known.receive(Batch(Kind.QUIC, datagram, len(datagram)))
        elif self.on_stray is not None and self._channels[known].since:
            self.on_stray(self._channels[known], address)

    def _knock(self, socket: DatagramSender, datagram: bytes, header: LongHeader, address: Address) -> None:
        """A first packet of a connection that is not known yet."""
        path = _path(socket, address)
        if self._unadopted() >= limits.QUIC_HANDSHAKES or len(self._by_path.get(path, ())) >= _LINKS_PER_ADDRESS:
            return
        awaited = self._expected.get(path)
        if awaited is not None and awaited.proved:
            self._accept(socket, datagram, address, Proved(header.destination, b""), awaited.datagram_size)
        elif awaited is not None:
            awaited.knocks = [*awaited.knocks, datagram][:_KNOCKS_KEPT]
        elif self.strangers:
            self._answer_stranger(socket, datagram, header, address)

    def _answer_stranger(self, socket: DatagramSender, datagram: bytes, header: LongHeader, address: Address) -> None:
        now = self._clock.seconds()
        if header.token:
            proved = self._tokens.check(header, address, now)
            if proved is not None:
                self._accept(socket, datagram, address, proved, SMALLEST_DATAGRAM)
        elif not self._retries.take(now):
            socket.send([self._tokens.retry(header, address, now)], address)

    def _accept(
        self, socket: DatagramSender, datagram: bytes, address: Address, proved: Proved, datagram_size: int
    ) -> None:
        connection = accept(
            self._certificate,
            proved.original_destination,
            retry_source=proved.retry_source or None,
            datagram_size=datagram_size,
            ipv6=":" in address[0],
        )
        channel = self._new_channel(socket, address, connection, self._callers, dialler=False)
        self._by_id[proved.retry_source or proved.original_destination] = channel.link
        self._touched[channel.link] = None
        channel.link.receive(Batch(Kind.QUIC, datagram, len(datagram)))
