"""One side of a comparison by short authentication string, without I/O: `Comparison`.

After Matrix's ``m.sas.v1``: the side that was asked commits to its key before it sees the other's, so that neither can
choose one to get the pictures it wants; both people see seven pictures (or three numbers), which are the same exactly
when nobody stands between; and once both said so, each side shows by a MAC which identity keys it means::

    asker  --start-->  asked
           <--accept--        (commitment to its key)
           --key----->
           <----key---
              both compare
           --mac----->  <--mac--
           --done---->  <--done--
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from vodozemac import Curve25519PublicKey, EstablishedSas, Sas, SasException

from p2pim.core.safety import EMOJI
from p2pim.core.sealing import DeviceRef
from p2pim.errors import VerificationFailed
from p2pim.wire.keys import Identity
from p2pim.wire.signals import Sas as Step


@dataclass(frozen=True, slots=True)
class Party:
    """A device and the identity under which the other side knows it."""

    ref: DeviceRef
    identity: Identity

    def bytes(self) -> str:
        """Everything about it, for what keys and MACs are derived over."""
        i = self.identity
        return "|".join((self.ref.user, self.ref.device.hex(), i.ed25519.hex(), i.curve25519.hex()))


@dataclass(slots=True)
class Comparison:
    """One run. `start` or `take` give the steps to send; after `emoji` is there a person says `match`.

    ``asker``: whether this side began it.
    """

    run: bytes
    me: Party
    other: Party
    asker: bool
    emoji: list[str] = field(default_factory=list)
    decimals: tuple[int, int, int] | None = None
    matched: bool = False
    their_mac: bytes = b""
    done: bool = False
    _sas: Sas = field(default_factory=Sas)
    _mine: bytes = b""
    _commitment: bytes = b""
    _established: EstablishedSas | None = None

    def __post_init__(self) -> None:
        self._mine = self._sas.public_key.to_bytes()

    def start(self) -> Step:
        """The first step, of the side that asks."""
        return Step(self.run, "start")

    def accept(self) -> Step:
        """The answer of the side that was asked, once its person wants to compare."""
        return Step(self.run, "accept", self._commit(self._mine))

    def _commit(self, key: bytes) -> bytes:
        return hashlib.sha256(b"p2pim sas commitment 1" + self.run + key).digest()

    def take(self, step: Step) -> list[Step]:
        """A step of the other side; gives what to answer.

        :raises VerificationFailed: it cancelled, lied, or spoke out of turn.
        """
        if step.step == "cancel":
            raise VerificationFailed(f"{self.other.ref.user} ended the comparison: {step.reason or 'no reason given'}")
        if step.step == "accept" and self.asker and not self._commitment:
            self._commitment = step.value
            return [Step(self.run, "key", self._mine)]
        if step.step == "key" and self._established is None:
            return self._take_key(step.value)
        if step.step == "mac" and self._established is not None and not self.their_mac:
            self.their_mac = step.value
            return self._finish() if self.matched else []
        if step.step == "done":
            return []
        raise VerificationFailed(f"A step {step.step!r} came out of turn; start the comparison again.")

    def _take_key(self, key: bytes) -> list[Step]:
        if self.asker and not hmac.compare_digest(self._commit(key), self._commitment):
            raise VerificationFailed("The other side changed its key after it had seen yours; do not trust it.")
        try:
            self._established = self._sas.diffie_hellman(Curve25519PublicKey.from_bytes(key))
        except (SasException, ValueError):
            raise VerificationFailed("The other side sent no usable key.") from None
        asker, asked = (self.me, self.other) if self.asker else (self.other, self.me)
        keys = (self._mine, key) if self.asker else (key, self._mine)
        info = "|".join(("p2pim sas 1", asker.bytes(), asked.bytes(), keys[0].hex(), keys[1].hex(), self.run.hex()))
        shown = self._established.bytes(info)
        self.emoji = [EMOJI[index] for index in shown.emoji_indices]
        self.decimals = shown.decimals
        return [] if self.asker else [Step(self.run, "key", self._mine)]

    def match(self) -> list[Step]:
        """The person says that both sides show the same.

        :raises VerificationFailed: the other side means other keys.
        """
        assert self._established is not None
        self.matched = True
        mac = self._established.calculate_mac(self.me.bytes(), self._mac_info(self.me, self.other))
        return [Step(self.run, "mac", mac.encode()), *(self._finish() if self.their_mac else [])]

    def _finish(self) -> list[Step]:
        assert self._established is not None
        try:
            self._established.verify_mac(
                self.other.bytes(), self._mac_info(self.other, self.me), self.their_mac.decode("ascii", "replace")
            )
        except (SasException, ValueError):
            raise VerificationFailed(
                "The other side means other keys than those known here; do not trust them."
            ) from None
        self.done = True
        return [Step(self.run, "done")]

    def _mac_info(self, of: Party, to: Party) -> str:
        return "|".join(("p2pim sas mac 1", of.bytes(), to.bytes(), self.run.hex()))
