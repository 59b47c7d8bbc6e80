"""What the P2P server counts for its operator."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from p2pim.core.stun_answers import Outcome


@dataclass(slots=True)
class P2pCounters:
    """Numbers since the start; ``by_kind`` has what became of each datagram."""

    datagrams: int = 0
    unsent: int = 0
    """Answers for which the kernel had no room or no route."""
    by_kind: dict[str, int] = field(default_factory=lambda: {outcome.value: 0 for outcome in Outcome})

    def add(self, outcome: Outcome, count: int = 1) -> None:
        """Count ``count`` datagrams that ended so."""
        self.by_kind[outcome.value] += count

    def _total(self, prefixes: tuple[str, ...]) -> int:
        return sum(count for kind, count in self.by_kind.items() if kind.startswith(prefixes))

    @property
    def refused(self) -> int:
        """Questions that were understood and not answered."""
        return self._total(("refused",))

    @property
    def ignored(self) -> int:
        """Datagrams that were no questions."""
        return self._total(("ignored",))

    @property
    def answers(self) -> int:
        """Questions that were answered."""
        return sum(self.by_kind.values()) - self.refused - self.ignored

    @property
    def requests(self) -> int:
        """Questions."""
        return self.answers + self.refused

    def as_dict(self) -> dict[str, object]:
        """For pages and logs."""
        totals = {name: getattr(self, name) for name in ("requests", "answers", "refused", "ignored")}
        return totals | asdict(self)
