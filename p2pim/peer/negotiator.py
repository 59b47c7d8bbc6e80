"""One negotiation carried out: signals, calls, proofs, and at the end a channel or reasons.

What is to be done next is decided by `p2pim.core.negotiation`; here it is done. A `Negotiator` owns every connection
of its negotiation until one of them is the channel, and closes the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, UserError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.core.candidates import UDP_RUNG, Endpoint, Surroundings, host_candidates
from p2pim.core.negotiation import (
    INCOMING_RUNG,
    REASON,
    RELAY_LADDER,
    TCP_LADDER,
    UDP_LADDER,
    Adopt,
    Check,
    Dial,
    Effect,
    Exhausted,
    Failed,
    Negotiation,
    Nominate,
    Reasons,
    State,
)
from p2pim.core.proof import DIALLED, DIALLER, channel_key, check_key, is_proof, make_proof
from p2pim.errors import P2pimError, UnexpectedMessage
from p2pim.net.channel_factory import TcpChannelFactory
from p2pim.net.links import Link
from p2pim.peer.check_run import CheckRun
from p2pim.peer.udp_paths import UdpPaths
from p2pim.wire import signals
from p2pim.wire.signals import Answer, AnySignal, Candidate, Decline, MoreCandidates, Offer, Prove, Signal

_ALL_MODES: Final = ("tcp", "udp", "relay")
PROOFS_HELD: Final = 4
"""Proofs of connections that came before the answer to the offer did, kept until it does."""


@dataclass(frozen=True)
class Place:
    """What every negotiation of a peer works with.

    ``send`` gives a signal to the server for one device of a user; its last argument hears when that failed. ``random``
    gives unpredictable bytes. ``udp`` is there and open only while UDP can be used; ``rng`` spreads checks.
    """

    clock: IReactorTime
    channels: TcpChannelFactory
    udp: UdpPaths
    rng: Random
    random: Callable[[int], bytes]
    send: Callable[[str, bytes, Signal, Callable[[P2pimError], None] | None], None]


class NegotiatorOwner(Protocol):
    """Who hears the end of a negotiation; exactly one of the two is called, once."""

    def negotiated(self, negotiator: Negotiator, channel: Link) -> None:
        """``channel`` is proved and nominated: adopt it now."""

    def not_negotiated(self, negotiator: Negotiator, reasons: Reasons, error: P2pimError | None) -> None:
        """There will be none. ``error``, when the server said why."""


class _Link:
    """One connection of a negotiation. It has the number of its dial; those that came in have negative ones."""

    def __init__(self, negotiator: Negotiator, number: int, rung: str, *, dialler: bool) -> None:
        self._negotiator = negotiator
        self.number = number
        self.rung = rung
        self.dialler = dialler
        self.proved = False
        self.proof: bytes | None = None
        self.channel: Link | None = None

    def link_secured(self, channel: Link) -> None:
        self.channel = channel
        if self.dialler:
            self._negotiator.secured(self, channel)

    def link_signal(self, channel: Link, signal: AnySignal) -> None:
        if isinstance(signal, Prove) and self.proof is None:
            self.proof = signal.mac
            self._negotiator.proof_came(self, channel, signal)
        elif isinstance(signal, signals.Nominate) and self.proved:
            self._negotiator.nominated(self)
        else:
            raise UnexpectedMessage

    def link_lost(self, channel: Link, reason: str) -> None:
        self._negotiator.lost(self, reason)


class Negotiator:
    """One side of one negotiation with ``device`` of ``user``.

    :param modes: the kinds of direct channel that this side makes: "tcp", "udp".
    :param relay: over a splice at the server; else directly.
    :param ticket: mine, for the splice.
    """

    _log = Logger()

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
        self._ticket = ticket
        self._server = server
        self._secret = place.random(32)
        self._key = b""
        self._their_fingerprint = b""
        self._machine = self._make_machine(offerer=True)
        self._links: dict[int, _Link] = {}
        self._calls: dict[int, Deferred[Any]] = {}
        self._timer: IDelayedCall | None = None
        self._incoming = 0
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
        return self._machine.state is not State.OFFERED

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
        self._carry_out()

    def take_offer(self, offer: Offer) -> None:
        """Begin, as the one who answers ``offer``."""
        self.id = offer.negotiation
        self._machine = self._make_machine(offerer=False, theirs=offer.modes)
        self._machine.mappings = (self._mapping, offer.mapping)
        self._their_fingerprint = offer.fingerprint
        self._key = channel_key(offer.secret, self._secret)
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
        self._machine.begin(offer.candidates, self._place.clock.seconds(), complete=not offer.more)
        self._carry_out()

    # --- what I tell, and go on telling while more is found

    def _candidates(self) -> list[Candidate]:
        found: list[Candidate] = []
        if "tcp" in self._modes:
            found += host_candidates(self._around.listening)
        if "udp" in self._modes:
            found += self._place.udp.candidates()
        return found

    @property
    def _mapping(self) -> str:
        return self._place.udp.mapping if "udp" in self._modes else ""

    @property
    def _gathering(self) -> bool:
        return "udp" in self._modes and self._place.udp.gathering

    def more_found(self) -> None:
        """This side's candidates have changed: trickle the new ones."""
        if self.over or self._checks is None:
            return
        new = [each for each in self._candidates() if each not in self._told]
        self._told += new
        self._machine.mappings = (self._mapping, self._machine.mappings[1])
        more = MoreCandidates(self.id, new, self._mapping, self._gathering)
        self._place.send(self.user, self.device, more, None)

    def take_more(self, more: MoreCandidates) -> None:
        """The other side found further candidates."""
        self._machine.mappings = (self._machine.mappings[0], more.mapping)
        self._machine.more(more.candidates, self._place.clock.seconds(), complete=not more.more)
        self._carry_out()

    def take_answer(self, answer: Answer) -> None:
        """The other side's half, when it was I who offered."""
        if self.offer is None or self.answered:
            return
        self._their_fingerprint = answer.fingerprint
        self._key = channel_key(self._secret, answer.secret)
        self._machine.mappings = (self._mapping, answer.mapping)
        self._machine.begin(answer.candidates, self._place.clock.seconds(), complete=not answer.more)
        for link in list(self._links.values()):
            if link.channel is not None and link.proof is not None and not link.proved:
                self._check_proof(link, link.channel, link.proof)
        self._carry_out()

    def take_decline(self, reason: str) -> None:
        """The other side will not, or has nothing left to try."""
        self._machine.declined(reason)
        self._carry_out()

    def abandon(self, reason: str) -> None:
        """Give up, for a reason outside of it."""
        self._machine.abandon(reason)
        self._carry_out()

    def supersede(self) -> None:
        """Another negotiation takes this one's place: close everything, and tell nobody."""
        self._owner = None
        self._release(None)

    def _undelivered(self, error: P2pimError) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            self._release(None)
            owner.not_negotiated(self, tuple((rung, error.message) for rung in self._machine.ladder), error)

    # --- connections

    def take_incoming(self, channel: Link, proof: Prove) -> None:
        """``channel`` came in and says that it belongs here."""
        unproved = sum(1 for link in self._links.values() if not link.proved)
        if self.over or unproved >= PROOFS_HELD:
            channel.drop("not needed any more")
            return
        self._incoming -= 1
        link = _Link(self, self._incoming, INCOMING_RUNG, dialler=False)
        self._links[link.number] = link
        channel.hand_to(link)
        link.channel = channel
        link.link_signal(channel, proof)

    def secured(self, link: _Link, channel: Link) -> None:
        """TLS stands on a connection that I called: compare the pin, and prove myself."""
        if not channel.is_pinned(self._their_fingerprint):
            channel.drop("somebody else answered there: the certificate is not the one offered")
            return
        channel.send(Prove(self.id, make_proof(self._key, DIALLER, channel.exported_key())))
        if self._machine.offerer:  # the pinned certificate has shown who answered: no need to wait for their proof
            self._believe(link, channel)
            self._carry_out()

    def proof_came(self, link: _Link, channel: Link, proof: Prove) -> None:
        """The other end of ``link`` has proved itself, or says so."""
        link.channel = channel
        if proof.negotiation != self.id:
            channel.drop("its proof is for another negotiation")
        elif self._key:
            self._check_proof(link, channel, proof.mac)
            self._carry_out()

    def _check_proof(self, link: _Link, channel: Link, mac: bytes) -> None:
        exported = channel.exported_key()
        if not is_proof(mac, self._key, DIALLED if link.dialler else DIALLER, exported):
            channel.drop(f"{channel.address} could not prove who it is")
            return
        if not link.dialler:
            channel.send(Prove(self.id, make_proof(self._key, DIALLED, exported)))
        if not link.proved:
            self._believe(link, channel)

    def _believe(self, link: _Link, channel: Link) -> None:
        link.proved = True
        channel.trust()
        self._machine.proved(link.number, link.rung, self._place.clock.seconds())

    def nominated(self, link: _Link) -> None:
        """The offerer picked ``link``."""
        self._machine.nominated(link.number)
        self._carry_out()

    def lost(self, link: _Link, reason: str) -> None:
        """``link`` came to nothing."""
        self._links.pop(link.number, None)
        if link.number > 0:
            self._machine.dial_failed(link.number, reason)
        else:
            self._machine.incoming_failed(link.number, reason)
        self._carry_out()

    # --- effects

    def _carry_out(self) -> None:
        for effect in self._machine.effects():
            if not self.over:
                self._do(effect)
        self._set_timer()

    def _do(self, effect: Effect) -> None:
        if isinstance(effect, Dial):
            self._dial(effect)
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

    def _dial(self, dial: Dial) -> None:
        offerer = self._machine.offerer
        link = _Link(self, dial.number, dial.rung, dialler=offerer or not self.relay)
        self._links[dial.number] = link
        if dial.rung == UDP_RUNG and dial.candidate is not None:
            remote = (dial.candidate.host, dial.candidate.port)
            try:
                link.channel = self._place.udp.dial(remote, self._their_fingerprint, link)
            except P2pimError as error:
                self.lost(link, error.message)
            return
        if dial.candidate is None:
            call = self._place.channels.splice(self._server, self._ticket, link, dialler=offerer)
        else:
            call = self._place.channels.dial((dial.candidate.host, dial.candidate.port), link)
        self._calls[dial.number] = call
        call.addCallbacks(self._taken, self._not_taken, callbackArgs=(link,), errbackArgs=(link,))
        call.addErrback(lambda failure: self._log.failure("A call broke.", failure))

    def _taken(self, channel: Link, link: _Link) -> None:
        self._calls.pop(link.number, None)
        link.channel = channel
        self._machine.connected(link.number)
        if self.over and not link.proved:
            channel.drop("not needed any more")

    def _not_taken(self, failure: Failure, link: _Link) -> None:
        failure.trap(ConnectError, ConnectingCancelledError, UserError, CancelledError, OSError, P2pimError)
        self._calls.pop(link.number, None)
        if not self.over:
            self.lost(link, _words(failure))

    # --- checks

    def _prepare_checks(self, secret: bytes, tie_breaker: int, *, controlling: bool) -> None:
        """Answer the other side's checks from now on, whether mine have begun or not."""
        if UDP_RUNG not in self._machine.ladder:
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
        )

    def _check(self, check: Check) -> None:
        self._checks_number = check.number
        if self._checks is not None:
            self._checks.add(check.candidates, complete=self._machine.complete)

    def _path_found(self, candidate: Candidate, rtt: float) -> None:
        if self._checks_number and not self.over:
            self._machine.path_found(self._checks_number, candidate, rtt)
            self._carry_out()

    def _no_path(self, reason: str) -> None:
        if self._checks_number and not self.over:
            self._machine.dial_failed(self._checks_number, reason)
            self._carry_out()

    def _set_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        at = self._machine.timer()
        if at is not None and not self.over:
            delay = max(0.0, at - self._place.clock.seconds())
            self._timer = self._place.clock.callLater(delay, self._time_passed)

    def _time_passed(self) -> None:
        self._timer = None
        self._machine.time_passed(self._place.clock.seconds())
        self._carry_out()

    # --- the end

    def _succeed(self, link: _Link) -> None:
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

    def _release(self, kept: _Link | None) -> None:
        """Close every connection and call but ``kept``."""
        self._set_timer()
        if self._checks is not None:
            self._checks.stop()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.cancel()
        links, self._links = self._links, {}
        for link in links.values():
            if link is not kept and link.channel is not None:
                link.channel.drop("another connection was chosen")


def _words(failure: Failure) -> str:
    if isinstance(failure.value, P2pimError):
        return failure.value.message
    name = type(failure.value).__name__
    return _CALL_FAILURES.get(name) or str(failure.value).rstrip(".")


_CALL_FAILURES: Final = {
    "ConnectError": "there is no way there",  # what the kernel reports late, as an event, reaches us without its number
    "ConnectionRefusedError": "refused the connection",
    "TCPTimedOutError": "did not answer",
    "TimeoutError": "did not answer",
    "NoRouteError": "there is no way there",
    "ConnectingCancelledError": "the call was given up",
    "UserError": "the call was given up",
    "CancelledError": "the call was given up",
}
