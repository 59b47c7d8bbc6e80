"""How two devices come to one channel, decided without any I/O.

One `Negotiation` lives at each side, from the offer until there is a channel or a list of reasons why not. The
offerer's life::

    offer sent ---------> answered --------------> channel
         |  candidates known  |   first proved link: nominated, adopted
         |                    |
         +----- declined, no answer, all dials failed at both ends, time over -----> failed, with a reason per rung

The answerer knows the offerer's candidates from the beginning, dials as well, and adopts the link that the offerer
nominates. Both sides dial at once: a firewall in front of one of them does not matter, and nobody waits for a turn.

The ladder is a tuple of rungs. Each candidate belongs to one, each rung has a delay after which it joins the race,
and each collects what went wrong on it, so that "why is this pair relayed" has an answer. Candidates may be trickled
(`Negotiation.more`): until the other side has said that there are no more, a ladder without hope is not yet
exhausted.

Inputs are method calls with ``now``; what is to be done comes out of `Negotiation.effects`; `Negotiation.timer` says
when to call `Negotiation.time_passed`. Following RFC 8445 in its terms, though the ladder is not ICE's list of pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

from p2pim.core.addresses import format_address
from p2pim.core.candidates import (
    DIRECT_RUNG,
    LAN_RUNG,
    RELAY_RUNG,
    UDP,
    UDP_RUNG,
    Surroundings,
    choose,
    is_public,
    rung_of,
)
from p2pim.core.limits import DIALS_PER_NEGOTIATION, NEGOTIATION_TIME, UDP_REMOTES
from p2pim.core.negotiation_effects import Adopt, Check, Dial, Effect, Exhausted, Failed, Nominate
from p2pim.core.rungs import INCOMING_RUNG, Reasons, Rungs
from p2pim.wire.signals import Candidate, Offer

TCP_LADDER: Final = (LAN_RUNG, DIRECT_RUNG)
UDP_LADDER: Final = (UDP_RUNG,)
DIRECT_LADDER: Final = TCP_LADDER + UDP_LADDER
RELAY_LADDER: Final = (RELAY_RUNG,)

STEP: Final = 0.05
"""Seconds between two dials: long enough that the better one of two that both work is nearly always first (RFC
8305)."""
RUNG_DELAY: Final = {LAN_RUNG: 0.0, DIRECT_RUNG: 0.0, UDP_RUNG: 0.0, RELAY_RUNG: 0.0}
"""Seconds after which a rung joins the race. None waits: a check is one small datagram, and two NATs are opened soonest
when both sides begin at once."""
TCP_HEAD_START: Final = 1.0
"""Seconds, and `TCP_ROUND_TRIPS` round trips, for which a proved UDP link is held back while TCP may be about to prove
itself: where a connection stands already. TCP is the better channel where both work: it costs half the processor time.
It needs about as many round trips as checks and QUIC, so it is there long before, unless processors are very busy; and
meanwhile the conversation goes by relay."""
TCP_ROUND_TRIPS: Final = 1.5
TCP_GRACE: Final = 0.05
"""Seconds for which it is held back where no connection stands yet, but one side has a public address: what is not
there by then is behind a firewall. Where mine is the public one, `GRACE_ROUND_TRIPS` more: that the other side's call
has been taken is not known here until it proves itself."""
GRACE_ROUND_TRIPS: Final = 0.5

REASON: Final = 300
"""Characters of a reason that goes to the other side (the bound of `p2pim.wire.signals.Reason`)."""


class State(Enum):
    """Where a negotiation is."""

    OFFERED = "offered"
    TRYING = "trying"
    DONE = "done"
    FAILED = "failed"


def stands(mine: Offer, theirs: Offer) -> bool:
    """Whether my offer is the one that counts when both sides offered at once; the other side finds the opposite."""
    return (mine.tie_breaker, mine.negotiation) > (theirs.tie_breaker, theirs.negotiation)


class Negotiation:
    """One side's view of one negotiation.

    :param offerer: whether this side made the offer.
    :param ladder: the rungs that both sides would take.
    :param now: the present time; the negotiation is over `NEGOTIATION_TIME` later, whatever happens.
    """

    def __init__(self, *, offerer: bool, ladder: tuple[str, ...], around: Surroundings, now: float) -> None:
        self.offerer = offerer
        self.ladder = ladder
        self.mappings = ("", "")
        """How my NAT maps and how the other side's does, where known: for the reasons."""
        self.state = State.OFFERED
        self._around = around
        self._end = now + NEGOTIATION_TIME
        self._rungs = Rungs(ladder)
        self._scheduled: list[tuple[float, Dial]] = []
        self._proved: dict[int, str] = {}
        self._connected: set[int] = set()
        self._held: tuple[float, int] | None = None
        self._checks = 0
        self._paths: dict[str, tuple[Candidate, float]] = {}
        self._path_rtt = 0.0
        self._numbers = 0
        self._dialled: set[str] = set()
        self._complete = False
        self._exhausted_there = False
        self._exhausted_here = False
        self._effects: list[Effect] = []

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in (State.DONE, State.FAILED)

    @property
    def complete(self) -> bool:
        """Whether the other side has named all its candidates."""
        return self._complete

    def effects(self) -> list[Effect]:
        """What is to be done now, in order; each is given once."""
        effects, self._effects = self._effects, []
        return effects

    def timer(self) -> float | None:
        """When `time_passed` is to be called next; None when never."""
        if self.over:
            return None
        held = [self._held[0]] if self._held is not None else []
        return min([self._end, *held, *(at for at, _ in self._scheduled)])

    # --- inputs

    def begin(self, candidates: Sequence[Candidate], now: float, *, complete: bool = True) -> None:
        """The other side's half is known: race. ``complete``: it will not name more candidates later."""
        if self.state is not State.OFFERED:
            return
        self.state = State.TRYING
        if RELAY_RUNG in self.ladder:
            self._schedule(RELAY_RUNG, None, now)
        self.more(candidates, now, complete=complete)

    def more(self, candidates: Sequence[Candidate], now: float, *, complete: bool) -> None:
        """The other side named further candidates."""
        if self.state is not State.TRYING:
            return
        tcp, udp = ([each for each in candidates if (each.transport == UDP) is kind] for kind in (False, True))
        chosen, refused = choose(tcp, self._around, max(DIALS_PER_NEGOTIATION - len(self._dialled), 0))
        remotes, refused_remotes = choose(udp, self._around, UDP_REMOTES)
        for refusal in refused + refused_remotes:
            address = format_address(refusal.candidate.host, refusal.candidate.port)
            self._rungs.note(rung_of(refusal.candidate), f"{address} {refusal.reason}")
        for candidate in chosen:
            rung = rung_of(candidate)
            if rung in self.ladder:
                self._schedule(rung, candidate, now)
        self._complete = self._complete or complete
        self._begin_checks(tuple(remotes))
        self.time_passed(now)
        self._check_hope()

    def dial_failed(self, number: int, reason: str) -> None:
        """The dial, or the link that it became, came to nothing."""
        self._proved.pop(number, None)
        self._connected.discard(number)
        self._rungs.failed(number, reason)
        if self._paths and self.state is State.TRYING:
            self._dial_path()
        if self._held is not None and not self._head_start():
            self._let_go()
        self._check_hope()

    def incoming_failed(self, link: int, reason: str) -> None:
        """A link that the other side dialled came to nothing."""
        self._proved.pop(link, None)
        self._rungs.note(INCOMING_RUNG, reason)

    def connected(self, number: int) -> None:
        """The TCP dial ``number`` was taken: it is likely to become a link."""
        self._connected.add(number)

    def path_found(self, number: int, candidate: Candidate, rtt: float = 0.0) -> None:
        """The checks ``number`` found a path: the offerer opens a link on the first one, the answerer is called."""
        if self.state is not State.TRYING or number != self._checks or not self.offerer:
            return
        self._paths.setdefault(format_address(candidate.host, candidate.port), (candidate, rtt))
        self._rungs.waiting(UDP_RUNG).pop(number, None)
        self._dial_path()

    def _dial_path(self) -> None:
        """Open a link on the first path that has not been tried, unless one is being opened."""
        waiting = self._rungs.waiting(UDP_RUNG)
        address = next((known for known in self._paths if f"udp {known}" not in self._dialled), None)
        if waiting or address is None:
            return
        candidate, self._path_rtt = self._paths[address]
        self._dialled.add(f"udp {address}")
        self._numbers += 1
        waiting[self._numbers] = address
        self._effects.append(Dial(self._numbers, UDP_RUNG, candidate))

    def proved(self, link: int, rung: str, now: float) -> None:
        """Both ends of ``link`` are who they should be. Links that were dialled here have the dial's number."""
        if self.state is not State.TRYING:
            return
        self._proved[link] = rung
        if not self.offerer:
            return
        if rung == UDP_RUNG and (wait := self._head_start()):
            self._held = (now + wait, link)
        else:
            self._nominate(link)

    def _head_start(self) -> float:
        """How long a proved UDP link waits for TCP, which may be about to prove itself; 0: nothing speaks for it."""
        if self._connected:
            return TCP_HEAD_START + TCP_ROUND_TRIPS * self._path_rtt
        if DIRECT_RUNG not in self._rungs:
            return 0.0
        if any(is_public(host) for host, _ in self._around.listening):
            return TCP_GRACE + GRACE_ROUND_TRIPS * self._path_rtt
        return TCP_GRACE if self._rungs.waiting(DIRECT_RUNG) else 0.0

    def _let_go(self) -> None:
        """The UDP link that was held back is wanted after all."""
        _, link = self._held or (0.0, 0)
        self._held = None
        if link in self._proved and self.state is State.TRYING:
            self._nominate(link)

    def _nominate(self, link: int) -> None:
        self._effects.append(Nominate(link))
        self._adopt(link)

    def nominated(self, link: int) -> None:
        """The offerer picked ``link``."""
        if self.state is State.TRYING and not self.offerer and link in self._proved:
            self._adopt(link)

    def declined(self, reason: str) -> None:
        """The other side said no; after an answer: that it can reach nothing itself."""
        if self.state is State.OFFERED:
            self.abandon(f"the other side declined: {reason}")
        elif self.state is State.TRYING and not self._exhausted_there:
            self._exhausted_there = True
            self._rungs.note(INCOMING_RUNG, f"the other side says: {reason}")
            self._check_hope()

    def abandon(self, reason: str) -> None:
        """Something outside makes it pointless."""
        if not self.over:
            self._fail(tuple((rung, reason) for rung in self.ladder))

    def time_passed(self, now: float) -> None:
        """The time that `timer` named has come."""
        if self.over:
            return
        due = [dial for at, dial in self._scheduled if at <= now]
        self._scheduled = [(at, dial) for at, dial in self._scheduled if at > now]
        self._effects += due
        if self._held is not None and now >= self._held[0]:
            self._let_go()
        if now >= self._end and not self.over:
            self._fail(self._reasons())

    def reachable_from_here(self) -> str:
        """What was tried from this side and how it failed, in one line for the other side."""
        return self._rungs.tried()[:REASON]

    # --- inside

    def _schedule(self, rung: str, candidate: Candidate | None, now: float) -> None:
        address = "the relay" if candidate is None else format_address(candidate.host, candidate.port)
        if address in self._dialled:
            return
        self._dialled.add(address)
        self._numbers += 1
        before = sum(1 for number in self._rungs.waiting(rung))
        self._rungs.waiting(rung)[self._numbers] = address
        self._scheduled.append((now + RUNG_DELAY[rung] + before * STEP, Dial(self._numbers, rung, candidate)))

    def _begin_checks(self, candidates: tuple[Candidate, ...]) -> None:
        """More to check, or the news that there will be no more."""
        if UDP_RUNG not in self.ladder:
            return
        if not self._checks and (candidates or not self._complete):
            self._numbers += 1
            self._checks = self._numbers
            self._rungs.waiting(UDP_RUNG)[self._checks] = "checks"
        if self._checks:
            self._effects.append(Check(self._checks, candidates))

    def _adopt(self, link: int) -> None:
        self.state = State.DONE
        self._scheduled.clear()
        self._effects.append(Adopt(link, self._proved[link]))

    def _check_hope(self) -> None:
        """Whether any dial is left, here or there."""
        if self.state is not State.TRYING or self._rungs.any_waiting or not self._complete:
            return
        if not self.offerer and not self._exhausted_here:
            self._exhausted_here = True
            self._effects.append(Exhausted(self.reachable_from_here()))
        if self._exhausted_there and self.offerer:
            self._fail(self._reasons())

    def _fail(self, reasons: Reasons) -> None:
        self.state = State.FAILED
        self._scheduled.clear()
        self._effects.append(Failed(reasons))

    def _reasons(self) -> Reasons:
        if self.state is State.OFFERED:
            return tuple((rung, "the other side did not answer the offer in time") for rung in self.ladder)
        return self._rungs.reasons(self.mappings, listening=bool(self._around.listening))
