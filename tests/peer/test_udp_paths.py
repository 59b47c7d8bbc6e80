"""The UDP half of a peer by itself: its sockets, and the interfaces that come and go."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core import limits
from p2pim.core.interfaces import Interface
from p2pim.errors import NoDirectPath, NoRoute
from p2pim.net.peer_tls import PeerIdentity
from p2pim.peer.check_run import CheckRun
from p2pim.peer.udp_paths import Ground, UdpPaths
from p2pim.wire.checks import Check, pack_check
from p2pim.wire.signals import Candidate, MoreCandidates
from tests.network import Host, Internet, Link
from tests.passing_time import pass_time
from tests.peer.nat_town import HostSocket, NatTown
from tests.peer.pair_case import GATHERED, PairCase
from tests.stun_world import SERVER, StunWorld

KEY = b"k" * 32


class PathsCase(SynchronousTestCase):
    """One peer's `UdpPaths` on a host behind a NAT."""

    def setUp(self) -> None:
        self.world = Internet(Clock(), random.Random(1))
        self.stun = StunWorld(self.world)
        self.home = self.world.nat("198.51.100.20", Link(0.01))
        self.host: Host = self.home.host("192.168.1.2")
        self.hosts = ["192.168.1.2"]
        self.sockets: list[HostSocket] = []
        self.log: list[str] = []
        self.changes = 0
        self.families = {"0.0.0.0"}
        self.paths = UdpPaths(
            self.world.clock,
            identity=PeerIdentity(),
            rng=self.world.random,
            wall=self.world.clock.seconds,
            journal=lambda kind, user, text: self.log.append(text),
            changed=self.changed,
            ground=Ground(self.open_socket, lambda: [Interface("eth0", host) for host in self.hosts]),
        )

    def changed(self) -> None:
        self.changes += 1

    def open_socket(self, reactor: object, host: str) -> HostSocket:
        if host not in self.families:
            raise OSError(97, "Address family not supported by protocol")
        self.sockets.append(HostSocket(self.host))
        return self.sockets[-1]

    def use(self, *servers: tuple[str, int], local: str = "192.168.1.2") -> None:
        callers: Any = None
        self.paths.use(servers, local, callers)
        self.run_for(GATHERED)

    def run_for(self, seconds: float) -> None:
        pass_time(self.world.clock, seconds)

    def check_run(self, name: str, failures: list[str] | None = None, *, controlling: bool = True) -> CheckRun:
        return CheckRun(
            self.paths,
            self.world.clock,
            user="bob",
            username=name,
            key=KEY,
            controlling=controlling,
            tie_breaker=self.world.random.getrandbits(63),
            rng=self.world.random,
            found=lambda candidate, rtt: None,
            failed=(failures if failures is not None else []).append,
        )


class SocketTests(PathsCase):
    def test_a_socket_that_breaks_is_opened_anew(self) -> None:
        """And where it is seen is asked again; a broken one is not the end of UDP."""
        self.use(SERVER)
        before = self.paths.candidates()
        [broken] = self.sockets
        broken.close()
        assert broken.on_lost is not None
        broken.on_lost()
        self.assertFalse(self.paths.open)
        self.assertRaises(NoRoute, self.paths.dial, ("1.2.3.4", 5), b"f" * 32, None)
        self.paths.expect(("1.2.3.4", 5), answered=True)
        self.paths.unexpect([("1.2.3.4", 5)])
        self.run_for(GATHERED + limits.SOCKET_RETRY)
        self.assertEqual(len(self.sockets), 2)
        self.assertEqual([each.kind for each in self.paths.candidates()], [each.kind for each in before])
        self.assertNotEqual(self.paths.candidates(), before)
        broken.on_lost()
        self.assertTrue(self.paths.open)
        self.paths.stop()
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_a_family_that_this_machine_has_not_is_done_without(self) -> None:
        """IPv6 is named everywhere, and often is not there."""
        self.use(("2001:db8::1", 9901), SERVER)
        self.assertEqual([each.kind for each in self.paths.candidates()], ["host", "reflexive"])
        self.assertTrue(any("IPv6" in line for line in self.log))
        self.paths.send(b"x", ("2001:db8::2", 5))
        self.assertRaises(NoRoute, self.paths.dial, ("2001:db8::2", 5), b"f" * 32, None)

    def test_no_socket_at_all_is_no_disaster(self) -> None:
        """Then there is no UDP."""
        self.families = set()
        self.use(SERVER)
        self.assertEqual((self.paths.open, self.paths.candidates(), self.paths.gathering), (False, [], False))
        self.paths.network_changed()
        self.paths.stop()

    def test_another_p2p_server_is_asked_in_place_of_the_first(self) -> None:
        """At once; naming the same one again changes nothing."""
        self.use(SERVER)
        [socket] = self.sockets
        asked = len(socket.sent)
        self.use(("198.51.100.11", 19901))
        self.assertEqual(socket.sent[asked][2], ("198.51.100.11", 19901))
        asked = len(socket.sent)
        self.use(("198.51.100.11", 19901))
        self.assertEqual(len(socket.sent), asked)
        self.assertEqual(len(self.paths.candidates()), 2)

    def test_stopping_twice_and_using_again_is_fine(self) -> None:
        """As people sign out and in."""
        self.use(SERVER)
        self.paths.stop()
        self.paths.stop()
        self.assertEqual((self.paths.candidates(), self.paths.addresses()), ([], frozenset()))
        self.use(SERVER)
        self.assertEqual(len(self.paths.candidates()), 2)

    def test_a_new_interface_is_told_and_an_old_one_forgotten(self) -> None:
        """The cable instead of the wireless: asked again, and whoever negotiates is told."""
        self.use(SERVER)
        changes = self.changes
        self.hosts = ["192.168.1.7"]
        self.paths.network_changed()
        self.assertGreater(self.changes, changes)
        self.run_for(GATHERED)
        self.assertEqual([each.host for each in self.paths.candidates()], ["192.168.1.7", "198.51.100.20"])

    def test_my_addresses_are_avoided_wherever_they_are_seen(self) -> None:
        """Nobody can make a peer check itself, or the P2P server's ports."""
        self.use(SERVER)
        mine = {(each.host, each.port) for each in self.paths.candidates()}
        self.assertEqual(len(mine), 2)
        self.assertLessEqual(mine | {SERVER, ("198.51.100.11", 19901)}, self.paths.addresses())


class CheckRunTests(PathsCase):
    def setUp(self) -> None:
        super().setUp()
        self.use(SERVER)

    def test_what_is_being_checked_fails_at_once_when_udp_is_switched_off(self) -> None:
        """Nobody waits ten seconds for nothing; and it is told once."""
        failures: list[str] = []
        run = self.check_run("one", failures)
        run.add([Candidate("host", "udp", "203.0.113.9", 7000)], complete=True)
        self.paths.stop()
        self.assertEqual(failures, ["UDP was switched off"])
        run.add([Candidate("host", "udp", "203.0.113.9", 7000)], complete=True)
        run.stop()
        run.end("again")
        self.run_for(20.0)
        self.assertEqual(failures, ["UDP was switched off"])
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_adding_often_leaves_one_timer(self) -> None:
        """However many candidates trickle in."""
        run = self.check_run("one")
        timers = len(self.world.clock.getDelayedCalls())
        for number in range(10):
            run.add([Candidate("host", "udp", f"203.0.113.{number}", 7000)], complete=False)
        ours = [call for call in self.world.clock.getDelayedCalls() if "CheckRun" in str(call)]
        self.assertEqual(len(ours), 1)
        run.end("")
        self.assertLessEqual(
            len([call for call in self.world.clock.getDelayedCalls() if "arrive" not in str(call)]), timers + 10
        )

    def test_the_checks_of_the_past_are_answered_for_a_bounded_while(self) -> None:
        """A user who offers and offers cannot make a peer remember all of it."""
        for number in range(1000):
            self.check_run(f"run {number}").stop()
        self.assertLessEqual(len(self.paths._runs), limits.CHECK_RUNS)
        self.run_for(limits.CHECKS_LINGER + 1.0)
        self.assertEqual(self.paths._runs, {})

    def test_one_negotiation_that_ends_takes_nothing_from_another(self) -> None:
        """Both sides are at the same addresses in both: the calls of the second are still expected."""
        runs = [self.check_run(name, controlling=False) for name in ("one", "two")]
        socket = self.sockets[0]
        for name in ("one", "two"):
            assert socket.on_stun is not None
            socket.on_stun(pack_check(Check(b"t" * 12, name, 1, True, 7), KEY), ("203.0.113.9", 7000))
        runs[0].stop()
        self.assertEqual(len(self.paths._factory()._expected), 1)
        runs[1].stop()
        self.assertEqual(len(self.paths._factory()._expected), 0)


class InterfacesInTownTests(PairCase):
    def test_a_negotiation_hears_of_an_interface_that_comes(self) -> None:
        """It is trickled to the other side."""
        self.town = NatTown()
        self.alice = self.town.settle_in("alice", "symmetric")
        self.bob = self.town.settle_in("bob", "symmetric")
        self.town.run(GATHERED)
        result = self.alice.connect(self.bob)
        self.town.run(0.1)
        self.alice.machine.further = ["10.99.0.1"]
        self.town.run(limits.NETWORK_WATCH)
        more = [signal for signal in self.alice.sent if isinstance(signal, MoreCandidates)]
        self.assertEqual([each.host for each in more[0].candidates], ["10.99.0.1"])
        self.town.run(15.0)
        self.failureResultOf(result, NoDirectPath)
