"""Strangers at a peer's port, and what their connections cost."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from p2pim.core.limits import CHANNELS_INCOMING_PER_ADDRESS, CHANNELS_INCOMING_UNPROVED, HANDSHAKE
from p2pim.core.proof import DIALLER, channel_key, make_proof
from p2pim.net.peer_tls import CHANNEL_ALPN, PeerIdentity, exported_key, is_pinned
from p2pim.peer.negotiation_links import PROOFS_HELD
from p2pim.wire.channel import pack_control
from p2pim.wire.signals import Answer, Offer, Prove, Signal, Typing
from tests.peer.town import Pair, Resident


@implementer(IOpenSSLClientConnectionCreator)
class AnyTls:
    """A TLS client of the test's choice."""

    def __init__(self, version: int = SSL.TLS1_3_VERSION, alpn: bytes = CHANNEL_ALPN) -> None:
        self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.set_max_proto_version(version)
        self.context.set_alpn_protos([alpn])

    def clientConnectionForTLS(self, protocol: object) -> SSL.Connection:
        return SSL.Connection(self.context, None)


class Stranger(Protocol):
    """Connects, and says what it is told once TLS stands (or at once, without TLS)."""

    def __init__(self) -> None:
        self.data = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = True

    def say(self, *signals: Signal) -> None:
        assert self.transport is not None
        self.transport.write(b"".join(map(pack_control, signals)))


class StrangerCase(Pair):
    def call(self, whom: Resident, host: str = "10.0.0.66", tls: AnyTls | None = None) -> Stranger:
        machine = self.town.network.machines.get(host) or self.town.network.machine(host)
        stranger = Stranger()
        inner = ClientFactory.forProtocol(lambda: stranger)
        factory = inner if tls is None else TLSMemoryBIOFactory(tls, True, inner, machine)
        machine.connectTCP(whom.machine.host, whom.local[1], factory)
        self.town.run(0.1)
        return stranger


class UnprovedTests(StrangerCase):
    def test_who_never_speaks_is_closed_in_time(self) -> None:
        """An accepted connection costs memory for ten seconds, not for ever."""
        silent, handshaken = self.call(self.alice), self.call(self.alice, tls=AnyTls())
        self.town.run(HANDSHAKE - 1)
        self.assertEqual((silent.lost, handshaken.lost), (False, False))
        self.town.run(1.5)
        self.assertEqual((silent.lost, handshaken.lost), (True, True))
        self.assertIn("came to nothing", self.alice.log[-1][2])

    def test_one_address_gets_so_many_and_all_together_so_many(self) -> None:
        """The next one is closed at once; friends from elsewhere still get through."""
        for _ in range(CHANNELS_INCOMING_PER_ADDRESS + 1):
            last = self.call(self.alice)
        self.assertTrue(last.lost)
        self.connected()
        for number in range(2 * CHANNELS_INCOMING_UNPROVED // CHANNELS_INCOMING_PER_ADDRESS):
            for _ in range(CHANNELS_INCOMING_PER_ADDRESS):
                self.call(self.alice, f"10.0.1.{number}")
        open_ones = [each for each in self.alice.machine.incoming if each.connected]
        self.assertLessEqual(len(open_ones), CHANNELS_INCOMING_UNPROVED + 1)

    def test_room_is_made_as_they_go(self) -> None:
        """The count goes down with every end and every proof."""
        for _ in range(3):
            for _ in range(CHANNELS_INCOMING_PER_ADDRESS):
                self.assertFalse(self.call(self.alice).lost)
            self.town.run(HANDSHAKE + 1)

    def test_other_words_than_a_proof_close_it(self) -> None:
        """Before it is a channel nothing is taken."""
        stranger = self.call(self.alice, tls=AnyTls())
        stranger.say(Typing())
        self.town.run(0.1)
        self.assertTrue(stranger.lost)
        self.assertEqual(self.alice.signals, [])

    def test_a_proof_for_no_negotiation_closes_it(self) -> None:
        """Nothing is answered that could be learned from."""
        stranger = self.call(self.alice, tls=AnyTls())
        stranger.say(Prove(b"n" * 16, b"m" * 32))
        self.town.run(0.1)
        self.assertTrue(stranger.lost)
        self.assertEqual(stranger.data, b"")

    def test_plain_noise_closes_it(self) -> None:
        """A port scanner."""
        stranger = self.call(self.alice)
        assert stranger.transport is not None
        stranger.transport.write(b"GET / HTTP/1.1\r\n\r\n")
        self.town.run(0.1)
        self.assertTrue(stranger.lost)

    def test_only_tls_13_for_channels(self) -> None:
        """And only for this protocol."""
        for tls in (AnyTls(SSL.TLS1_2_VERSION), AnyTls(alpn=b"http/1.1")):
            self.assertTrue(self.call(self.alice, tls=tls).lost)


class ProofTests(StrangerCase):
    def negotiation(self) -> tuple[Offer, bytes]:
        """An offer of Alice's that was answered with secrets that the test knows; and the key of it."""
        self.bob.dropping = lambda signal: True
        self.alice.connect(self.bob).addErrback(lambda failure: None)
        self.town.run(0.1)
        [offer] = [signal for signal in self.alice.sent if isinstance(signal, Offer)]
        self.alice.deliver("bob", self.bob.device, Answer(offer.negotiation, b"f" * 32, b"s" * 32, [], ["tcp"]))
        return offer, channel_key(offer.secret, b"s" * 32)

    def test_a_proof_of_this_session_is_answered_and_nominated(self) -> None:
        """What the following tests leave out one at a time."""
        offer, key = self.negotiation()
        friend = self.call(self.alice, tls=AnyTls())
        assert friend.transport is not None
        friend.say(Prove(offer.negotiation, make_proof(key, DIALLER, exported_key(friend.transport))))
        self.town.run(0.1)
        self.assertEqual(len(self.alice.opened), 1)
        self.assertNotEqual(friend.data, b"")

    def test_a_proof_of_another_session_is_worth_nothing(self) -> None:
        """Recorded or relayed: its exporter is another."""
        offer, key = self.negotiation()
        one, other = self.call(self.alice, tls=AnyTls()), self.call(self.alice, tls=AnyTls())
        assert one.transport is not None
        other.say(Prove(offer.negotiation, make_proof(key, DIALLER, exported_key(one.transport))))
        self.town.run(0.1)
        self.assertTrue(other.lost)
        self.assertEqual(self.alice.opened, [])

    def test_a_wrong_mac_closes_the_connection_and_the_negotiation_goes_on(self) -> None:
        """An attacker who guesses ends nothing."""
        offer, key = self.negotiation()
        wrong = self.call(self.alice, tls=AnyTls())
        wrong.say(Prove(offer.negotiation, b"m" * 32))
        self.town.run(0.1)
        self.assertTrue(wrong.lost)
        right = self.call(self.alice, tls=AnyTls())
        assert right.transport is not None
        right.say(Prove(offer.negotiation, make_proof(key, DIALLER, exported_key(right.transport))))
        self.town.run(0.1)
        self.assertEqual(len(self.alice.opened), 1)

    def test_proofs_that_wait_for_the_answer_are_few(self) -> None:
        """Whoever knows the negotiation's id cannot pile them up."""
        self.bob.dropping = lambda signal: True
        self.alice.connect(self.bob).addErrback(lambda failure: None)
        self.town.run(0.1)
        [offer] = [signal for signal in self.alice.sent if isinstance(signal, Offer)]
        strangers = [self.call(self.alice, tls=AnyTls()) for _ in range(8)]
        for stranger in strangers:
            stranger.say(Prove(offer.negotiation, b"m" * 32))
        self.town.run(0.1)
        waiting = sum(not stranger.lost for stranger in strangers)
        self.assertEqual(waiting + 1, PROOFS_HELD)  # Bob's own is among them


class IdentityTests(SynchronousTestCase):
    def test_every_peer_has_its_own_certificate_in_memory(self) -> None:
        """Ephemeral: known by its fingerprint alone."""
        self.assertNotEqual(PeerIdentity().fingerprint, PeerIdentity().fingerprint)
        self.assertEqual(len(PeerIdentity().fingerprint), 32)

    def test_the_pin_is_compared_with_what_was_shown(self) -> None:
        """No certificate is no match."""

        class Bare:
            def getPeerCertificate(self) -> None:
                return None

        self.assertFalse(is_pinned(Bare(), b"f" * 32))  # type: ignore[arg-type]
