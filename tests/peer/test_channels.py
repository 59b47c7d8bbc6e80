"""The channel table, between machines in memory with real TLS."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from p2pim.errors import NoDirectPath, NotSignedIn, Offline
from p2pim.wire.messages import Person
from p2pim.wire.signals import Answer, Offer, Typing
from tests.peer.town import Pair, Town


class ConnectTests(Pair):
    def test_both_ends_hold_the_channel_whichever_dialled(self) -> None:
        """C2, C3: each side has it in its table by user, and what either sends arrives at the other."""
        here, there = self.connected()
        here.send(Typing())
        there.send(Typing())
        self.town.run()
        self.assertEqual([(user, channel) for user, _, channel in self.bob.signals], [("alice", there)])
        self.assertEqual([(user, channel) for user, _, channel in self.alice.signals], [("bob", here)])

    def test_the_channel_tells_where_it_goes_and_how_fast(self) -> None:
        """A4: protocol, addresses, LAN or not, bytes, round-trip time, since when."""
        here, _ = self.connected()
        self.assertEqual(here.kind, "tcp")
        self.assertTrue(here.same_lan)
        self.assertTrue(here.address.startswith("10.0.0.3:"))
        self.assertTrue(here.local_address.startswith("10.0.0.2:"))
        self.assertGreaterEqual(here.since, 1_700_000_000)
        self.assertIsNotNone(here.rtt)
        self.assertGreater(here.sent, 0)
        self.assertGreater(here.received, 0)

    def test_without_a_channel_there_is_nothing(self) -> None:
        """A4: None, not an empty state."""
        self.assertIsNone(self.alice.table.channel_to("bob"))
        self.assertIsNone(self.alice.table.relay_channel_to(self.bob.device))
        self.assertEqual(self.alice.table.all(), [])

    def test_connecting_again_gives_the_channel_there_is(self) -> None:
        """A1: nothing is done when a channel exists."""
        here, _ = self.connected()
        offers = len(self.alice.sent)
        self.assertIs(self.successResultOf(self.alice.connect(self.bob)), here)
        self.assertEqual(len(self.alice.sent), offers)

    def test_connecting_twice_at_once_makes_one_attempt(self) -> None:
        """A1: an attempt that is pending is joined."""
        first, second = self.alice.connect(self.bob), self.alice.connect(self.bob)
        self.town.run()
        self.assertIs(self.successResultOf(first), self.successResultOf(second))
        self.assertEqual([type(signal) for signal in self.alice.sent], [Offer])

    def test_both_calling_in_the_same_instant_makes_one_channel(self) -> None:
        """Offers that cross: the one with the greater tie-breaker stands, and both callers get its channel."""
        first, second = self.alice.connect(self.bob), self.bob.connect(self.alice)
        self.town.run()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual(len(self.alice.opened), 1)
        self.assertEqual(len(self.bob.opened), 1)
        answers = [signal for signal in self.alice.sent + self.bob.sent if isinstance(signal, Answer)]
        self.assertEqual(len(answers), 1)

    def test_it_works_when_only_one_side_can_be_dialled(self) -> None:
        """A firewall in front of either: both sides dial at once, one way is enough."""
        for lost in (("10.0.0.2", "10.0.0.3"), ("10.0.0.3", "10.0.0.2")):
            town = Town()
            alice, bob = town.resident("alice", "10.0.0.2"), town.resident("bob", "10.0.0.3")
            town.network.one_way.add(lost)
            result = alice.connect(bob)
            town.run()
            self.successResultOf(result)
            self.assertIsNotNone(bob.table.channel_to("alice"))

    def test_the_answer_may_come_after_the_answerers_own_call(self) -> None:
        """A proof that arrives before the answer waits for it."""
        self.bob.dropping = lambda signal: isinstance(signal, Answer)
        result = self.alice.connect(self.bob)
        self.town.run(1)
        self.assertNoResult(result)
        [answer] = [signal for signal in self.bob.sent if isinstance(signal, Answer)]
        self.town.network.one_way.add(("10.0.0.2", "10.0.0.3"))  # so that only that early connection is left
        self.alice.deliver("bob", self.bob.device, answer)
        self.town.run()
        self.successResultOf(result)

    def test_nobody_reachable_fails_with_a_reason_for_each_rung(self) -> None:
        """E1: it says why, and keeps saying so."""
        self.town.network.one_way |= {("10.0.0.2", "10.0.0.3"), ("10.0.0.3", "10.0.0.2")}
        result = self.alice.connect(self.bob)
        self.town.run(11)
        error = self.failureResultOf(result, NoDirectPath).value
        reasons = dict(error.reasons)
        self.assertIn("10.0.0.3", reasons["tcp-lan"])
        self.assertIn("did not answer", reasons["tcp-lan"])
        self.assertIn("tcp-direct", reasons)
        self.assertIn("10.0.0.2", reasons["tcp-incoming"])
        self.assertEqual(self.alice.table.reasons_for("bob"), error.reasons)

    def test_refused_calls_on_both_sides_fail_without_waiting(self) -> None:
        """When each side knows that nothing is left, nobody waits for the end of the time."""
        self.alice.machine.ports.clear()
        self.bob.machine.ports.clear()
        result = self.alice.connect(self.bob)
        self.town.run(1)
        self.assertIn("refused", dict(self.failureResultOf(result, NoDirectPath).value.reasons)["tcp-lan"])

    def test_reasons_are_forgotten_once_there_is_a_channel(self) -> None:
        """What is shown is about now."""
        self.alice.machine.ports.clear()
        kept = dict(self.bob.machine.ports)
        self.bob.machine.ports.clear()
        failed = self.alice.connect(self.bob)
        self.town.run(1)
        self.failureResultOf(failed, NoDirectPath)
        self.bob.machine.ports.update(kept)
        self.connected()
        self.assertEqual(self.alice.table.reasons_for("bob"), ())

    def test_someone_offline_is_said_to_be_offline(self) -> None:
        """No attempt is made at nobody."""
        self.bob.interrupt()
        self.failureResultOf(self.alice.connect(self.bob), Offline)

    def test_without_waiting_the_attempt_goes_on_by_itself(self) -> None:
        """A1: in the background."""
        self.failureResultOf(Deferred.fromCoroutine(self.alice.table.connect("bob", wait=False)), NoDirectPath)
        self.town.run()
        self.assertIsNotNone(self.alice.table.channel_to("bob"))
        self.successResultOf(Deferred.fromCoroutine(self.alice.table.connect("bob", wait=False)))

    def test_who_gives_up_waiting_does_not_end_the_attempt(self) -> None:
        """Others may wait for it."""
        first, second = self.alice.connect(self.bob), self.alice.connect(self.bob)
        first.cancel()
        self.town.run()
        self.failureResultOf(first)
        self.successResultOf(second)

    def test_someone_who_leaves_while_the_offer_is_under_way(self) -> None:
        """The server's word ends the attempt at once."""
        result = self.alice.connect(self.bob)
        self.bob.online = False
        self.alice.sent.clear()
        second = self.alice.connect(self.bob)
        self.town.run(11)
        self.failureResultOf(result)
        self.failureResultOf(second)

    def test_without_a_session_there_is_nobody_to_introduce_us(self) -> None:
        """A1: nothing when not signed in."""
        self.alice.interrupt()
        self.failureResultOf(self.alice.connect(self.bob), NotSignedIn)
        self.assertEqual(self.alice.sent, [])

    def test_a_channel_to_each_device_of_a_user_is_tried(self) -> None:
        """People see users; channels belong to devices."""
        laptop = self.town.resident("bob", "10.0.0.4")
        self.bob.machine.ports.clear()
        self.town.network.one_way.add(("10.0.0.3", "10.0.0.2"))
        result = self.alice.connect(self.bob)
        self.town.run()
        self.assertEqual(self.successResultOf(result).device, laptop.device)

    def test_everything_is_written_into_the_log(self) -> None:
        """C5: set-ups with addresses, ends with reasons, failures with reasons."""
        here, _ = self.connected()
        here.close("enough")
        self.town.run()
        self.bob.machine.ports.clear()
        self.alice.machine.ports.clear()
        self.alice.connect(self.bob).addErrback(lambda failure: None)
        self.town.run(1)
        text = "\n".join(f"{kind} {user} {line}" for kind, user, line in self.alice.log)
        for expected in ("listening for peers on 10.0.0.2:", "tcp channel opened with 10.0.0.3:", "in the same LAN",
                         "tcp channel closed: enough", "refused"):  # fmt: skip
            self.assertIn(expected, text)


class ListeningTests(Pair):
    def test_it_listens_where_the_server_sees_it(self) -> None:
        """C1: the local address and port of the server connection."""
        self.assertEqual(self.alice.table.listening, f"10.0.0.2:{self.alice.local[1]}")
        self.assertIn(("10.0.0.2", self.alice.local[1]), self.alice.machine.ports)

    def test_it_falls_back_to_a_free_port(self) -> None:
        """C1: when that port is taken."""
        machine = self.town.network.machine("10.0.0.9")
        machine.taken.add(40_001)
        carol = self.town.resident("carol", "10.0.0.9")
        self.assertEqual(carol.local[1], 40_001)
        self.assertNotEqual(carol.table.listening, "10.0.0.9:40001")
        self.connected(self.alice, carol)

    def test_a_machine_that_cannot_listen_still_dials(self) -> None:
        """One side that takes calls is enough."""
        machine = self.town.network.machine("10.0.0.9")
        machine.taken |= {0, 40_001}
        carol = self.town.resident("carol", "10.0.0.9")
        self.assertEqual(carol.table.listening, "")
        self.assertIn("cannot connect to this one", carol.log[0][2])
        self.connected(self.alice, carol)

    def test_a_new_session_moves_the_listener(self) -> None:
        """After a reconnect the port is another, and the old one is free; channels stay."""
        here, _ = self.connected()
        old = self.alice.local
        self.alice.interrupt()
        self.alice.local = ("10.0.0.2", 47_000)
        self.alice.sign_in()
        self.assertEqual(list(self.alice.machine.ports), [("10.0.0.2", 47_000)])
        self.assertNotIn(old, self.alice.machine.ports)
        self.assertFalse(here.ended)  # type: ignore[attr-defined]


class ReplacingTests(Pair):
    def test_a_newer_channel_takes_the_older_ones_place(self) -> None:
        """C2: one channel a device; what goes on goes over the new one."""
        here, _ = self.connected()
        del self.bob.table._channels[self.alice.device, False]  # as if Bob had lost it without a word
        again = self.bob.connect(self.alice)
        self.town.run()
        self.successResultOf(again)
        newer = self.alice.table.channel_to("bob")
        self.assertIsNot(newer, here)
        self.assertEqual([channel for channel, _ in self.alice.closed], [here])
        self.assertEqual(self.alice.closed[0][1], "a newer channel took its place")
        self.assertEqual(len(self.alice.table.all()), 1)
        self.assertEqual(self.alice.opened, [here, newer])

    def test_a_channel_that_dies_without_a_word_is_replaced(self) -> None:
        """E5 and A5: silence of thirty seconds ends it at both ends; another one is looked for until it is found."""
        self.connected()
        self.town.network.cut("10.0.0.2", "10.0.0.3")
        self.town.run(36)
        self.assertEqual([reason for _, reason in self.alice.closed], ["The other side has been silent for too long."])
        self.assertEqual(len(self.bob.closed), 1)
        self.town.network.cuts.clear()
        self.town.run(30)
        self.assertIsNotNone(self.alice.table.channel_to("bob"))
        self.assertIsNotNone(self.bob.table.channel_to("alice"))

    def test_a_channel_that_somebody_closed_stays_closed(self) -> None:
        """What a person ended is not begun again behind their back."""
        self.connected()
        self.alice.table.disconnect("bob", "enough")
        self.town.run(30)
        self.assertEqual((self.alice.table.all(), self.bob.table.all()), ([], []))

    def test_silence_is_not_taken_for_death_too_early(self) -> None:
        """A7: thirty seconds."""
        self.connected()
        self.town.network.cut("10.0.0.2", "10.0.0.3")
        self.town.run(24)
        self.assertEqual(self.alice.closed, [])

    def test_an_idle_channel_stays(self) -> None:
        """A7: heartbeats keep it."""
        self.connected()
        self.town.run(300)
        self.assertEqual((self.alice.closed, self.bob.closed), ([], []))


class ServerAwayTests(Pair):
    def test_a_channel_outlives_the_server(self) -> None:
        """The server introduces people and then gets out of the way."""
        here, there = self.connected()
        self.alice.interrupt()
        self.bob.interrupt()
        self.town.run(120)
        here.send(Typing())
        self.town.run()
        self.assertEqual(self.bob.signals[-1][2], there)

    def test_offline_while_the_channel_lives_ends_nothing(self) -> None:
        """A server that stops calls one after the other offline: the channel, asked, answers and stays."""
        self.connected()
        self.alice.table.presence_changed(Person("bob", "offline"))
        self.town.run(60)
        self.assertEqual(self.alice.closed, [])

    def test_offline_and_silent_removes_the_channel(self) -> None:
        """C2: one side going offline removes it, long before thirty seconds of silence."""
        self.connected()
        self.town.network.cut("10.0.0.2", "10.0.0.3")
        self.alice.table.presence_changed(Person("bob", "offline"))
        self.town.run(4)
        self.assertEqual([reason for _, reason in self.alice.closed], ["the other side went offline"])

    def test_one_device_of_two_going_away_leaves_the_others_channel(self) -> None:
        """Presence belongs to devices."""
        laptop = self.town.resident("bob", "10.0.0.4")
        there = Deferred.fromCoroutine(laptop.table.connect("alice"))
        here, _ = self.connected()
        self.town.run()
        self.successResultOf(there)
        self.town.network.cut("10.0.0.2", "10.0.0.3")
        self.town.network.cut("10.0.0.2", "10.0.0.4")
        self.alice.table.presence_changed(Person("bob", "online", [self.town.person("bob").devices[1]]))
        self.town.run(4)
        self.assertEqual([channel.device for channel, _ in self.alice.closed], [self.bob.device])
        self.assertIn(here.device, (self.bob.device, laptop.device))

    def test_presence_from_before_the_sign_in_is_not_believed(self) -> None:
        """Only what is heard while signed in counts."""
        self.connected()
        self.alice.interrupt()
        self.town.network.cut("10.0.0.2", "10.0.0.3")
        self.alice.table.presence_changed(Person("bob", "offline"))
        self.town.run(5)
        self.assertEqual(self.alice.closed, [])

    def test_losing_the_session_ends_what_needs_it(self) -> None:
        """An offer that can no longer be answered is not waited for."""
        self.town.delay = 5.0
        result = self.alice.connect(self.bob)
        self.town.run(0)
        self.alice.interrupt()
        self.failureResultOf(result, NoDirectPath)

    def test_what_is_answered_goes_on_without_the_server(self) -> None:
        """Once both know each other's half, they need nobody."""
        result = self.alice.connect(self.bob)
        for _ in range(40):
            self.town.network.clock.advance(0.001)
            if any(isinstance(signal, Answer) for signal in self.bob.sent):
                break
        self.town.network.clock.advance(0.01)
        self.alice.interrupt()
        self.town.run()
        self.successResultOf(result)


class ClosingTests(Pair):
    def test_closing_tells_the_other_side_why(self) -> None:
        """A3: closed, with a reason, at both ends, once."""
        here, there = self.connected()
        here.close("enough")
        self.town.run()
        self.assertEqual(self.alice.closed, [(here, "enough")])
        self.assertEqual(self.bob.closed, [(there, "closed by the other side: enough")])
        self.assertEqual((self.alice.table.all(), self.bob.table.all()), ([], []))

    def test_disconnecting_closes_every_channel_to_the_user(self) -> None:
        """Direct and relayed."""
        self.connected()
        self.relayed()
        self.alice.table.disconnect("bob", "blocked")
        self.town.run()
        self.assertEqual(self.alice.table.all(), [])
        self.assertEqual(self.bob.table.all(), [])

    def test_disconnecting_gives_up_an_attempt(self) -> None:
        """Nobody waits for what is not wanted any more."""
        result = self.alice.connect(self.bob)
        self.alice.table.disconnect("bob", "blocked")
        self.failureResultOf(result, NoDirectPath)
        self.town.run(20)
        self.assertEqual(self.alice.opened, [])

    def test_stopping_leaves_nothing_behind(self) -> None:
        """No port, no channel, no timer."""
        self.connected()
        self.alice.table.stop()
        self.bob.table.stop()
        self.town.run(10)
        self.assertEqual((self.alice.machine.ports, self.bob.machine.ports), ({}, {}))
        self.assertEqual(self.town.network.clock.getDelayedCalls(), [])
        self.assertFalse([transport for transport in self.town.network.transports if transport.connected])

    def test_leaving_closes_everything_and_a_later_sign_in_begins_anew(self) -> None:
        """C2: who is signed out for good is gone from the others' tables."""
        self.connected()
        self.alice.table.leave("signed out: kicked")
        self.town.run(3)
        self.assertEqual(self.bob.closed[0][1], "closed by the other side: signed out: kicked")
        self.assertEqual(self.alice.table.listening, "")
        self.alice.sign_in()
        self.connected()
