"""Which of this machine's addresses are worth telling to a peer: ranked, and without the crowd.

A developer's laptop has a dozen bridges for containers and virtual machines, all with private addresses that lead
nowhere for anybody else. They must not crowd out the one that does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from p2pim.core.candidates import parse_host

VIRTUAL: Final = (
    "docker",
    "br-",
    "veth",
    "virbr",
    "vmnet",
    "vboxnet",
    "cni",
    "flannel",
    "cali",
    "lxc",
    "lxd",
    "podman",
)
"""What bridges and pairs for containers and virtual machines are called."""
HOSTS: Final = {4: 3, 6: 2}
"""Addresses told per family."""


@dataclass(frozen=True)
class Interface:
    """One address of one network interface."""

    name: str
    host: str


def worth_telling(interfaces: Iterable[Interface], first: str) -> list[str]:
    """The hosts to name as candidates, best first.

    :param first: the address that the connection to the server has: where it works there, it may work elsewhere. Only
        when it is a loopback address are loopback addresses told, since then peers may be on this machine too.
    """
    local = parse_host(first)
    loopback = local is not None and local.is_loopback
    ranked: dict[str, tuple[bool, bool, str]] = {}
    for interface in interfaces:
        address = parse_host(interface.host)
        if address is None or address.is_link_local or address.is_multicast or address.is_unspecified:
            continue
        if address.is_loopback and not loopback:
            continue
        virtual = interface.name.lower().startswith(VIRTUAL)
        if virtual and str(address) != first:
            continue
        ranked[str(address)] = (str(address) != first, address.is_loopback, interface.name)
    told: list[str] = []
    left = dict(HOSTS)
    for host in sorted(ranked, key=lambda each: ranked[each]):
        family = 6 if ":" in host else 4
        if left[family]:
            left[family] -= 1
            told.append(host)
    return told
