"""The P2P server beside the server: which ports, what clients are told, and changes while it runs."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.trial.unittest import SynchronousTestCase

from p2pim.server.beside import TRIES, BesideP2p, NoUdpPort
from p2pim.server.settings import P2pSection, ServerSettings
from p2pim.wire.messages import FEATURES, PROTOCOL_VERSION, Hello, P2pServerChanged, Ping, Pong
from tests.server.support import World


class FakeP2p:
    """A P2P server on a host whose ports ``taken`` others have."""

    def __init__(self, interface: str, port: int, section: P2pSection, taken: set[int], free: list[int]) -> None:
        self.interface, self.port, self.section = interface, port, section
        self._taken, self._free = taken, free
        self.state = "new"

    def open(self) -> None:
        if self.port in self._taken:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        self.port = self.port or self._free.pop(0)

    def startService(self) -> None:
        self.state = "answers"

    def stopService(self) -> None:
        self.state = "closed"

    def listening(self) -> list[str]:
        return [f"{self.interface}:{self.port}"]

    def counted(self) -> dict[str, object]:
        return {"requests": 3}

    def use(self, section: P2pSection) -> None:
        if section.alternate_port in self._taken:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        self.section = section


class FakeTcpPort:
    def __init__(self, port: int) -> None:
        self.port = port
        self.closed = False

    def stopListening(self) -> None:
        self.closed = True


class BesideTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.taken: set[int] = set()
        self.tcp_taken: set[int] = set()
        self.free = list(range(50_001, 50_100))
        self.made: list[FakeP2p] = []
        self.listening: list[FakeTcpPort] = []
        self.beside = BesideP2p(self.make)

    def make(self, interface: str, port: int, section: P2pSection) -> FakeP2p:
        self.made.append(FakeP2p(interface, port, section, self.taken, self.free))
        return self.made[-1]

    def listen_tcp(self, port: int) -> FakeTcpPort:
        if port in self.tcp_taken:
            raise CannotListenError("", port, OSError(errno.EADDRINUSE, "taken"))
        self.listening.append(FakeTcpPort(port or 40_000))
        return self.listening[-1]

    def listen(self, interface: str = "", port: int = 4530, **section: Any) -> FakeTcpPort:
        given: FakeTcpPort = self.beside.listen(interface, port, P2pSection(**section), self.listen_tcp)
        return given

    def test_it_takes_the_udp_port_after_the_tcp_port(self) -> None:
        """4530 and 4531, on the interface of the server; all of IPv4 where nothing is said."""
        self.assertEqual(self.listen().port, 4530)
        self.assertEqual((self.made[0].port, self.made[0].interface, self.made[0].state), (4531, "0.0.0.0", "answers"))
        self.assertEqual(self.beside.address, "0.0.0.0:4531")
        self.assertEqual(self.beside.counters(), {"address": "0.0.0.0:4531", "requests": 3})

    def test_clients_are_told_the_port_alone_when_all_addresses_are_listened_on(self) -> None:
        """They know by which address they came."""
        for interface, told in (("", ":4531"), ("0.0.0.0", ":4531"), ("::", ":4531"), ("192.0.2.1", "192.0.2.1:4531")):
            beside = BesideP2p(self.make)
            beside.listen(interface, 4530, P2pSection(), self.listen_tcp)
            self.assertEqual(beside.told(), told)

    def test_a_taken_udp_port_is_told_with_what_to_do(self) -> None:
        """And the TCP port is given back."""
        self.taken.add(4531)
        with self.assertRaises(NoUdpPort) as caught:
            self.listen()
        for word in ("UDP *:4531", "Address already in use", "--port", "--no-p2p"):
            self.assertIn(word, caught.exception.message)
        self.assertTrue(self.listening[0].closed)
        with self.assertRaises(NoUdpPort):
            self.listen(port=65_535)

    def test_any_port_means_any_pair_of_ports(self) -> None:
        """Where the port below has another owner, the next pair is tried, for a while."""
        self.tcp_taken = {50_000, 50_001}
        port = self.listen(port=0)
        self.assertEqual((port.port, self.made[-1].port), (50_002, 50_003))
        self.assertEqual([p2p.state for p2p in self.made], ["closed", "closed", "answers"])
        self.tcp_taken = set(range(40_000, 60_000))
        with self.assertRaises(CannotListenError):
            BesideP2p(self.make).listen("", 0, P2pSection(), self.listen_tcp)
        self.assertEqual([p2p.state for p2p in self.made[3:]], ["closed"] * TRIES)

    def test_switched_off_it_opens_nothing(self) -> None:
        """By the settings, or because there is no maker."""
        self.assertEqual(self.listen(port=0, enabled=False).port, 40_000)
        self.assertEqual((self.made, self.beside.told(), self.beside.address), ([], None, None))
        self.assertIsNone(self.beside.counters())
        without = BesideP2p(None)
        without.listen("", 4530, P2pSection(), self.listen_tcp)
        without.use(4530, P2pSection())
        self.assertIsNone(without.told())

    def test_it_is_switched_off_and_on_while_the_server_runs(self) -> None:
        """And other changes are passed on; those that cannot be are logged, and it goes on as it was."""
        self.listen()
        self.beside.use(4530, P2pSection(enabled=False))
        self.assertEqual((self.made[0].state, self.beside.told()), ("closed", None))
        self.beside.use(4530, P2pSection(rate=5.0))
        self.assertEqual((self.made[1].state, self.beside.told()), ("answers", ":4531"))
        self.beside.use(4530, P2pSection(rate=7.0))
        self.assertEqual(self.made[1].section.rate, 7.0)
        self.taken.add(777)
        self.beside.use(4530, P2pSection(alternate_port=777))
        self.assertEqual((len(self.made), self.made[1].state), (2, "answers"))
        self.beside.stop()
        self.beside.stop()
        self.assertEqual(self.made[1].state, "closed")


class WelcomeTests(SynchronousTestCase):
    def told(self, world: World, name: str) -> str | None:
        """What a newcomer learns."""
        return world.user(name).welcome.p2p_server

    def test_the_configured_address_is_told_in_place_of_the_own(self) -> None:
        """A standalone P2P server shared by several servers; a reload changes it for newcomers."""
        world = World(self.mktemp(), ServerSettings(p2p=P2pSection(address="p2p.example.org:9901")))
        self.assertEqual(self.told(world, "alice"), "p2p.example.org:9901")
        world.house.use(ServerSettings(p2p=P2pSection(address="192.0.2.3:9901")))
        self.assertEqual(self.told(world, "bob"), "192.0.2.3:9901")

    def test_those_who_are_signed_in_are_told_of_a_change(self) -> None:
        """If they have said that they understand that; others would take it for a broken connection."""
        world = World(self.mktemp())
        alice, old = world.user("alice"), world.client().register("old", features=("colours",))
        newcomer = world.client()
        newcomer.send(Hello(PROTOCOL_VERSION, "", FEATURES))
        world.house.use(ServerSettings(p2p=P2pSection(address="192.0.2.3:9901")))
        world.house.tell_p2p_server()
        self.assertEqual(alice.received(), [P2pServerChanged("192.0.2.3:9901")])
        self.assertEqual((old.received(), newcomer.received()), ([], []))
        old.send(Ping(5))
        self.assertEqual(old.received(), [Pong(5)])

    def test_the_one_beside_the_server_is_told(self) -> None:
        """While it runs."""
        world = World(self.mktemp())
        self.assertIsNone(self.told(world, "alice"))
        world.house.beside = BesideP2p(lambda interface, port, section: FakeP2p(interface, port, section, set(), []))
        world.house.beside.listen("", 4530, P2pSection(), FakeTcpPort)
        self.assertEqual(self.told(world, "bob"), ":4531")
