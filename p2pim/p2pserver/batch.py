"""The hot path: answers a batch of datagrams.

Plain questions are read, counted against their sender's allowance and answered in one loop over raw memory, without an
object per datagram; whatever else comes goes to `p2pim.core.stun_answers.StunAnswers`.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from zlib import crc32

from p2pim.core.address_rate import AddressRates
from p2pim.core.limits import STUN_DATAGRAM
from p2pim.core.stun_answers import Answer, Outcome, Site, StunAnswers
from p2pim.p2pserver.counters import P2pCounters
from p2pim.p2pserver.ring import CONTROL_STRIDE, NAME_STRIDE, Ring
from p2pim.p2pserver.sites import Sites
from p2pim.wire.stun import FINGERPRINT_XOR, MAGIC, Address
from p2pim.wire.stun_binding import (
    FINGERPRINT_TYPE,
    MAPPED_4,
    MAPPED_4_TYPE,
    PLAIN_BYTES,
    PLAIN_HEADER,
    PLAIN_TYPE,
    PORT_MASK,
    SUCCESS,
    plain_answer,
)

_NAME_4 = Struct(">HI")
_NAME_6 = Struct(">HI16s")
_PREFIX_6 = Struct(">Q")
_WHOLE = {more: Struct(f">{MAPPED_4.size + more}sII").pack_into for more in (0, 12)}
"""Writes an IPv4 answer by the length of its tail: none, or the other address."""


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

    def turn(self, descriptor: int, now: float) -> bool:
        """Read and answer one batch; whether there may be more."""
        ring = self._ring
        sizes = ring.receive(descriptor)
        if not sizes:
            return False
        self._quick(sizes, now)
        ring.send(descriptor, len(sizes))
        self._counters.unsent += ring.unsent
        ring.unsent = 0
        self._counters.datagrams += len(sizes)
        return len(sizes) == ring.count

    def _quick_4(self, sizes: list[int], now: float) -> None:
        ring, rates, free_loopback = self._ring, self._rates, self._free_loopback
        data, names, out, out_sizes, tail_of = ring.data, ring.names, ring.out, ring.out_sizes, self._tail
        header, name, mapped, whole_of = PLAIN_HEADER.unpack_from, _NAME_4.unpack_from, MAPPED_4.pack, _WHOLE
        full_at, askers, factor, shift = rates.full_at, rates.askers, rates.factor, rates.shift
        step = 2 * rates.cost
        latest, others = now + rates.window - step, 0
        fixed = self._sites.fixed
        tail = fixed[1] if fixed else b""
        for at, size in enumerate(sizes):
            start = at * STUN_DATAGRAM
            kind, length, magic, transaction = header(data, start)
            if size != PLAIN_BYTES or kind != PLAIN_TYPE or magic != MAGIC or length:
                others += 1
                self._slow(at, size, now)
                continue
            port, ip = name(names, at * NAME_STRIDE + 2)
            row = (ip * factor & 0xFFFFFFFFFFFFFFFF) >> shift
            full = full_at[row]
            if full <= latest:
                full_at[row] = (full if full > now else now) + step
            elif ip >> 24 != 127 or not free_loopback:
                others += 1
                self._refuse(at)
                continue
            askers[row] = ip << 16 | port
            if fixed is None:
                tail = tail_of(at)
            more = len(tail)
            text = mapped(SUCCESS, 20 + more, MAGIC, transaction, MAPPED_4_TYPE, 1, port ^ PORT_MASK, ip ^ MAGIC) + tail
            whole_of[more](out, start, text, FINGERPRINT_TYPE, crc32(text) ^ FINGERPRINT_XOR)
            out_sizes[at * 2 + 1] = 40 + more
        self._counters.add(Outcome.PLAIN, len(sizes) - others)

    def _quick_6(self, sizes: list[int], now: float) -> None:
        ring, plain = self._ring, 0
        for at, size in enumerate(sizes):
            kind, length, magic, transaction = PLAIN_HEADER.unpack_from(ring.data, at * STUN_DATAGRAM)
            port, _, ip = _NAME_6.unpack_from(ring.names, at * NAME_STRIDE + 2)
            (prefix,) = _PREFIX_6.unpack_from(ip)  # IPv4-mapped ones have none, and take the long way
            if size != PLAIN_BYTES or kind != PLAIN_TYPE or magic != MAGIC or length or not prefix:
                self._slow(at, size, now)
            elif self._rates.allow(prefix, port, now, 2.0):
                ring.put(at, plain_answer(transaction, ip, port, self._tail(at)))
                plain += 1
            else:
                self._refuse(at)
        self._counters.add(Outcome.PLAIN, plain)

    def _refuse(self, at: int) -> None:
        self._ring.skip(at)
        self._counters.add(Outcome.REFUSED_RATE)

    def _tail(self, at: int) -> bytes:
        """What follows the mapped address in a plain answer to datagram ``at``."""
        reached = self._reached(at)
        return b"" if reached is None else reached[1]

    def _reached(self, at: int) -> tuple[Site, bytes] | None:
        return self._sites.reached(self._ring.control, at * CONTROL_STRIDE, self._ring.control_bytes(at))

    def _slow(self, at: int, size: int, now: float) -> None:
        ring = self._ring
        reached = self._reached(at)
        if ring.truncated(at) or reached is None:
            self._counters.add(Outcome.IGNORED_MALFORMED)
            ring.skip(at)
            return
        start = at * STUN_DATAGRAM
        asker, site = self._asker(at), reached[0]
        answer = self._answers.answer(bytes(ring.data[start : start + size]), asker, site, now)
        if isinstance(answer, Outcome):
            self._counters.add(answer)
            ring.skip(at)
            return
        self._counters.add(answer.outcome)
        if answer.origin == site.here and answer.to == asker:
            ring.put(at, answer.data)
        else:
            ring.skip(at)
            self._send(answer)

    def _asker(self, at: int) -> Address:
        start = at * NAME_STRIDE + 2
        if self._sites.version == 4:
            port, number = _NAME_4.unpack_from(self._ring.names, start)
            return Address(number.to_bytes(4, "big"), port)
        port, _, ip = _NAME_6.unpack_from(self._ring.names, start)
        return Address(ip, port)
