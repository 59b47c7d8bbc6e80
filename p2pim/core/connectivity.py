"""Which datagrams find their way between two peers: the connectivity checks of RFC 8445, without I/O.

A `CheckList` belongs to one negotiation at one side. It is told the other side's candidates, datagrams that arrive, and
the time; it says which checks to send and which paths have proved themselves. One socket per address family serves all
of them, so a *pair* is a remote endpoint: the local half is whatever socket reaches it.

The life of a pair: *waiting* → a check is sent, paced with the others → *in-progress*, sent again at growing intervals
→ *succeeded* when a response comes from the very address that was asked, or *failed* after the last try. A check that
arrives with the right key proves that its sender is our peer: it is answered, and if its source was unknown, that is a
peer-reflexive candidate (RFC 8445, section 7.3.1.3), checked at once (a triggered check). So it does not matter whose
first checks died in front of whose NAT.

What is not here: nomination by USE-CANDIDATE. The controlling side opens QUIC on the pair it prefers, which says the
same with one round trip less (docs/decisions/0005-quic-nominates.md).

Bounds: `limits.PAIRS` endpoints, and `limits.CHECKS_PER_PAIR` checks and as many responses, of about 100 bytes each, to
one that never answers: whoever holds the key can ask in somebody else's name. A check of our own that comes back to us
is nobody's.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from random import Random

from p2pim.core import limits
from p2pim.errors import WireError
from p2pim.wire.checks import Check, CheckResponse, RoleConflict, pack_check, pack_conflict, pack_response, read_check

Endpoint = tuple[str, int]


class PairState(enum.Enum):
    """As RFC 8445, section 6.1.2.6, without *frozen*: there is one component."""

    WAITING = "waiting"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(eq=False)
class Pair:
    """A remote endpoint and what the checks towards it have shown."""

    remote: Endpoint
    kind: str
    priority: int
    state: PairState = PairState.WAITING
    sent: int = 0
    responses: int = 0
    """Sent while nothing had come back from there."""
    triggered: int = 0
    due: float = 0.0
    rtt: float | None = None
    heard: bool = False
    """Whether an authenticated check came from there."""
    pending: dict[bytes, float] = field(default_factory=dict)
    """Transaction ids in flight and when each was sent."""


@dataclass(frozen=True)
class PairSucceeded:
    """A check came back from ``remote``, so packets pass both ways. ``rtt`` in seconds."""

    remote: Endpoint
    kind: str
    rtt: float


@dataclass(frozen=True)
class ChecksFailed:
    """Every pair had its tries, or the time is up; ``reason`` is for a person."""

    reason: str


Event = PairSucceeded | ChecksFailed


class CheckList:
    """The checks of one negotiation at one side.

    :param username: which negotiation a check belongs to; the same at both sides.
    :param key: authenticates checks and responses; both sides derive it from the offer's secret.
    :param controlling: the offerer is; a conflict is settled by ``tie_breaker`` (RFC 8445, section 7.3.1.1).
    """

    def __init__(
        self, *, username: str, key: bytes, controlling: bool, tie_breaker: int, rng: Random, now: float
    ) -> None:
        self.username, self.key = username, key
        self.controlling, self.tie_breaker = controlling, tie_breaker
        self.pairs: dict[Endpoint, Pair] = {}
        self.strangers = 0
        """Datagrams that carried no valid check of this negotiation."""
        self._random = rng
        self._outgoing: list[tuple[bytes, Endpoint]] = []
        self._triggered: list[Pair] = []
        self._events: list[Event] = []
        self._next_check = now
        self._sent = 0
        self._deadline = now + limits.CHECKS_TIME
        self._ended = False
        self._complete = False

    # --- what the caller brings

    def add_remote(self, candidates: Iterable[tuple[Endpoint, str, int]], now: float) -> None:
        """More candidates of the other side: endpoint, kind, priority. Beyond `limits.PAIRS` the rest is ignored."""
        for remote, kind, priority in candidates:
            known = self.pairs.get(remote)
            if known is not None:
                known.kind, known.priority = kind, max(known.priority, priority)
            elif len(self.pairs) < limits.PAIRS:
                self.pairs[remote] = Pair(remote, kind, priority)
                self._next_check = max(now, min(self._next_check, now + limits.CHECK_PACE))

    def no_more_remotes(self) -> None:
        """The other side has told all its candidates, so the list may fail before its time is up."""
        self._complete = True

    def receive(self, data: bytes, source: Endpoint, now: float) -> bool:
        """A datagram from ``source``; whether it was a valid check or response of this negotiation."""
        try:
            message = read_check(data, self.key, self._pending(source))
        except WireError:
            self.strangers += 1
            return False
        if not isinstance(message, Check):
            return self._answered(message, source, now)
        if message.username != self.username or message.tie_breaker == self.tie_breaker:
            self.strangers += 1
            return False
        self._asked(message, source, now)
        return True

    def _pending(self, source: Endpoint) -> Container[bytes]:
        """The transactions of the checks that ``source`` has not answered."""
        pair = self.pairs.get(source)
        return pair.pending if pair is not None else ()

    def handle_timer(self, now: float) -> None:
        """`timer` has come: send what is due, give up what is over."""
        if self._ended:
            return
        if now >= self._deadline:
            self._fail("no check got through in time")
            return
        if now >= self._next_check:
            pair = self._pick(now)
            if pair is not None:
                self._check(pair, now)
                self._next_check = now + (limits.CHECK_PACE if self._sent >= limits.CHECKS_AT_ONCE else 0.0)
        self._fail_when_hopeless(now)

    def stop(self) -> None:
        """The negotiation is over: nothing more is sent, but the peer's checks are still answered."""
        self._ended = True
        self._triggered.clear()

    # --- what the caller takes

    def to_send(self) -> list[tuple[bytes, Endpoint]]:
        """Datagrams to send now, in order."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def next_event(self) -> Event | None:
        """What has happened, oldest first."""
        return self._events.pop(0) if self._events else None

    def timer(self) -> float | None:
        """When `handle_timer` wants to be called; None when never again."""
        if self._ended:
            return None
        due = [pair.due for pair in self.pairs.values() if pair.state is PairState.IN_PROGRESS]
        fresh = self._triggered or any(pair.state is PairState.WAITING for pair in self.pairs.values())
        soonest = self._next_check if fresh else max(self._next_check, min(due, default=self._deadline))
        return min(soonest, self._deadline)

    def best(self) -> Pair | None:
        """The succeeded pair to use: higher class of candidate first, then the shorter round trip."""
        succeeded = [pair for pair in self.pairs.values() if pair.state is PairState.SUCCEEDED]
        return max(succeeded, key=lambda pair: (pair.priority, -(pair.rtt or 0.0)), default=None)

    def proved(self, remote: Endpoint) -> bool:
        """Whether our peer has shown, by a valid check or response, that it knows ``remote`` as its own."""
        pair = self.pairs.get(remote)
        return pair is not None and (pair.heard or pair.state is PairState.SUCCEEDED)

    def answered(self, remote: Endpoint) -> bool:
        """Whether a response came from ``remote``: nobody else can have been meant."""
        pair = self.pairs.get(remote)
        return pair is not None and pair.state is PairState.SUCCEEDED

    def awaits(self, source: Endpoint) -> bool:
        """Whether ``source`` has been sent a check that it has not answered."""
        pair = self.pairs.get(source)
        return pair is not None and bool(pair.pending)

    # --- inside

    def _asked(self, check: Check, source: Endpoint, now: float) -> None:
        pair = self._asker(check, source)
        if pair is None or (check.controlling == self.controlling and not self._settle_roles(check, source)):
            return
        self._outgoing.append((pack_response(check.transaction, source, self.key), source))
        pair.heard = True
        if not self._ended and pair.state is not PairState.SUCCEEDED and pair not in self._triggered:
            self._trigger(pair, now)

    def _asker(self, check: Check, source: Endpoint) -> Pair | None:
        """The pair of a check's source, if that is to have a response."""
        pair = self.pairs.get(source)
        if pair is None:
            if len(self.pairs) >= limits.PAIRS + limits.PEER_REFLEXIVE:
                return None
            pair = self.pairs[source] = Pair(source, "peer-reflexive", check.priority)
        if pair.state is not PairState.SUCCEEDED:
            if pair.responses >= limits.CHECKS_PER_PAIR:
                return None
            pair.responses += 1
        return pair

    def _trigger(self, pair: Pair, now: float) -> None:
        """A triggered check (RFC 8445, section 7.3.1.4), unless one has just been sent. There are always some left."""
        if pair.pending and now - max(pair.pending.values()) < limits.CHECK_PACE:
            return
        if pair.triggered < limits.CHECKS_TRIGGERED:
            pair.triggered += 1
            pair.sent = min(pair.sent, limits.CHECKS_PER_PAIR - 1)
        pair.state = PairState.WAITING
        self._triggered.append(pair)
        self._next_check = now
        self.handle_timer(now)

    def _settle_roles(self, check: Check, source: Endpoint) -> bool:
        """RFC 8445, section 7.3.1.1: the greater tie-breaker controls. False when the peer must change instead."""
        mine_greater = self.tie_breaker >= check.tie_breaker
        if mine_greater == self.controlling:
            self._outgoing.append((pack_conflict(check.transaction, self.key), source))
            return False
        self.controlling = not self.controlling
        return True

    def _answered(self, message: CheckResponse | RoleConflict, source: Endpoint, now: float) -> bool:
        pair = self.pairs.get(source)
        sent = pair.pending.pop(message.transaction, None) if pair is not None else None
        if pair is None or sent is None:
            self.strangers += 1
            return False
        if isinstance(message, RoleConflict):
            self.controlling = not self.controlling
            pair.state = PairState.WAITING
            self._next_check = now
        elif pair.state is not PairState.SUCCEEDED:
            pair.state, pair.rtt, pair.heard = PairState.SUCCEEDED, now - sent, True
            pair.pending.clear()
            self._events.append(PairSucceeded(pair.remote, pair.kind, pair.rtt))
        return True

    def _pick(self, now: float) -> Pair | None:
        if self._triggered:
            return self._triggered.pop(0)
        waiting = [pair for pair in self.pairs.values() if pair.state is PairState.WAITING]
        if waiting:
            return max(waiting, key=lambda pair: pair.priority)
        again = [p for p in self.pairs.values() if p.state is PairState.IN_PROGRESS and p.due <= now]
        return min(again, key=lambda pair: pair.due, default=None)

    def _check(self, pair: Pair, now: float) -> None:
        if pair.sent >= limits.CHECKS_PER_PAIR:
            pair.state = PairState.FAILED
            return
        transaction = self._random.randbytes(12)
        pair.pending[transaction] = now
        check = Check(transaction, self.username, pair.priority, self.controlling, self.tie_breaker)
        self._outgoing.append((pack_check(check, self.key), pair.remote))
        self._sent += 1
        pair.state = PairState.IN_PROGRESS
        pair.due = now + min(limits.CHECK_RETRY * 1.6**pair.sent, limits.CHECK_RETRY_MAX)
        pair.sent += 1

    def _fail_when_hopeless(self, now: float) -> None:
        alive = (PairState.WAITING, PairState.IN_PROGRESS, PairState.SUCCEEDED)
        if self._complete and not any(pair.state in alive for pair in self.pairs.values()):
            self._fail("no check was answered" if self.pairs else "the other side has no address for UDP")

    def _fail(self, reason: str) -> None:
        self._ended = True
        if not any(pair.state is PairState.SUCCEEDED for pair in self.pairs.values()):
            self._events.append(ChecksFailed(reason))
