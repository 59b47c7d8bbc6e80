"""Which `Site <p2pim.core.stun_answers.Site>` a datagram reached, from what the kernel says of it.

A socket bound to one address has one site. A socket bound to all of them learns the destination of each datagram from
the kernel (``IP_PKTINFO``, ``IPV6_PKTINFO``), and hands the same structure back to answer from that very address.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from struct import Struct
from typing import Final

from p2pim.core.stun_answers import Site, plain_tail
from p2pim.wire.stun import Address

IP_PKTINFO: Final = 8
"""As on Linux; the socket module has no name for it before Python 3.14."""
_HEAD: Final = 16
"""Bytes of ``cmsghdr``; then comes ``in_pktinfo`` (interface, our address, destination) or ``in6_pktinfo`` (our
address, interface). The kernel makes no other remarks, since none are asked for."""
_WORD = Struct("@I")
_IP_IN: Final = {4: Struct(f"@{_HEAD + 4}x4s").unpack_from, 6: Struct(f"@{_HEAD}x16s").unpack_from}
_LEAST: Final = {4: _HEAD + 12, 6: _HEAD + 20}
_INTERFACE_AT: Final = {4: _HEAD, 6: _HEAD + 16}
_REMEMBERED: Final = 1024
REMARK_BYTES: Final = {4: 32, 6: 40}
"""Sizes of the remarks, padded."""


class Sites:
    """The sites of one socket.

    :param bound: the address and port that it is bound to; the address is all zero where it is bound to all.
    :param other_port: the port of its companion.
    :param second: gives another address of this host, or None (see `p2pim.p2pserver.addresses.second_address`).
    """

    def __init__(self, bound: Address, other_port: int, second: Callable[[bytes], bytes | None]) -> None:
        self.version = 4 if len(bound.ip) == 4 else 6
        self.wildcard = not any(bound.ip)
        self._port, self._other_port, self._second = bound.port, other_port, second
        self._known: dict[bytes, tuple[Site, bytes]] = {}
        self._ip_in, self._least = _IP_IN[self.version], _LEAST[self.version]
        self._interface_at = _INTERFACE_AT[self.version]
        self.fixed: tuple[Site, bytes] | None = None if self.wildcard else self.at(bound.ip)

    def at(self, ip: bytes) -> tuple[Site, bytes]:
        """The site at the address ``ip``, and the tail of plain answers there."""
        known = self._known.get(ip)
        if known is None:
            second = self._second(ip)
            site = Site(Address(ip, self._port), Address(second or ip, self._other_port))
            if len(self._known) >= _REMEMBERED:  # loopback has 16 million addresses, and all of them are ours
                self._known.clear()
            known = self._known[ip] = site, plain_tail(site)
        return known

    def forget(self) -> None:
        """Look for second addresses anew: the host's may have changed."""
        self._known.clear()
        if self.fixed is not None:
            self.fixed = self.at(self.fixed[0].here.ip)

    def reached(self, control: bytearray, start: int, size: int) -> tuple[Site, bytes] | None:
        """The site that a datagram reached, by the kernel's remark at ``start`` of ``control``.

        The remark is changed so that it can be handed back: the route decides on the interface, except to neighbours of
        a link (fe80::/10), who can be reached by one only.
        """
        if self.fixed is not None:
            return self.fixed
        if size < self._least:  # no remark, which the kernel leaves out when it has no memory for it
            return None
        (ip,) = self._ip_in(control, start)
        if not (ip[0] == 0xFE and ip[1] & 0xC0 == 0x80):
            _WORD.pack_into(control, start + self._interface_at, 0)
        return self._known.get(ip) or self.at(ip)

    def destination(self, level: int, kind: int, value: bytes) -> bytes | None:
        """The address of ours that a remark names, as the socket module gives remarks."""
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO) and len(value) >= 8:
            return value[4:8]
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and len(value) >= 16:
            return value[:16]
        return None


def remark_from(ip: bytes) -> tuple[int, int, bytes]:
    """The ancillary data that makes a socket bound to all addresses send from ``ip``."""
    if len(ip) == 4:
        return socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + ip + bytes(4)
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, ip + bytes(4)


def want_remarks(udp: socket.socket, version: int) -> None:
    """Ask the kernel for remarks on the destination of each datagram."""
    if version == 4:
        udp.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    else:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
