"""This machine's own addresses."""

from __future__ import annotations

import socket
from contextlib import suppress

import ifaddr

from p2pim.core.addresses import normal_host
from p2pim.core.candidates import Endpoint, parse_host
from p2pim.core.interfaces import Interface


def own_addresses() -> tuple[str, ...]:
    """What the interfaces have at present, but for loopback and link-local ones."""
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for each in adapter.ips:
            host = normal_host(each.ip if isinstance(each.ip, str) else each.ip[0])
            address = parse_host(host)
            if address is not None and not (address.is_loopback or address.is_link_local) and host not in found:
                found.append(host)
    return tuple(found)


def interfaces() -> list[Interface]:
    """All addresses of all interfaces at present."""
    return [
        Interface(adapter.name, normal_host(each.ip if isinstance(each.ip, str) else each.ip[0]))
        for adapter in ifaddr.get_adapters()
        for each in adapter.ips
    ]


def source_towards(target: Endpoint) -> str | None:
    """Which of its addresses this machine would use to reach ``target``; None: there is no way. Nothing is sent."""
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(target)
        return normal_host(probe.getsockname()[0])
    return None
