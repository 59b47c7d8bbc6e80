"""What a peer knows of its P2P server, through sign-ins and names that are looked up."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IResolutionReceiver
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import DIRECT_RETRY
from p2pim.core.p2p_choice import P2pServer
from p2pim.errors import BadP2pServer
from p2pim.net.resolve import PATIENCE
from p2pim.peer.p2p_server import KnownP2pServer
from p2pim.peer.states import PeerSettings

SERVER = "192.0.2.10"


class Names(Clock):
    """A clock, and a resolver that answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, int, IResolutionReceiver]] = []

    @property
    def nameResolver(self) -> Names:
        return self

    def resolveHostName(self, receiver: IResolutionReceiver, host: str, port: int, *rest: Any) -> None:
        self.asked.append((host, port, receiver))

    def answer(self, *hosts: str) -> None:
        """Answer the oldest question."""
        _, port, receiver = self.asked.pop(0)
        for host in hosts:
            address = IPv6Address("UDP", host, port) if ":" in host else IPv4Address("UDP", host, port)
            receiver.addressResolved(address)
        receiver.resolutionComplete()


class KnownP2pServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.names = Names()
        self.journal: list[str] = []
        self.changes = 0

    def known(self, own: str | None = None) -> KnownP2pServer:
        known = KnownP2pServer(self.names, own, lambda kind, user, text: self.journal.append(text))

        def changed() -> None:
            self.changes += 1

        known.changed = changed
        return known

    def test_the_one_beside_the_server_is_known_at_once(self) -> None:
        """ ":PORT" needs no name service."""
        known = self.known()
        self.assertEqual((known.name, known.endpoint), (None, None))
        known.welcomed(":4531", SERVER)
        self.assertEqual((known.name, known.endpoint), (f"{SERVER}:4531", (SERVER, 4531)))
        before = self.changes
        known.welcomed(":4531", SERVER)
        self.assertEqual((self.changes, self.names.asked), (before, []))
        known.welcomed(None, SERVER)
        self.assertEqual((known.name, known.endpoint), (None, None))
        self.assertGreater(self.changes, before)
        self.assertEqual(self.journal[-1], "there is no P2P server any more")

    def test_a_name_is_looked_up_and_ipv4_comes_first(self) -> None:
        """Until then the name is known and no address."""
        known = self.known("p2p.example.org:9901")
        self.assertEqual(known.named, P2pServer("p2p.example.org", 9901))
        known.welcomed(":4531", SERVER)
        self.assertIsNone(known.endpoint)
        self.names.answer("2001:db8::1", "192.0.2.1", "192.0.2.1")
        self.assertEqual(list(known.endpoints), [("192.0.2.1", 9901), ("2001:db8::1", 9901)])

    def test_a_name_that_nobody_knows_is_told_and_tried_again(self) -> None:
        """Whether the name service says no or nothing at all."""
        known = self.known("p2p.example.org:9901")
        known.welcomed(None, SERVER)
        self.names.answer()
        self.assertIn("p2p.example.org:9901 cannot be found", self.journal[0])
        self.names.advance(DIRECT_RETRY)
        self.assertEqual(len(self.names.asked), 1)
        self.names.advance(PATIENCE)
        self.assertEqual((len(self.journal), known.endpoint), (2, None))
        self.names.answer("192.0.2.1")  # too late
        self.names.advance(DIRECT_RETRY)
        self.names.answer("192.0.2.1")
        self.assertEqual(known.endpoint, ("192.0.2.1", 9901))
        self.assertEqual(self.names.getDelayedCalls(), [])

    def test_an_answer_about_a_server_that_is_used_no_more_is_dropped(self) -> None:
        """The later sign-in counts."""
        known = self.known()
        known.welcomed("old.example.org:1", SERVER)
        known.welcomed(":4531", SERVER)
        self.names.answer("192.0.2.1")
        self.assertEqual(known.endpoint, (SERVER, 4531))

    def test_what_the_server_says_wrongly_is_written_down_and_means_none(self) -> None:
        """It ends nothing."""
        known = self.known()
        known.welcomed(":4531", SERVER)
        known.welcomed("nonsense", SERVER)
        self.assertEqual((known.name, known.endpoint), (None, None))
        self.assertIn("nonsense", self.journal[-2])

    def test_none_asks_nobody(self) -> None:
        """Switched off: not even the name service."""
        known = self.known("none")
        known.welcomed("p2p.example.org:9901", SERVER)
        self.assertEqual((known.name, known.endpoint, self.names.asked), (None, None, []))

    def test_after_its_end_it_looks_for_nothing(self) -> None:
        """No timer stays behind."""
        known = self.known("p2p.example.org:9901")
        known.welcomed(None, SERVER)
        self.names.answer()
        known.stop()
        self.assertEqual(self.names.getDelayedCalls(), [])

    def test_a_setting_that_names_none_is_refused_at_once(self) -> None:
        """Before anything opens."""
        with self.assertRaises(BadP2pServer):
            self.known("nonsense")
        with self.assertRaises(BadP2pServer):
            PeerSettings(p2p_server="host:port")
