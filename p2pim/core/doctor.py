"""What a person is told about their network: which ways to other people can work from here, and what would help.

The findings of `p2pim.core.nat_tests` and what else is known of this machine go in, a `Report` comes out. A way *works*
(True) when it does with most people as far as this side decides, does not (False) when it cannot with anybody, and is
"unknown" when it depends on the other side or could not be tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

from p2pim.core.addresses import is_loopback
from p2pim.core.candidates import DIRECT_RUNG, LAN_RUNG, RELAY_RUNG, UDP_RUNG, parse_host
from p2pim.core.nat_tests import (
    ADDRESS_AND_PORT_DEPENDENT,
    ADDRESS_DEPENDENT,
    BLOCKED,
    ENDPOINT_INDEPENDENT,
    NONE,
    PORT_INDEPENDENT,
    UNKNOWN,
    NatFindings,
)

MAYBE: Final = "unknown"
Works = bool | str

MAPPING_MEANS: Final = {
    NONE: "there is no NAT between this machine and the P2P server",
    ENDPOINT_INDEPENDENT: "the NAT keeps one public port whoever is written to, so others can be told it",
    PORT_INDEPENDENT: "the NAT keeps its public port when another port is written to; another address could not be "
    "tested, since this P2P server has only one",
    ADDRESS_DEPENDENT: "the NAT takes a new public port for each address written to",
    ADDRESS_AND_PORT_DEPENDENT: "the NAT takes a new public port for each destination, so others cannot be told it "
    '(a "symmetric" NAT)',
    BLOCKED: "nothing sent by UDP was answered",
    UNKNOWN: "could not be tested",
}
FILTERING_MEANS: Final = {
    ENDPOINT_INDEPENDENT: "anybody may write to that port",
    PORT_INDEPENDENT: "an address that was written to may answer from any port; strangers could not be tested, since "
    "this P2P server has only one address",
    ADDRESS_DEPENDENT: "only addresses that were written to before may write back, from any port",
    ADDRESS_AND_PORT_DEPENDENT: "only the very address and port that was written to may write back",
    BLOCKED: "nothing came back",
    UNKNOWN: "could not be tested",
}

_INSIDE: Final[tuple[IPv4Network | IPv6Network, ...]] = tuple(
    ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8",
                 "fc00::/7", "fe80::/10", "::1/128")
)  # fmt: skip
"""Where addresses mean something in one network only."""


def is_inside(host: str) -> bool:
    """Whether ``host`` is an address of a private network, of a carrier's NAT, or of this very machine."""
    address = parse_host(host)
    return address is not None and any(address in net for net in _INSIDE if net.version == address.version)


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What is known of this machine."""

    found: NatFindings | None = None
    """None: there were no tests."""
    p2p_server: str | None = None
    p2p_problem: str = ""
    """Why there were no tests, or no answers."""
    server: str = ""
    """The server that it is signed in at now; empty: it is not."""
    server_problem: str = ""
    """Why it is not."""
    addresses: tuple[str, ...] = ()
    """This machine's own, loopback excepted."""
    ipv6_reaches: bool | None = None
    """None: could not be tested."""
    channel: str = "auto"
    """Which direct channels the settings allow."""


@dataclass(frozen=True)
class Rung:
    """One way to others."""

    rung: str
    works: Works
    why: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the doctor says."""

    mapping: str
    filtering: str
    public_address: str | None
    ipv6: bool | None
    ipv6_address: str | None
    p2p_server: str | None
    rtt_ms: float | None
    rungs: tuple[Rung, ...]
    advice: tuple[str, ...]
    port_mapping: None = None
    """Not tried by this version."""

    def as_json(self) -> dict[str, Any]:
        """The documented form."""
        return {
            "mapping": self.mapping,
            "filtering": self.filtering,
            "public_address": self.public_address,
            "ipv6": self.ipv6,
            "ipv6_address": self.ipv6_address,
            "port_mapping": self.port_mapping,
            "p2p_server": self.p2p_server,
            "rtt_ms": self.rtt_ms,
            "rungs": [{"rung": r.rung, "works": r.works, "why": r.why} for r in self.rungs],
            "advice": list(self.advice),
        }


def examine(around: Circumstances) -> Report:
    """The report on these circumstances."""
    found = around.found or NatFindings(UNKNOWN, UNKNOWN)
    ipv6 = global_ipv6(around.addresses)
    return Report(
        mapping=found.mapping,
        filtering=found.filtering,
        public_address=found.mapped[0] if found.mapped else None,
        ipv6=False if ipv6 is None else around.ipv6_reaches,
        ipv6_address=ipv6,
        p2p_server=around.p2p_server,
        rtt_ms=None if found.rtt is None else round(found.rtt * 1000, 3),
        rungs=(_lan(around), _direct(around, found), _udp(around, found), _relay(around)),
        advice=tuple(_advice(around, found)),
    )


def global_ipv6(addresses: tuple[str, ...]) -> str | None:
    """The first IPv6 address among these that the world could reach."""
    return next((host for host in addresses if ":" in host and not is_inside(host)), None)


# --- the ladder


def _switched_off(rung: str, around: Circumstances) -> Rung | None:
    kind = UDP_RUNG if rung == UDP_RUNG else "tcp"
    if around.channel in ("auto", kind):
        return None
    return Rung(rung, False, f"switched off: this peer is set to --channel {around.channel}")


def _lan(around: Circumstances) -> Rung:
    off = _switched_off(LAN_RUNG, around)
    if off is not None:
        return off
    inside = [host for host in around.addresses if is_inside(host) and ":" not in host]
    if inside:
        why = f"people in the same network connect to {_some(inside)}, unless it keeps its machines apart (guest Wi-Fi)"
        return Rung(LAN_RUNG, True, why)
    if around.addresses:
        return Rung(LAN_RUNG, MAYBE, "this machine has public addresses only: its LAN is whoever sits next to it")
    return Rung(LAN_RUNG, False, "this machine is in no network")


def _direct(around: Circumstances, found: NatFindings) -> Rung:
    off = _switched_off(DIRECT_RUNG, around)
    if off is not None:
        return off
    others = "works with people whose machines can be connected to"
    if found.mapped is None:
        return Rung(DIRECT_RUNG, MAYBE, f"{others}; whether this one can was not found out")
    if found.mapping != NONE:
        return Rung(DIRECT_RUNG, MAYBE, f"{others}; this one cannot, a NAT stands before it")
    if is_inside(found.mapped[0]):
        return Rung(DIRECT_RUNG, MAYBE, f"{others}; of this one nothing is known beyond its own private network")
    if found.filtering == ENDPOINT_INDEPENDENT:
        why = f"others can connect to {found.mapped[0]}, if TCP is let in as UDP was in the test"
        return Rung(DIRECT_RUNG, True, why)
    if found.filtering in (UNKNOWN, PORT_INDEPENDENT):
        return Rung(DIRECT_RUNG, MAYBE, f"{others}; this one has a public address, but a firewall may stand before it")
    return Rung(DIRECT_RUNG, MAYBE, f"{others}; this one has a public address, but a firewall lets nobody in unasked")


def _udp(around: Circumstances, found: NatFindings) -> Rung:
    off = _switched_off(UDP_RUNG, around)
    if off is not None:
        return off
    if around.p2p_server is None:
        return Rung(UDP_RUNG, False, "there is no P2P server, so nobody learns at which address to be met")
    if around.found is None:
        return Rung(UDP_RUNG, False, around.p2p_problem or "the P2P server could not be asked")
    if found.mapping == BLOCKED:
        return Rung(UDP_RUNG, False, around.p2p_problem or _NOTHING_CAME)
    return Rung(UDP_RUNG, *_udp_with_whom(found))


_NOTHING_CAME: Final = "no answer from the P2P server: this network drops UDP, or that server is away"


def _udp_with_whom(found: NatFindings) -> tuple[Works, str]:
    """Which NATs of others go with this one (RFC 5128, section 3.3)."""
    if found.mapping in (ADDRESS_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT):
        return MAYBE, (
            "works with people whose NAT (or none) lets strangers, or at least known addresses, in; not when it admits "
            "only known ports, and not when both NATs map every destination to a new port"
        )
    if found.mapping == UNKNOWN:
        return MAYBE, "UDP gets through, but this P2P server does not tell how the NAT treats others"
    if found.filtering in (ENDPOINT_INDEPENDENT, ADDRESS_DEPENDENT, PORT_INDEPENDENT):
        return True, "works with everybody whose network lets UDP out" + _perhaps(found)
    if found.filtering == UNKNOWN:
        return True, "works with everybody but perhaps those whose NAT maps every destination to a new port"
    return True, "works with everybody but those whose NAT maps every destination to a new port" + _perhaps(found)


def _perhaps(found: NatFindings) -> str:
    return ", unless this NAT minds addresses, which was not tested" if found.mapping == PORT_INDEPENDENT else ""


def _relay(around: Circumstances) -> Rung:
    if around.server:
        return Rung(RELAY_RUNG, True, f"the server {around.server} passes on what cannot go directly")
    if around.server_problem:
        return Rung(RELAY_RUNG, False, around.server_problem)
    return Rung(RELAY_RUNG, MAYBE, "not signed in, so not tested")


def _some(hosts: list[str]) -> str:
    return hosts[0] if len(hosts) == 1 else f"{hosts[0]} (and {len(hosts) - 1} more)"


# --- what to do


def _advice(around: Circumstances, found: NatFindings) -> list[str]:
    says = [*_on_p2p_server(around, found), *_on_nat(found)]
    if around.channel in ("tcp", "none"):
        says.append(f"--channel {around.channel} forbids direct UDP; `auto` allows every way.")
    if found.mapping == NONE and found.mapped and is_inside(found.mapped[0]):
        where = "on this very machine" if is_loopback(found.mapped[0]) else "in the same private network"
        says.append(
            f"The P2P server is {where}, so what was found says nothing about the way to the internet. For that, ask a "
            "P2P server out there with --p2p-server HOST:PORT."
        )
    if around.server_problem and not around.server:
        says.append(f"The server is not reached: {around.server_problem}")
    return says


def _on_p2p_server(around: Circumstances, found: NatFindings) -> list[str]:
    if around.p2p_server is None:
        return [
            "No P2P server is known, so nothing goes directly across NATs. The server's operator can switch its own on "
            "([p2p] enabled), or run `twistd p2pim-p2p` on a public machine; or name one with --p2p-server HOST:PORT."
        ]
    if around.found is None:
        return [f"The P2P server {around.p2p_server} could not be asked: {around.p2p_problem}."]
    if found.answered and not found.testable:
        return [f"The P2P server {around.p2p_server} offers no NAT tests (RFC 5780); `twistd p2pim-p2p` does."]
    if found.answered and not found.other_heard:
        return [
            f"Nothing came from the second port of the P2P server {around.p2p_server}: its operator should open that "
            "UDP port (port + 10000, see `alternate_port`) in the firewall, or a firewall near you lets only some out."
        ]
    return []


def _on_nat(found: NatFindings) -> list[str]:
    if found.mapping == BLOCKED:
        return [
            "Everything goes by TCP or by the server's relay, which works but is slower. If others reach the P2P "
            "server, the firewall of this network stands in the way: have outgoing UDP allowed to all ports, or try "
            "another network."
        ]
    if found.mapping in (ADDRESS_DEPENDENT, ADDRESS_AND_PORT_DEPENDENT):
        return [
            "This is the hardest kind of NAT: many pairs are relayed. Look in the router for a setting such as "
            '"NAT type", "full cone" or "endpoint-independent", and turn off "symmetric" NAT; with carriers and mobile '
            "networks ask for a public address or use IPv6. On the other side any easier NAT helps."
        ]
    if found.mapping == NONE and found.filtering == ADDRESS_AND_PORT_DEPENDENT and found.mapped is not None:
        return ["To be connected to directly, allow incoming UDP and TCP for p2pim in this machine's firewall."]
    return []
