"""One negotiation carried out: offers and answers, calls, checks, and at the end a channel or reasons.

What is to be done next is decided by `p2pim.core.negotiation`; here it is done. A `Negotiator` owns every connection
of its negotiation (`p2pim.peer.negotiation_links`; those that it makes are called in `p2pim.peer.negotiation_calls`)
until one of them is the channel, and closes the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall

from p2pim.core.candidates import UDP_RUNG, Endpoint, Surroundings, host_candidates, is_here
from p2pim.core.negotiation import REASON, RELAY_LADDER, TCP_LADDER, UDP_LADDER, Negotiation, State
from p2pim.core.negotiation_effects import Adopt, Check, Dial, Effect, Exhausted, Failed, Nominate
from p2pim.core.proof import channel_key, check_key
from p2pim.core.rungs import Reasons
from p2pim.errors import P2pimError
from p2pim.net.links import Link
from p2pim.peer.check_run import CheckRun
from p2pim.peer.negotiation_calls import NegotiationCalls, Place
from p2pim.peer.negotiation_links import NegotiationLink, NegotiationLinks
from p2pim.wire import signals
from p2pim.wire.signals import Answer, Candidate, Decline, MoreCandidates, Offer, Prove

_ALL_MODES: Final = ("tcp", "udp", "relay")


class NegotiatorOwner(Protocol):
    """Who hears the end of a negotiation; exactly one of the two is called, once."""

    def negotiated(self, negotiator: Negotiator, channel: Link) -> None:
        """``channel`` is proved and nominated: adopt it now."""

    def not_negotiated(self, negotiator: Negotiator, reasons: Reasons, error: P2pimError | None) -> None:
        """There will be none. ``error``, when the server said why."""


class Negotiator:
    """One side of one negotiation with ``device`` of ``user``.

    :param modes: the kinds of direct channel that this side makes: "tcp", "udp".
    :param relay: over a splice at the server; else directly.
    :param ticket: mine, for the splice.
    """

    def __init__(
        self,
        place: Place,
        owner: NegotiatorOwner,
        user: str,
        device: bytes,
        *,
        around: Surroundings,
        modes: tuple[str, ...],
        relay: bool = False,
        ticket: bytes = b"",
        server: Endpoint = ("", 0),
    ) -> None:
        self.user, self.device, self.relay = user, device, relay
        self.id = b""
        self.offer: Offer | None = None
        """My own offer, when I made one."""
        self._place = place
        self._owner: NegotiatorOwner | None = owner
        self._around = around
        self._modes = ("relay",) if relay else modes
        self._secret = place.random(32)
        self.machine = self._make_machine(offerer=True)
        """What decides."""
        self._links = NegotiationLinks(self, place.clock)
        self._calls = NegotiationCalls(self, place, self._links, relay=relay, server=server, ticket=ticket)
        self._timer: IDelayedCall | None = None
        self._checks: CheckRun | None = None
        self._checks_number = 0
        self._told: list[Candidate] = []

    def _make_machine(self, *, offerer: bool, theirs: Sequence[str] = _ALL_MODES) -> Negotiation:
        ladder: tuple[str, ...] = ()
        for mode, rungs in (("relay", RELAY_LADDER), ("tcp", TCP_LADDER), ("udp", UDP_LADDER)):
            if mode in self._modes and mode in theirs:
                ladder += rungs
        return Negotiation(offerer=offerer, ladder=ladder, around=self._around, now=self._place.clock.seconds())

    @property
    def answered(self) -> bool:
        """Whether both sides know each other's half."""
        return self.machine.state is not State.OFFERED

    @property
    def confined(self) -> bool:
        """Whether the other side is not to learn where this machine is."""
        return self._around.confined

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._owner is None

    # --- beginning

    def make_offer(self, their_ticket: bytes = b"") -> None:
        """Begin, as the one who offers."""
        self.id = self._place.random(16)
        self._told = self._candidates()
        self.offer = Offer(
            negotiation=self.id,
            tie_breaker=int.from_bytes(self._place.random(8), "big") >> 1,
            fingerprint=self._place.channels.fingerprint,
            secret=self._secret,
            candidates=self._told,
            modes=list(self._modes),
            ticket=their_ticket,
            mapping=self._mapping,
            more=self._gathering,
        )
        self._prepare_checks(self._secret, self.offer.tie_breaker, controlling=True)
        self._place.send(self.user, self.device, self.offer, self._undelivered)
        self.carry_out()

    def take_offer(self, offer: Offer) -> None:
        """Begin, as the one who answers ``offer``."""
        self.id = offer.negotiation
        self.machine = self._make_machine(offerer=False, theirs=offer.modes)
        self.machine.mappings = (self._mapping, offer.mapping)
        self._links.agree(channel_key(offer.secret, self._secret), offer.fingerprint)
        self._told = self._candidates()
        answer = Answer(
            negotiation=self.id,
            fingerprint=self._place.channels.fingerprint,
            secret=self._secret,
            candidates=self._told,
            modes=list(self._modes),
            mapping=self._mapping,
            more=self._gathering,
        )
        self._place.send(self.user, self.device, answer, None)
        self._prepare_checks(offer.secret, self._place.rng.getrandbits(63), controlling=False)
        self.machine.begin(offer.candidates, self._place.clock.seconds(), complete=not offer.more)
        self.carry_out()

    # --- what I tell, and go on telling while more is found

    def _candidates(self) -> list[Candidate]:
        found: list[Candidate] = []
        if "tcp" in self._modes:
            found += host_candidates(self._around.listening)
        if "udp" in self._modes:
            found += self._place.udp.candidates()
        return [each for each in found if is_here(each)] if self.confined else found

    @property
    def _mapping(self) -> str:
        return self._place.udp.mapping if "udp" in self._modes and not self.confined else ""

    @property
    def _gathering(self) -> bool:
        return "udp" in self._modes and self._place.udp.gathering and not self.confined

    def more_found(self) -> None:
        """This side's candidates have changed: trickle the new ones."""
        if self.over or self._checks is None:
            return
        new = [each for each in self._candidates() if each not in self._told]
        if self.confined and not new:
            return
        self._told += new
        self.machine.mappings = (self._mapping, self.machine.mappings[1])
        more = MoreCandidates(self.id, new, self._mapping, self._gathering)
        self._place.send(self.user, self.device, more, None)

    def take_more(self, more: MoreCandidates) -> None:
        """The other side found further candidates."""
        self.machine.mappings = (self.machine.mappings[0], more.mapping)
        self.machine.more(more.candidates, self._place.clock.seconds(), complete=not more.more)
        self.carry_out()

    def take_answer(self, answer: Answer) -> None:
        """The other side's half, when it was I who offered."""
        if self.offer is None or self.answered:
            return
        self._links.agree(channel_key(self._secret, answer.secret), answer.fingerprint)
        self.machine.mappings = (self._mapping, answer.mapping)
        self.machine.begin(answer.candidates, self._place.clock.seconds(), complete=not answer.more)
        self._links.check_held()
        self.carry_out()

    def take_decline(self, reason: str) -> None:
        """The other side will not, or has nothing left to try."""
        self.machine.declined(reason)
        self.carry_out()

    def abandon(self, reason: str) -> None:
        """Give up, for a reason outside of it."""
        self.machine.abandon(reason)
        self.carry_out()

    def supersede(self) -> None:
        """Another negotiation takes this one's place: close everything, and tell nobody."""
        self._owner = None
        self._release(None)

    def take_incoming(self, channel: Link, proof: Prove) -> None:
        """``channel`` came in and says that it belongs here."""
        self._links.take_incoming(channel, proof)

    def _undelivered(self, error: P2pimError) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            self._release(None)
            owner.not_negotiated(self, tuple((rung, error.message) for rung in self.machine.ladder), error)

    # --- effects

    def carry_out(self) -> None:
        """Do what the machine wants done."""
        for effect in self.machine.effects():
            if not self.over:
                self._do(effect)
        self._set_timer()

    def _do(self, effect: Effect) -> None:
        if isinstance(effect, Dial):
            self._calls.dial(effect)
        elif isinstance(effect, Check):
            self._check(effect)
        elif isinstance(effect, Nominate):
            channel = self._links[effect.link].channel
            if channel is not None:
                channel.send(signals.Nominate())
        elif isinstance(effect, Adopt):
            self._succeed(self._links[effect.link])
        elif isinstance(effect, Exhausted):
            self._place.send(self.user, self.device, Decline(self.id, effect.reason[:REASON]), None)
        elif isinstance(effect, Failed):
            self._fail(effect.reasons)

    # --- checks

    def _prepare_checks(self, secret: bytes, tie_breaker: int, *, controlling: bool) -> None:
        """Answer the other side's checks from now on, whether mine have begun or not."""
        if UDP_RUNG not in self.machine.ladder:
            return
        self._checks = CheckRun(
            self._place.udp,
            self._place.clock,
            user=self.user,
            username=self.id.hex(),
            key=check_key(secret),
            controlling=controlling,
            tie_breaker=tie_breaker,
            rng=self._place.rng,
            found=self._path_found,
            failed=self._no_path,
            confined=self.confined,
        )

    def _check(self, check: Check) -> None:
        self._checks_number = check.number
        if self._checks is not None:
            self._checks.add(check.candidates, complete=self.machine.complete)

    def _path_found(self, candidate: Candidate, rtt: float) -> None:
        if self._checks_number and not self.over:
            self.machine.path_found(self._checks_number, candidate, rtt)
            self.carry_out()

    def _no_path(self, reason: str) -> None:
        if self._checks_number and not self.over:
            self.machine.dial_failed(self._checks_number, reason)
            self.carry_out()

    def _set_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        at = self.machine.timer()
        if at is not None and not self.over:
            delay = max(0.0, at - self._place.clock.seconds())
            self._timer = self._place.clock.callLater(delay, self._time_passed)

    def _time_passed(self) -> None:
        self._timer = None
        self.machine.time_passed(self._place.clock.seconds())
        self.carry_out()

    # --- the end

    def _succeed(self, link: NegotiationLink) -> None:
        owner, self._owner = self._owner, None
        channel = link.channel
        assert channel is not None
        self._release(link)
        if owner is not None:
            owner.negotiated(self, channel)

    def _fail(self, reasons: Reasons) -> None:
        owner, self._owner = self._owner, None
        self._release(None)
        if owner is not None:
            owner.not_negotiated(self, reasons, None)

    def _release(self, kept: NegotiationLink | None) -> None:
        """Close every connection and call but ``kept``."""
        self._set_timer()
        if self._checks is not None:
            self._checks.stop()
        self._calls.cancel()
        self._links.release(kept)
