"""Self-made certificates and fingerprints."""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.net.certificates import (
    ensure_certificate,
    fingerprint_of_pem,
    format_fingerprint,
    make_certificate,
    parse_fingerprint,
)


class CertificateTests(SynchronousTestCase):
    def test_a_certificate_is_ecdsa_p256_and_lasts_as_long_as_asked(self) -> None:
        """The server's own certificate has the documented kind and life."""
        certificate = x509.load_pem_x509_certificate(make_certificate("p2pim", 3650).cert_pem)
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        self.assertEqual(key.curve.name, "secp256r1")
        self.assertEqual((certificate.not_valid_after_utc - certificate.not_valid_before_utc).days, 3650)

    def test_a_long_common_name_is_cut_and_not_refused(self) -> None:
        """A long host name cannot stop the first run."""
        made = make_certificate("h" * 200, 1)
        self.assertEqual(len(fingerprint_of_pem(made.cert_pem)), 32)

    def test_files_are_made_once_private_and_kept(self) -> None:
        """The pin that people hold stays right over restarts, and the key is the owner's alone."""
        folder = Path(self.mktemp())
        folder.mkdir()
        first = ensure_certificate(folder / "c.pem", folder / "k.pem", "p2pim")
        again = ensure_certificate(folder / "c.pem", folder / "k.pem", "p2pim")
        self.assertEqual(first, again)
        for name in ("c.pem", "k.pem"):
            self.assertEqual(stat.S_IMODE((folder / name).stat().st_mode), 0o600)

    def test_half_of_a_pair_is_an_error_and_is_not_replaced(self) -> None:
        """A lost key does not silently change the fingerprint that people have pinned."""
        folder = Path(self.mktemp())
        folder.mkdir()
        ensure_certificate(folder / "c.pem", folder / "k.pem", "p2pim")
        (folder / "k.pem").unlink()
        with self.assertRaises(OSError):
            ensure_certificate(folder / "c.pem", folder / "k.pem", "p2pim")


class FingerprintTests(SynchronousTestCase):
    @given(st.binary(min_size=32, max_size=32))
    def test_what_is_written_reads_back(self, fingerprint: bytes) -> None:
        """The form that people copy is exact; hexadecimal, as openssl prints it, is the same."""
        text = format_fingerprint(fingerprint)
        self.assertTrue(text.startswith("SHA256:"))
        self.assertEqual(parse_fingerprint(text), fingerprint)
        self.assertEqual(parse_fingerprint(fingerprint.hex(":").upper()), fingerprint)

    @given(st.text(max_size=60))
    def test_other_text_is_refused_with_an_example(self, text: str) -> None:
        """A typing mistake is told at once, not when the certificate is compared."""
        try:
            self.assertEqual(len(parse_fingerprint(text)), 32)
        except ValueError as error:
            self.assertIn("SHA256:", str(error))
