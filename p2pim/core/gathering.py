"""What address the world sees this peer's UDP socket at, and how its NAT maps: kept fresh, decided without I/O.

A `Gatherer` asks the P2P server where its datagrams come from (STUN, RFC 8489), and then a second port of that server,
which the first answer names: the same mapped address from both means that the NAT maps independently of the endpoint,
so peers can be told it; another one means that every destination gets a new port (RFC 5780, section 4.3).

The question is asked again every `limits.REFLEXIVE_REFRESH` seconds, which also keeps the binding alive, so an offer
can be made or answered at once, without a round trip to the server first. Questions carry room for the longer answer,
since the server never sends more than it received.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import ip_address
from math import inf
from random import Random
from typing import Final

from p2pim.core import limits
from p2pim.errors import BadStun, NotStun
from p2pim.wire.stun import Address, Attribute, Kind, parse
from p2pim.wire.stun_binding import pack_question

Endpoint = tuple[str, int]

INDEPENDENT: Final = "endpoint-independent"
DEPENDENT: Final = "address-and-port-dependent"
UNTRANSLATED: Final = "none"
BLOCKED: Final = "blocked"
ASKING: Final = "asking"
"""No answer has come yet."""
UNKNOWN: Final = "unknown"
"""An answer has come, and perhaps there is nobody to ask for the second one that is needed to tell."""


@dataclass(frozen=True)
class Gathered:
    """What is known now: ``reflexive`` is None while no answer has come, ``mapping`` one of the constants above."""

    reflexive: Endpoint | None
    mapping: str


@dataclass(eq=False)
class _Probe:
    target: Endpoint
    due: float
    tries: int = 0
    pending: dict[bytes, float] = field(default_factory=dict)
    mapped: Endpoint | None = None
    answered: bool = False
    """Whether an answer has ever come from there."""


class Gatherer:
    """One socket's view through one P2P server.

    :param server: its address; only answers from addresses that were asked, with a transaction of ours, count.
    :param local: this socket's own addresses; a mapped address among them means that no NAT is in between.
    """

    def __init__(self, server: Endpoint, *, rng: Random, now: float, local: frozenset[Endpoint] = frozenset()) -> None:
        self.found = Gathered(None, ASKING)
        self.rtt: float | None = None
        self.late = False
        """Whether an answer has kept us waiting for so long that nobody should wait for more to become known."""
        self.server, self.local = server, local
        self._random = rng
        self._probes = {server: _Probe(server, now)}
        self._first = self._probes[server]
        self._outgoing: list[tuple[bytes, Endpoint]] = []
        self._changed: list[Gathered] = []

    @property
    def gathering(self) -> bool:
        """Whether more may become known soon."""
        return self.found.mapping in (ASKING, UNKNOWN) and not self.late

    @property
    def asked(self) -> Collection[Endpoint]:
        """The server's addresses that are asked."""
        return self._probes.keys()

    def receive(self, data: bytes, source: Endpoint, now: float) -> bool:
        """A datagram from ``source``; whether it answered a question of this gatherer."""
        probe = self._probes.get(source)
        if probe is None or len(data) > limits.STUN_ANSWER:
            return False
        try:
            message = parse(data)
            sent = probe.pending.pop(message.transaction, None)
            mapped = message.mapped_address() if sent is not None and message.kind is Kind.SUCCESS else None
            other = message.address(Attribute.OTHER_ADDRESS) if mapped is not None else None
        except (NotStun, BadStun):
            return False
        if sent is None:
            return False
        seen = self._plausible(mapped)
        if seen is not None:
            self._answered(probe, seen, self._plausible(other), sent, now)
        return True

    def handle_timer(self, now: float) -> None:
        """`timer` has come."""
        for probe in list(self._probes.values()):
            if probe.due <= now:
                self._ask(probe, now)

    def timer(self) -> float:
        """When `handle_timer` wants to be called."""
        return min(probe.due for probe in self._probes.values())

    def refresh(self, now: float) -> None:
        """The network may have changed: ask again now."""
        self.late = False
        for probe in self._probes.values():
            probe.tries, probe.due = 0, now
            probe.pending.clear()

    def to_send(self) -> list[tuple[bytes, Endpoint]]:
        """Datagrams to send now."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def next_change(self) -> Gathered | None:
        """What has newly become known, oldest first."""
        return self._changed.pop(0) if self._changed else None

    # --- inside

    def _plausible(self, address: Address | None) -> Endpoint | None:
        """``address`` as an endpoint, if it may be somebody's on this socket's network: servers make mistakes, and
        lie."""
        if address is None or address.port == 0:
            return None
        ip, server = ip_address(address.normal().ip), ip_address(self._first.target[0].partition("%")[0])
        nobody = ip.is_unspecified or ip.is_multicast or (ip.version == 4 and ip.is_reserved)
        if nobody or ip.version != server.version or ip.is_loopback != server.is_loopback:
            return None
        return str(ip), address.port

    def _ask(self, probe: _Probe, now: float) -> None:
        if probe.tries >= limits.STUN_TRIES:
            self._silent(probe, now)
            return
        if probe.tries == limits.STUN_TRIES_HOPED and probe.mapped is None:
            self._doubt(probe)
        transaction = self._random.randbytes(12)
        probe.pending[transaction] = now
        self._outgoing.append((pack_question(transaction), probe.target))
        probe.due = now + limits.STUN_RETRY * 2**probe.tries
        probe.tries += 1

    def _doubt(self, probe: _Probe) -> None:
        """Nothing has come yet. A negotiation that begins now should not wait for it, and can say why it found no path;
        an answer to a later try changes that."""
        self.late = True
        if probe is self._first:
            self._tell(Gathered(None, BLOCKED))
        else:
            self._changed.append(self.found)

    def _silent(self, probe: _Probe, now: float) -> None:
        """No answer to any try: UDP does not get through at present. An address that the server named, and that has
        never answered, may be anybody's: it is not asked again."""
        probe.mapped = None
        probe.tries = 0
        probe.pending.clear()
        probe.due = now + limits.DIRECT_RETRY if probe.answered or probe is self._first else inf
        if probe is self._first:
            self._tell(Gathered(None, BLOCKED))

    def _answered(self, probe: _Probe, mapped: Endpoint, other: Endpoint | None, sent: float, now: float) -> None:
        probe.mapped, probe.answered = mapped, True
        probe.tries = 0
        probe.pending.clear()
        probe.due = now + limits.REFLEXIVE_REFRESH * self._random.uniform(0.8, 1.2)
        if probe is self._first:
            self.rtt = now - sent
            if other is not None and len(self._probes) == 1:
                self._probes.setdefault(other, _Probe(other, now))
        self._tell(Gathered(self._first.mapped, self._mapping()))

    def _mapping(self) -> str:
        first = self._first.mapped
        if first is None:
            return UNKNOWN
        if first in self.local:
            return UNTRANSLATED
        others = [probe.mapped for probe in self._probes.values() if probe is not self._first and probe.mapped]
        if not others:
            return UNKNOWN
        return INDEPENDENT if all(mapped == first for mapped in others) else DEPENDENT

    def _tell(self, found: Gathered) -> None:
        if found != self.found:
            self.found = found
            self._changed.append(found)
