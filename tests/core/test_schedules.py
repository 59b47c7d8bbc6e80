"""Histories of two peers: loss, reordering, duplicates, routers that restart, a server that comes and goes.

However it goes: where a path can be punched there is a channel in the end, elsewhere none; every message is shown once;
no negotiation outlives its time; and the checks that were sent are few. A history is its seed: one that fails is run
again by itself with ``Histories().history(seed)``. ``P2PIM_HISTORIES`` sets how many are run.
"""

from __future__ import annotations

import os
import random
from functools import partial
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core import limits
from tests.core.schedule_world import Party, Schedule
from tests.nat_kinds import KINDS, can_be_punched
from tests.network import Link

HISTORIES: Final = int(os.environ.get("P2PIM_HISTORIES", "400"))
TROUBLE: Final = 30.0
"""Seconds in which things happen, and `PEACE` in which nothing does any more."""
PEACE: Final = 75.0
LINKS: Final = (
    Link(delay=0.005),
    Link(delay=0.04, jitter=0.02),
    Link(delay=0.02, jitter=0.01, loss=0.05, duplicate=0.05),
    Link(delay=0.1, jitter=0.1, loss=0.1, duplicate=0.1),
)


class Histories(SynchronousTestCase):
    """See the module."""

    def runTest(self) -> None:
        """So that one history can be run by hand."""

    def history(self, seed: int) -> Schedule:
        """One history, and what must be true at its end."""
        dice = random.Random(seed)
        one, other = dice.choice(KINDS), dice.choice(KINDS)
        link = dice.choice(LINKS)
        schedule = Schedule(seed, one, other, link)
        for _ in range(dice.randrange(12)):
            self.happen(schedule, dice)
        schedule.run(TROUBLE)
        for party in schedule.parties:
            for _ in range(3):
                party.write()
        schedule.run(PEACE)
        self.check(schedule, can_be_punched(one, other), f"seed {seed}: {one} x {other}, {link}")
        return schedule

    def happen(self, schedule: Schedule, dice: random.Random) -> None:
        """Something, some time."""
        party = dice.choice(schedule.parties)
        at, lasts = dice.uniform(0.0, TROUBLE - 1.0), dice.choice((0.1, 2.0, 12.0))
        until = min(at + lasts, TROUBLE - 0.5)
        nat = schedule.nat_of(party)
        what = dice.choice(("write", "write", "write", "call", "interrupt", "restart", "block"))
        if what == "write":
            for number in range(dice.randrange(1, 6)):
                schedule.later(at + number * 0.01, party.write)
        elif what == "call":
            for each in schedule.parties:
                schedule.later(at, each.call)
        elif what == "interrupt":
            schedule.later(at, partial(schedule.interrupt, party))
            schedule.later(until, partial(self.back, schedule, party))
        elif nat is not None and what == "restart":
            schedule.later(at, nat.forget)
        elif nat is not None and nat.udp:
            schedule.later(at, partial(setattr, nat, "udp", False))
            schedule.later(until, partial(setattr, nat, "udp", True))

    def back(self, schedule: Schedule, party: Party) -> None:
        if not party.online:
            schedule.sign_in(party)

    def check(self, schedule: Schedule, possible: bool, which: str) -> None:
        for party in schedule.parties:
            self.assertEqual(sorted(party.shown), sorted(party.other.written), f"messages, {which}")
            self.assertEqual(len(party.sending), 0, f"unconfirmed, {which}")
            self.assertLessEqual(party.longest, limits.NEGOTIATION_TIME + 0.01, f"a negotiation hung, {which}")
            self.assertLessEqual(party.checks_sent, 45 * party.negotiations, f"checks, {which}")
            if not possible:
                self.assertIsNone(party.channel, f"a channel out of nothing, {which}")
        if possible:
            self.assertTrue(all(party.channel is not None for party in schedule.parties), f"no channel, {which}")


class ScheduleTests(Histories):
    def test_however_it_goes_it_ends_well(self) -> None:
        """Nothing is lost, nothing doubled, nobody hangs, and who can be connected is."""
        for seed in range(HISTORIES):
            self.history(seed)
