"""Signing in, and whom a session trusts."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from p2pim.errors import (
    HandshakeTimeout,
    P2pimError,
    ServerUnreachable,
    SignInError,
    UntrustedServer,
    WrongPassword,
)
from p2pim.net.certificates import format_fingerprint, make_certificate
from p2pim.peer.session import Trust
from p2pim.wire.messages import (
    Done,
    Refused,
    Register,
    SignIn,
    SignOut,
)
from tests.peer.fake_server import TOKEN, FakeServer, a_welcome
from tests.peer.session_case import HOST, SessionCase


class SignInTests(SessionCase):
    def test_a_password_signs_in(self) -> None:
        """Hello with the version goes first, the sign-in with it, and the Welcome comes back."""
        welcome = self.successResultOf(self.sign_in())
        self.assertEqual(welcome.user, "alice")
        [message] = self.server.last.of(SignIn)
        self.assertEqual(message, SignIn("alice", b"d" * 16, "desk", "secret", None))
        self.assertTrue(self.session.connected)
        self.assertEqual(self.user.heard, [("signed-in", "alice")])

    def test_registering_signs_in_as_well(self) -> None:
        """One step for a new account."""
        result = Deferred.fromCoroutine(self.session.register("alice", "secret", "invited"))
        self.network.run(0.1)
        self.successResultOf(result)
        self.assertEqual(self.server.last.of(Register), [Register("alice", "secret", b"d" * 16, "desk", "invited")])

    def test_a_refusal_is_the_servers_own_error(self) -> None:
        """E6: specific errors."""
        self.server.answer = lambda message: [Refused("wrong-password", "Wrong password.")]
        self.failureResultOf(self.sign_in(), WrongPassword)
        self.assertFalse(self.session.connected)
        self.assertEqual(self.user.heard, [])

    def test_after_a_refusal_it_can_be_tried_again(self) -> None:
        """A typing error is no end."""
        self.server.answer = lambda message: [Refused("wrong-password", "Wrong password.")]
        self.failureResultOf(self.sign_in(), WrongPassword)
        self.server.answer = lambda message: [a_welcome()]
        self.successResultOf(self.sign_in())

    def test_nobody_there_is_said(self) -> None:
        """The address is in the message."""
        self.server.machine.ports.clear()
        result = self.sign_in()
        self.network.run(1)
        error = self.failureResultOf(result, ServerUnreachable).value
        self.assertIn("10.0.0.1:4530", error.message)

    def test_a_name_that_does_not_exist_is_said(self) -> None:
        """No server of that name."""
        session = self.make(Trust(first_use=True), host="nowhere.example")
        self.assertIn("nowhere.example", self.failureResultOf(self.sign_in(session), ServerUnreachable).value.message)

    def test_a_server_that_does_not_answer_is_given_up(self) -> None:
        """Neither TLS nor a Welcome is waited for without end."""
        self.server.deaf = True
        result = self.sign_in()
        self.network.run(10)
        self.failureResultOf(result, HandshakeTimeout)

    def test_something_that_is_no_tls_server_is_told_apart(self) -> None:
        """A port of something else."""
        machine = self.network.machine("10.0.0.7")
        machine.listenTCP(4530, Factory.forProtocol(_Chatter))
        result = self.sign_in(self.make(Trust(first_use=True), host="10.0.0.7"))
        self.assertIn("TLS", self.failureResultOf(result, ServerUnreachable).value.message)

    def test_a_tls_server_that_is_not_p2pim_is_told_apart(self) -> None:
        """A web server, say: it hears no password."""
        other = FakeServer(self.network.machine("10.0.0.7"), alpn=b"http/1.1")
        result = self.sign_in(self.make(Trust(first_use=True), host="10.0.0.7"))
        self.failureResultOf(result, ServerUnreachable)
        self.assertEqual(other.last.heard, [])

    def test_nonsense_before_the_welcome_ends_it(self) -> None:
        """Only a Welcome or a refusal answers an introduction."""
        self.server.answer = lambda message: [Done(1)]
        self.failureResultOf(self.sign_in(), P2pimError)

    def test_signing_in_twice_is_an_error(self) -> None:
        """One session, one sign-in."""
        self.signed_in()
        self.failureResultOf(self.sign_in(), SignInError)


class _Chatter(Protocol):
    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"220 mail.example.org ESMTP\r\n")


class TrustTests(SessionCase):
    def test_the_first_certificate_is_taken_and_pinned(self) -> None:
        """Like SSH: afterwards only that one will do."""
        session = self.make(Trust(first_use=True))
        self.successResultOf(self.sign_in(session))
        self.assertEqual(session.fingerprint, self.server.fingerprint)
        self.assertEqual(session.trust, Trust(fingerprint=self.server.fingerprint))

    def test_a_changed_certificate_stops_the_sign_in_with_an_explanation(self) -> None:
        """Section 4: nothing is said to it, and the person learns both fingerprints."""
        pinned = b"p" * 32
        error = self.failureResultOf(self.sign_in(self.make(Trust(fingerprint=pinned))), UntrustedServer).value
        self.assertIn(format_fingerprint(pinned), error.message)
        self.assertIn(format_fingerprint(self.server.fingerprint), error.message)
        self.assertEqual(self.server.last.heard, [])

    def test_a_self_signed_certificate_is_not_believed_by_itself(self) -> None:
        """Without a pin the roots decide; the message tells the fingerprint and what to do."""
        error = self.failureResultOf(self.sign_in(self.make(Trust())), UntrustedServer).value
        self.assertIn(format_fingerprint(self.server.fingerprint), error.message)
        self.assertIn("--fingerprint", error.message)
        self.assertEqual(self.server.last.heard, [])

    def test_a_ca_file_that_cannot_be_read_is_said(self) -> None:
        """Before anything is tried."""
        error = self.failureResultOf(self.sign_in(self.make(Trust(ca_file=Path("/no/such/file"))))).value
        self.assertIsInstance(error, UntrustedServer)
        self.assertIn("/no/such/file", error.message)

    def test_a_certificate_that_changes_while_signed_in_ends_the_session(self) -> None:
        """A reconnect to another server is final, not repeated."""
        self.signed_in()
        self.server.stop()
        self.server.certificate = make_certificate("server")
        self.server.start()
        self.network.run(60)
        self.assertEqual(self.user.kinds(), ["signed-in", "interrupted", "reconnecting", "signed-out"])
        self.assertEqual(self.user.heard[-1][1], "refused")
        self.assertIn("fingerprint", str(self.user.heard[-1][2]))


class StopTests(SessionCase):
    def test_stopping_says_goodbye_and_leaves_nothing(self) -> None:
        """The server learns of it at once; no timer stays."""
        self.signed_in()
        done = Deferred.fromCoroutine(self.session.stop())
        self.network.run(0.1)
        self.successResultOf(done)
        self.assertEqual(self.server.last.of(SignOut), [SignOut(False)])
        self.assertEqual(self.user.kinds(), ["signed-in"])
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_logging_out_forgets_the_token(self) -> None:
        """And is heard."""
        self.signed_in()
        done = Deferred.fromCoroutine(self.session.stop(forget=True))
        self.network.run(0.1)
        self.successResultOf(done)
        self.assertEqual(self.server.last.of(SignOut), [SignOut(True)])
        self.assertEqual(self.user.heard[-1], ("signed-out", "logout", ""))

    def test_stopping_at_any_moment_of_a_sign_in_leaves_nothing(self) -> None:
        """While calling, in the handshake, while waiting for the Welcome, and while waiting to come back."""
        for moment in range(12):
            self.setUp()
            self.session.start("alice", TOKEN)
            for _ in range(moment):
                calls = self.network.clock.getDelayedCalls()
                if calls and calls[0].getTime() <= self.machine.seconds():
                    call = self.network.clock.calls.pop(0)
                    call.called = 1
                    call.func(*call.args, **call.kw)
            done = Deferred.fromCoroutine(self.session.stop())
            self.network.run(5)
            self.successResultOf(done)
            self.assertFalse(self.session.connected)
            self.assertEqual(self.network.clock.getDelayedCalls(), [], moment)
            self.assertFalse([t for t in self.network.transports if t.connected], moment)

    def test_a_server_that_does_not_close_is_cut_off(self) -> None:
        """Stopping never hangs."""
        self.signed_in()
        self.network.cut(HOST, "10.0.0.2")
        done = Deferred.fromCoroutine(self.session.stop())
        self.network.run(3)
        self.successResultOf(done)
