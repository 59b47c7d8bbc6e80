"""Envelopes arrive, are counted when they are messages, and come back with a reason when they cannot be passed on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import REQUEST_BURST, SEND_BACKLOG
from p2pim.storage import accounts
from p2pim.wire.messages import MESSAGE, SIGNAL, BlockUser, Done, Failed, Incoming, Ping, Send
from tests.server.support import PASSWORD, Client, World


class RelayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.alice = self.world.user("alice")
        self.bob = self.world.user("bob")

    def envelope(
        self, to: str = "bob", device: bytes | None = None, kind: int = MESSAGE, payload: bytes = b"hi"
    ) -> Send:
        """An envelope of Alice's for Bob."""
        return Send(5, to, self.bob.device if device is None else device, kind, payload)

    def failure(self, client: Client) -> tuple[int, str]:
        """Which envelope was refused, and why."""
        failed = client.one(Failed)
        return failed.id, failed.code

    def counters(self, user: str) -> tuple[int, int, int, int]:
        """Uploads and downloads with their bytes, as on disk."""
        self.successResultOf(self.world.house.write_counters())
        rows = {row["user"]: row for row in accounts.list_accounts(self.world.database.connection)}
        row = rows[user]
        return row["uploads"], row["upload_bytes"], row["downloads"], row["download_bytes"]

    def test_an_envelope_arrives_as_it_was_sent(self) -> None:
        """With its sender and their device, and nothing comes back."""
        self.alice.send(self.envelope(payload=b"\x00sealed\xff"))
        incoming = self.bob.one(Incoming)
        self.assertEqual(incoming, Incoming("alice", self.alice.device, MESSAGE, b"\x00sealed\xff"))
        self.assertEqual(self.alice.received(), [])

    @given(st.lists(st.tuples(st.sampled_from([MESSAGE, SIGNAL]), st.binary(max_size=300)), max_size=30))
    def test_any_number_of_envelopes_arrive_in_order_and_only_messages_count(
        self, sent: list[tuple[int, bytes]]
    ) -> None:
        """Signalling, receipts and heartbeats leave the counters untouched."""
        before = self.counters("alice"), self.counters("bob")
        self.alice.send(*[self.envelope(kind=kind, payload=payload) for kind, payload in sent], Ping(1))
        self.assertEqual([(each.kind, each.payload) for each in self.bob.all(Incoming)], sent)
        self.alice.received()
        messages = [payload for kind, payload in sent if kind == MESSAGE]
        size = sum(len(payload) for payload in messages)
        (ups, up_bytes, _, _), (_, _, downs, down_bytes) = before
        self.assertEqual(self.counters("alice")[:2], (ups + len(messages), up_bytes + size))
        self.assertEqual(self.counters("bob")[2:], (downs + len(messages), down_bytes + size))

    def test_times_are_those_of_the_last_message_each_way(self) -> None:
        """Last up and last down, which no heartbeat changes."""
        self.alice.send(self.envelope())
        self.counters("alice")
        self.world.wall += 60
        self.alice.send(Ping(1), self.envelope(kind=SIGNAL))
        self.counters("alice")
        alice, bob = accounts.list_accounts(self.world.database.connection)
        self.assertEqual((alice["last_up"], alice["last_down"]), (1_700_000_000.0, None))
        self.assertEqual((bob["last_up"], bob["last_down"]), (None, 1_700_000_000.0))

    def test_counts_that_could_not_be_written_are_written_later(self) -> None:
        """A full disk costs no counts once there is room again."""
        self.alice.send(self.envelope())
        self.world.database.broken = True
        self.assertEqual(self.counters("alice"), (0, 0, 0, 0))
        self.world.database.broken = False
        self.assertEqual(self.counters("alice"), (1, 2, 0, 0))

    def test_the_output_of_one_turn_goes_out_in_one_write(self) -> None:
        """However many senders spoke in it."""
        carol = self.world.user("carol")
        writes: list[bytes] = []
        self.bob.wire.write = writes.append  # type: ignore[method-assign]
        for client in (self.alice, carol, self.alice):
            client.raw(_frames(self.envelope(), self.envelope()))
        self.assertEqual(writes, [])
        self.world.settle()
        self.assertEqual(len(writes), 1)

    def test_a_device_that_is_not_connected_is_offline(self) -> None:
        """The sender keeps its copy."""
        self.alice.send(self.envelope(device=bytes(16)))
        self.assertEqual(self.failure(self.alice), (5, "offline"))

    def test_a_user_who_is_away_is_offline_and_one_who_never_was_is_no_such_user(self) -> None:
        """Two reasons, told apart."""
        self.bob.lose()
        self.alice.send(self.envelope())
        self.assertEqual(self.failure(self.alice), (5, "offline"))
        for name in ("nobody", "../etc", "a\x00b"):
            self.alice.send(self.envelope(to=name))
            self.assertEqual(self.failure(self.alice), (5, "no-such-user"))

    def test_a_name_in_another_spelling_is_the_same_user(self) -> None:
        """BOB is bob."""
        self.alice.send(self.envelope(to="BOB"))
        self.bob.one(Incoming)

    def test_blocked_is_told_whichever_of_the_two_has_blocked(self) -> None:
        """Nothing passes, and each knows that waiting does not help."""
        self.bob.send(BlockUser(1, "alice", True))
        self.bob.one(Done)
        self.alice.send(self.envelope())
        self.assertEqual(self.failure(self.alice), (5, "blocked"))
        self.bob.send(Send(6, "alice", self.alice.device, MESSAGE, b"hi"))
        self.assertEqual(self.failure(self.bob), (6, "blocked"))
        self.assertEqual(self.counters("alice"), (0, 0, 0, 0))
        self.bob.send(BlockUser(2, "alice", False))
        self.bob.one(Done)
        self.alice.send(self.envelope())
        self.bob.one(Incoming)

    def test_envelopes_to_a_user_away_cost_one_query_and_not_one_each(self) -> None:
        """Resending to somebody offline does not load the database."""
        self.bob.lose()
        self.alice.send(self.envelope())
        self.alice.received()
        reads = self.world.database.reads
        self.alice.send(*[self.envelope()] * 1000)
        self.assertEqual({failed.code for failed in self.alice.all(Failed)}, {"offline"})
        self.assertEqual(self.world.database.reads, reads)

    def test_asking_after_strangers_without_end_is_limited(self) -> None:
        """Names that do not exist are looked up so often and no more, with the time after which to go on."""
        self.alice.send(*[self.envelope(to=f"nobody{number}") for number in range(int(REQUEST_BURST) + 10)])
        codes = [failed.code for failed in self.alice.all(Failed)]
        self.assertEqual(codes.count("no-such-user"), int(REQUEST_BURST))
        self.assertEqual(codes.count("rate-limited"), 10)

    def test_who_comes_online_while_being_looked_up_gets_the_envelope(self) -> None:
        """A slow database does not lose what it could deliver."""
        self.bob.lose()
        self.world.house.names.forget("bob")
        self.world.database.held = []
        self.alice.send(self.envelope())
        held, self.world.database.held = self.world.database.held, None
        bob = self.world.client().sign_in("bob", device=self.bob.device, token=self.bob.welcome.token)
        bob.received()
        self.world.database.held = held
        self.world.database.go_on()
        bob.one(Incoming)
        self.assertEqual(self.alice.received(), [])

    def test_a_database_that_is_down_is_told_to_the_sender(self) -> None:
        """Never "no such user" because of the server's own trouble."""
        self.bob.lose()
        self.world.house.names.forget("bob")
        self.world.database.connection.close()
        self.alice.send(self.envelope())
        self.assertEqual(self.failure(self.alice), (5, "database-down"))

    def test_a_recipient_that_does_not_read_is_busy_and_the_others_notice_nothing(self) -> None:
        """Its backlog is bounded; what goes beyond stays with the sender."""
        carol = self.world.user("carol")
        self.bob.connection.pauseProducing()
        payload = bytes(90_000)
        count = SEND_BACKLOG // len(payload) + 10
        for _ in range(count):
            self.alice.send(self.envelope(payload=payload))
        codes = {failed.code for failed in self.alice.all(Failed)}
        self.assertEqual(codes, {"recipient-busy"})
        self.assertLess(self.bob.connection.output_bytes, SEND_BACKLOG + 2 * len(payload))
        self.alice.send(Send(7, "carol", carol.device, MESSAGE, b"hi"))
        carol.one(Incoming)

    def test_a_message_to_my_other_device_is_a_message_like_any_other(self) -> None:
        """Two devices of one account can speak to each other."""
        laptop = self.world.client().sign_in("alice", password=PASSWORD)
        laptop.received()
        self.alice.send(Send(1, "alice", laptop.device, MESSAGE, b"note"))
        self.assertEqual(laptop.one(Incoming).payload, b"note")
        self.assertEqual(self.counters("alice"), (1, 4, 1, 4))


def _frames(*messages: Send) -> bytes:
    from p2pim.wire.framing import pack_frames
    from p2pim.wire.messages import encode

    return pack_frames([encode(message) for message in messages])
