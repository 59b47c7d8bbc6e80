"""The two sides of a negotiation in short: each link proves itself, the dialling side nominates."""

from __future__ import annotations

from typing import Any

from p2pim.core.proof import DIALLED, DIALLER, is_proof, make_proof
from p2pim.wire.signals import AnySignal, Nominate, Prove
from tests.net.channel_suite import Recorder

NEGOTIATION = b"n" * 16
KEY = b"k" * 32


class ProvingOwner:
    """Decides about links as a negotiation would.

    :param offerer: whether this side nominates.
    :param key: the negotiation's key, as far as this side knows it.
    """

    def __init__(self, user: str, device: bytes, recorder: Recorder, *, offerer: bool, key: bytes = KEY) -> None:
        self.user, self.device, self.recorder = user, device, recorder
        self.offerer = offerer
        self.key = key
        self.channels: list[Any] = []
        self.lost: list[str] = []

    def exported(self, link: Any) -> bytes:
        """The key of the TLS session of ``link``."""
        return bytes(link.exported_key())

    def role(self, link: Any, mine: bool) -> bytes:
        """Mine or the other's."""
        return DIALLER if link.dialler is mine else DIALLED

    def link_secured(self, link: Any) -> None:
        link.send(Prove(NEGOTIATION, make_proof(self.key, self.role(link, True), self.exported(link))))

    def link_signal(self, link: Any, signal: AnySignal) -> None:
        if isinstance(signal, Nominate):
            self.adopt(link)
            return
        if not isinstance(signal, Prove) or not is_proof(
            signal.mac, self.key, self.role(link, False), self.exported(link)
        ):
            link.drop("no proof")
            return
        link.trust()
        if self.offerer:
            link.send(Nominate())
            self.adopt(link)

    def adopt(self, link: Any) -> None:
        """It is a channel."""
        link.adopt(self.user, self.device, self.recorder, same_lan=False, closed=self.recorder.channel_closed)
        self.channels.append(link)

    def link_lost(self, link: Any, reason: str) -> None:
        self.lost.append(reason)
