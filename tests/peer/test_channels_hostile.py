"""What a hostile peer or server can make of the channel table: little."""

from __future__ import annotations

from p2pim.wire.signals import Answer, Candidate, Decline, Offer
from tests.peer.town import Pair


class HostileTests(Pair):
    def offer(self, **changes: object) -> Offer:
        fields: dict[str, object] = {
            "negotiation": b"n" * 16, "tie_breaker": 1, "fingerprint": b"f" * 32, "secret": b"s" * 32,
            "candidates": [Candidate("host", "tcp", "10.0.0.3", 5000)], "modes": ["tcp"],
        }  # fmt: skip
        fields.update(changes)
        return Offer(**fields)  # type: ignore[arg-type]

    def test_candidates_that_are_not_peers_are_not_dialled(self) -> None:
        """Multicast, unspecified, broadcast, loopback, the server, myself, names, services: none is called."""
        hosts = ["224.0.0.1", "0.0.0.0", "255.255.255.255", "127.0.0.1", "::1", "ff02::1", "::", "example.org",
                 "::ffff:127.0.0.1"]  # fmt: skip
        candidates = [Candidate("host", "tcp", host, 5000) for host in hosts]
        candidates += [
            Candidate("host", "tcp", "10.0.0.1", 4530),
            Candidate("host", "tcp", "10.0.0.2", self.alice.local[1]),
            Candidate("host", "tcp", "10.0.0.3", 22),
        ]
        self.alice.deliver("bob", self.bob.device, self.offer(candidates=candidates))
        self.town.run(11)
        self.assertEqual(self.alice.machine.dialled, [])

    def test_loopback_is_dialled_when_the_server_is_on_it(self) -> None:
        """Two peers and a server on one machine."""
        machine = self.town.network.machine("127.0.0.1")
        carol = self.town.resident("carol", "127.0.0.1")
        dave = self.town.resident("dave", "127.0.0.1")
        here, _ = self.connected(carol, dave)
        self.assertTrue(here.same_lan)
        self.assertTrue(machine.dialled)

    def test_a_long_list_makes_few_calls(self) -> None:
        """An offer cannot make a peer scan a network."""
        candidates = [Candidate("host", "tcp", f"10.0.1.{n}", 5000) for n in range(64)]
        self.alice.deliver("bob", self.bob.device, self.offer(candidates=candidates))
        self.town.run(11)
        self.assertEqual(len(self.alice.machine.dialled), 6)

    def test_many_offers_are_declined(self) -> None:
        """Nor can many offers: each takes the place of the one before, and a minute has only so many."""
        for number in range(100):
            self.alice.deliver("bob", self.bob.device, self.offer(negotiation=bytes([number]) * 16))
        self.town.run(0.2)
        self.assertLessEqual(len(self.alice.machine.dialled), 30 * 6)
        declined = [signal for signal in self.alice.sent if isinstance(signal, Decline)]
        self.assertGreaterEqual(len(declined), 70)
        self.assertLessEqual(len(self.alice.table._switchboard._negotiators), 1)

    def test_one_user_cannot_take_all_negotiations(self) -> None:
        """Four at once with one user, from however many devices."""
        for number in range(20):
            offer = self.offer(negotiation=bytes([number]) * 16)
            self.alice.deliver("bob", bytes([100 + number]) * 16, offer)
        self.assertEqual(len(self.alice.table._switchboard._negotiators), 4)

    def test_a_wrong_certificate_is_not_spoken_to(self) -> None:
        """The dialling side pins the fingerprint in the offer: someone else at that address gets nothing."""
        self.alice.deliver(
            "bob",
            self.bob.device,
            self.offer(candidates=[Candidate("host", "tcp", "10.0.0.3", self.bob.local[1])]),
        )
        self.town.run(1)
        self.assertEqual(self.alice.table.all(), [])
        self.assertEqual(self.bob.table.all(), [])
        [decline] = [signal for signal in self.alice.sent if isinstance(signal, Decline)]
        self.assertIn("certificate", decline.reason)

    def test_a_wrong_secret_proves_nothing(self) -> None:
        """The dialled side wants a MAC by the negotiation's key; without one there is no channel for long."""
        tampered: list[Answer] = []

        def tamper(signal: object) -> bool:
            if isinstance(signal, Answer):
                changed = Answer(signal.negotiation, signal.fingerprint, b"w" * 32, signal.candidates, signal.modes)
                tampered.append(changed)
                return True
            return False

        self.bob.dropping = tamper
        result = self.alice.connect(self.bob)
        self.town.run(0.05)
        self.alice.deliver("bob", self.bob.device, tampered[0])
        self.town.run(11)
        channel = self.successResultOf(result)
        self.assertTrue(channel.ended)  # type: ignore[attr-defined] # it was Bob's certificate, but he let nobody in
        self.assertEqual((self.alice.table.all(), self.bob.table.all(), self.bob.opened), ([], [], []))
        self.assertLessEqual(len(self.alice.opened), 4)

    def test_an_answer_of_somebody_else_changes_nothing(self) -> None:
        """Only the device that was asked answers."""
        mallory = self.town.resident("mallory", "10.0.0.66")
        self.bob.dropping = lambda signal: True
        result = self.alice.connect(self.bob)
        self.town.run(0.1)
        [offer] = [signal for signal in self.alice.sent if isinstance(signal, Offer)]
        answer = Answer(offer.negotiation, b"m" * 32, b"m" * 32, [], ["tcp"])
        self.alice.deliver("mallory", mallory.device, answer)
        self.alice.deliver("bob", mallory.device, answer)
        self.alice.deliver("mallory", mallory.device, Decline(offer.negotiation, "no"))
        self.town.run(1)
        self.assertNoResult(result)
        self.town.run(10)
        self.failureResultOf(result)

    def test_my_own_device_makes_me_no_offers(self) -> None:
        """A server that reflects."""
        self.alice.deliver("alice", self.alice.device, self.offer())
        self.town.run(1)
        self.assertEqual((self.alice.sent, self.alice.machine.dialled), ([], []))
