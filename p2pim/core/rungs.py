"""What happened on the rungs of a ladder: what is waited for, what went wrong, and why there is no path at last."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from p2pim.core.candidates import RELAY_RUNG, UDP_RUNG
from p2pim.core.reasons import nothing_to_try, why_no_path

INCOMING_RUNG: Final = "tcp-incoming"
"""Not climbed but waited on: the other side's dials."""

Reasons = tuple[tuple[str, str], ...]
"""(rung, reason) pairs, in the order of the ladder."""


@dataclass
class _Rung:
    """What happened on one rung."""

    waiting: dict[int, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def summary(self, nothing: str) -> str:
        late = [f"{address}: no answer in time" for address in self.waiting.values()]
        return "; ".join(self.failures + late) or nothing


class Rungs:
    """The rungs of ``ladder``, and the one that is waited on."""

    def __init__(self, ladder: tuple[str, ...]) -> None:
        self._ladder = ladder
        self._rungs = {rung: _Rung() for rung in (*ladder, INCOMING_RUNG)}

    def __contains__(self, rung: str) -> bool:
        return rung in self._rungs

    def waiting(self, rung: str) -> dict[int, str]:
        """What is being tried on ``rung``: addresses by the numbers of their dials."""
        return self._rungs[rung].waiting

    @property
    def any_waiting(self) -> bool:
        """Whether anything is being tried from here."""
        return any(self._rungs[rung].waiting for rung in self._ladder)

    def failed(self, number: int, reason: str) -> None:
        """The dial ``number`` came to nothing."""
        for rung in self._rungs.values():
            address = rung.waiting.pop(number, None)
            if address is not None:
                rung.failures.append(f"{address}: {reason}")

    def note(self, rung: str, reason: str) -> None:
        """Something else went wrong; of hostile numbers of such things only the first are kept."""
        if rung in self._rungs and len(self._rungs[rung].failures) < 2 * len(self._rungs) + 16:
            self._rungs[rung].failures.append(reason)

    def tried(self) -> str:
        """What was tried from this side and how it failed, in one line."""
        return "; ".join(f"{rung}: {self._rungs[rung].summary('no address to try')}" for rung in self._ladder)

    def reasons(self, mappings: tuple[str, str], *, listening: bool) -> Reasons:
        """Why there is no channel. ``mappings``: how the NAT here maps and how the other one, where known;
        ``listening``: whether anybody could have called this side."""
        reasons = [(rung, self._why(rung, mappings)) for rung in self._ladder]
        if RELAY_RUNG not in self._ladder:
            nobody = "nobody reached an address of mine in time" if listening else "I listen nowhere"
            reasons.append((INCOMING_RUNG, self._rungs[INCOMING_RUNG].summary(nobody)))
        return tuple(reasons)

    def _why(self, rung: str, mappings: tuple[str, str]) -> str:
        known = why_no_path(*mappings) if rung == UDP_RUNG else ""
        return known or self._rungs[rung].summary(nothing_to_try(rung))
