"""The sockets of a P2P server: on each address two ports, the one that is told to everybody and its companion."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from p2pim.core.limits import STUN_DATAGRAM, STUN_SOCKET_BUFFER
from p2pim.core.stun_answers import Answer, Outcome, Site, StunAnswers
from p2pim.errors import BadConfig
from p2pim.p2pserver.addresses import family, parse_ip, second_address, to_sockaddr, to_text
from p2pim.p2pserver.counters import P2pCounters
from p2pim.p2pserver.sites import Sites, remark_from, want_remarks
from p2pim.wire.stun import Address

COMPANION_DISTANCE: Final = 10_000
"""From the port to its companion where none is configured: predictable, so that firewalls can be opened, and far enough
for neighbouring ports to stay free for other servers."""
_ANY: Final = (bytes(4), bytes(16))
_TRIES: Final = 16
_NO_SUCH_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
_CONTROL_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class P2pSettings:
    """What an operator may choose.

    :raises BadConfig: an address is none, or the ports are the same.
    """

    port: int = 9901
    interface: str = ""
    """The address to listen on; empty: all."""
    alternate_port: int = 0
    """The companion port; 0: `COMPANION_DISTANCE` above the port, or any free one where that is taken."""
    alternate_address: str = ""
    """The second address; empty: found by itself where the host has one; "none": not used."""
    rate: float = 100.0
    burst: float = 300.0
    free_loopback: bool = True
    """Whether this very machine may ask as often as it likes."""

    def __post_init__(self) -> None:
        for name, port in (("port", self.port), ("alternate_port", self.alternate_port)):
            if not 0 <= port <= 65_535:
                raise BadConfig(f"{name} = {port}: a port is a number from 0 to 65535.")
        if self.port and self.port == self.alternate_port:
            raise BadConfig(f"port and alternate_port are both {self.port}; they must differ.")
        if self.rate <= 0 or self.burst < 2:
            raise BadConfig("rate must be above 0 and burst at least 2.")
        self.second(bytes(4))
        self.addresses()

    def addresses(self) -> list[bytes]:
        """The addresses to bind; as everywhere in networking, ``::`` stands for IPv4 too."""
        return list(_ANY) if self.interface in ("", "::") else [parse_ip(self.interface)]

    def second(self, ip: bytes) -> bytes | None:
        """The second address for askers who use ``ip``."""
        text = self.alternate_address
        configured = b"" if text == "none" else parse_ip(text) if text else None
        return second_address(ip, configured) if any(ip) else None


@dataclass(slots=True)
class BoundSocket:
    """One socket and what it can be reached at."""

    udp: socket.socket
    bound: Address
    sites: Sites


@dataclass(slots=True)
class P2pSockets:
    """All sockets of one server."""

    all: list[BoundSocket]
    port: int
    companion: int
    _by_address: dict[Address, BoundSocket] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_address = {each.bound: each for each in self.all}

    def send(self, answer: Answer) -> None:
        """Send an answer from the address and port that it names; dropped where that cannot be.

        :raises OSError: the kernel does not take it.
        """
        origin = answer.origin
        exact = self._by_address.get(origin)
        if exact is not None:
            exact.udp.sendto(answer.data, to_sockaddr(answer.to))
            return
        wildcard = self._by_address.get(Address(bytes(len(origin.ip)), origin.port))
        if wildcard is not None:
            wildcard.udp.sendmsg([answer.data], [remark_from(origin.ip)], 0, to_sockaddr(answer.to))

    def listening(self) -> list[str]:
        """Every address with the port that is told to people."""
        return [to_text(each.bound) for each in self.all if each.bound.port == self.port]

    def companions(self) -> list[str]:
        """The same with the companion port."""
        return [to_text(each.bound) for each in self.all if each.bound.port == self.companion]

    def close(self) -> None:
        """Close them all."""
        for each in self.all:
            each.udp.close()


def open_sockets(settings: P2pSettings) -> P2pSockets:
    """Bind everything.

    :raises OSError: a port is taken or an address not of this host.
    """
    ips = settings.addresses()
    second = settings.second(ips[0])
    main = _bind_everywhere(ips, second, settings.port)
    try:
        port = main[0].getsockname()[1]
        companions = _bind_companions([_ip(udp) for udp in main], port, settings.alternate_port)
    except OSError:
        _close(main)
        raise
    companion = companions[0].getsockname()[1]
    bound = {_ip(udp) for udp in main}

    def second_bound(ip: bytes) -> bytes | None:
        found = settings.second(ip)
        return found if found in bound or not any(ips[0]) else None

    sockets = [_bound(udp, companion, second_bound) for udp in main] + [
        _bound(udp, port, second_bound) for udp in companions
    ]
    return P2pSockets(sockets, port, companion)


def _bound(udp: socket.socket, other_port: int, second: Callable[[bytes], bytes | None]) -> BoundSocket:
    address = Address(_ip(udp), udp.getsockname()[1])
    return BoundSocket(udp, address, Sites(address, other_port, second))


def _ip(udp: socket.socket) -> bytes:
    return parse_ip(udp.getsockname()[0].split("%")[0])


def _bind_everywhere(ips: list[bytes], second: bytes | None, port: int) -> list[socket.socket]:
    """Sockets on one and the same port of all ``ips``, and of ``second`` where that can be."""
    for attempt in range(_TRIES):
        sockets: list[socket.socket] = []
        try:
            for ip in ips:
                _add(sockets, ip, port, optional=bool(sockets) or len(ips) > 1)
            if not sockets:
                raise OSError(errno.EADDRNOTAVAIL, "no address to listen on")
            if second is not None:
                with suppress(OSError):
                    sockets.append(_bind(second, sockets[0].getsockname()[1]))
            return sockets
        except OSError as error:
            _close(sockets)
            if port or error.errno != errno.EADDRINUSE or attempt == _TRIES - 1:
                raise
    raise AssertionError


def _add(sockets: list[socket.socket], ip: bytes, port: int, *, optional: bool) -> None:
    """Bind one more; a host may be without IPv6 (or IPv4), which is no error while the other is there."""
    try:
        sockets.append(_bind(ip, sockets[0].getsockname()[1] if sockets else port))
    except OSError as error:
        if not optional or error.errno not in _NO_SUCH_FAMILY:
            raise


def _bind_companions(ips: list[bytes], port: int, wanted: int) -> list[socket.socket]:
    choices = [wanted] if wanted else [port + COMPANION_DISTANCE, *[0] * _TRIES]
    for choice in choices:
        if choice > 65_535:
            continue
        sockets: list[socket.socket] = []
        try:
            for ip in ips:
                sockets.append(_bind(ip, sockets[0].getsockname()[1] if sockets else choice))
            return sockets
        except OSError as error:
            _close(sockets)
            if wanted or error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, "no free port for the companion")


def _bind(ip: bytes, port: int) -> socket.socket:
    udp = socket.socket(family(ip), socket.SOCK_DGRAM)
    try:
        udp.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            udp.setsockopt(socket.SOL_SOCKET, option, STUN_SOCKET_BUFFER)
        if len(ip) == 16:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if not any(ip):
            want_remarks(udp, 4 if len(ip) == 4 else 6)
        udp.bind(to_sockaddr(Address(ip, port)))
    except OSError:
        udp.close()
        raise
    return udp


def _close(sockets: list[socket.socket]) -> None:
    for udp in sockets:
        udp.close()


class OneByOne:
    """Reads and answers one datagram at a time: for systems without the calls of `p2pim.p2pserver.ring`."""

    def __init__(self, bound: BoundSocket, sockets: P2pSockets, answers: StunAnswers, counters: P2pCounters) -> None:
        self._bound, self._sockets, self._answers, self._counters = bound, sockets, answers, counters

    def turn(self, descriptor: int, now: float) -> bool:
        """Read and answer one; whether there may be more."""
        try:
            data, remarks, flags, source = self._bound.udp.recvmsg(STUN_DATAGRAM, _CONTROL_BYTES)
        except OSError:
            return False
        self._counters.datagrams += 1
        reached = self._reached(remarks)
        if reached is None or flags & socket.MSG_TRUNC:
            self._counters.add(Outcome.IGNORED_MALFORMED)
            return True
        asker = Address(parse_ip(source[0].split("%")[0]), source[1])
        answer = self._answers.answer(data, asker, reached, now)
        self._counters.add(answer if isinstance(answer, Outcome) else answer.outcome)
        if isinstance(answer, Answer):
            try:
                self._sockets.send(answer)
            except OSError:
                self._counters.unsent += 1
        return True

    def _reached(self, remarks: list[tuple[int, int, bytes]]) -> Site | None:
        sites = self._bound.sites
        if sites.fixed is not None:
            return sites.fixed[0]
        for level, kind, value in remarks:
            ip = sites.destination(level, kind, value)
            if ip is not None:
                return sites.at(ip)[0]
        return None
