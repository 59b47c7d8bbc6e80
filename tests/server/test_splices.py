"""Relayed channels: who may have one, which tickets are good, and when a splice ends."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import (
    SPLICE_HALF_CLOSED,
    SPLICE_IDLE,
    SPLICE_LIFETIME,
    SPLICE_TICKET,
    SPLICES_PENDING_PER_ACCOUNT,
    SPLICES_PER_ACCOUNT,
)
from p2pim.net.splice import SpliceEnd
from p2pim.storage import accounts
from p2pim.wire.channel import SPLICE_READY, pack_splice_preface
from p2pim.wire.messages import BlockUser, Failed, OpenSplice, Ping, SpliceTickets
from tests.server.support import Client, World


class SpliceDeskTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.alice = self.world.user("alice")
        self.bob = self.world.user("bob")

    def open(self) -> SpliceTickets:
        """Tickets for a channel of Alice with Bob."""
        self.alice.send(OpenSplice(1, "bob", self.bob.device))
        return self.alice.one(SpliceTickets)

    def show(self, ticket: bytes) -> Client:
        """A connection that shows ``ticket``."""
        client = self.world.client()
        client.wire.protocol.dataReceived(pack_splice_preface(ticket))
        return client

    def joined(self) -> tuple[Client, Client]:
        """Both ends of a splice."""
        tickets = self.open()
        ends = self.show(tickets.mine), self.show(tickets.theirs)
        for end in ends:
            self.assertEqual(end.wire.value(), SPLICE_READY)
            end.wire.clear()
        return ends

    def keep_alive(self, seconds: float) -> None:
        """Let time go by without the sessions ending."""
        while seconds > 0:
            self.alice.send(Ping())
            self.bob.send(Ping())
            self.world.pass_time(min(seconds, 10.0), 10.0)
            seconds -= 10.0
        self.alice.received()
        self.bob.received()

    def failure(self) -> str:
        """Why no tickets were given."""
        self.alice.send(OpenSplice(1, "bob", self.bob.device))
        return self.alice.one(Failed).code

    def test_two_tickets_make_one_connection(self) -> None:
        """Whichever comes first."""
        one, two = self.joined()
        one.wire.protocol.dataReceived(b"hello")
        two.wire.protocol.dataReceived(b"hi")
        self.assertEqual((one.wire.value(), two.wire.value()), (b"hi", b"hello"))

    def test_a_ticket_is_good_once(self) -> None:
        """Whoever saw it pass by cannot use it again."""
        tickets = self.open()
        self.show(tickets.mine)
        self.assertTrue(self.show(tickets.mine).closed)
        self.show(tickets.theirs)
        self.assertTrue(self.show(tickets.theirs).closed)

    def test_unknown_and_expired_tickets_are_refused(self) -> None:
        """And an end that waited in vain is closed."""
        self.assertTrue(self.show(bytes(32)).closed)
        tickets = self.open()
        waiting = self.show(tickets.mine)
        self.keep_alive(SPLICE_TICKET + 11)
        self.assertTrue(waiting.wire.aborted)
        self.assertTrue(self.show(tickets.theirs).closed)
        self.assertEqual(len(self.world.house.splices.splices), 0)

    def test_the_server_keeps_no_ticket_that_could_be_used(self) -> None:
        """Only their hashes are in its tables."""
        tickets = self.open()
        self.assertNotIn(tickets.mine, self.world.house.splices._by_ticket)
        self.assertIn(accounts.hash_secret(tickets.mine), self.world.house.splices._by_ticket)

    def test_no_splice_to_the_absent_the_unknown_or_the_blocked(self) -> None:
        """Told apart, as for envelopes."""
        self.alice.send(OpenSplice(1, "bob", bytes(16)), OpenSplice(2, "nobody", bytes(16)))
        self.assertEqual([failed.code for failed in self.alice.all(Failed)], ["offline", "no-such-user"])
        self.bob.send(BlockUser(1, "alice", True))
        self.assertEqual(self.failure(), "blocked")

    def test_splices_that_wait_are_bounded_per_account(self) -> None:
        """Tickets cost memory until they are used."""
        for _ in range(SPLICES_PENDING_PER_ACCOUNT):
            self.open()
        self.assertEqual(self.failure(), "too-many")
        self.keep_alive(SPLICE_TICKET + 11)
        self.open()

    def test_splices_that_stand_are_bounded_per_account(self) -> None:
        """Counted at the one who asked."""
        for _ in range(SPLICES_PER_ACCOUNT):
            self.joined()
        self.assertEqual(self.failure(), "too-many")

    def test_idle_splices_are_closed_and_busy_ones_are_not(self) -> None:
        """A live channel sends heartbeats."""
        idle, _ = self.joined()
        busy, _ = self.joined()
        for _ in range(int(SPLICE_IDLE // 10) + 3):
            busy.wire.protocol.dataReceived(b"heartbeat")
            self.keep_alive(10)
        self.assertTrue(idle.wire.aborted)
        self.assertFalse(busy.wire.aborted)

    def test_a_splice_has_a_longest_life(self) -> None:
        """However busy it is."""
        one, _ = self.joined()
        splices = self.world.house.splices
        one.wire.protocol.dataReceived(b"x")
        splices.sweep(self.world.clock.seconds() + SPLICE_LIFETIME + 1)
        self.assertTrue(one.wire.aborted)

    def test_the_other_side_of_a_half_closed_splice_has_so_long_to_finish(self) -> None:
        """Then both are closed."""
        one, two = self.joined()
        end = one.wire.protocol
        assert isinstance(end, SpliceEnd)
        end.readConnectionLost()
        self.assertTrue(two.wire.wrote_end)
        for _ in range(int(SPLICE_HALF_CLOSED // 10) + 3):
            two.wire.protocol.dataReceived(b"x")
            self.keep_alive(10)
        self.assertTrue(two.wire.aborted)

    def test_blocking_ends_the_splices_between_the_two(self) -> None:
        """From that moment nothing passes."""
        one, two = self.joined()
        self.bob.send(BlockUser(1, "alice", True))
        self.assertTrue(one.wire.aborted and two.wire.aborted)

    def test_a_splice_outlives_the_sessions_of_its_users(self) -> None:
        """A transfer goes on while the server connection comes back."""
        one, two = self.joined()
        self.alice.lose()
        self.bob.lose()
        one.wire.protocol.dataReceived(b"on and on")
        self.assertEqual(two.wire.value(), b"on and on")

    def test_bytes_are_counted_for_whoever_sent_them_and_are_no_messages(self) -> None:
        """The operator sees bytes relayed beside messages sent."""
        one, two = self.joined()
        one.wire.protocol.dataReceived(bytes(1000))
        two.wire.protocol.dataReceived(bytes(10))
        one.lose()
        self.successResultOf(self.world.house.write_counters())
        alice, bob = accounts.list_accounts(self.world.database.connection)
        self.assertEqual((alice["spliced_bytes"], bob["spliced_bytes"]), (1000, 10))
        self.assertEqual((alice["uploads"], bob["downloads"]), (0, 0))

    def test_nothing_is_left_when_both_ends_are_gone(self) -> None:
        """Tables and counts return to nothing."""
        one, two = self.joined()
        one.lose()
        self.assertTrue(two.closed)
        two.lose()
        splices = self.world.house.splices
        self.assertEqual((len(splices.splices), len(splices._by_ticket)), (0, 0))
        self.assertEqual(self.world.house.gate.connections, 2)

    def test_an_end_that_leaves_before_the_other_comes_takes_the_ticket_with_it(self) -> None:
        """The other one would wait for nobody."""
        tickets = self.open()
        self.show(tickets.mine).lose()
        self.assertTrue(self.show(tickets.theirs).closed)
