"""The negotiations of a peer: begun here or there, one at a time with each device, and the connections that come in
for them.

Offers that cross become one negotiation (the one whose tie-breaker is greater); whoever waited for the other one
waits for this one. Everything a stranger could make grow is bounded: negotiations in all and with one user, offers of
one user per minute, proofs held, connections that have not proved themselves.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from p2pim.core.addresses import is_loopback
from p2pim.core.candidates import Endpoint, Surroundings, is_here, split_address
from p2pim.core.limits import CANDIDATES, NEGOTIATIONS, NEGOTIATIONS_PER_USER, OFFERS_PER_MINUTE, USERS_IN_USE
from p2pim.core.negotiation import REASON, stands
from p2pim.core.rate import TokenBucket
from p2pim.core.rungs import Reasons
from p2pim.errors import BadMessage, P2pimError, TooMany, UnexpectedMessage
from p2pim.net.links import Link
from p2pim.peer.attempts import Try, no_direct_path
from p2pim.peer.negotiation_calls import Place
from p2pim.peer.negotiator import Negotiator
from p2pim.wire.messages import Message, OpenSplice, SpliceTickets
from p2pim.wire.signals import Answer, AnySignal, Decline, MoreCandidates, Offer, Prove

Journal = Callable[[str, str, str], None]


class SplicingSession(Protocol):
    """What is needed of the session."""

    @property
    def server_address(self) -> Endpoint: ...

    async def request(self, message_factory: Callable[[int], Message]) -> Message: ...


class SwitchboardOwner(Protocol):
    """Who gets what comes of negotiations."""

    def made(self, user: str, device: bytes, channel: Link, *, relay: bool) -> None:
        """A channel to ``device``: adopt it now."""

    def not_made(self, user: str, device: bytes, reasons: Reasons, *, relay: bool) -> None:
        """None came of it."""


class Switchboard:
    """See the module.

    :param mode: which direct channels are made: "auto" (all that can be), "tcp", "udp" or "none".
    :param known: whether a user may know where this machine is. With the others a channel is made only inside one
        machine, whatever they offer: an address that is told, dialled or answered from tells them.
    """

    _log = Logger()

    def __init__(
        self,
        place: Place,
        owner: SwitchboardOwner,
        session: SplicingSession,
        my_device: bytes,
        mode: str,
        journal: Journal,
        known: Callable[[str], bool] = lambda user: True,
    ) -> None:
        self.around = Surroundings()
        """Where I listen and what must not be dialled."""
        self._place = place
        self._owner = owner
        self._session = session
        self._device = my_device
        self._mode = mode
        self._journal = journal
        self._known = known
        self._negotiators: dict[bytes, Negotiator] = {}
        self._tries: dict[tuple[bytes, bool], Try] = {}
        self._offers: OrderedDict[str, TokenBucket] = OrderedDict()

    @property
    def modes(self) -> tuple[str, ...]:
        """The kinds of direct channel that can be made now."""
        return tuple(
            mode for mode in ("tcp", "udp") if self._mode in ("auto", mode) and (mode == "tcp" or self._place.udp.open)
        )

    def candidates_changed(self) -> None:
        """This peer learned of another address of its own."""
        for negotiator in list(self._negotiators.values()):
            negotiator.more_found()

    # --- from this side

    def pending(self, device: bytes, *, relay: bool) -> Try | None:
        """The attempt at ``device`` that is under way."""
        return self._tries.get((device, relay))

    def direct(self, user: str, device: bytes) -> Try:
        """An attempt at a direct channel: the one that is under way, or a new one."""
        attempt, new = self._try(user, device, relay=False)
        if new:
            self._begin(attempt)
        return attempt

    def relay(self, user: str, device: bytes) -> Try:
        """An attempt at a relayed channel."""
        attempt, new = self._try(user, device, relay=True)
        if new:
            begun = Deferred.fromCoroutine(self._begin_relay(attempt))
            begun.addErrback(lambda failure: self._log.failure("A relayed channel could not be begun.", failure))
        return attempt

    def _try(self, user: str, device: bytes, *, relay: bool) -> tuple[Try, bool]:
        known = self._tries.get((device, relay))
        if known is not None:
            return known, False
        attempt = self._tries[device, relay] = Try(user, device, relay=relay)
        return attempt, True

    def _begin(self, attempt: Try) -> None:
        busy = self._busy(attempt.user)
        if busy:
            self._settle(attempt, TooMany(busy), ())
            return
        attempt.negotiator = self._negotiator(attempt)
        attempt.negotiator.make_offer()
        self._negotiators[attempt.negotiator.id] = attempt.negotiator

    async def _begin_relay(self, attempt: Try) -> None:
        user, device = attempt.user, attempt.device
        try:
            tickets = await self._session.request(lambda number: OpenSplice(number, user, device))
            if not isinstance(tickets, SpliceTickets):
                raise BadMessage("The server answered the request for a relay with something else.")
        except P2pimError as error:
            if attempt.negotiator is None:
                self._settle(attempt, error, (("relay", error.message),))
            return
        if attempt.over or attempt.negotiator is not None:
            return  # the other side was quicker, and its offer stands
        attempt.negotiator = self._negotiator(attempt, tickets.mine)
        attempt.negotiator.make_offer(tickets.theirs)
        self._negotiators[attempt.negotiator.id] = attempt.negotiator

    def _negotiator(self, attempt: Try, ticket: bytes = b"") -> Negotiator:
        return Negotiator(
            self._place,
            self,
            attempt.user,
            attempt.device,
            around=replace(
                self.around,
                avoid=self._place.udp.addresses(),
                confined=not attempt.relay and not self._known(attempt.user),
            ),
            modes=self.modes,
            relay=attempt.relay,
            ticket=ticket,
            server=self._session.server_address,
        )

    def _busy(self, user: str) -> str:
        if len(self._negotiators) >= NEGOTIATIONS:
            return "Too many channels are being made at once."
        if sum(1 for each in self._negotiators.values() if each.user == user) >= NEGOTIATIONS_PER_USER:
            return f"Too many channels to {user} are being made at once."
        return ""

    # --- from the other side

    def envelope(self, user: str, device: bytes, signal: AnySignal) -> None:
        """A signal of negotiation that came through the server."""
        if isinstance(signal, Offer):
            self._offered(user, device, signal)
            return
        if not isinstance(signal, Answer | MoreCandidates | Decline):
            return
        negotiator = self._negotiators.get(signal.negotiation)
        if negotiator is None or (negotiator.user, negotiator.device) != (user, device):
            return
        if isinstance(signal, Answer):
            negotiator.take_answer(signal)
        elif isinstance(signal, MoreCandidates):
            negotiator.take_more(signal)
        else:
            negotiator.take_decline(signal.reason)

    def _offered(self, user: str, device: bytes, offer: Offer) -> None:
        if device == self._device or offer.negotiation in self._negotiators:
            return
        relay = "relay" in offer.modes and bool(offer.ticket)
        attempt = self._tries.get((device, relay))
        mine = attempt.negotiator if attempt is not None else None
        if mine is not None and mine.offer is not None and not mine.answered and stands(mine.offer, offer):
            return  # they find the same, and answer mine
        refusal = self._refusal(user, offer, relay=relay)
        if refusal:
            self._place.send(user, device, Decline(offer.negotiation, refusal[:REASON]), None)
            return
        if mine is not None:
            self._forget(mine)
            mine.supersede()
        attempt = attempt or self._try(user, device, relay=relay)[0]
        attempt.negotiator = self._negotiator(attempt, offer.ticket)
        self._negotiators[offer.negotiation] = attempt.negotiator
        attempt.negotiator.take_offer(offer)

    def _refusal(self, user: str, offer: Offer, *, relay: bool) -> str:
        if not relay and not set(self.modes).intersection(offer.modes):
            return "direct channels of this kind are switched off here"
        now = self._place.clock.seconds()
        bucket = self._offers.pop(user, None) or TokenBucket(OFFERS_PER_MINUTE / 60, OFFERS_PER_MINUTE, now)
        self._offers[user] = bucket
        if len(self._offers) > USERS_IN_USE:
            self._offers.popitem(last=False)
        if bucket.take(now):
            return "too many offers; wait a minute"
        if not relay and not self._known(user) and not self._is_beside(offer):
            return f"you are not a contact of theirs: ask them to run `p2pim add {user}`"
        return self._busy(user)

    def _is_beside(self, offer: Offer) -> bool:
        """Whether the other side may be on this machine."""
        return self.around.loopback and any(is_here(each) for each in offer.candidates[:CANDIDATES])

    # --- incoming connections (LinkOwner)

    def link_secured(self, link: Link) -> None:
        """Somebody connected; who it is, they must say."""

    def link_signal(self, link: Link, signal: AnySignal) -> None:
        """The first word on a connection that came in."""
        if not isinstance(signal, Prove):
            raise UnexpectedMessage
        negotiator = self._negotiators.get(signal.negotiation)
        if negotiator is None or negotiator.relay or _is_outside(negotiator, link):
            link.drop("it belongs to no negotiation of mine")
        else:
            negotiator.take_incoming(link, signal)

    def link_lost(self, link: Link, reason: str) -> None:
        """It never said who it was."""
        self._journal("channel", "", f"a connection from {link.address or 'somebody'} came to nothing: {reason}")

    # --- ends (NegotiatorOwner)

    def negotiated(self, negotiator: Negotiator, channel: Link) -> None:
        """There is a channel."""
        self._forget(negotiator)
        self._owner.made(negotiator.user, negotiator.device, channel, relay=negotiator.relay)
        attempt = self._tries.get((negotiator.device, negotiator.relay))
        if attempt is not None and attempt.negotiator is negotiator:
            del self._tries[negotiator.device, negotiator.relay]
            attempt.settle(channel)

    def not_negotiated(self, negotiator: Negotiator, reasons: Reasons, error: P2pimError | None) -> None:
        """There is none."""
        self._forget(negotiator)
        attempt = self._tries.get((negotiator.device, negotiator.relay))
        if attempt is not None and attempt.negotiator is negotiator:
            self._settle(attempt, error or no_direct_path(attempt.user, reasons), reasons)

    def _settle(self, attempt: Try, error: P2pimError, reasons: Reasons) -> None:
        if attempt.over:
            return
        self._tries.pop((attempt.device, attempt.relay), None)
        self._owner.not_made(attempt.user, attempt.device, reasons, relay=attempt.relay)
        attempt.settle(error)

    def _forget(self, negotiator: Negotiator) -> None:
        self._negotiators.pop(negotiator.id, None)

    def give_up(self, reason: str, *, user: str | None = None, unanswered: bool = False) -> None:
        """End what is under way: all of it, or that with ``user``; with ``unanswered`` only what still needs the
        server."""
        for attempt in list(self._tries.values()):
            if user is not None and attempt.user != user:
                continue
            if attempt.negotiator is None:
                self._settle(attempt, no_direct_path(attempt.user, (("server", reason),)), ())
            elif not (unanswered and attempt.negotiator.answered):
                attempt.negotiator.abandon(reason)


def _is_outside(negotiator: Negotiator, link: Link) -> bool:
    """Whether ``link`` comes from further away than its negotiation may go."""
    at = split_address(link.address)
    return negotiator.confined and (at is None or not is_loopback(at[0]))
