"""Sealed messages on a hostile way: repeated, reordered, truncated, forged and misdirected, in any order."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import CannotOpen
from p2pim.wire.signals import Sealed
from tests.core.sealing_world import SealingDevice, pair

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["seal", "deliver", "repeat", "cut", "flip", "swap-scheme", "misdirect", "restart"]),
        st.booleans(),
        st.integers(0, 10_000),
    ),
    max_size=40,
)


class HostileWayTests(SynchronousTestCase):
    @settings(max_examples=60, deadline=None)
    @given(ACTIONS)
    def test_each_message_opens_at_most_once_as_it_was_sealed_and_the_whole_ones_all_do(
        self, actions: list[tuple[str, bool, int]]
    ) -> None:
        """Whatever is done to others on the way."""
        alice, bob = pair()
        bob.start(alice)
        carol = SealingDevice("carol", 3)
        made: list[tuple[SealingDevice, SealingDevice, bytes, Sealed]] = []
        opened: set[bytes] = set()
        for action, alices, n in actions:
            one, other = (alice, bob) if alices else (bob, alice)
            if action == "seal" and len(made) < 30:
                text = b"message %d" % len(made)
                made.append((one, other, text, one.seal(other, text, b"m" * 16 if n % 2 else b"")))
            elif action == "restart":
                alice.sealer._identity = bob.sealer._identity = None
            elif made:
                self.meddle(action, n, made[n % len(made)], opened, carol)
        for sender, recipient, text, sealed in made:
            if text not in opened:
                self.assertEqual(recipient.open(sender, sealed), text)

    def meddle(
        self,
        action: str,
        n: int,
        message: tuple[SealingDevice, SealingDevice, bytes, Sealed],
        opened: set[bytes],
        carol: SealingDevice,
    ) -> None:
        sender, recipient, text, sealed = message
        body = sealed.body
        if action in ("deliver", "repeat"):
            if text in opened:
                self.assertRaises(CannotOpen, recipient.open, sender, sealed)
            else:
                self.assertEqual(recipient.open(sender, sealed), text)
                opened.add(text)
            return
        if action == "cut":
            sealed = msgspec.structs.replace(sealed, body=body[: n % len(body)])
        elif action == "flip":
            at = n % len(body)
            sealed = msgspec.structs.replace(sealed, body=body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])
        elif action == "swap-scheme":
            sealed = msgspec.structs.replace(sealed, scheme=(sealed.scheme + 1 + n % 2) % 3)
        else:
            sender, recipient = (recipient, sender) if n % 2 else (carol, recipient)
        self.assertRaises(CannotOpen, recipient.open, sender, sealed)
