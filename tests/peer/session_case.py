"""A session, a server in memory, and everything that was heard."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from p2pim.peer.interfaces import ISessionUser
from p2pim.peer.session import ServerAddress, Session, Trust
from p2pim.wire.groups import GroupChanged
from p2pim.wire.keys import DeviceList
from p2pim.wire.messages import (
    Incoming,
    Message,
    Person,
    Welcome,
    WhoIsOnline,
)
from tests.peer.fake_server import FakeServer
from tests.peer.memory_network import MemoryNetwork

HOST = "10.0.0.1"


@implementer(ISessionUser)
class Hearer:
    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []

    def signed_in(self, welcome: Welcome) -> None:
        self.heard.append(("signed-in", welcome.user))

    def interrupted(self, reason: str) -> None:
        self.heard.append(("interrupted", reason))

    def reconnecting(self, reason: str) -> None:
        self.heard.append(("reconnecting", reason))

    def signed_out(self, reason: str, message: str) -> None:
        self.heard.append(("signed-out", reason, message))

    def envelope_received(self, envelope: Incoming) -> None:
        self.heard.append(("envelope", envelope.sender, envelope.device, envelope.kind, envelope.payload))

    def mail_waiting(self, count: int) -> None:
        self.heard.append(("mail", count))

    def keys_left(self, left: int) -> None:
        self.heard.append(("keys-left", left))

    def devices_changed(self, devices: DeviceList) -> None:
        self.heard.append(("devices", devices))

    def group_changed(self, change: GroupChanged) -> None:
        self.heard.append(("group", change))

    def stored_ended(self, file: bytes, outcome: str) -> None:
        self.heard.append((file, outcome))

    def guests_told(self, message: object) -> None:
        """Nobody meets guests here."""

    def presence_changed(self, person: Person) -> None:
        self.heard.append(("presence", person.user))

    def p2p_server_changed(self, told: str | None) -> None:
        self.heard.append(("p2p-server", told))

    def kinds(self) -> list[object]:
        return [each[0] for each in self.heard]


class SessionCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.server = FakeServer(self.network.machine(HOST))
        self.machine = self.network.machine("10.0.0.2")
        self.user = Hearer()
        self.session = self.make(Trust(fingerprint=self.server.fingerprint))

    def make(self, trust: Trust, host: str = HOST, seed: int = 1) -> Session:
        return Session(
            self.machine,
            server=ServerAddress(host, 4530),
            trust=trust,
            device=b"d" * 16,
            device_name="desk",
            rng=Random(seed),
            user=self.user,
        )

    def sign_in(self, session: Session | None = None) -> Deferred[Welcome]:
        result = Deferred.fromCoroutine((session or self.session).sign_in("alice", password="secret"))
        self.network.run(0.1)
        return result

    def signed_in(self) -> None:
        self.successResultOf(self.sign_in())
        self.session.start()

    def ask(self, message: type[WhoIsOnline] = WhoIsOnline) -> Deferred[Message]:
        result = Deferred.fromCoroutine(self.session.request(message))
        self.network.run(0.05)
        return result
