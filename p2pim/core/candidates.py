"""Which addresses are worth dialling, and in which order.

Candidates come from another peer, through a server: either may be hostile. What passes here cannot make this machine
dial itself, the server, a group, or more addresses than it would for a friend.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

from p2pim.core.limits import CANDIDATES, DIALS_PER_NEGOTIATION
from p2pim.wire.signals import Candidate

HOST: Final = "host"
TCP: Final = "tcp"
UDP: Final = "udp"

LAN_RUNG: Final = "tcp-lan"
DIRECT_RUNG: Final = "tcp-direct"
UDP_RUNG: Final = "udp"
RELAY_RUNG: Final = "relay"

LOWEST_PORT: Final = 1024
"""A host candidate is the port of an outgoing connection or a free one: lower ones belong to services, not to peers."""

IpAddress = IPv4Address | IPv6Address
Endpoint = tuple[str, int]
"""Host (an IP address as text) and port."""

_SITE_PREFIX: Final = {4: 24, 6: 64}
"""How much two public addresses share that are taken to be in one network."""


@dataclass(frozen=True)
class Surroundings:
    """What a side knows of its own place.

    ``listening`` are the addresses where this side takes channels, ``server`` the server's address, and ``loopback``
    tells whether the server is on this machine, so that other peers may be as well.
    """

    listening: frozenset[Endpoint] = field(default_factory=frozenset)
    server: Endpoint | None = None
    loopback: bool = False
    avoid: frozenset[Endpoint] = field(default_factory=frozenset)
    """UDP addresses that get no checks: my own and the P2P server's."""
    confined: bool = False
    """The other side is not to learn where this machine is: nothing but loopback is named, dialled or listened to."""


class Refusal(NamedTuple):
    """A candidate that is not dialled, and why."""

    candidate: Candidate
    reason: str


def parse_host(text: str) -> IpAddress | None:
    """The address in ``text``, an IPv4-mapped one as IPv4; None when it is none (names are not looked up)."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def split_address(text: str) -> Endpoint | None:
    """What `format_address` wrote; None when it is something else."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if parse_host(host) is None or not port.isdigit() or not 0 < int(port) < 65536:
        return None
    return host, int(port)


def is_here(candidate: Candidate) -> bool:
    """Whether ``candidate`` is an address of the machine that looks at it."""
    address = parse_host(candidate.host)
    return address is not None and address.is_loopback


def same_lan(one: str, other: str) -> bool:
    """Whether the two hosts can be taken to be in one local network.

    Both on one machine, both private (an office routes between its private networks), or public and next to each other.
    Between two private addresses that reach each other there is no NAT: that is what "LAN" means to a channel.
    """
    first, second = parse_host(one), parse_host(other)
    if first is None or second is None or first.version != second.version:
        return False
    if first == second:
        return True
    if _is_local(first) or _is_local(second):
        return _is_local(first) and _is_local(second) and first.is_loopback == second.is_loopback
    return second in _site(first)


def is_public(host: str) -> bool:
    """Whether ``host`` is an address that is routed everywhere, as far as can be seen from here."""
    address = parse_host(host)
    return address is not None and not _is_local(address) and not _is_carrier(address)


def _is_carrier(address: IpAddress) -> bool:
    """RFC 6598: behind a carrier's NAT."""
    return address.version == 4 and address in ip_network("100.64.0.0/10")


def _is_local(address: IpAddress) -> bool:
    """Not in `ipaddress`'s sense: what it calls private includes networks for documentation and tests, which are
    routed like any other where somebody uses them."""
    return address.is_link_local or address.is_loopback or any(address in each for each in _LOCAL[address.version])


_LOCAL: Final = {
    4: tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))),
    6: (ip_network("fc00::/7"),),
}
"""RFC 1918 and RFC 4193."""


def _site(address: IpAddress) -> IPv4Network | IPv6Network:
    return ip_network((address, _SITE_PREFIX[address.version]), strict=False)


def rung_of(candidate: Candidate) -> str:
    """The rung of the ladder that ``candidate`` belongs to."""
    if candidate.transport != TCP:
        return UDP_RUNG
    address = parse_host(candidate.host)
    return LAN_RUNG if address is None or _is_local(address) else DIRECT_RUNG


def refusal(candidate: Candidate, around: Surroundings) -> str:
    """Why ``candidate`` is not to be dialled; empty when it may be."""
    address = parse_host(candidate.host)
    if address is None:
        return "is no IP address"
    if address.is_unspecified or address.is_multicast or _is_broadcast(address):
        return "is not one machine's address"
    if isinstance(address, IPv6Address) and address.is_link_local and address.scope_id is None:
        return "is link-local without an interface"
    if around.confined and not address.is_loopback:
        return "is on another machine, and only contacts are met there"
    if address.is_loopback and not around.loopback:
        return "is the loopback of another machine"
    if candidate.port < LOWEST_PORT and candidate.kind == HOST:
        return "is a port of services"
    endpoint = (str(address), candidate.port)
    if endpoint in (around.listening if candidate.transport == TCP else around.avoid):
        return "is my own, or the P2P server's"
    if around.server is not None and endpoint == around.server:
        return "is the server's"
    return ""


def _is_broadcast(address: IpAddress) -> bool:
    return isinstance(address, IPv4Address) and (address.is_reserved or int(address) == 2**32 - 1)


def choose(
    candidates: Sequence[Candidate], around: Surroundings, room: int = DIALS_PER_NEGOTIATION
) -> tuple[list[Candidate], list[Refusal]]:
    """The candidates worth dialling, best first and at most ``room``, and the others with reasons.

    Only the first `CANDIDATES` are looked at. The best have the greatest priority; among equals IPv6 goes first
    (RFC 8305), and each address is taken once.
    """
    taken: dict[tuple[str, str, int], Candidate] = {}
    refused: list[Refusal] = []
    for candidate in candidates[:CANDIDATES]:
        reason = refusal(candidate, around)
        if reason:
            refused.append(Refusal(candidate, reason))
            continue
        host = str(parse_host(candidate.host))
        taken.setdefault((candidate.transport, host, candidate.port), _at(candidate, host))
    ordered = sorted(taken.values(), key=_rank)
    refused += [Refusal(candidate, "is one too many") for candidate in ordered[room:]]
    refused += [Refusal(candidate, "is one too many") for candidate in candidates[CANDIDATES:]]
    return ordered[:room], refused


def _at(candidate: Candidate, host: str) -> Candidate:
    return Candidate(candidate.kind, candidate.transport, host, candidate.port, candidate.priority)


def _rank(candidate: Candidate) -> tuple[int, int]:
    return -candidate.priority, 0 if ":" in candidate.host else 1


def host_candidates(listening: Iterable[Endpoint]) -> list[Candidate]:
    """The candidates for the TCP addresses where this side takes channels.

    A link-local address with its interface means nothing on another machine, and is left out.
    """
    return [Candidate(HOST, TCP, host, port) for host, port in sorted(listening) if "%" not in host][:CANDIDATES]
