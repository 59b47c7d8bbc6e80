"""A session after the sign-in: coming back, and asking."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise

from twisted.internet.defer import Deferred

from p2pim.errors import (
    NotSignedIn,
    Offline,
    P2pimError,
    TimedOut,
)
from p2pim.peer.session import Trust
from p2pim.wire.messages import (
    Done,
    Failed,
    Found,
    Incoming,
    LookUp,
    MailWaiting,
    Message,
    Person,
    Ping,
    PresenceChanged,
    Refused,
    Send,
    SignedOut,
    SignIn,
    Stored,
    WhoIsOnline,
)
from tests.peer.fake_server import TOKEN, a_welcome
from tests.peer.session_case import HOST, SessionCase


class ReconnectTests(SessionCase):
    def test_it_comes_back_by_itself(self) -> None:
        """A12: interrupted, reconnecting, signed in again, with the token and without the password."""
        self.signed_in()
        self.server.last.close()
        self.network.run(2)
        self.assertEqual(self.user.kinds(), ["signed-in", "interrupted", "reconnecting", "signed-in"])
        self.assertEqual(self.server.last.of(SignIn), [SignIn("alice", b"d" * 16, "desk", None, TOKEN)])

    def test_without_start_it_does_not(self) -> None:
        """A command that signs in and ends."""
        self.successResultOf(self.sign_in())
        self.server.last.close()
        self.network.run(60)
        self.assertEqual(self.user.kinds(), ["signed-in", "interrupted"])

    def test_while_it_pauses_it_stays_away_and_then_comes_back_at_once(self) -> None:
        """This device takes nothing meanwhile; nobody asks it to come, and nothing makes it wait afterwards."""
        self.signed_in()
        self.session.pause("no room")
        self.session.start()
        self.network.run(60)
        self.assertEqual(self.user.heard[1:], [("interrupted", "no room")])
        self.session.resume("room again")
        self.network.run(0.1)
        self.assertEqual(self.user.heard[2:], [("reconnecting", "room again"), ("signed-in", "alice")])

    def test_a_pause_ends_an_attempt_that_is_under_way(self) -> None:
        """It would come back in the middle of it."""
        self.signed_in()
        self.patch(self.user, "reconnecting", lambda why: self.machine.callLater(0, self.session.pause, "no room"))
        self.server.last.close()
        self.network.run(60)
        self.assertEqual(self.user.kinds(), ["signed-in", "interrupted"])
        self.patch(self.user, "reconnecting", lambda why: None)
        self.session.resume("room again")
        self.network.run(0.1)
        self.assertTrue(self.session.connected)

    def test_the_waits_grow_and_begin_anew_after_success(self) -> None:
        """A server that is away for long is asked ever less; one that came back is met at once next time."""
        self.signed_in()
        self.network.run(1)
        self.server.stop()
        times: list[float] = []
        for _ in range(4_000):
            before = self.user.kinds().count("reconnecting")
            self.network.run(0.05)
            if self.user.kinds().count("reconnecting") > before:
                times.append(self.machine.seconds())
        gaps = [later - earlier for earlier, later in pairwise(times)]
        self.assertLess(times[0], 3)
        self.assertGreater(max(gaps), 10)
        self.assertLessEqual(max(gaps), 45.1)
        self.server.start()
        self.network.run(60)
        self.assertTrue(self.session.connected)
        self.server.last.close()
        self.network.run(2)
        self.assertTrue(self.session.connected)

    def test_clients_do_not_come_back_all_at_once(self) -> None:
        """A server that restarts is not trampled: the first waits differ, and widely."""
        firsts = set()
        for seed in range(20):
            self.setUp()
            self.session = self.make(Trust(fingerprint=self.server.fingerprint), seed=seed)
            self.signed_in()
            self.network.run(2)
            self.server.stop()
            began = self.machine.seconds()
            while "reconnecting" not in self.user.kinds():
                self.network.run(0.01, step=0.01)
            firsts.add(round(self.machine.seconds() - began, 2))
        self.assertGreater(len(firsts), 10)
        self.assertGreater(max(firsts) - min(firsts), 0.2)

    def test_refused_credentials_end_it(self) -> None:
        """A12: a refused password or token is not tried again."""
        for code in ("bad-token", "unknown-user", "account-disabled", "wrong-password", "version-too-old"):
            self.setUp()
            self.signed_in()
            self.server.answer = _refusing(code)
            self.server.last.close()
            self.network.run(60)
            self.assertEqual(self.user.kinds(), ["signed-in", "interrupted", "reconnecting", "signed-out"], code)
            self.assertEqual(self.user.heard[-1][1], "refused")
            self.assertEqual(len(self.server.connections), 2)

    def test_refusals_that_pass_are_waited_out(self) -> None:
        """A full server, too many tries, my own old connection: later; and as late as the server asks."""
        self.signed_in()
        self.server.answer = lambda message: [Refused("too-many-tries", "wait", 20.0)]
        self.server.last.close()
        self.network.run(2)
        self.server.answer = lambda message: [a_welcome()]
        self.network.run(17)
        self.assertFalse(self.session.connected)
        self.network.run(20)
        self.assertTrue(self.session.connected)

    def test_being_replaced_or_kicked_is_final(self) -> None:
        """A11: the replaced client is told so and does not come back."""
        for said, heard in (("replaced", "replaced"), ("kicked", "kicked"), ("disabled", "kicked")):
            self.setUp()
            self.signed_in()
            self.server.last.send(SignedOut(said, "because"))
            self.network.run(60)
            self.assertEqual(self.user.heard[1:], [("signed-out", heard, "because")])
            self.assertEqual(len(self.server.connections), 1)
            self.assertTrue(self.server.last.gone)

    def test_a_stopping_server_is_come_back_to(self) -> None:
        """The only farewell worth it."""
        self.signed_in()
        self.server.last.send(SignedOut("stopping", "The server is stopping."))
        self.network.run(3)
        self.assertEqual(self.user.kinds(), ["signed-in", "interrupted", "reconnecting", "signed-in"])

    def test_starting_with_a_token_while_the_server_is_away(self) -> None:
        """An agent begins before its server does."""
        self.server.stop()
        self.session.start("alice", TOKEN)
        self.network.run(5)
        self.server.start()
        self.network.run(40)
        self.assertTrue(self.session.connected)
        self.assertNotIn("interrupted", self.user.kinds())

    def test_a_silent_server_is_dead_after_its_patience(self) -> None:
        """A7: pings go out every five seconds; thirty seconds without a word end the connection."""
        self.signed_in()
        self.network.run(12)
        self.assertEqual(len(self.server.last.of(Ping)), 2)
        self.assertEqual(self.user.kinds(), ["signed-in"])
        self.server.deaf = True
        self.network.run(24)
        self.assertEqual(self.user.kinds(), ["signed-in"])
        self.network.run(14)
        self.assertIn("silent", str(self.user.heard[1][1]))

    def test_a_cut_line_is_noticed(self) -> None:
        """The same when nothing is heard from the network at all."""
        self.signed_in()
        self.network.cut(HOST, "10.0.0.2")
        self.network.run(37)
        self.assertEqual(self.user.kinds()[:2], ["signed-in", "interrupted"])
        self.network.cuts.clear()
        self.network.run(60)
        self.assertTrue(self.session.connected)

    def test_absurd_heartbeats_are_not_followed(self) -> None:
        """A server cannot make its clients spin."""
        self.server.answer = lambda message: [a_welcome(heartbeat=0.0, patience=0.0)]
        self.signed_in()
        self.network.run(10)
        self.assertLessEqual(len(self.server.last.of(Ping)), 11)
        self.assertTrue(self.session.connected)


def _refusing(code: str) -> Callable[[Message], list[Message]]:
    return lambda message: [Refused(code, "no")]


class RequestTests(SessionCase):
    def setUp(self) -> None:
        super().setUp()
        self.signed_in()

    def test_answers_find_their_requests(self) -> None:
        """In whatever order they come."""
        first, second = self.ask(), Deferred.fromCoroutine(self.session.request(lambda n: LookUp(n, ["bob"])))
        self.network.run(0.1)
        [one], [other] = self.server.last.of(WhoIsOnline), self.server.last.of(LookUp)
        self.server.last.send(Found(other.id, [Person("bob", "online")]))  # type: ignore[attr-defined]
        self.server.last.send(Found(one.id, []))  # type: ignore[attr-defined]
        self.network.run(0.1)
        self.assertEqual(self.successResultOf(second).people[0].user, "bob")  # type: ignore[attr-defined]
        self.assertEqual(self.successResultOf(first).people, [])  # type: ignore[attr-defined]

    def test_a_failed_request_fails_with_the_servers_error(self) -> None:
        """Rebuilt from its code."""
        result = self.ask()
        self.server.last.send(Failed(self.server.last.of(WhoIsOnline)[0].id, "offline", "gone"))  # type: ignore[attr-defined]
        self.network.run(0.1)
        self.failureResultOf(result, Offline)

    def test_no_answer_is_an_answer(self) -> None:
        """After fifteen seconds."""
        result = self.ask()
        self.network.run(15)
        self.failureResultOf(result, TimedOut)

    def test_a_lost_connection_fails_what_waits(self) -> None:
        """Nobody waits for an answer that cannot come."""
        result = self.ask()
        self.server.last.close()
        self.network.run(0.1)
        self.failureResultOf(result, NotSignedIn)
        self.failureResultOf(self.ask(), NotSignedIn)

    def test_answers_that_nobody_asked_for_are_dropped(self) -> None:
        """A confused server ends nothing."""
        for number in range(50):
            self.server.last.send(Done(number))
            self.server.last.send(Failed(number, "offline", ""))
        self.network.run(0.1)
        self.assertTrue(self.session.connected)

    def test_ping_measures_the_way_to_the_server(self) -> None:
        """A14."""
        result = Deferred.fromCoroutine(self.session.ping())
        self.network.run(0.1)
        self.assertEqual(self.successResultOf(result), 0.0)

    def test_an_envelope_that_failed_is_reported_to_its_sender(self) -> None:
        """And no other."""
        failures: list[P2pimError] = []
        self.session.send_envelope("bob", b"b" * 16, 0, b"one", None)
        self.session.send_envelope("bob", b"b" * 16, 0, b"two", failures.append)
        self.network.run(0.1)
        one, two = self.server.last.of(Send)
        self.server.last.send(Failed(one.id, "offline", ""))  # type: ignore[attr-defined]
        self.assertEqual(failures, [])
        self.server.last.send(Failed(two.id, "offline", ""))  # type: ignore[attr-defined]
        self.network.run(0.1)
        self.assertEqual([type(error) for error in failures], [Offline])

    def test_an_envelope_without_a_connection_fails_later_not_from_within(self) -> None:
        """The caller is never re-entered."""
        self.server.stop()
        self.network.run(0.1)
        failures: list[P2pimError] = []
        self.session.send_envelope("bob", b"b" * 16, 0, b"x", failures.append)
        self.assertEqual(failures, [])
        self.network.run(0)
        self.assertEqual([type(error) for error in failures], [NotSignedIn])

    def test_what_the_server_pushes_is_heard(self) -> None:
        """Envelopes, presence, and that there is mail."""
        self.server.last.send(Incoming("bob", b"b" * 16, 1, b"payload"))
        self.server.last.send(PresenceChanged(Person("bob", "away")))
        self.server.last.send(MailWaiting(3))
        self.network.run(0.1)
        heard = [("envelope", "bob", b"b" * 16, 1, b"payload"), ("presence", "bob"), ("mail", 3)]
        self.assertEqual(self.user.heard[1:], heard)

    def test_what_is_stored_is_told_to_its_sender_alone(self) -> None:
        """By the id that the envelope went under; a second time is no news."""
        stored: list[str] = []
        for name in ("one", "two"):
            self.session.send_envelope("bob", b"b" * 16, 0, b"x", None, b"m" * 16, partial(stored.append, name))
        self.network.run(0.1)
        _, second = [m.id for m in self.server.last.of(Send) if isinstance(m, Send)]
        for _ in range(2):
            self.server.last.send(Stored([second, 999]))
        self.network.run(0.1)
        self.assertEqual(stored, ["two"])

    def test_a_frame_against_the_protocol_ends_the_connection(self) -> None:
        """With its reason; then it comes back."""
        self.server.last.send_frame(b"\xc1")
        self.network.run(3)
        self.assertEqual(self.user.kinds(), ["signed-in", "interrupted", "reconnecting", "signed-in"])
        self.assertIn("could not be read", str(self.user.heard[1][1]))

    def test_addresses_are_those_of_the_connection(self) -> None:
        """C1 begins with knowing them."""
        self.assertEqual(self.session.local_address[0], "10.0.0.2")
        self.assertEqual(self.session.server_address, (HOST, 4530))
