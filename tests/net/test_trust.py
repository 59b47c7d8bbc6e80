"""Servers whose certificates are vouched for by a root."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from p2pim.errors import UntrustedServer
from p2pim.net.certificates import CertificateAndKey
from p2pim.net.trust import Trust
from tests.peer.fake_server import FakeServer
from tests.peer.session_case import HOST, SessionCase


class Root:
    """A certificate authority of the test's own."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test root")])
        self.certificate = self._build(self.name, self.key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.pem = self._sign(self.certificate)

    def _build(self, subject: x509.Name, key: Any, days: int = 30) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=60))
            .not_valid_after(now + timedelta(days=days))
        )

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, *names: x509.GeneralName, days: int = 30) -> CertificateAndKey:
        """A server's certificate for ``names``."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        builder = self._build(subject, key.public_key(), days)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return CertificateAndKey(self._sign(builder), pem)


class RootTests(SessionCase):
    def setUp(self) -> None:
        super().setUp()
        self.root = Root()
        self.ca = Path(self.mktemp())
        self.ca.write_bytes(self.root.pem)
        self.machine.names["chat.example.org"] = HOST

    def serve(self, certificate: CertificateAndKey) -> None:
        self.server.stop()
        self.server.certificate = certificate
        self.server.start()

    def refused(self, host: str) -> str:
        error = self.failureResultOf(self.sign_in(self.make(Trust(ca_file=self.ca), host)), UntrustedServer).value
        self.assertEqual(self.server.last.heard, [])
        return str(error)

    def test_a_name_that_the_root_vouches_for_is_believed(self) -> None:
        """Nothing is pinned then: the certificate may be renewed."""
        self.serve(self.root.issue(x509.DNSName("chat.example.org")))
        session = self.make(Trust(ca_file=self.ca), "chat.example.org")
        self.successResultOf(self.sign_in(session))
        self.assertEqual(session.trust, Trust(ca_file=self.ca))

    def test_an_address_that_the_root_vouches_for_is_believed(self) -> None:
        """Servers without a name."""
        self.serve(self.root.issue(x509.IPAddress(ip_address(HOST))))
        self.successResultOf(self.sign_in(self.make(Trust(ca_file=self.ca))))

    def test_another_name_is_not(self) -> None:
        """A good certificate, for somebody else."""
        self.serve(self.root.issue(x509.DNSName("other.example.org")))
        self.assertIn("not for chat.example.org", self.refused("chat.example.org"))
        self.assertIn(f"not for {HOST}", self.refused(HOST))

    def test_another_root_is_not(self) -> None:
        """Nor is a self-signed one."""
        self.serve(Root().issue(x509.DNSName("chat.example.org")))
        self.assertIn("could not be verified", self.refused("chat.example.org"))

    def test_an_expired_certificate_is_not(self) -> None:
        """And the message says so."""
        self.serve(self.root.issue(x509.DNSName("chat.example.org"), days=-1))
        self.assertIn("expired", self.refused("chat.example.org"))

    def test_two_servers_behind_one_name_are_judged_each_for_itself(self) -> None:
        """What was wrong with one connection is not held against, nor forgiven to, the other."""
        self.serve(self.root.issue(x509.DNSName("chat.example.org")))
        bad = FakeServer(self.network.machine("10.0.0.8"))
        self.machine.names["bad.example.org"] = "10.0.0.8"
        self.failureResultOf(self.sign_in(self.make(Trust(ca_file=self.ca), "bad.example.org")), UntrustedServer)
        self.assertEqual(bad.last.heard, [])
        self.successResultOf(self.sign_in(self.make(Trust(ca_file=self.ca), "chat.example.org")))
