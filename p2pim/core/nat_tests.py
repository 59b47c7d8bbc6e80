"""What kind of NAT this machine is behind, found by asking a P2P server; decided without I/O, after RFC 5780.

A NAT has two behaviours that matter (RFC 4787). *Mapping*: does one socket keep its public port for every destination,
or does another address, or only another port, get a new one? *Filtering*: who may answer to that public port?

The tests, all from one fresh socket, in this order:

1. A plain question. The answer tells the public address, the server's other port and address, and a cookie.
2. Filtering: the same question, answered from the server's other port, and from its other address and port. It comes
   before the next step, since whoever has been written to may answer.
3. Mapping: a plain question to the other port, and one to the other address. Another public port there than in step 1
   means that the mapping depends on what was changed.

A server with one address can change the port alone. Then a mapping or filtering that does not mind the port may still
mind the address: it is called `PORT_INDEPENDENT`, and no more is claimed. Silence counts as filtering only if the
server's other end has been heard at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from random import Random
from typing import Final

from p2pim.core import limits
from p2pim.errors import BadStun, NotStun
from p2pim.wire.stun import Attribute, Kind, StunMessage, parse
from p2pim.wire.stun_binding import pack_question

Endpoint = tuple[str, int]

NONE: Final = "none"
"""No NAT: the server sees this machine's own address and port. Of mappings only."""
ENDPOINT_INDEPENDENT: Final = "endpoint-independent"
PORT_INDEPENDENT: Final = "port-independent"
"""Of the port, that is; whether the address matters could not be tested."""
ADDRESS_DEPENDENT: Final = "address-dependent"
ADDRESS_AND_PORT_DEPENDENT: Final = "address-and-port-dependent"
BLOCKED: Final = "blocked"
"""Nothing came back at all."""
UNKNOWN: Final = "unknown"


@dataclass(frozen=True)
class NatFindings:
    """What the tests have shown: ``mapping`` and ``filtering`` are among the constants above."""

    mapping: str
    filtering: str
    mapped: Endpoint | None = None
    """This socket as the server sees it."""
    rtt: float | None = None
    """Seconds to the server and back."""
    testable: bool = False
    """Whether the server offers these tests at all."""
    other_heard: bool = False
    """Whether anything came from the server's other port or address."""

    @property
    def answered(self) -> bool:
        """Whether UDP came back."""
        return self.mapped is not None


@dataclass(eq=False)
class _Question:
    target: Endpoint
    expected: Endpoint
    """Where the answer has to come from."""
    due: float
    change_ip: bool = False
    change_port: bool = False
    tries: int = 0
    pending: dict[bytes, float] = field(default_factory=dict)
    over: bool = False
    refused: bool = False
    mapped: Endpoint | None = None


class NatTests:
    """The tests from one socket with one server.

    :param local: this socket's own addresses; a mapped address among them means that there is no NAT.
    :param reach_only: only whether the server answers, and where it sees this socket.
    """

    def __init__(
        self,
        server: Endpoint,
        *,
        rng: Random,
        now: float,
        local: frozenset[Endpoint] = frozenset(),
        reach_only: bool = False,
    ) -> None:
        self._server, self._local, self._reach_only, self._random = server, local, reach_only, rng
        self._first = _Question(server, server, now)
        self._filters: list[_Question] = []
        self._mappings: list[_Question] = []
        self._running = [self._first]
        self._rtt: float | None = None
        self._other: Endpoint | None = None
        self._cookie = b""
        self._outgoing: list[tuple[bytes, Endpoint]] = []
        self.done = False

    # --- driving it

    def receive(self, data: bytes, source: Endpoint, now: float) -> bool:
        """A datagram from ``source``; whether it answered a question of these tests."""
        if self.done or len(data) > limits.STUN_ANSWER:
            return False
        try:
            message = parse(data)
            question = self._asked(message.transaction)
            if question is None or source not in (question.expected, question.target):
                return False
            self._answered(question, message, source, now)
        except (NotStun, BadStun):
            return False
        self._advance(now)
        return True

    def handle_timer(self, now: float) -> None:
        """`timer` has come."""
        for question in self._running:
            if not question.over and question.due <= now:
                self._ask(question, now)
        self._advance(now)

    def timer(self) -> float | None:
        """When `handle_timer` wants to be called; None when all is done."""
        return min((question.due for question in self._running if not question.over), default=None)

    def to_send(self) -> list[tuple[bytes, Endpoint]]:
        """Datagrams to send now."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    # --- questions and answers

    def _asked(self, transaction: bytes) -> _Question | None:
        return next((q for q in self._running if not q.over and transaction in q.pending), None)

    def _ask(self, question: _Question, now: float) -> None:
        if question.tries >= limits.NAT_TEST_TRIES:
            question.over = True
            return
        transaction = self._random.randbytes(12)
        question.pending[transaction] = now
        data = pack_question(transaction, self._cookie, change_ip=question.change_ip, change_port=question.change_port)
        self._outgoing.append((data, question.target))
        question.due = now + limits.STUN_RETRY * 2**question.tries
        question.tries += 1

    def _answered(self, question: _Question, message: StunMessage, source: Endpoint, now: float) -> None:
        mapped = message.mapped_address() if message.kind is Kind.SUCCESS else None
        if message.kind in (Kind.REQUEST, Kind.INDICATION):
            return
        question.over = True
        if mapped is None or source != question.expected:
            question.refused = True
            return
        question.mapped = (str(ip_address(mapped.ip)), mapped.port)
        if question is self._first:
            other = message.address(Attribute.OTHER_ADDRESS)
            self._other = None if other is None else (str(ip_address(other.ip)), other.port)
            self._cookie = message.attributes.get(Attribute.COOKIE, b"")
            self._rtt = now - question.pending[message.transaction]

    # --- one step after the other

    def _advance(self, now: float) -> None:
        while not self.done and all(question.over for question in self._running):
            if self._running == [self._first] and self._may_go_on():
                self._running = self._filters = self._filter_questions(now)
            elif self._running is self._filters and self._filters:
                self._running = self._mappings = self._mapping_questions(now)
            else:
                self.done = True
                return
            for question in self._running:
                self._ask(question, now)

    def _may_go_on(self) -> bool:
        other = self._other
        return self._first.mapped is not None and not self._reach_only and other is not None and other != self._server

    def _filter_questions(self, now: float) -> list[_Question]:
        assert self._other is not None
        (host, port), (other_host, other_port) = self._server, self._other
        questions = [_Question(self._server, (host, other_port), now, change_port=True)] if port != other_port else []
        if other_host != host:
            questions.append(_Question(self._server, self._other, now, change_ip=True, change_port=port != other_port))
        return questions

    def _mapping_questions(self, now: float) -> list[_Question]:
        assert self._other is not None
        (host, port), (other_host, other_port) = self._server, self._other
        targets = [(host, other_port)] if port != other_port else []
        targets += [(other_host, port)] if other_host != host else []
        return [_Question(target, target, now) for target in targets]

    # --- what it all means

    def findings(self) -> NatFindings:
        """What is known; complete when `done`."""
        first = self._first.mapped
        if first is None:
            word = BLOCKED if self._first.over and not self._first.refused else UNKNOWN
            return NatFindings(word, word)
        heard = any(question.mapped is not None for question in (*self._filters, *self._mappings))
        return NatFindings(
            NONE if first in self._local else self._mapping(first),
            self._filtering(),
            first,
            self._rtt,
            testable=self._other is not None,
            other_heard=heard,
        )

    def _mapping(self, first: Endpoint) -> str:
        by_port = by_address = None
        for question in self._mappings:
            if question.mapped is not None:
                same = question.mapped == first
                if question.target[0] == self._server[0]:
                    by_port = same
                else:
                    by_address = same
        if by_port is False:
            return ADDRESS_AND_PORT_DEPENDENT
        if by_address is False:
            return ADDRESS_DEPENDENT
        if by_address:
            return ENDPOINT_INDEPENDENT
        return PORT_INDEPENDENT if by_port else UNKNOWN

    def _filtering(self) -> str:
        by_port = by_address = None
        for question in self._filters:
            passed = question.mapped is not None
            if passed or (not question.refused and self._heard_elsewhere(question.expected)):
                if question.expected[0] == self._server[0]:
                    by_port = passed
                else:
                    by_address = passed
        if by_address:
            return ENDPOINT_INDEPENDENT
        if by_port:
            return PORT_INDEPENDENT if by_address is None else ADDRESS_DEPENDENT
        return ADDRESS_AND_PORT_DEPENDENT if by_port is False else UNKNOWN

    def _heard_elsewhere(self, end: Endpoint) -> bool:
        """Whether that end of the server has answered when it was written to, so that its silence means something."""
        return any(q.mapped is not None and (q.target == end or q.target[0] == end[0] != self._server[0])
                   for q in self._mappings)  # fmt: skip
