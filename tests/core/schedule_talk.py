"""One side of one negotiation in a schedule: the machines that find a path, and the datagrams that they want sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from p2pim.core.candidates import UDP, UDP_RUNG, Surroundings
from p2pim.core.connectivity import CheckList, ChecksFailed, PairSucceeded
from p2pim.core.negotiation import UDP_LADDER, Negotiation
from p2pim.core.negotiation_effects import Adopt, Check, Dial, Effect, Exhausted, Failed, Nominate
from p2pim.core.rungs import INCOMING_RUNG
from p2pim.wire.signals import Candidate, Decline, Offer
from tests.core.schedule_path import Path

if TYPE_CHECKING:
    from tests.core.schedule_world import Party

KEY: Final = b"k" * 32


class Talk:
    """One side of one negotiation."""

    def __init__(self, party: Party, name: bytes, tie_breaker: int, *, offerer: bool) -> None:
        now = party.clock.seconds()
        self.party, self.name = party, name
        self.begun = now
        self.offer: Offer | None = None
        self.machine = Negotiation(offerer=offerer, ladder=UDP_LADDER, around=Surroundings(), now=now)
        self.checks = CheckList(
            username=name.hex(), key=KEY, controlling=offerer, tie_breaker=tie_breaker, rng=party.rng, now=now
        )
        self.number = 0
        self.told: list[Candidate] = []
        self.paths: dict[int, Path] = {}
        self.incoming = 0
        self.tick()

    def tick(self) -> None:
        """Let both machines have their time."""
        now = self.party.clock.seconds()
        if self.machine.over:
            return
        self.checks.handle_timer(now)
        self.machine.time_passed(now)
        self.pump()
        times = [at for at in (self.checks.timer(), self.machine.timer()) if at is not None]
        if times and not self.machine.over:
            self.party.clock.callLater(max(min(times) - now, 0.005), self.tick)

    def pump(self) -> None:
        """Carry out what the machines want."""
        for data, target in self.checks.to_send():
            self.party.checks_sent += 1
            self.party.socket.send(data, target)
        while (event := self.checks.next_event()) is not None:
            self.report(event)
        while effects := self.machine.effects():
            for effect in effects:
                self.do(effect)

    def report(self, event: PairSucceeded | ChecksFailed) -> None:
        if not self.number:
            return
        if isinstance(event, ChecksFailed):
            self.machine.dial_failed(self.number, event.reason)
        else:
            self.machine.path_found(self.number, Candidate(event.kind, UDP, *event.remote), event.rtt)

    def do(self, effect: Effect) -> None:
        party = self.party
        if isinstance(effect, Check):
            self.number = effect.number
            remotes = [((each.host, each.port), each.kind, each.priority) for each in effect.candidates]
            self.checks.add_remote(remotes, party.clock.seconds())
            if self.machine.complete:
                self.checks.no_more_remotes()
            for pair in self.checks.pairs.values():
                if pair.rtt is not None:
                    self.report(PairSucceeded(pair.remote, pair.kind, pair.rtt))
            party.clock.callLater(0.0, self.tick)
        elif isinstance(effect, Dial) and effect.candidate is not None:
            name = effect.number.to_bytes(1) + self.name[:7]
            self.paths[effect.number] = party.path(name, (effect.candidate.host, effect.candidate.port), self, True)
        elif isinstance(effect, Nominate):
            self.paths[effect.link].put(b"nominated")
        elif isinstance(effect, Adopt):
            party.adopt(self.paths[effect.link], self)
        elif isinstance(effect, Exhausted):
            party.signal(Decline(self.name, effect.reason[:300]))
        elif isinstance(effect, Failed):
            party.failed(self)

    # --- what paths say

    def number_of(self, path: Path) -> int:
        return next(number for number, known in self.paths.items() if known is path)

    def up(self, path: Path) -> None:
        if path.dialler:
            self.machine.proved(self.number_of(path), UDP_RUNG, self.party.clock.seconds())
        self.pump()

    def called(self, path: Path) -> None:
        """The other side's link."""
        self.incoming -= 1
        self.paths[self.incoming] = path
        self.machine.proved(self.incoming, INCOMING_RUNG, self.party.clock.seconds())
        self.pump()

    def down(self, path: Path, reason: str) -> None:
        number = self.number_of(path)
        if number > 0:
            self.machine.dial_failed(number, reason)
        else:
            self.machine.incoming_failed(number, reason)
        self.pump()
