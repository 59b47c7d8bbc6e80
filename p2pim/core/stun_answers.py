"""What the P2P server answers to which question, decided without I/O.

Three rules keep it from being of use against others (``docs/decisions/0003-p2p-server-cookies.md`` argues them):

1. One question brings at most one answer, and it goes to the address that the question came from; to another port of it
   only for an asker who shows a cookie that was sent to that very port.
2. An answer leaves from another port or address than the question reached only for an asker who has echoed a cookie.
   For tools that know no cookies, having asked a plain question shortly before stands in for one, in both rules; such
   answers weigh `STUN_UNPROVED_COST` in the asker's allowance.
3. A stranger's answer holds what the protocol demands and, beyond that, nothing that would make it longer than the
   question. Each address is answered so and so often per second, and answers longer than their questions count twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from p2pim.core.address_rate import AddressRates, address_key
from p2pim.core.limits import STUN_HEARD, STUN_UNPROVED_COST
from p2pim.core.stun_cookies import Cookies
from p2pim.errors import BadStun, NotStun
from p2pim.wire.stun import (
    BINDING,
    HEADER_BYTES,
    Address,
    Attribute,
    Kind,
    StunMessage,
    pack,
    pack_address,
    pack_attribute,
    pack_error,
    pack_types,
    pack_xor_address,
    parse,
)

KNOWN = frozenset(
    {
        Attribute.CHANGE_REQUEST,
        Attribute.USERNAME,
        Attribute.MESSAGE_INTEGRITY,
        Attribute.MESSAGE_INTEGRITY_SHA256,
        Attribute.PASSWORD_ALGORITHM,
        Attribute.USERHASH,
        Attribute.REALM,
        Attribute.NONCE,
        Attribute.PADDING,
        Attribute.RESPONSE_PORT,
    }
)
"""Attributes that a question may carry and must be understood; credentials are passed over, since none are needed."""


class Outcome(Enum):
    """What became of a datagram, for the operator's counters."""

    PLAIN = "plain"
    CLASSIC = "classic"
    CHANGED = "changed"
    REDIRECTED = "redirected"
    ERROR = "error"
    REFUSED_RATE = "refused-rate"
    REFUSED_UNPROVED = "refused-unproved"
    REFUSED_IMPOSSIBLE = "refused-impossible"
    IGNORED_NOT_STUN = "ignored-not-stun"
    IGNORED_MALFORMED = "ignored-malformed"
    IGNORED_NO_QUESTION = "ignored-no-question"


@dataclass(frozen=True, slots=True)
class Site:
    """Where a question arrived, and what else this server has there."""

    here: Address
    """The address and port that the question was sent to."""
    other: Address
    """The other port, at the other address where there is one, else at the same."""

    @property
    def has_second_address(self) -> bool:
        """Whether the host has a second address for this purpose."""
        return self.other.ip != self.here.ip

    def origin(self, change_ip: bool, change_port: bool) -> Address:
        """Where an answer with these changes leaves from."""
        return Address(self.other.ip if change_ip else self.here.ip, (self.other if change_port else self.here).port)


@dataclass(frozen=True, slots=True)
class Answer:
    """A datagram to send."""

    data: bytes
    outcome: Outcome
    to: Address
    origin: Address
    """The address and port of ours that it leaves from."""


class _Refused(Exception):
    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class _Question:
    message: StunMessage
    size: int
    asker: Address
    to: Address
    """Where it wants the answer: to itself, if it does not say otherwise."""
    site: Site
    proved: bool
    """Whether it shows a cookie that was sent to where it, or the answer that it wants, belongs."""
    now: float

    @property
    def wants_cookie(self) -> bool:
        return Attribute.COOKIE in self.message.attributes


class StunAnswers:
    """Answers questions.

    :param rates: shared with the loop for plain questions.
    :param free_loopback: questions from this very machine are counted, but never refused for being too many.
    """

    def __init__(self, cookies: Cookies, rates: AddressRates, *, free_loopback: bool = True) -> None:
        self._cookies = cookies
        self._rates = rates
        self._free_loopback = free_loopback

    def answer(self, datagram: bytes, asker: Address, site: Site, now: float) -> Answer | Outcome:
        """The answer to ``datagram``, or why there is none.

        :param asker: where the datagram came from.
        """
        try:
            question = self._read(datagram, asker.normal(), site, now)
            answer = self._answer(question)
            self._count(question, answer)
        except NotStun:
            return Outcome.IGNORED_NOT_STUN
        except BadStun:
            return Outcome.IGNORED_MALFORMED
        except _Refused as refused:
            return refused.outcome
        return answer

    def _read(self, datagram: bytes, asker: Address, site: Site, now: float) -> _Question:
        message = parse(datagram, classic=len(asker.ip) == 4)  # RFC 3489 knows no IPv6
        if message.kind is not Kind.REQUEST or message.method != BINDING or asker.port == 0:
            raise _Refused(Outcome.IGNORED_NO_QUESTION)
        to = _wanted_target(message, asker)
        cookie = message.attributes.get(Attribute.COOKIE, b"")
        proved = any(self._cookies.proves(cookie, address, now) for address in {asker, to}) if any(cookie) else False
        return _Question(message, len(datagram), asker, to, site, proved, now)

    def _count(self, question: _Question, answer: Answer) -> None:
        asker, unproved = (
            question.asker,
            answer.outcome in (Outcome.CHANGED, Outcome.REDIRECTED) and not question.proved,
        )
        cost = STUN_UNPROVED_COST if unproved else 2.0 if len(answer.data) > question.size else 1.0
        allowed = self._rates.allow(address_key(asker.ip), asker.port, question.now, cost)
        if not allowed and not (self._free_loopback and is_loopback(asker.ip)):
            raise _Refused(Outcome.REFUSED_RATE)

    def _answer(self, question: _Question) -> Answer:
        attributes = question.message.attributes
        unknown = [kind for kind in attributes if kind < 0x8000 and kind not in KNOWN]
        if unknown:
            return _error(question, 420, unknown)
        change = question.message.change_request()
        redirected = Attribute.RESPONSE_PORT in attributes
        if redirected and (Attribute.PADDING in attributes or not question.to.port):
            return _error(question, 400)
        if redirected and not self._may_redirect(question):
            return _error(question, 420, [Attribute.RESPONSE_PORT])
        if any(change) and not redirected and not self._may_change(question):
            raise _Refused(Outcome.REFUSED_UNPROVED)
        if change[0] and not question.site.has_second_address:
            return _impossible(question)
        return self._success(question, change, _outcome(question, redirected, any(change)))

    def _may_change(self, question: _Question) -> bool:
        key = address_key(question.asker.ip)
        return question.proved or self._rates.heard(key, question.now, STUN_HEARD)

    def _may_redirect(self, question: _Question) -> bool:
        key, ports = address_key(question.asker.ip), (question.asker.port, question.to.port)
        return question.proved or any(self._rates.heard_port(key, port, question.now, STUN_HEARD) for port in ports)

    def _success(self, question: _Question, change: tuple[bool, bool], outcome: Outcome) -> Answer:
        origin = question.site.origin(*change)
        if question.message.classic:
            data = _classic_success(question, origin)
        else:
            data = self._modern_success(question, origin)
        return Answer(data, outcome, question.to, origin)

    def _modern_success(self, question: _Question, origin: Address) -> bytes:
        transaction = question.message.transaction
        attributes: dict[int, bytes] = {Attribute.XOR_MAPPED_ADDRESS: pack_xor_address(question.asker, transaction)}
        size = HEADER_BYTES + 8 + _size(attributes[Attribute.XOR_MAPPED_ADDRESS])
        for kind, value, demanded in self._further(question, origin):
            if demanded or question.proved or size + _size(value) <= question.size:
                attributes[kind] = value
                size += _size(value)
        room = question.size - size - 4
        if Attribute.PADDING in question.message.attributes and room >= 0:
            attributes[Attribute.PADDING] = bytes(room & ~3)
        return pack(StunMessage(Kind.SUCCESS, transaction, attributes))

    def _further(self, question: _Question, origin: Address) -> Iterator[tuple[int, bytes, bool]]:
        """Attributes beyond the mapped address, the more important first, and whether the protocol demands them."""
        own_peer = question.wants_cookie
        if own_peer:
            yield Attribute.COOKIE, self._cookies.make(question.asker, question.now), False
        if own_peer or question.site.has_second_address:
            yield Attribute.OTHER_ADDRESS, pack_address(question.site.other), not own_peer
        yield Attribute.RESPONSE_ORIGIN, pack_address(origin), False


def _wanted_target(message: StunMessage, asker: Address) -> Address:
    """What RESPONSE-PORT says (RFC 5780, 7.5), which names another port of the asker's own address."""
    value = message.attributes.get(Attribute.RESPONSE_PORT)
    if value is None:
        return asker
    if len(value) not in (2, 4):
        raise BadStun
    return Address(asker.ip, int.from_bytes(value[:2], "big"))


def _outcome(question: _Question, redirected: bool, changed: bool) -> Outcome:
    if redirected:
        return Outcome.REDIRECTED
    if changed:
        return Outcome.CHANGED
    return Outcome.CLASSIC if question.message.classic else Outcome.PLAIN


def plain_tail(site: Site) -> bytes:
    """What follows the mapped address in answers to plain questions that arrive at ``site``, packed."""
    if not site.has_second_address:
        return b""
    return pack_attribute(Attribute.OTHER_ADDRESS, pack_address(site.other))


def is_loopback(ip: bytes) -> bool:
    """Whether ``ip`` can only be this very machine: the kernel drops such packets when they come from outside."""
    return ip[0] == 127 if len(ip) == 4 else ip == b"\0" * 15 + b"\1"


def _size(value: bytes) -> int:
    return 4 + (len(value) + 3 & ~3)


def _classic_success(question: _Question, origin: Address) -> bytes:
    """RFC 3489, 11.2: addresses in clear, and all three are mandatory."""
    attributes: dict[int, bytes] = {
        Attribute.MAPPED_ADDRESS: pack_address(question.asker),
        Attribute.SOURCE_ADDRESS: pack_address(origin),
    }
    if question.site.has_second_address:
        attributes[Attribute.CHANGED_ADDRESS] = pack_address(question.site.other)
    return pack(StunMessage(Kind.SUCCESS, question.message.transaction, attributes))


def _impossible(question: _Question) -> Answer:
    """An answer from another address is wanted and there is none: silence would look like a filtering NAT.

    Readers of RFC 3489 take any answer for a success, so they get none.
    """
    if question.message.classic:
        raise _Refused(Outcome.REFUSED_IMPOSSIBLE)
    return _error(question, 420, [Attribute.CHANGE_REQUEST])


def _error(question: _Question, code: int, unknown: list[int] | None = None) -> Answer:
    attributes: dict[int, bytes] = {Attribute.ERROR_CODE: pack_error(code)}
    if unknown:
        attributes[Attribute.UNKNOWN_ATTRIBUTES] = pack_types(unknown)
    data = pack(StunMessage(Kind.ERROR, question.message.transaction, attributes))
    return Answer(data, Outcome.ERROR, question.asker, question.site.here)
