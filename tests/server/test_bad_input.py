"""Whatever a client sends, it gets a specific error or a closed connection with a reason in the log; others go on."""

from __future__ import annotations

import struct

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import (
    CLIENT_FRAME,
    CLOSE_WAIT,
    COMPLAINTS_PER_SECOND,
    READ_PAUSE,
    SEND_BACKLOG_SECONDS,
    UNAUTHENTICATED,
    UNAUTHENTICATED_FRAME,
)
from p2pim.wire.messages import (
    MESSAGE,
    Hello,
    Incoming,
    Ping,
    Pong,
    Refused,
    Send,
    SetStatus,
    SignedOut,
    SignIn,
    Welcome,
    encode,
)
from tests.server.support import STRANGER, Client, World

HELLO = Hello(1)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.log: list[str] = []
        globalLogPublisher.addObserver(self._observe)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, self._observe)  # type: ignore[arg-type]

    def _observe(self, event: LogEvent) -> None:
        if event.get("log_namespace", "").startswith("p2pim.server.gate"):
            self.log.append(event["log_format"].format(**event))

    def refused(self, client: Client) -> str:
        """The code with which a stranger was refused; the reason is in the log."""
        code = client.one(Refused).code
        self.assertTrue(client.closed)
        self.assertTrue(any(code in line for line in self.log), self.log)
        return code

    def signed_out(self, client: Client) -> str:
        """The code with which a session was ended; the reason is in the log."""
        code = client.one(SignedOut).reason
        self.assertTrue(client.closed)
        self.assertTrue(any(code in line for line in self.log), self.log)
        self.assertEqual(self.world.house.directory.of(client.welcome.user), [])
        return code


class StrangerTests(Case):
    def test_a_frame_longer_than_strangers_may_send_is_refused(self) -> None:
        """By its length alone: nothing of it is kept."""
        client = self.world.client()
        client.raw(struct.pack(">I", UNAUTHENTICATED_FRAME + 1))
        self.assertEqual(self.refused(client), "frame-too-long")

    def test_a_message_before_hello_is_refused(self) -> None:
        """The version comes first."""
        client = self.world.client()
        client.send(SignIn("alice", bytes(16), "d", password="secret"))
        self.assertEqual(self.refused(client), "unexpected-message")

    def test_a_request_before_the_sign_in_is_refused(self) -> None:
        """Strangers ask for nothing."""
        for message in (Send(1, "bob", bytes(16), MESSAGE, b""), Ping(1), SetStatus("away"), HELLO):
            client = self.world.client()
            client.send(HELLO, message)
            self.assertEqual(self.refused(client), "unexpected-message")

    def test_a_request_while_the_sign_in_is_under_way_is_refused(self) -> None:
        """Not yet means no."""
        self.world.user("alice").lose()
        self.world.hashing = []
        client = self.world.client().sign_in("alice", password="correct horse")
        client.send(Send(1, "bob", bytes(16), MESSAGE, b""))
        self.assertEqual(self.refused(client), "unexpected-message")
        self.world.hash_now()
        self.assertEqual(self.world.house.directory.sessions, 0)

    def test_a_client_that_never_speaks_is_cut(self) -> None:
        """Before TLS, after it, and after Hello."""
        silent, wrapped, polite = self.world.client(), self.world.client(), self.world.client()
        wrapped.begin_tls()
        polite.send(HELLO)
        self.world.pass_time(9)
        self.assertFalse(silent.closed or wrapped.closed or polite.closed)
        self.world.pass_time(3)
        self.assertTrue(silent.wire.aborted)
        self.assertEqual([self.refused(client) for client in (wrapped, polite)], ["handshake-timeout"] * 2)
        self.assertEqual(sum("handshake-timeout" in line for line in self.log), 3)

    def test_a_slow_speaker_does_not_live_longer_for_a_byte_now_and_then(self) -> None:
        """The time is for the whole introduction."""
        client = self.world.client()
        for byte in struct.pack(">I", 100) + bytes(8):
            client.raw(bytes([byte]))
            self.world.pass_time(1)
        self.assertEqual(self.refused(client), "handshake-timeout")

    def test_bytes_that_are_neither_tls_nor_a_splice_are_refused(self) -> None:
        """A browser that was sent here by mistake costs nothing."""
        client = self.world.client()
        client.wire.protocol.dataReceived(b"GET / HTTP/1.1\r\n")
        self.assertTrue(client.closed)
        self.assertIn("neither TLS nor", self.log[-1])

    def test_what_comes_after_the_refusal_is_not_listened_to(self) -> None:
        """One reason is enough."""
        client = self.world.client()
        client.send(Ping(1))
        self.refused(client)
        client.raw(b"\xff" * 1000)
        client.send(HELLO)
        self.assertEqual(client.received(), [])

    def test_a_refused_client_that_stays_is_cut(self) -> None:
        """It has a few seconds to take leave."""
        client = self.world.client()
        client.send(Ping(1))
        self.world.pass_time(CLOSE_WAIT + 2)
        self.assertTrue(client.wire.aborted)

    def test_one_address_holds_so_many_connections_and_no_more(self) -> None:
        """Others and the machine itself still come in."""
        self.world.limit(connections_per_address=3)
        held = [self.world.client() for _ in range(3)]
        self.assertTrue(self.world.client().refused)
        self.assertTrue(self.world.client(f"::ffff:{STRANGER}").refused)
        self.assertFalse(self.world.client("203.0.113.1").refused)
        self.assertFalse(any(self.world.client("127.0.0.1").refused for _ in range(5)))
        held[0].lose()
        self.assertFalse(self.world.client().refused)

    def test_connections_that_have_not_signed_in_are_bounded_in_all(self) -> None:
        """From any number of addresses."""
        for number in range(UNAUTHENTICATED):
            self.world.client(f"10.0.{number // 250}.{number % 250}")
        self.assertTrue(self.world.client("203.0.113.1").refused)

    def test_a_flood_of_refusals_does_not_flood_the_log(self) -> None:
        """So many lines a second, and then how many were left out."""
        for number in range(200):
            self.world.client(f"10.1.0.{number}").send(Ping(1))
        self.assertEqual(len(self.log), int(COMPLAINTS_PER_SECOND))
        self.world.pass_time(1)
        self.world.client().send(Ping(1))
        self.assertIn("180 refusals", self.log[-2])

    @given(st.binary(max_size=400))
    def test_random_bytes_break_nothing(self, data: bytes) -> None:
        """Refused or waited for; the server goes on either way."""
        client = self.world.client("127.0.0.1")
        client.raw(data)
        self.world.settle()
        self.assertTrue(client.closed or client.connection.frames.held <= UNAUTHENTICATED_FRAME + 4)
        client.lose()
        self.assertEqual(self.world.house.gate.connections, 0)


class SessionTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.alice = self.world.user("alice")
        self.bob = self.world.user("bob")

    def others_notice_nothing(self) -> None:
        """Bob can still write to himself."""
        self.bob.send(Send(1, "bob", self.bob.device, MESSAGE, b"still here"))
        self.bob.one(Incoming)

    def test_a_frame_longer_than_the_limit_ends_the_session(self) -> None:
        """Told with the limit it broke."""
        self.alice.raw(struct.pack(">I", CLIENT_FRAME + 1))
        self.assertEqual(self.signed_out(self.alice), "frame-too-long")
        self.others_notice_nothing()

    def test_frames_that_are_no_messages_end_the_session(self) -> None:
        """Unknown types, wrong types of fields, truncated, nested without end, not MessagePack at all."""
        pack = msgspec.msgpack.encode
        deep: object = []
        for _ in range(500):
            deep = [deep]
        bodies = [
            b"",
            b"\xc1",
            pack([99, 1]),
            pack(["x"]),
            pack([4, 1, 2, 3]),
            pack([4, -1, "bob", bytes(16), 0, b""]),
            pack([4, 1, "bob", bytes(15), 0, b""]),
            pack([4, 1, "bob", bytes(16), 0, bytes(97 * 1024)]),
            pack([4, 1, "", bytes(16), 0, b""]),
            pack([31, "code", "a server's message"]),
            encode(Send(1, "bob", bytes(16), 0, b"payload"))[:-3],
            encode(Ping(1)) + b"\x00",
            pack([20, deep]),
            b"\x91" * 100_000,
            pack([9, 1, ["bob"] * 65]),
        ]
        for number, body in enumerate(bodies):
            with self.subTest(number):
                client = self.world.user(f"user{number}", host="127.0.0.1")
                client.frame(body)
                self.assertEqual(self.signed_out(client), "bad-message")
                self.world.pass_time(0.2)
        self.others_notice_nothing()

    def test_a_known_message_in_the_wrong_place_ends_the_session(self) -> None:
        """A second Hello, a second sign-in."""
        for name, message in (("carol", HELLO), ("dave", SignIn("alice", bytes(16), "d"))):
            client = self.world.user(name)
            client.send(message)
            self.assertEqual(self.signed_out(client), "unexpected-message")

    def test_a_status_that_is_none_ends_the_session(self) -> None:
        """There is no request whose answer could say so."""
        self.alice.send(SetStatus("hungry"))
        self.assertEqual(self.signed_out(self.alice), "bad-message")

    def test_what_came_before_the_bad_frame_counts(self) -> None:
        """Messages are handled in their order, one by one."""
        self.alice.send(
            Send(1, "bob", self.bob.device, MESSAGE, b"hi"), HELLO, Send(1, "bob", self.bob.device, 0, b"no")
        )
        self.assertEqual(self.bob.one(Incoming).payload, b"hi")

    def test_silence_for_too_long_ends_the_session(self) -> None:
        """A dead machine is offline soon; one that sends heartbeats is not."""
        for _ in range(7):
            self.bob.send(Ping(1))
            self.world.pass_time(5)
        self.bob.all(Pong)
        self.assertTrue(self.alice.wire.aborted)
        self.assertIn("heartbeat-timeout", self.log[-1])
        self.assertFalse(self.bob.closed)
        self.assertEqual(self.world.house.directory.of("alice"), [])

    def test_a_client_that_reads_nothing_for_too_long_is_cut(self) -> None:
        """Others can then see that it is not there."""
        self.bob.connection.pauseProducing()
        for _ in range(int(SEND_BACKLOG_SECONDS) + 2):
            self.bob.send(Ping(1))
            self.alice.send(Ping(1))
            self.world.pass_time(1)
        self.assertTrue(self.bob.wire.aborted)
        self.assertTrue(any("too-slow" in line for line in self.log))
        self.assertFalse(self.alice.closed)

    def test_a_client_that_asks_and_does_not_read_is_not_read_from_either(self) -> None:
        """The answers that wait are bounded; when it reads again everything goes on."""
        self.alice.connection.pauseProducing()
        asked = 0
        while self.alice.wire.producerState == "producing":
            self.alice.send(*[Ping(asked + number) for number in range(1000)])
            asked += 1000
        self.assertLess(self.alice.connection.output_bytes, READ_PAUSE + 20_000)
        self.alice.connection.resumeProducing()
        self.assertEqual(self.alice.wire.producerState, "producing")
        self.assertEqual([pong.nonce for pong in self.alice.all(Pong)], list(range(asked)))
        self.alice.send(Ping(1))
        self.alice.one(Pong)

    def test_a_client_that_is_not_read_from_is_not_taken_for_silent(self) -> None:
        """It is its backlog that ends it, not a heartbeat that nobody read."""
        self.alice.connection.pauseProducing()
        while self.alice.wire.producerState == "producing":
            self.alice.send(*[Ping(number) for number in range(1000)])
        self.world.pass_time(SEND_BACKLOG_SECONDS - 2)
        self.alice.connection.resumeProducing()
        self.world.pass_time(5)
        self.assertFalse(self.alice.closed)

    def test_short_pauses_of_a_busy_client_harm_nothing(self) -> None:
        """What came meanwhile goes out in order."""
        self.bob.connection.pauseProducing()
        self.alice.send(*[Send(1, "bob", self.bob.device, MESSAGE, bytes([number])) for number in range(5)])
        self.assertEqual(self.bob.received(), [])
        self.bob.connection.resumeProducing()
        self.alice.send(Send(1, "bob", self.bob.device, MESSAGE, bytes([5])))
        self.assertEqual([each.payload[0] for each in self.bob.all(Incoming)], list(range(6)))

    def test_a_flood_of_messages_reaches_its_recipient_and_nobody_else(self) -> None:
        """What is relayed is bounded by what the recipient reads."""
        self.alice.send(*[Send(1, "bob", self.bob.device, MESSAGE, bytes(50))] * 2000)
        self.assertEqual(len(self.bob.all(Incoming)), 2000)
        self.assertEqual(self.alice.received(), [])

    def test_an_error_in_the_server_ends_no_other_session(self) -> None:
        """A request that breaks in an unexpected way is answered and logged."""
        self.world.database.connection.close()
        from p2pim.wire.messages import AddContact, Failed

        self.alice.send(AddContact(1, "bob"))
        self.assertEqual(self.alice.one(Failed).code, "database-down")
        self.others_notice_nothing()

    def test_stopping_tells_everybody_that_coming_back_is_worth_it(self) -> None:
        """Sessions and strangers alike."""
        stranger = self.world.client()
        stranger.send(HELLO)
        self.world.house.farewell("stopping", "The server is stopping; it may come back.")
        self.assertEqual(self.alice.one(SignedOut).reason, "stopping")
        self.assertEqual(stranger.one(Refused).code, "server-stopping")
        self.assertEqual(self.world.house.directory.users, {})


class AfterBadInputTests(Case):
    def test_nothing_is_left_of_those_who_were_refused(self) -> None:
        """Connections, sessions and counts return to nothing."""
        for number in range(20):
            client = self.world.client()
            if number % 2:
                client.send(HELLO)
            client.raw(b"\x00\x00\x00\x01\xc1")
            client.lose()
        house = self.world.house
        self.assertEqual((house.gate.connections, house.gate.strangers, len(house.connections)), (0, 0, 0))
        self.assertEqual(house.directory.sessions, 0)
        welcome = self.world.user("alice").welcome
        self.assertIsInstance(welcome, Welcome)
