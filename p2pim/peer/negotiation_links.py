"""The connections of one negotiation: who is at their other ends, proved both ways.

The dialling side pins the certificate that it was told of; each side then proves itself with a MAC over this very
connection, keyed from both sides' secrets (`p2pim.core.proof`).
"""

from __future__ import annotations

from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime

from p2pim.core.negotiation import Negotiation
from p2pim.core.proof import DIALLED, DIALLER, is_proof, make_proof
from p2pim.core.rungs import INCOMING_RUNG
from p2pim.errors import UnexpectedMessage
from p2pim.net.links import Link
from p2pim.wire import signals
from p2pim.wire.signals import AnySignal, Prove

PROOFS_HELD: Final = 4
"""Proofs of connections that came before the answer to the offer did, kept until it does."""


class LinksOwner(Protocol):
    """The negotiation that links belong to."""

    @property
    def id(self) -> bytes: ...

    @property
    def machine(self) -> Negotiation: ...

    @property
    def over(self) -> bool: ...

    def carry_out(self) -> None:
        """Do what the machine wants done, now that it has been told something."""


class NegotiationLink:
    """One connection of a negotiation. It has the number of its dial; those that came in have negative ones."""

    def __init__(self, links: NegotiationLinks, number: int, rung: str, *, dialler: bool) -> None:
        self._links = links
        self.number = number
        self.rung = rung
        self.dialler = dialler
        self.proved = False
        self.proof: bytes | None = None
        self.channel: Link | None = None

    def link_secured(self, channel: Link) -> None:
        self.channel = channel
        if self.dialler:
            self._links.secured(self, channel)

    def link_signal(self, channel: Link, signal: AnySignal) -> None:
        if isinstance(signal, Prove) and self.proof is None:
            self.proof = signal.mac
            self._links.proof_came(self, channel, signal)
        elif isinstance(signal, signals.Nominate) and self.proved:
            self._links.nominated(self)
        else:
            raise UnexpectedMessage

    def link_lost(self, channel: Link, reason: str) -> None:
        self._links.lost(self, reason)


class NegotiationLinks:
    """All connections of one negotiation, until one of them is the channel."""

    def __init__(self, owner: LinksOwner, clock: IReactorTime) -> None:
        self._owner = owner
        self._clock = clock
        self._links: dict[int, NegotiationLink] = {}
        self._incoming = 0
        self._key = b""
        self.their_fingerprint = b""
        """Of the certificate that the other side will show; empty until its half is known."""

    def __getitem__(self, number: int) -> NegotiationLink:
        return self._links[number]

    def agree(self, key: bytes, their_fingerprint: bytes) -> None:
        """The other side's half is known: proofs can be made and checked."""
        self._key, self.their_fingerprint = key, their_fingerprint

    def check_held(self) -> None:
        """Check the proofs that came before the other side's half did."""
        for link in list(self._links.values()):
            if link.channel is not None and link.proof is not None and not link.proved:
                self._check_proof(link, link.channel, link.proof)

    def add(self, number: int, rung: str, *, dialler: bool) -> NegotiationLink:
        """What is to become a connection."""
        link = self._links[number] = NegotiationLink(self, number, rung, dialler=dialler)
        return link

    def take_incoming(self, channel: Link, proof: Prove) -> None:
        """``channel`` came in and says that it belongs here."""
        unproved = sum(1 for link in self._links.values() if not link.proved)
        if self._owner.over or unproved >= PROOFS_HELD:
            channel.drop("not needed any more")
            return
        self._incoming -= 1
        link = self.add(self._incoming, INCOMING_RUNG, dialler=False)
        channel.hand_to(link)
        link.channel = channel
        link.link_signal(channel, proof)

    def release(self, kept: NegotiationLink | None) -> None:
        """Close every connection but ``kept``."""
        links, self._links = self._links, {}
        for link in links.values():
            if link is not kept and link.channel is not None:
                link.channel.drop("another connection was chosen")

    # --- what the links say

    def secured(self, link: NegotiationLink, channel: Link) -> None:
        """TLS stands on a connection that I called: compare the pin, and prove myself."""
        if not channel.is_pinned(self.their_fingerprint):
            channel.drop("somebody else answered there: the certificate is not the one offered")
            return
        channel.send(Prove(self._owner.id, make_proof(self._key, DIALLER, channel.exported_key())))
        if self._owner.machine.offerer:  # the pinned certificate has shown who answered: their proof may take its time
            self._believe(link, channel)
            self._owner.carry_out()

    def proof_came(self, link: NegotiationLink, channel: Link, proof: Prove) -> None:
        """The other end of ``link`` has proved itself, or says so."""
        link.channel = channel
        if proof.negotiation != self._owner.id:
            channel.drop("its proof is for another negotiation")
        elif self._key:
            self._check_proof(link, channel, proof.mac)
            self._owner.carry_out()

    def nominated(self, link: NegotiationLink) -> None:
        """The offerer picked ``link``."""
        self._owner.machine.nominated(link.number)
        self._owner.carry_out()

    def lost(self, link: NegotiationLink, reason: str) -> None:
        """``link`` came to nothing."""
        self._links.pop(link.number, None)
        if link.number > 0:
            self._owner.machine.dial_failed(link.number, reason)
        else:
            self._owner.machine.incoming_failed(link.number, reason)
        self._owner.carry_out()

    def _check_proof(self, link: NegotiationLink, channel: Link, mac: bytes) -> None:
        exported = channel.exported_key()
        if not is_proof(mac, self._key, DIALLED if link.dialler else DIALLER, exported):
            channel.drop(f"{channel.address} could not prove who it is")
            return
        if not link.dialler:
            channel.send(Prove(self._owner.id, make_proof(self._key, DIALLED, exported)))
        if not link.proved:
            self._believe(link, channel)

    def _believe(self, link: NegotiationLink, channel: Link) -> None:
        link.proved = True
        channel.trust()
        self._owner.machine.proved(link.number, link.rung, self._clock.seconds())
