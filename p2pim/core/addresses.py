"""Addresses as text and as keys of tables."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address


def normal_host(host: str) -> str:
    """``host`` without a zone, an IPv4 address mapped into IPv6 as the IPv4 address that it is.

    Every check of an address begins here, so that one machine is not two.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    return str(_unmapped(address))


def format_address(host: str, port: int) -> str:
    """``host:port``, or ``[host]:port`` for IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_key(host: str) -> str:
    """The key under which a stranger's address is counted: IPv6 by its network of 64 bits, which is one customer."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(IPv6Address(int(address) >> 64 << 64))


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine."""
    try:
        return _unmapped(ip_address(host)).is_loopback
    except ValueError:
        return host == "localhost"


def _unmapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped if mapped is not None else address
