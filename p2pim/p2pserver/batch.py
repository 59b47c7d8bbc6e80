"""The hot path: answers a batch of datagrams.

Plain questions are read, counted against their sender's allowance and answered in one loop over raw memory, without an
object per datagram; whatever else comes goes to `p2pim.core.stun_answers.StunAnswers`.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from p2pim.core.address_rate import AddressRates
from p2pim.core.limits import STUN_DATAGRAM
from p2pim.core.stun_answers import Answer, Outcome, StunAnswers
from p2pim.p2pserver.counters import P2pCounters
from p2pim.p2pserver.ring import CONTROL_STRIDE, NAME_STRIDE, Ring
from p2pim.p2pserver.sites import Sites
from p2pim.wire.stun import MAGIC, Address
from p2pim.wire.stun_binding import (
    PLAIN_BYTES,
    PLAIN_HEADER,
    PLAIN_TYPE,
    quick_answer_4,
    quick_answer_6,
)

_NAME_4 = Struct(">HI")
_NAME_6 = Struct(">HI16s")
_PREFIX_6 = Struct(">Q")


class Batches:
    """Answers what one socket receives.

    :param send: sends an answer that leaves from another socket or goes elsewhere than to the asker.
    """

    def __init__(
        self,
        ring: Ring,
        sites: Sites,
        answers: StunAnswers,
        rates: AddressRates,
        counters: P2pCounters,
        send: Callable[[Answer], None],
        *,
        free_loopback: bool = True,
    ) -> None:
        self._ring, self._sites, self._answers, self._rates = ring, sites, answers, rates
        self._counters, self._send, self._free_loopback = counters, send, free_loopback
        self._quick = self._quick_4 if sites.version == 4 else self._quick_6
        self._handed_back = 0 if sites.fixed is not None else {4: 32, 6: 40}[sites.version]

    def turn(self, descriptor: int, now: float) -> bool:
        """Read and answer one batch; whether there may be more."""
        sizes = self._ring.receive(descriptor)
        if not sizes:
            return False
        self._quick(sizes, now)
        unsent = self._ring.unsent
        self._ring.send(descriptor)
        self._counters.unsent += self._ring.unsent - unsent
        self._counters.datagrams += len(sizes)
        return len(sizes) == self._ring.count

    def _quick_4(self, sizes: list[int], now: float) -> None:
        ring, rates = self._ring, self._rates
        data, names, put, handed = ring.data, ring.names, ring.put, self._handed_back
        header, name, tail_at = PLAIN_HEADER.unpack_from, _NAME_4.unpack_from, self._tail
        full_at, askers, factor, shift = rates.full_at, rates.askers, rates.factor, rates.shift
        step = 2 * rates.cost
        latest, plain, refused = now + rates.window - step, 0, 0
        for at, size in enumerate(sizes):
            if size == PLAIN_BYTES:
                kind, length, magic, transaction = header(data, at * STUN_DATAGRAM)
                if kind == PLAIN_TYPE and magic == MAGIC and not length:
                    port, ip = name(names, at * NAME_STRIDE + 2)
                    row = (ip * factor & 0xFFFFFFFFFFFFFFFF) >> shift
                    full = full_at[row]
                    if full > latest:
                        if ip >> 24 != 127 or not self._free_loopback:
                            refused += 1
                            continue
                    else:
                        full_at[row] = (full if full > now else now) + step
                    askers[row] = ip << 16 | port
                    put(at, quick_answer_4(transaction, ip, port, tail_at(at)), handed)
                    plain += 1
                    continue
            self._slow(at, size, now)
        self._counters.add(Outcome.PLAIN, plain)
        self._counters.add(Outcome.REFUSED_RATE, refused)

    def _quick_6(self, sizes: list[int], now: float) -> None:
        ring, rates = self._ring, self._rates
        plain = 0
        for at, size in enumerate(sizes):
            if size == PLAIN_BYTES:
                kind, length, magic, transaction = PLAIN_HEADER.unpack_from(ring.data, at * STUN_DATAGRAM)
                port, _, ip = _NAME_6.unpack_from(ring.names, at * NAME_STRIDE + 2)
                (prefix,) = _PREFIX_6.unpack(ip[:8])  # IPv4-mapped ones have none, and take the long way
                if kind == PLAIN_TYPE and magic == MAGIC and not length and prefix:
                    if rates.allow(prefix, port, now, 2.0):
                        ring.put(at, quick_answer_6(transaction, ip, port, self._tail(at)), self._handed_back)
                        plain += 1
                    else:
                        self._counters.add(Outcome.REFUSED_RATE)
                    continue
            self._slow(at, size, now)
        self._counters.add(Outcome.PLAIN, plain)

    def _tail(self, at: int) -> bytes:
        """What follows the mapped address in a plain answer to datagram ``at``."""
        fixed = self._sites.fixed
        if fixed is not None:
            return fixed[1]
        ring = self._ring
        reached = self._sites.reached(ring.control, at * CONTROL_STRIDE, ring.control_bytes(at))
        return b"" if reached is None else reached[1]

    def _slow(self, at: int, size: int, now: float) -> None:
        ring = self._ring
        reached = self._sites.reached(ring.control, at * CONTROL_STRIDE, ring.control_bytes(at))
        if ring.truncated(at) or reached is None:
            self._counters.add(Outcome.IGNORED_MALFORMED)
            return
        start = at * STUN_DATAGRAM
        asker, site = self._asker(at), reached[0]
        answer = self._answers.answer(bytes(ring.data[start : start + size]), asker, site, now)
        if isinstance(answer, Outcome):
            self._counters.add(answer)
            return
        self._counters.add(answer.outcome)
        if answer.origin == site.here and answer.to == asker:
            ring.put(at, answer.data, self._handed_back)
        else:
            self._send(answer)

    def _asker(self, at: int) -> Address:
        start = at * NAME_STRIDE + 2
        if self._sites.version == 4:
            port, number = _NAME_4.unpack_from(self._ring.names, start)
            return Address(number.to_bytes(4, "big"), port)
        port, _, ip = _NAME_6.unpack_from(self._ring.names, start)
        return Address(ip, port)
