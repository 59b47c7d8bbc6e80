"""What a negotiation wants done, as values; `p2pim.core.negotiation` decides, whoever has sockets does it."""

from __future__ import annotations

from dataclasses import dataclass

from p2pim.core.rungs import Reasons
from p2pim.wire.signals import Candidate


@dataclass(frozen=True)
class Dial:
    """Call ``candidate`` (None on the relay's rung: the splice); what becomes of it is reported under ``number``."""

    number: int
    rung: str
    candidate: Candidate | None


@dataclass(frozen=True)
class Check:
    """Send connectivity checks to ``candidates``; a path, or that there is none, is reported under ``number``."""

    number: int
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True)
class Nominate:
    """Tell the other side that ``link`` is the one."""

    link: int


@dataclass(frozen=True)
class Adopt:
    """``link`` is the channel; every other one of this negotiation is closed."""

    link: int
    rung: str


@dataclass(frozen=True)
class Exhausted:
    """Tell the offerer that nothing can be reached from here."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """There will be no channel."""

    reasons: Reasons


Effect = Dial | Check | Nominate | Adopt | Exhausted | Failed
