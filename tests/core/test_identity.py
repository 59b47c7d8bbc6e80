"""What is signed when keys are published can mean one thing only."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from vodozemac import Account

from p2pim.core.identity import identity_bytes, one_time_bytes, signed_by

KEYS = st.binary(min_size=32, max_size=32)
DEVICES = st.binary(min_size=16, max_size=16)
IDENTITIES = st.tuples(st.text(max_size=20), DEVICES, KEYS, KEYS)
ONE_TIME = st.tuples(st.text(max_size=20), DEVICES, st.text(max_size=8), KEYS, st.booleans())


class IdentityTests(SynchronousTestCase):
    @given(IDENTITIES, IDENTITIES)
    def test_different_identities_give_different_bytes(self, one: Any, other: Any) -> None:
        """Nothing can be moved from one part to the next."""
        self.assertEqual(identity_bytes(*one) == identity_bytes(*other), one == other)

    @given(ONE_TIME, ONE_TIME, IDENTITIES)
    def test_a_key_is_signed_for_one_purpose(self, one: Any, other: Any, identity: Any) -> None:
        """A one-time key is no fallback key, and no identity."""
        self.assertEqual(one_time_bytes(*one) == one_time_bytes(*other), one == other)
        self.assertNotEqual(one_time_bytes(*one), identity_bytes(*identity))

    def test_the_bytes_are_those_of_the_protocol(self) -> None:
        """As documented: each part after two bytes of its length."""
        signed = identity_bytes("ann", bytes(16), b"e" * 32, b"c" * 32)
        expected = b"\0\x17p2pim device identity 1\0\x03ann\0\x10" + bytes(16)
        self.assertEqual(signed, expected + b"\0\x20" + b"e" * 32 + b"\0\x20" + b"c" * 32)

    def test_a_signature_of_the_sealing_library_is_good_here(self) -> None:
        """Both sides mean the same Ed25519."""
        account = Account()
        signature = b64decode(account.sign(b"content").to_base64() + "==")
        public = b64decode(account.ed25519_key.to_base64() + "=")
        self.assertTrue(signed_by(public, signature, b"content"))
        self.assertFalse(signed_by(public, signature, b"Content"))

    def test_another_key_broken_keys_and_broken_signatures_are_refused(self) -> None:
        """Without an exception: what a stranger sends is only ever true or false."""
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes_raw()
        self.assertTrue(signed_by(public, key.sign(b"x"), b"x"))
        for ed25519, signature in ((bytes(32), key.sign(b"x")), (b"short", key.sign(b"x")), (public, b"short")):
            self.assertFalse(signed_by(ed25519, signature, b"x"))
