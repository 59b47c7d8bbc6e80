"""The kinds of place that a peer may be in, and which pairs of them can be connected by UDP."""

from __future__ import annotations

from typing import Final

from tests.network import Dependence, Host, Internet, Link

E, A, P = Dependence.ENDPOINT, Dependence.ADDRESS, Dependence.PORT
NATS: Final = {"full-cone": (E, E), "addr-restricted": (E, A), "port-restricted": (E, P), "symmetric": (P, P)}
KINDS: Final = ("public", "firewalled", *NATS, "double", "blocked")
STRICT: Final = {"firewalled", "port-restricted", "symmetric", "double"}
"""Where only answers get in."""


def outside(number: int) -> str:
    """The public address of the place with this number."""
    return f"198.51.100.{20 + number}"


def place(world: Internet, kind: str, number: int, link: Link) -> Host:
    """A host of the kind named: "blocked" lets no UDP through, "double" is a NAT of a carrier's and one at home."""
    here = outside(number)
    if kind == "public":
        return world.host(here, link)
    if kind == "firewalled":
        return world.firewalled(here, link)
    if kind == "blocked":
        return world.nat(here, link, udp=False).host(f"192.168.{number}.2")
    if kind == "double":
        return world.nat(here, link).nat(f"100.64.{number}.2").host(f"192.168.{number}.2")
    mapping, filtering = NATS[kind]
    return world.nat(here, link, mapping=mapping, filtering=filtering).host(f"192.168.{number}.2")


def can_be_punched(one: str, other: str) -> bool:
    """RFC 5128: who can be connected by UDP without predicting ports."""
    if "blocked" in (one, other):
        return False
    return not ((one == "symmetric" and other in STRICT) or (other == "symmetric" and one in STRICT))
