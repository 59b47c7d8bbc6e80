"""A UDP path is kept open, doubted in time and given up in time."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core import limits
from p2pim.core.keepalive import KeepAlive, Trust


def live(path: KeepAlive, begin: float, end: float, answer: float | None) -> tuple[list[float], dict[Trust, float]]:
    """When probes go out, answered after ``answer`` seconds or not at all, and when each trust began."""
    now, probes = begin, []
    answers: list[float] = []
    first: dict[Trust, float] = {}
    while now < end:
        for at in [at for at in answers if at <= now]:
            answers.remove(at)
            path.answered(now)
        if path.probe_due(now):
            probes.append(now)
            if answer is not None:
                answers.append(now + answer)
        first.setdefault(path.trust(now), now)
        now = min(max(path.next_time(now), now + 0.001), *answers, end)
    return probes, first


class KeepAliveTests(SynchronousTestCase):
    def path(self) -> KeepAlive:
        return KeepAlive(100.0, random.Random(1))

    def test_a_path_in_use_is_probed_every_five_seconds_at_most(self) -> None:
        """And at least after four, at times that vary."""
        probes, first = live(self.path(), 100.0, 150.0, answer=0.1)
        gaps = [after - before for before, after in pairwise(probes)]
        self.assertTrue(all(3.9 <= gap <= 5.2 for gap in gaps), gaps)
        self.assertGreater(len({round(gap, 2) for gap in gaps}), 5)
        self.assertEqual(list(first), [Trust.GOOD])

    def test_an_idle_path_is_probed_often_enough_for_nats(self) -> None:
        """Two probes fit into the 30 seconds after which a NAT forgets."""
        probes, _ = live(self.path(), 100.0, 400.0, answer=0.1)
        gaps = [after - before for before, after in pairwise(probes) if before > 170.0]
        self.assertTrue(all(11.9 <= gap <= 15.2 for gap in gaps), gaps)

    def test_a_silent_path_is_doubted_and_then_dead(self) -> None:
        """After 6.5 and 15 seconds, with a few more probes meanwhile."""
        probes, first = live(self.path(), 100.0, 116.0, answer=None)
        self.assertAlmostEqual(first[Trust.DOUBTED] - 100.0, limits.UDP_DOUBTED, delta=1.01)
        self.assertAlmostEqual(first[Trust.DEAD] - 100.0, limits.UDP_DEAD, delta=1.01)
        self.assertTrue(4 <= len(probes) <= 10)

    def test_an_idle_path_is_not_doubted_for_its_silence(self) -> None:
        """Only for a probe without an answer."""
        path = self.path()
        live(path, 100.0, 200.0, answer=0.1)
        path.answered(200.0)
        _, first = live(path, 200.0, 260.0, answer=None)
        self.assertGreater(first[Trust.DOUBTED] - 200.0, 12.0)
        self.assertLess(first[Trust.DEAD] - 200.0, 26.0)

    def test_a_sign_of_life_mends_everything(self) -> None:
        """A doubted path is good again at once."""
        path = self.path()
        live(path, 100.0, 110.0, answer=None)
        self.assertIs(path.trust(110.0), Trust.DOUBTED)
        path.answered(110.0)
        self.assertIs(path.trust(110.0), Trust.GOOD)

    def test_use_of_an_idle_path_brings_the_next_probe_forward(self) -> None:
        """A conversation that begins again finds out soon whether its path still works."""
        path = self.path()
        live(path, 100.0, 200.0, answer=0.1)
        path.answered(200.0)
        path.used(200.0)
        self.assertLessEqual(path.next_time(200.0), 205.0)

    @given(st.lists(st.tuples(st.sampled_from(["answered", "used", "ask"]), st.floats(0.0, 20.0)), max_size=50))
    def test_it_never_waits_in_the_past_and_never_for_long(self, steps: list[tuple[str, float]]) -> None:
        """Whatever happens, somebody who asks at `next_time` asks often enough and not for ever."""
        path, now = self.path(), 100.0
        for what, later in steps:
            now += later
            if what == "answered":
                path.answered(now)
            elif what == "used":
                path.used(now)
            path.probe_due(now)
            path.trust(now)
            self.assertLessEqual(path.next_time(now), now + limits.UDP_KEEPALIVE)
            self.assertGreater(path.next_time(now), now)
