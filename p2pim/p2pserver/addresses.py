"""Which addresses of this host the P2P server uses, and which of them is the second one for the tests of RFC 5780."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import ifaddr

from p2pim.errors import BadConfig
from p2pim.wire.stun import Address

_HOME_1: Final = bytes((127, 0, 0, 1))
_HOME_2: Final = bytes((127, 0, 0, 2))


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """One address of the host and the interface that has it."""

    ip: bytes
    interface: str


def local_addresses() -> list[LocalAddress]:
    """What the host has at present."""
    found = []
    for adapter in ifaddr.get_adapters():
        for address in adapter.ips:
            text = address.ip if isinstance(address.ip, str) else address.ip[0]
            found.append(LocalAddress(ipaddress.ip_address(text.split("%")[0]).packed, adapter.name))
    return found


def second_address(
    ip: bytes, configured: bytes | None, here: Callable[[], Sequence[LocalAddress]] = local_addresses
) -> bytes | None:
    """Another address of this host from which an asker at ``ip`` could be answered too.

    The configured one where there is one. Else, for IPv4, one on the same interface and of the same kind (both public
    or both private), since an address on another network could not be reached by the same askers. IPv6 hosts drop their
    temporary addresses after a day, so there it takes configuration. Loopback has as many as one likes.

    :param configured: the operator's choice; an empty one means none at all.
    """
    if configured is not None and len(configured) == len(ip) and configured != ip:
        return configured
    if configured == b"" or len(ip) != 4:
        return None
    if ip[0] == 127:
        return _HOME_2 if ip == _HOME_1 else _HOME_1
    addresses = here()
    interface = next((local.interface for local in addresses if local.ip == ip), None)
    private = ipaddress.ip_address(ip).is_private
    for local in addresses:
        near = local.interface == interface and len(local.ip) == 4 and local.ip != ip
        if near and ipaddress.ip_address(local.ip).is_private == private:
            return local.ip
    return None


def parse_ip(text: str) -> bytes:
    """An address as an operator writes it.

    :raises BadConfig: it is none.
    """
    try:
        return ipaddress.ip_address(text.strip("[]")).packed
    except ValueError:
        raise BadConfig(
            f"{text!r} is no IP address of this host; give one such as 192.0.2.1, or leave it away."
        ) from None


def to_text(address: Address) -> str:
    """``192.0.2.1:9901`` or ``[2001:db8::1]:9901``."""
    host = str(ipaddress.ip_address(address.ip))
    return f"[{host}]:{address.port}" if len(address.ip) == 16 else f"{host}:{address.port}"


def to_sockaddr(address: Address) -> tuple[str, int]:
    """As the socket module wants it."""
    return str(ipaddress.ip_address(address.ip)), address.port


def family(ip: bytes) -> socket.AddressFamily:
    """The socket family of an address."""
    return socket.AF_INET if len(ip) == 4 else socket.AF_INET6
