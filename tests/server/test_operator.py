"""What the server keeps for its operator: series, refusals, reports of direct traffic, the live table, health."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import DIRECT_ALLOWANCE, DIRECT_MESSAGE_RATE, DIRECT_RATE, REFUSALS, REFUSED_NAME
from p2pim.server import direct
from p2pim.server.live import Changes
from p2pim.server.refusals import Refusals, shorten
from p2pim.wire.messages import (
    DIRECT_REPORTS,
    MESSAGE,
    PROTOCOL_VERSION,
    SIGNAL,
    DirectReport,
    Hello,
    Refused,
    RenameDevice,
    Send,
    SetStatus,
    SignOut,
    Welcome,
)
from p2pim.wire.reports import MOST_BYTES, MOST_MESSAGES
from tests.server.support import PASSWORD, Client, World


class OperatorTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.house = self.world.house

    def run_now(self, coroutine: Any) -> Any:
        """The result of a coroutine that waits for nothing."""
        return self.successResultOf(Deferred.fromCoroutine(coroutine))


class MeterTests(OperatorTestCase):
    def sample(self, seconds: float = 2.0) -> None:
        """Let the meter look, some seconds later."""
        self.world.pass_time(seconds)
        self.successResultOf(self.house.write_counters())
        self.house.meter.sample()

    def test_what_is_relayed_is_in_the_series_of_both_spans(self) -> None:
        """Messages and bytes, in the step in which they were."""
        alice, bob = self.world.user("alice"), self.world.user("bob")
        alice.send(Send(1, "bob", bob.device, MESSAGE, b"12345"), Send(2, "bob", bob.device, SIGNAL, b"uncounted"))
        self.sample()
        for ring in self.house.meter.rings.values():
            (point,) = ring.points
            self.assertEqual((point.connections, point.messages, point.relayed), (2, 1, 5))

    def test_the_series_survive_a_restart(self) -> None:
        """What was written is there again, and is gone on with."""
        alice, bob = self.world.user("alice"), self.world.user("bob")
        alice.send(Send(1, "bob", bob.device, MESSAGE, b"12345"))
        self.sample()
        self.successResultOf(self.house.meter.write())
        self.world.database.connection.close()
        again = World(str(self.world.path))
        again.wall = self.world.wall + 1
        self.run_now(again.house.meter.load())
        self.assertEqual([point.messages for point in again.house.meter.rings["hour"].points], [1])
        self.assertEqual(again.house.meter.share("day").relayed, 5)

    def test_a_database_that_is_down_costs_nothing_of_the_series(self) -> None:
        """They are written when it is back; a counter that could not be written is not counted twice."""
        alice, bob = self.world.user("alice"), self.world.user("bob")
        self.sample()
        self.world.database.broken = True
        alice.send(Send(1, "bob", bob.device, MESSAGE, b"12345"))
        self.sample()
        self.successResultOf(self.house.meter.write())
        self.world.database.broken = False
        self.sample()
        self.sample()
        self.successResultOf(self.house.meter.write())
        rows = self.world.database.connection.execute("SELECT sum(messages) FROM series WHERE step = 10").fetchone()
        self.assertEqual(rows[0], 1)


class DirectReportTests(OperatorTestCase):
    def test_a_server_says_that_it_takes_reports(self) -> None:
        """In `Welcome`, so that nothing new is sent to a server that would close on it."""
        self.assertIn(DIRECT_REPORTS, self.world.user("alice").welcome.features)

    def test_reports_add_up(self) -> None:
        """Of all devices; and they are in the share that stays off the server."""
        alice, bob = self.world.user("alice"), self.world.user("bob")
        alice.send(DirectReport(2, 600))
        bob.send(DirectReport(1, 300))
        alice.send(Send(1, "bob", bob.device, MESSAGE, bytes(100)))
        self.successResultOf(self.house.write_counters())
        self.house.meter.sample()
        self.assertEqual((self.house.direct.messages, self.house.direct.bytes), (3, 900))
        self.assertEqual(self.house.meter.share("hour").off, 0.9)

    def test_a_liar_is_believed_a_bounded_rate(self) -> None:
        """However much is claimed, and however often."""
        alice = self.world.user("alice")
        alice.send(DirectReport(MOST_MESSAGES, MOST_BYTES))
        self.assertEqual(self.house.direct.bytes, DIRECT_ALLOWANCE * DIRECT_RATE)
        self.assertEqual(self.house.direct.messages, DIRECT_ALLOWANCE * DIRECT_MESSAGE_RATE)
        for _ in range(50):
            alice.send(DirectReport(MOST_MESSAGES, MOST_BYTES))
        self.assertEqual(self.house.direct.bytes, DIRECT_ALLOWANCE * DIRECT_RATE)
        self.world.pass_time(1)
        alice.send(DirectReport(0, MOST_BYTES))
        self.assertEqual(self.house.direct.bytes, (DIRECT_ALLOWANCE + 1) * DIRECT_RATE)

    def again(self, name: str, device: bytes | None = None) -> Client:
        """Somebody who has an account, signed in anew, with another device unless it is said which."""
        client = self.world.client().sign_in(name, device=device, password=PASSWORD)
        self.world.settle()
        self.assertTrue(client.all(Welcome))
        return client

    def test_a_liar_who_comes_again_is_believed_no_more_for_it(self) -> None:
        """The allowance is the user's: neither a new session nor another device has one of its own."""
        liar = self.world.user("alice")
        device = liar.device
        for _ in range(5):
            liar.send(DirectReport(MOST_MESSAGES, MOST_BYTES))
            liar.lose()
            liar = self.again("alice", device)
        self.again("alice").send(DirectReport(MOST_MESSAGES, MOST_BYTES))
        self.assertEqual(self.house.direct.bytes, DIRECT_ALLOWANCE * DIRECT_RATE)
        self.assertEqual(self.house.direct.messages, DIRECT_ALLOWANCE * DIRECT_MESSAGE_RATE)
        self.assertEqual(self.house.direct.reports, 6)
        self.world.user("bob").send(DirectReport(1, 5))
        self.assertEqual(self.house.direct.bytes, DIRECT_ALLOWANCE * DIRECT_RATE + 5)

    def test_what_a_user_has_not_used_is_left_for_their_other_devices(self) -> None:
        """Two that report at once are both believed."""
        self.world.user("alice").send(DirectReport(3, 10 * DIRECT_RATE))
        self.again("alice").send(DirectReport(4, 20 * DIRECT_RATE))
        self.assertEqual((self.house.direct.messages, self.house.direct.bytes), (7, 30 * DIRECT_RATE))

    def test_reporters_are_forgotten_when_it_no_longer_matters(self) -> None:
        """Those who have their allowance again; and when too many have not, those who have used the least."""
        self.patch(direct, "DIRECT_REPORTERS", 4)
        totals = self.house.direct
        for number in range(4):
            self.world.user(f"user{number}").send(DirectReport(0, (4 - number) * DIRECT_RATE))
        self.world.user("alice").send(DirectReport(0, DIRECT_RATE))
        self.assertEqual(sorted(totals.accounted), ["alice", "user0", "user1"])
        self.world.pass_time(10)
        for name in ("bob", "carol"):
            self.world.user(name).send(DirectReport(0, DIRECT_RATE))
        self.assertEqual(sorted(totals.accounted), ["bob", "carol"])

    def test_what_is_no_figure_ends_the_connection(self) -> None:
        """Below nothing, beyond the bound."""
        for body in (b"\x93\x4d\xff\x00", b"\x93\x4d\x00\xcf" + b"\xff" * 8):
            client = self.world.user(f"user{body[2]}")
            client.frame(body)
            self.assertTrue(client.closed)

    def test_a_stranger_cannot_report(self) -> None:
        """Only who has signed in."""
        client = self.world.client()
        client.send(Hello(PROTOCOL_VERSION), DirectReport(1, 1))
        client.one(Refused)
        self.assertEqual(self.house.direct.reports, 0)


class RefusalTests(OperatorTestCase):
    def test_a_wrong_password_is_remembered_with_who_and_whence(self) -> None:
        """Address, name as claimed, and why."""
        self.world.user("alice")
        self.world.client("203.0.113.9").sign_in("alice", password="not this one").one(Refused)
        (refusal,) = self.house.refusals.newest()
        self.assertEqual((refusal.host, refusal.user, refusal.code), ("203.0.113.9", "alice", "wrong-password"))
        self.assertNotIn("not this one", repr(refusal))

    def test_the_same_again_is_counted_and_pushes_nobody_out(self) -> None:
        """Whoever knocks for hours is one line."""
        self.world.user("alice")
        self.world.client("198.51.100.1").sign_in("nobody", password=PASSWORD)
        for _ in range(5):
            self.world.client("203.0.113.9").sign_in("alice", password="wrong one")
        newest, older = self.house.refusals.newest()
        self.assertEqual((newest.times, older.code), (5, "unknown-user"))
        self.assertEqual(self.house.refusals.total, 6)

    def test_broken_handshakes_and_a_full_server_are_remembered(self) -> None:
        """Each with a code of its own."""
        self.world.client().protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.world.user("alice")
        self.world.limit(max_connections=1)
        self.world.client().sign_in("bob", password=PASSWORD)
        codes = {refusal.code for refusal in self.house.refusals.newest()}
        self.assertGreaterEqual(codes, {"no-handshake", "server-full"})

    def test_who_had_signed_in_is_no_refusal(self) -> None:
        """Only strangers are."""
        alice = self.world.user("alice")
        alice.raw(b"\xff" * 100)
        alice.lose()
        self.assertEqual(self.house.refusals.newest(), [])

    def test_the_ring_is_bounded_and_names_are_short(self) -> None:
        """Nobody fills the memory, or the operator's screen."""
        refusals = Refusals(lambda: 0.0)
        for number in range(2 * REFUSALS):
            refusals.add(f"host{number}", "x" * 500 + "\n", "code", "reason\x1b[31m" * 100)
        self.assertEqual((len(refusals.newest()), refusals.total), (REFUSALS, 2 * REFUSALS))
        newest = refusals.newest()[0]
        self.assertEqual(len(newest.user), REFUSED_NAME)
        self.assertNotIn("\x1b", newest.reason)
        self.assertEqual([each.host for each in refusals.newest(after=2 * REFUSALS - 1)], [newest.host])

    def test_text_is_kept_when_it_fits(self) -> None:
        """To the last character."""
        self.assertEqual((shorten("abc", 3), shorten("abcd", 3)), ("abc", "ab…"))


class LiveTableTests(OperatorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.alice, self.bob = self.world.user("alice"), self.world.user("bob")
        self.live = self.house.live
        self.live.begin()

    def changes(self, most: int = 100) -> Changes:
        """What is different since the last time."""
        changed: Changes = self.run_now(self.live.changes(most))
        return changed

    def count(self) -> None:
        """What was counted is stored."""
        self.successResultOf(self.house.write_counters())

    def test_everybody_is_there_at_first_and_then_only_what_changes(self) -> None:
        """Nothing is told twice."""
        self.assertEqual([row.user for row in self.changes().rows], ["alice", "bob"])
        self.assertEqual(self.changes(), Changes([], []))
        self.assertFalse(self.live.pending)

    def test_a_relayed_message_raises_an_upload_and_a_download_by_one(self) -> None:
        """And a signal nothing."""
        self.changes()
        self.alice.send(Send(1, "bob", self.bob.device, MESSAGE, b"1"), Send(2, "bob", self.bob.device, SIGNAL, b"2"))
        self.count()
        alice, bob = self.changes().rows
        self.assertEqual((alice.uploads, alice.downloads, bob.uploads, bob.downloads), (1, 0, 0, 1))
        self.assertEqual((alice.last_up, alice.last_down), (self.world.wall, None))

    def test_counts_go_on_from_what_is_stored(self) -> None:
        """Also when something is counted while the stored counts are being read."""
        self.alice.send(Send(1, "bob", self.bob.device, MESSAGE, b"1"))
        self.count()
        self.alice.send(Send(2, "bob", self.bob.device, MESSAGE, b"2"))
        self.world.database.held = []
        changed = Deferred.fromCoroutine(self.live.changes())
        counted = self.house.write_counters()
        self.world.database.go_on()
        self.world.database.go_on()
        self.successResultOf(counted)
        self.assertEqual(self.successResultOf(changed).rows[0].uploads, 2)
        self.assertEqual(self.changes(), Changes([], []))

    def test_who_comes_goes_or_changes_is_told(self) -> None:
        """A status, a name of a device, a sign-out, a sign-in."""
        self.changes()
        self.alice.send(SetStatus("away"))
        self.bob.send(RenameDevice(1, self.bob.device, "bob's phone"))
        self.assertEqual([(row.status, row.device_name) for row in self.changes().rows],
                         [("away", "alice's device"), ("online", "bob's phone")])  # fmt: skip
        self.alice.send(SignOut())
        self.world.user("carol")
        changed = self.changes()
        self.assertEqual((changed.gone, [row.user for row in changed.rows]),
                         ([("alice", self.alice.device.hex())], ["carol"]))  # fmt: skip

    def test_more_than_fits_is_told_by_and_by(self) -> None:
        """One tick is never long."""
        self.assertEqual([row.user for row in self.changes(most=1).rows], ["alice"])
        self.assertTrue(self.live.pending)
        self.assertEqual([row.user for row in self.changes(most=1).rows], ["bob"])

    def test_nothing_is_noted_when_nobody_watches(self) -> None:
        """And a watcher who comes later sees everything."""
        self.live.begin()
        self.live.end()
        self.assertTrue(self.live.watching)
        self.live.end()
        self.assertEqual(self.house.announcer.hearers, [self.house.guests.presence_changed])
        self.alice.send(SetStatus("busy"))
        self.assertFalse(self.live.pending)
        self.live.begin()
        self.assertEqual([row.status for row in self.changes().rows], ["busy", "online"])

    def test_a_database_that_is_down_loses_no_change(self) -> None:
        """It is told when the database is back."""
        self.house.store._database = _Broken()
        self.failureResultOf(Deferred.fromCoroutine(self.live.changes()))
        self.house.store._database = self.world.database
        self.assertEqual(len(self.changes().rows), 2)


class _Broken:
    """A database that answers nothing."""

    def read(self, work: Any) -> Deferred[Any]:
        """Fails."""
        import sqlite3

        from twisted.internet.defer import fail

        return fail(sqlite3.OperationalError("disk I/O error"))

    write = read


class HealthTests(OperatorTestCase):
    def problems(self) -> list[str]:
        """What is wrong."""
        self.world.clock.advance(1.5)
        found: list[str] = self.successResultOf(self.house.health.problems())
        return found

    def test_all_is_well_until_it_is_not(self) -> None:
        """A database that does not answer, that does not take anything, a server that stops; each in words."""
        self.assertEqual(self.problems(), [])
        self.house.store._database = _Broken()
        self.assertEqual(self.problems(), ["The database does not answer."])
        self.house.store._database = self.world.database
        self.house.health.stopping = True
        self.assertEqual(self.problems(), ["The server is stopping."])

    def test_a_full_disk_is_told_until_something_can_be_written(self) -> None:
        """By a commit of what is to be written anyway."""
        self.world.database.broken = True
        alice = self.world.client()
        alice.send(Hello(PROTOCOL_VERSION))
        self.world.pass_time(1)
        self.house.meter.sample()
        self.successResultOf(self.house.meter.write())
        self.assertIn("does not take", self.problems()[0])
        self.world.database.broken = False
        self.assertEqual(self.problems(), [])

    def test_a_database_that_hangs_is_told(self) -> None:
        """Nobody who asks waits for ever; and who asks meanwhile gets the same answer."""
        self.world.database.held = []
        first, second = self.house.health.problems(), self.house.health.problems()
        self.world.clock.advance(6)
        self.assertEqual(self.successResultOf(first), ["The database does not answer."])
        self.assertEqual(self.successResultOf(second), ["The database does not answer."])

    def test_asking_often_costs_the_database_nothing(self) -> None:
        """One question a second."""
        self.problems()
        before = self.world.database.reads
        for _ in range(100):
            self.successResultOf(self.house.health.problems())
        self.assertEqual(self.world.database.reads, before)
