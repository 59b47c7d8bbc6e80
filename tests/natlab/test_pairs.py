"""One pair of each outcome among kernel NATs, as real processes of the real commands.

``python -m tests.natlab.matrix`` has all the pairs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.natlab.laboratory import SERVER, Laboratory, missing, processes
from tests.natlab.matrix import BLOCKED_HERE, BLOCKED_THERE, BOTH_SCATTER, HERE_SCATTERS, Expected, expected
from tests.natlab.scene import TWISTD, Answer, Scene, wait_until


class NatlabTestCase(SynchronousTestCase):
    """Skipped, with the reason, where no laboratory can be made."""

    skip = missing() or None
    timeout = 240

    @contextlib.contextmanager
    def scene(self, here: str, there: str, *, same_lan: bool = False) -> Iterator[Scene]:
        """A laboratory with alice behind ``here`` and bob behind ``there``, in which nothing runs yet."""
        folder = Path(self.mktemp()).absolute()
        with Laboratory({"A": here, "B": there}, same_lan=same_lan) as lab, processes() as running:
            yield Scene(lab, folder, running)

    def check_message(self, scene: Scene, host: str, other: str, route: str) -> None:
        """A message from ``host`` is delivered by ``route``."""
        said = scene.p2pim(host, "msg", other, f"by {route}?").last
        self.assertEqual((said.get("state"), said.get("route")), ("delivered", route), scene.told())

    def check_relayed(self, scene: Scene, answer: Answer, reason: str) -> None:
        """There is no direct path, for this reason, and messages go all the same."""
        self.assertEqual(answer.status, 5, answer)
        self.assertEqual(answer.last["error"], "no-direct-path")
        said = {each["rung"]: each["reason"] for each in answer.last["reasons"]}
        self.assertIn(reason, said["udp"])
        self.assertTrue(all(said.values()))
        self.check_message(scene, "A", "bob", "relay")
        self.check_message(scene, "B", "alice", "relay")

    def check_direct(self, scene: Scene, answer: Answer, kind: str) -> None:
        """There is a channel of this kind at both ends, and messages go by it."""
        self.assertEqual((answer.status, answer.last.get("kind")), (0, kind), f"{answer}\n{scene.told()}")
        opened = scene.wait_for("B", "channel-opened", kind=kind)
        self.assertEqual(opened["user"], "alice")
        self.check_message(scene, "A", "bob", kind)
        self.check_message(scene, "B", "alice", kind)


class Pairs(NatlabTestCase):
    """Which channel comes of a pair."""

    def check_pair(
        self, here: str, there: str, outcome: Expected, *, same_lan: bool = False, agent: Sequence[str] = ()
    ) -> None:
        """The first message by relay, at once; then the channel, or the reason why there is none."""
        with self.scene(here, there, same_lan=same_lan) as scene:
            scene.set(agent=agent)
            scene.wait_gathered()
            self.check_message(scene, "A", "bob", "relay")
            answer = scene.p2pim("A", "connect", "bob")
            if outcome.kind == "relay":
                self.check_relayed(scene, answer, outcome.reason)
            else:
                self.check_direct(scene, answer, outcome.kind)
                self.assertIs(answer.last["same_lan"], same_lan)

    def test_one_network(self) -> None:
        """In the same LAN the channel is TCP, also when nothing else gets out of it."""
        self.check_pair("udp-blocked", "public", Expected("tcp"), same_lan=True)

    def test_one_public_side(self) -> None:
        """One side has a public address: TCP."""
        self.check_pair("public", "port-restricted", Expected("tcp"))

    def test_two_ordinary_nats(self) -> None:
        """Two NATs that let in only answers: punched UDP."""
        self.check_pair("port-restricted", "port-restricted", Expected("udp"))

    def test_a_symmetric_nat_and_an_open_one(self) -> None:
        """The port that a symmetric NAT chose is learned from its checks."""
        self.check_pair("symmetric", "full-cone", Expected("udp"))

    def test_two_symmetric_nats(self) -> None:
        """Nobody can know a port: relay, and the reason says so."""
        self.check_pair("symmetric", "symmetric", Expected("relay", BOTH_SCATTER))

    def test_no_udp_and_a_public_side(self) -> None:
        """The side that may send no UDP calls the public one by TCP."""
        self.check_pair("udp-blocked", "public", Expected("tcp"))

    def test_no_udp_and_a_nat(self) -> None:
        """Relay; whose network it is, is told."""
        self.check_pair("udp-blocked", "port-restricted", Expected("relay", BLOCKED_HERE))

    def test_the_mode_udp_between_public_machines(self) -> None:
        """Where TCP is not wanted, UDP is made even where TCP would do."""
        self.check_pair("public", "public", Expected("udp"), agent=("--channel", "udp"))

    def test_somebody_who_calls_before_anything_is_known(self) -> None:
        """A call in the moment of the sign-in, to a network without UDP: the reason is right all the same."""
        with self.scene("port-restricted", "udp-blocked") as scene:
            scene.set()
            self.check_relayed(scene, scene.p2pim("A", "connect", "bob"), BLOCKED_THERE)


class WhichP2pServer(NatlabTestCase):
    """The integrated P2P server, another one, none."""

    def test_with_none_no_datagram_leaves_and_everything_works(self) -> None:
        """Off at the server and not set at the peers: messages, a file, and TCP where it can be had."""
        for there, outcome in (("port-restricted", "relay"), ("public", "tcp")):
            with self.scene("port-restricted", there) as scene:
                for host in "ABS":
                    scene.lab.count_udp(host)
                scene.set(server=("--no-p2p",))
                self.assertIsNone(scene.wait_for("A", "signed-in")["p2p_server"])
                self.check_message(scene, "A", "bob", "relay")
                answer = scene.p2pim("A", "connect", "bob")
                self.assertEqual(
                    (answer.status, answer.last.get("kind")), (0, "tcp") if outcome == "tcp" else (5, None)
                )
                (scene.folder / "file").write_bytes(b"x" * 100_000)
                sent = scene.p2pim("A", "send", "bob", str(scene.folder / "file"), "--wait")
                self.assertEqual((sent.last.get("event"), sent.last.get("route")), ("completed", outcome), sent)
                for host in "ABS":
                    self.assertEqual(scene.lab.counted(host), {"input": 0, "output": 0})

    def test_ones_own_setting_none_is_silent_beside_a_server_that_has_one(self) -> None:
        """ "none" at the peers outranks what the server names."""
        with self.scene("port-restricted", "full-cone") as scene:
            for host in "AB":
                scene.lab.count_udp(host)
            scene.set(agent=("--p2p-server", "none"))
            self.assertEqual(scene.p2pim("A", "connect", "bob").status, 5)
            for host in "AB":
                self.assertEqual(scene.lab.counted(host), {"input": 0, "output": 0})

    def test_ones_own_server_outranks_the_integrated_one(self) -> None:
        """A standalone one on another port is used, and the integrated one is never asked."""
        own = f"{SERVER[0]}:9901"
        with self.scene("port-restricted", "port-restricted") as scene:
            scene.lab.count_udp("S", "udp dport 4531")
            standalone = (TWISTD, "-n", "--pidfile=", "p2pim-p2p", "--port", "9901")
            scene.start("S", "p2p", *standalone, "--data", str(scene.folder / "p2p"))
            wait_until((scene.folder / "p2p" / "ready.json").exists, "the P2P server's start")
            scene.set(agent=("--p2p-server", own))
            self.assertEqual(scene.wait_for("A", "signed-in")["p2p_server"], own)
            scene.wait_gathered()
            self.check_direct(scene, scene.p2pim("A", "connect", "bob"), "udp")
            self.assertEqual(scene.lab.counted("S")["input"], 0)


class Expectations(SynchronousTestCase):
    """What the matrix expects of each pair."""

    def test_a_pair_is_expected_to_be_the_same_from_both_sides(self) -> None:
        """Only the words of the reason depend on who calls."""
        for here, there in (("symmetric", "double"), ("udp-blocked", "full-cone"), ("public", "symmetric")):
            self.assertEqual(expected(here, there).kind, expected(there, here).kind)
        self.assertEqual(expected("symmetric", "public-fw"), Expected("relay", HERE_SCATTERS))
