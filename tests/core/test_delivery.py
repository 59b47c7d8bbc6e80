"""Delivery as values: devices and ways that come and go, and what is stored or delivered of each copy."""

from collections.abc import Hashable

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.delivery import DELIVERED, STORED, Dispatch, Outgoing, Sending, Target
from p2pim.core.limits import BUSY_WAIT, OVERTAKE, RESEND, RESEND_MAX, UNACKNOWLEDGED

A, B, MINE = ("bob", b"a" * 16), ("bob", b"b" * 16), ("alice", b"m" * 16)


def message(seq: int, route: str = "auto") -> Outgoing:
    return Outgoing(seq.to_bytes(16, "big"), seq, f"text {seq}", 1_700_000_000_000 + seq, route)


def sent(dispatches: list[Dispatch]) -> list[tuple[Target, int, str]]:
    return [(d.target, d.message.seq, d.way) for d in dispatches]


class SendingCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.sending = Sending()

    def ways(self, target: Target, **ways: Hashable) -> None:
        self.sending.set_ways(target, dict(ways))

    def add(
        self, seq: int, route: str = "auto", theirs: tuple[Target, ...] = (A,), mine: tuple[Target, ...] = ()
    ) -> None:
        self.sending.add(message(seq, route), theirs, mine)

    def settle(self, seq: int, state: str, target: Target = A, now: float = 0.0) -> str | None:
        return self.sending.settle(target, message(seq).id, state, now)


class WaysTests(SendingCase):
    def test_nothing_is_sent_while_there_is_no_way(self) -> None:
        """Without the server and without a channel a message waits."""
        self.add(1)
        self.assertEqual(self.sending.to_send(0), [])
        self.assertEqual(len(self.sending), 1)
        self.assertIsNone(self.sending.next_due())
        self.assertFalse(self.sending.reachable())

    def test_what_waited_goes_in_order_when_a_way_appears(self) -> None:
        """And only once."""
        for seq in (1, 2, 3):
            self.add(seq)
        self.ways(A, relay=1)
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 1, "relay"), (A, 2, "relay"), (A, 3, "relay")])
        self.assertEqual(self.sending.to_send(0), [])

    def test_a_direct_channel_is_preferred_to_the_server(self) -> None:
        """While a channel exists, chat goes through it."""
        self.ways(A, relay=1, direct="channel")
        self.add(1)
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 1, "direct")])

    def test_a_message_may_demand_the_relay(self) -> None:
        """Although a channel stands."""
        self.ways(A, relay=1, direct="channel")
        self.add(1, "relay")
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 1, "relay")])

    def test_a_message_that_demands_a_channel_waits_for_one_and_holds_up_nobody(self) -> None:
        """Direct only means never through the server."""
        self.ways(A, relay=1)
        self.add(1, "direct")
        self.add(2)
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 2, "relay")])
        self.ways(A, relay=1, direct="channel")
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 1, "direct")])

    def test_a_better_way_alone_repeats_nothing(self) -> None:
        """What went through the server, which still stands, is not lost."""
        self.ways(A, relay=1)
        self.add(1)
        self.sending.to_send(0)
        self.ways(A, relay=1, direct="channel")
        self.add(2)
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 2, "direct")])

    def test_what_went_by_a_lost_channel_goes_again_by_the_next_route(self) -> None:
        """In order, and marked as sent again."""
        self.ways(A, relay=1, direct="channel")
        for seq in (1, 2):
            self.add(seq)
        self.sending.to_send(0)
        self.ways(A, relay=1)
        again = self.sending.to_send(0)
        self.assertEqual(sent(again), [(A, 1, "relay"), (A, 2, "relay")])
        self.assertTrue(all(d.again for d in again))

    def test_another_channel_of_the_same_kind_is_another_way(self) -> None:
        """A newer channel replaces an older, and what was on that may be lost."""
        self.ways(A, direct="old")
        self.add(1)
        self.sending.to_send(0)
        self.ways(A, direct="new")
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 1, "direct")])

    def test_after_a_new_session_everything_unsettled_goes_again(self) -> None:
        """The server may have died with it; what it had committed it knows."""
        self.ways(A, relay=1)
        for seq in (1, 2):
            self.add(seq)
        self.sending.to_send(0)
        self.settle(1, STORED)
        self.ways(A)
        self.assertEqual(self.sending.to_send(0), [])
        self.ways(A, relay=2)
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 2, "relay")])

    def test_a_channel_overtakes_a_few_on_the_way_through_the_server_but_not_many(self) -> None:
        """The other side's ratchet can skip so many; the rest waits until the first have arrived."""
        self.ways(A, relay=1)
        for seq in range(1, OVERTAKE + 1):
            self.add(seq)
        self.sending.to_send(0)
        self.ways(A, relay=1, direct="channel")
        self.add(OVERTAKE + 1)
        self.assertEqual(self.sending.to_send(0), [])
        self.settle(1, DELIVERED)
        self.assertEqual(sent(self.sending.to_send(0)), [(A, OVERTAKE + 1, "direct")])

    def test_nothing_overtakes_what_is_in_the_mailbox(self) -> None:
        """It goes behind it, until the mailbox was read."""
        self.ways(A, relay=1)
        self.add(1)
        self.sending.to_send(0)
        self.settle(1, STORED)
        self.ways(A, relay=1, direct="channel")
        self.add(2)
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 2, "relay")])
        self.settle(1, DELIVERED)
        self.settle(2, DELIVERED)
        self.add(3)
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 3, "direct")])

    def test_without_the_server_the_mailbox_is_not_waited_for(self) -> None:
        """It may never come back; the receiver puts in order what it can."""
        self.ways(A, relay=1)
        self.add(1)
        self.sending.to_send(0)
        self.settle(1, STORED)
        self.ways(A, direct="channel")
        self.add(2)
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 2, "direct")])


class ResendTests(SendingCase):
    def test_without_an_answer_a_message_goes_again_and_the_waits_grow(self) -> None:
        """RESEND, then twice as long, up to RESEND_MAX."""
        self.ways(A, relay=1)
        self.add(1)
        now, wait = 0.0, RESEND
        self.sending.to_send(now)
        for _ in range(8):
            self.assertEqual(self.sending.next_due(), now + wait)
            self.assertEqual(self.sending.to_send(now + wait - 0.01), [])
            now += wait
            self.assertEqual(sent(self.sending.to_send(now)), [(A, 1, "relay")])
            wait = min(2 * wait, RESEND_MAX)

    def test_a_full_window_is_repeated_as_well(self) -> None:
        """The bound on what is out at once does not keep it from going again."""
        self.ways(A, relay=1)
        for seq in range(1, UNACKNOWLEDGED + 10):
            self.add(seq)
        self.assertEqual(len(self.sending.to_send(0)), UNACKNOWLEDGED)
        again = self.sending.to_send(RESEND)
        self.assertEqual([d.message.seq for d in again], list(range(1, UNACKNOWLEDGED + 1)))
        self.settle(1, DELIVERED)
        self.assertEqual(sent(self.sending.to_send(RESEND)), [(A, UNACKNOWLEDGED + 1, "relay")])

    def test_what_is_stored_makes_room_for_more_and_does_not_go_again(self) -> None:
        """Somebody may be away for a month."""
        self.ways(A, relay=1)
        for seq in range(1, UNACKNOWLEDGED + 3):
            self.add(seq)
        self.sending.to_send(0)
        for seq in (1, 2):
            self.settle(seq, STORED)
        self.assertEqual(len(self.sending.to_send(0)), 2)
        again = {d.message.seq for d in self.sending.to_send(RESEND_MAX)}
        self.assertEqual(again, set(range(3, UNACKNOWLEDGED + 3)))

    def test_a_stored_one_that_was_passed_over_goes_again_after_a_while(self) -> None:
        """A later one was confirmed, so its receipt was lost; asking once more is enough."""
        self.ways(A, relay=1)
        for seq in (1, 2):
            self.add(seq)
        self.sending.to_send(0)
        for seq in (1, 2):
            self.settle(seq, STORED)
        self.settle(2, DELIVERED)
        self.assertEqual(self.sending.to_send(RESEND_MAX - 1), [])
        self.assertEqual(sent(self.sending.to_send(RESEND_MAX)), [(A, 1, "relay")])
        self.assertEqual(self.settle(1, DELIVERED), DELIVERED)

    def test_a_busy_server_is_asked_again_soon(self) -> None:
        """Before the receiver stops waiting for it."""
        self.ways(A, relay=1)
        self.add(1)
        self.sending.to_send(0)
        self.sending.busy(A, message(1).id, 0.0, 0)
        self.assertEqual(self.sending.next_due(), BUSY_WAIT)
        self.assertEqual(sent(self.sending.to_send(BUSY_WAIT)), [(A, 1, "relay")])

    def test_what_could_not_be_opened_goes_once_more(self) -> None:
        """Although it counted as stored."""
        self.ways(A, relay=1)
        self.add(1)
        self.sending.to_send(0)
        self.settle(1, STORED)
        self.assertTrue(self.sending.add_copy(A, message(1).id))
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 1, "relay")])
        self.assertFalse(self.sending.add_copy(A, message(9).id))


class CopiesTests(SendingCase):
    def test_every_device_gets_its_copy_whoever_else_has_confirmed(self) -> None:
        """The message is delivered with the first, and forgotten with the last."""
        self.ways(A, relay=1)
        self.ways(B, relay=1)
        self.add(1, theirs=(A, B))
        self.assertEqual(sorted(sent(self.sending.to_send(0))), [(A, 1, "relay"), (B, 1, "relay")])
        self.assertEqual(self.settle(1, DELIVERED), DELIVERED)
        self.assertEqual(sent(self.sending.to_send(RESEND)), [(B, 1, "relay")])
        self.assertIsNone(self.settle(1, DELIVERED, B))
        self.assertEqual(len(self.sending), 0)
        self.assertEqual(self.sending.to_send(10 * RESEND_MAX), [])

    def test_it_is_stored_when_all_of_the_recipients_devices_have_it_in_their_mailbox(self) -> None:
        """While one of them may still answer, it is on its way."""
        self.ways(A, relay=1)
        self.ways(B, relay=1)
        self.add(1, theirs=(A, B))
        self.sending.to_send(0)
        self.assertIsNone(self.settle(1, STORED))
        self.assertEqual(self.settle(1, STORED, B), STORED)
        self.assertIsNone(self.settle(1, STORED, B))
        self.assertEqual(self.settle(1, DELIVERED, B), DELIVERED)
        self.assertEqual(self.sending.state_of(message(1).id), DELIVERED)

    def test_copies_of_my_own_devices_say_nothing_about_the_recipient(self) -> None:
        """But are sent until they are confirmed as well."""
        self.ways(A, relay=1)
        self.ways(MINE, relay=1)
        self.add(1, mine=(MINE,))
        self.sending.to_send(0)
        self.assertIsNone(self.settle(1, DELIVERED, MINE))
        self.assertEqual(self.sending.state_of(message(1).id), "sent")
        self.assertEqual(self.settle(1, DELIVERED), DELIVERED)
        self.assertEqual(len(self.sending), 0)

    def test_nobody_else_can_settle_a_copy(self) -> None:
        """Ids can be overheard."""
        self.add(1)
        self.assertIsNone(self.settle(1, DELIVERED, ("mallory", A[1])))
        self.assertEqual(self.sending.state_of(message(1).id), "sent")

    def test_a_removed_device_is_not_waited_for(self) -> None:
        """What nobody else was to get has no copy any more, and is found by that."""
        self.add(1, theirs=(A, B))
        self.add(2, theirs=(A,))
        self.sending.remove_target(A)
        self.assertEqual([m.seq for m in self.sending.homeless()], [2])
        self.assertNotIn(A, self.sending.targets())
        self.sending.add_copy(B, message(2).id)
        self.assertEqual(self.sending.homeless(), [])

    def test_a_message_without_devices_waits_for_some(self) -> None:
        """They could not be asked for when it was written."""
        self.add(1, theirs=())
        self.assertEqual([m.seq for m in self.sending.homeless()], [1])
        self.ways(A, relay=1)
        self.sending.add_copy(A, message(1).id)
        self.assertEqual(sent(self.sending.to_send(0)), [(A, 1, "relay")])

    def test_what_is_given_up_is_given_up_for_all(self) -> None:
        """And counts as waiting no more."""
        self.ways(A, relay=1)
        self.add(1, theirs=(A, B), mine=(MINE,))
        self.sending.to_send(0)
        self.assertEqual(self.sending.waiting, 1)
        self.assertEqual(self.sending.remove(message(1).id), message(1))
        self.assertIsNone(self.sending.remove(message(1).id))
        self.assertEqual((len(self.sending), self.sending.waiting), (0, 0))
        self.assertEqual(self.sending.to_send(RESEND_MAX), [])

    def test_what_an_earlier_run_left_is_taken_up_where_it_was(self) -> None:
        """Stored copies are not sent again, and what follows goes behind them."""
        self.sending.add(message(1), [A], [MINE], state=STORED)
        self.sending.in_mailbox(A, message(1).id)
        self.add(2)
        self.ways(A, relay=1, direct="channel")
        self.ways(MINE, relay=1)
        self.assertEqual(sorted(sent(self.sending.to_send(0))), [(MINE, 1, "relay"), (A, 2, "relay")])
        self.assertEqual(self.sending.waiting, 1)
