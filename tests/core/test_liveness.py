"""Heartbeats, waits before reconnecting, and proofs."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.backoff import Backoff
from p2pim.core.heartbeat import Beat, Heartbeat, smoothed
from p2pim.core.proof import DIALLED, DIALLER, channel_key, is_proof, make_proof


class HeartbeatTests(SynchronousTestCase):
    def test_silence_of_the_whole_patience_is_death(self) -> None:
        """And a second less is not."""
        heart = Heartbeat(5.0, 30.0, 0.0)
        self.assertEqual([heart.beat(at) for at in (5, 10, 15, 20, 25, 29.9)], [Beat.PING] * 6)
        self.assertIs(heart.beat(30.0), Beat.DEAD)

    def test_anything_heard_begins_the_patience_anew(self) -> None:
        """Measured to one interval."""
        heart = Heartbeat(5.0, 30.0, 0.0)
        heart.heard = True
        self.assertIs(heart.beat(25.0), Beat.PING)
        self.assertIs(heart.beat(54.0), Beat.PING)
        self.assertIs(heart.beat(55.0), Beat.DEAD)

    def test_round_trip_times_are_smoothed(self) -> None:
        """One slow answer does not change the picture."""
        self.assertEqual(smoothed(None, 0.08), 0.08)
        self.assertAlmostEqual(smoothed(0.08, 0.16), 0.09)


class BackoffTests(SynchronousTestCase):
    @given(st.integers())
    def test_waits_grow_within_their_bounds(self, seed: int) -> None:
        """From a fraction of a second to a fraction of a minute, whatever the luck."""
        backoff = Backoff(Random(seed))
        waits = [backoff.next() for _ in range(12)]
        for number, wait in enumerate(waits):
            window = min(30.0, 0.5 * 2**number)
            self.assertTrue(window * 0.5 <= wait <= window * 1.5, (number, wait))

    def test_success_begins_anew_but_a_flash_of_it_does_not(self) -> None:
        """A server that falls over at once is given ever more time."""
        backoff = Backoff(Random(1))
        for _ in range(6):
            backoff.next()
        backoff.succeeded(1.0)
        self.assertGreater(backoff.next(), 10)
        backoff.succeeded(60.0)
        self.assertLess(backoff.next(), 1)

    @given(st.integers(), st.floats(0, 1000))
    def test_what_the_server_asks_for_is_granted(self, seed: int, asked: float) -> None:
        """Never earlier than that."""
        self.assertGreaterEqual(Backoff(Random(seed)).next(asked), asked)


class ProofTests(SynchronousTestCase):
    KEY = channel_key(b"a" * 32, b"b" * 32)

    def test_a_proof_holds_for_its_key_role_and_session_alone(self) -> None:
        """Not for another session (replay), the other role (reflection), or another key."""
        mac = make_proof(self.KEY, DIALLER, b"session one")
        self.assertTrue(is_proof(mac, self.KEY, DIALLER, b"session one"))
        self.assertFalse(is_proof(mac, self.KEY, DIALLER, b"session two"))
        self.assertFalse(is_proof(mac, self.KEY, DIALLED, b"session one"))
        self.assertFalse(is_proof(mac, channel_key(b"b" * 32, b"a" * 32), DIALLER, b"session one"))

    def test_the_key_is_as_documented(self) -> None:
        """Golden bytes: HMAC-SHA256 keyed by the offerer's secret, over the answerer's; then over role and exporter."""
        self.assertEqual(self.KEY.hex(), "80c543f60f65004cd952a1f51a793d2779b0fabc97da73fa83c55f6eb36ccd29")
        self.assertEqual(
            make_proof(self.KEY, DIALLED, bytes(32)).hex(),
            "ca3cd999e81cc9ac86db5de3dc471f2f17733db73176033facc1baa71a1e21c6",
        )
