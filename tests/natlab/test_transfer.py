"""A transfer that outlives its path, among kernel NATs; ``python -m tests.natlab.survive`` does it with a gibibyte."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.natlab.laboratory import Laboratory, missing, processes
from tests.natlab.scene import Scene
from tests.natlab.survive import MIB, NAT, Plan, survive


class TransferAcrossNats(SynchronousTestCase):
    """Real agents, real NATs, links slow enough that there is a middle."""

    skip = missing() or None
    timeout = 400

    def test_it_goes_on_by_relay_while_udp_is_cut_and_returns(self) -> None:
        """Punched UDP, then the relay, then UDP again; the hash is right, and each message arrives once."""
        plan = Plan(64 * MIB, rate=20e6)
        with Laboratory(dict.fromkeys("AB", NAT), links=plan.links) as lab, processes() as running:
            scene = Scene(lab, Path(self.mktemp()).absolute(), running)
            survived = survive(scene, plan)
            self.assertTrue(survived.good, f"{survived}\n{scene.told()}")
