"""Negotiations as values: every order of events, thousands of them, without a socket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.candidates import DIRECT_RUNG, LAN_RUNG, RELAY_RUNG, UDP_RUNG, Surroundings
from p2pim.core.limits import DIALS_PER_NEGOTIATION, NEGOTIATION_TIME
from p2pim.core.negotiation import (
    DIRECT_LADDER,
    RELAY_LADDER,
    TCP_GRACE,
    TCP_HEAD_START,
    TCP_LADDER,
    Negotiation,
    State,
    stands,
)
from p2pim.core.negotiation_effects import Adopt, Check, Dial, Effect, Exhausted, Failed, Nominate
from p2pim.core.rungs import INCOMING_RUNG
from p2pim.wire.signals import Candidate, Offer

AROUND = Surroundings(frozenset({("10.0.0.2", 4000)}))
ONE = Candidate("host", "tcp", "10.0.0.3", 5000)
SIX = Candidate("host", "tcp", "fd00::3", 5000)
PUBLIC = Candidate("mapped", "tcp", "8.8.8.8", 5000)
IDS = st.binary(min_size=16, max_size=16)
UDP = Candidate("reflexive", "udp", "8.8.8.8", 6000)


def offerer(ladder: tuple[str, ...] = DIRECT_LADDER) -> Negotiation:
    return Negotiation(offerer=True, ladder=ladder, around=AROUND, now=100.0)


def answerer(ladder: tuple[str, ...] = DIRECT_LADDER) -> Negotiation:
    return Negotiation(offerer=False, ladder=ladder, around=AROUND, now=100.0)


def dials(effects: list[Effect]) -> list[Dial]:
    return [effect for effect in effects if isinstance(effect, Dial)]


class OffererTests(SynchronousTestCase):
    def test_nothing_is_dialled_before_the_answer(self) -> None:
        """There is nobody to pin yet."""
        machine = offerer()
        self.assertEqual(machine.effects(), [])
        self.assertEqual(machine.timer(), 100.0 + NEGOTIATION_TIME)

    def test_the_first_proved_connection_is_nominated_and_adopted(self) -> None:
        """And no other after it."""
        machine = offerer()
        machine.begin([ONE], 100.1)
        [dial] = dials(machine.effects())
        machine.proved(dial.number, dial.rung, 0.0)
        machine.proved(-1, INCOMING_RUNG, 0.0)
        self.assertEqual(machine.effects(), [Nominate(dial.number), Adopt(dial.number, LAN_RUNG)])
        self.assertTrue(machine.over)
        self.assertIsNone(machine.timer())

    def test_calls_are_staggered_ipv6_first(self) -> None:
        """Fifty milliseconds between them."""
        machine = offerer()
        machine.begin([ONE, SIX], 100.0)
        self.assertEqual([dial.candidate for dial in dials(machine.effects())], [SIX])
        self.assertEqual(machine.timer(), 100.05)
        machine.time_passed(100.05)
        self.assertEqual([dial.candidate for dial in dials(machine.effects())], [ONE])

    def test_all_rungs_begin_at_once(self) -> None:
        """The ladder is not climbed in turn: checks go out while TCP is being dialled."""
        machine = offerer(DIRECT_LADDER)
        machine.begin([ONE, PUBLIC, UDP], 100.0)
        effects = machine.effects()
        self.assertEqual({dial.rung for dial in dials(effects)}, {LAN_RUNG, DIRECT_RUNG})
        self.assertEqual([e.candidates for e in effects if isinstance(e, Check)], [(UDP,)])

    def test_candidates_of_rungs_that_are_not_climbed_are_left(self) -> None:
        """No UDP in a TCP ladder."""
        machine = offerer(TCP_LADDER)
        machine.begin([UDP], 100.0)
        self.assertEqual(machine.effects(), [])

    def test_a_refusal_ends_it_with_its_reason(self) -> None:
        """At once."""
        machine = offerer()
        machine.declined("switched off")
        [failed] = machine.effects()
        assert isinstance(failed, Failed)
        self.assertEqual([rung for rung, _ in failed.reasons], list(DIRECT_LADDER))
        self.assertIn("switched off", failed.reasons[0][1])

    def test_no_answer_in_time_ends_it(self) -> None:
        """After `NEGOTIATION_TIME`."""
        machine = offerer()
        machine.time_passed(100.0 + NEGOTIATION_TIME)
        [failed] = machine.effects()
        assert isinstance(failed, Failed)
        self.assertIn("did not answer", failed.reasons[0][1])

    def test_nothing_left_at_either_side_ends_it_early(self) -> None:
        """My own calls failed, and the other side says that its did."""
        machine = offerer()
        machine.begin([ONE], 100.0)
        machine.dial_failed(dials(machine.effects())[0].number, "refused the connection")
        self.assertEqual(machine.effects(), [])
        machine.declined("tcp-lan: 10.0.0.2:4000: did not answer")
        [failed] = machine.effects()
        assert isinstance(failed, Failed)
        reasons = dict(failed.reasons)
        self.assertEqual(reasons[LAN_RUNG], "10.0.0.3:5000: refused the connection")
        self.assertEqual(reasons[DIRECT_RUNG], "the other side has no public address")
        self.assertIn("did not answer", reasons[INCOMING_RUNG])

    def test_while_candidates_may_still_come_nothing_is_given_up(self) -> None:
        """Trickled candidates: the ladder is exhausted only when the other side has named its last."""
        machine = offerer()
        machine.begin([], 100.0, complete=False)
        machine.declined("nothing here")
        self.assertEqual([effect for effect in machine.effects() if not isinstance(effect, Check)], [])
        machine.more([ONE], 101.0, complete=True)
        [dial] = dials(machine.effects())
        machine.proved(dial.number, dial.rung, 0.0)
        self.assertEqual(machine.state, State.DONE)

    def test_candidates_named_twice_are_dialled_once(self) -> None:
        """By offer and trickle."""
        machine = offerer()
        machine.begin([ONE], 100.0, complete=False)
        machine.more([ONE], 100.1, complete=True)
        machine.time_passed(105.0)
        self.assertEqual(len(dials(machine.effects())), 1)

    def test_late_calls_are_named_when_the_time_is_over(self) -> None:
        """The reason says which address did not answer."""
        machine = offerer()
        machine.begin([ONE], 100.0)
        machine.effects()
        machine.time_passed(111.0)
        [failed] = machine.effects()
        assert isinstance(failed, Failed)
        self.assertIn("10.0.0.3:5000: no answer in time", dict(failed.reasons)[LAN_RUNG])

    def test_refused_candidates_are_explained(self) -> None:
        """A hostile or useless address is not dialled, and that is the reason."""
        machine = offerer()
        machine.begin([Candidate("host", "tcp", "127.0.0.1", 5000)], 100.0)
        machine.time_passed(111.0)
        [failed] = machine.effects()
        assert isinstance(failed, Failed)
        self.assertIn("loopback of another machine", dict(failed.reasons)[LAN_RUNG])


class AnswererTests(SynchronousTestCase):
    def test_it_waits_for_the_nomination(self) -> None:
        """Proved is not chosen."""
        machine = answerer()
        machine.begin([ONE], 100.0)
        [dial] = dials(machine.effects())
        machine.proved(dial.number, dial.rung, 0.0)
        machine.proved(-1, INCOMING_RUNG, 0.0)
        self.assertEqual(machine.effects(), [])
        machine.nominated(-1)
        self.assertEqual(machine.effects(), [Adopt(-1, INCOMING_RUNG)])

    def test_what_is_not_proved_cannot_be_nominated(self) -> None:
        """Nor what was lost meanwhile."""
        machine = answerer()
        machine.begin([ONE], 100.0)
        machine.effects()
        machine.nominated(-1)
        machine.proved(-1, INCOMING_RUNG, 0.0)
        machine.incoming_failed(-1, "closed")
        machine.nominated(-1)
        self.assertEqual(machine.effects(), [])

    def test_it_says_once_when_it_can_reach_nothing(self) -> None:
        """And goes on waiting for the other side's calls."""
        machine = answerer()
        machine.begin([ONE], 100.0)
        machine.dial_failed(dials(machine.effects())[0].number, "refused the connection")
        [exhausted] = machine.effects()
        assert isinstance(exhausted, Exhausted)
        self.assertIn("10.0.0.3:5000: refused", exhausted.reason)
        machine.proved(-1, INCOMING_RUNG, 0.0)
        machine.nominated(-1)
        self.assertEqual(machine.effects(), [Adopt(-1, INCOMING_RUNG)])

    def test_the_relays_rung_needs_no_candidate(self) -> None:
        """Its address is the server's."""
        machine = answerer(RELAY_LADDER)
        machine.begin([], 100.0)
        self.assertEqual(machine.effects(), [Dial(1, RELAY_RUNG, None)])


class CrossingTests(SynchronousTestCase):
    @given(st.integers(0, 3), st.integers(0, 3), IDS, IDS)
    def test_both_sides_agree_whose_offer_stands(self, one: int, other: int, first: bytes, second: bytes) -> None:
        """Whatever the tie-breakers: exactly one of two different offers."""
        mine = Offer(first, one, b"f" * 32, b"s" * 32, [], ["tcp"])
        theirs = Offer(second, other, b"f" * 32, b"s" * 32, [], ["tcp"])
        if first != second:
            self.assertNotEqual(stands(mine, theirs), stands(theirs, mine))


class AnyOrderTests(SynchronousTestCase):
    @given(
        st.booleans(),
        st.lists(
            st.sampled_from(["begin", "more", "decline", "fail", "prove", "incoming", "nominate", "lose", "time"]),
            max_size=30,
        ),
    )
    def test_every_negotiation_ends_once_and_in_time(self, offers: bool, events: list[str]) -> None:
        """Any inputs in any order: at most one adoption or failure, nothing after it, and an end when the time is
        over."""
        machine = offerer() if offers else answerer()
        now, numbers = 100.0, [1]
        ends: list[Effect] = []
        for event in [*events, "end"]:
            now += 0.3
            if event == "begin":
                machine.begin([ONE, SIX], now)
            elif event == "more":
                machine.more([PUBLIC], now, complete=True)
            elif event == "decline":
                machine.declined("no")
            elif event == "fail":
                machine.dial_failed(numbers.pop() if numbers else 1, "refused")
            elif event == "prove":
                machine.proved(numbers[-1] if numbers else 1, LAN_RUNG, 0.0)
            elif event == "incoming":
                machine.proved(-1, INCOMING_RUNG, 0.0)
            elif event == "nominate":
                machine.nominated(-1)
            elif event == "lose":
                machine.incoming_failed(-1, "lost")
            machine.time_passed(now if event != "end" else 100.0 + NEGOTIATION_TIME)
            over = bool(ends)
            for effect in machine.effects():
                self.assertFalse(over, "something was to be done after the end")
                if isinstance(effect, Dial):
                    numbers.append(effect.number)
                if isinstance(effect, Adopt | Failed):
                    ends.append(effect)
        self.assertEqual(len(ends), 1)
        self.assertIsNone(machine.timer())


class UdpRungTests(SynchronousTestCase):
    """Checks race with dials; a path becomes a link, and TCP that is nearly there is waited for."""

    def begun(self, *candidates: Candidate) -> tuple[Negotiation, int]:
        machine = offerer()
        machine.begin(list(candidates), 100.0)
        (check,) = (effect for effect in machine.effects() if isinstance(effect, Check))
        return machine, check.number

    def linked(self, machine: Negotiation, number: int) -> int:
        machine.path_found(number, UDP)
        (dial,) = dials(machine.effects())
        self.assertEqual((dial.rung, dial.candidate), (UDP_RUNG, UDP))
        return dial.number

    def test_the_first_path_becomes_a_link_and_the_link_a_channel(self) -> None:
        """Later paths change nothing."""
        machine, number = self.begun(UDP)
        link = self.linked(machine, number)
        machine.path_found(number, UDP)
        self.assertEqual(machine.effects(), [])
        machine.proved(link, UDP_RUNG, 100.1)
        self.assertEqual(machine.effects(), [Nominate(link), Adopt(link, UDP_RUNG)])

    def test_a_tcp_connection_that_stands_gets_a_head_start(self) -> None:
        """It is the better channel where both work."""
        machine, number = self.begun(ONE, UDP)
        link = self.linked(machine, number)
        machine.connected(1)
        machine.proved(link, UDP_RUNG, 100.1)
        self.assertEqual(machine.effects(), [])
        machine.proved(1, LAN_RUNG, 100.2)
        self.assertEqual(machine.effects(), [Nominate(1), Adopt(1, LAN_RUNG)])

    def test_the_head_start_ends(self) -> None:
        """A TCP connection that never proves itself costs a moment, not the channel."""
        machine, number = self.begun(ONE, UDP)
        link = self.linked(machine, number)
        machine.connected(1)
        machine.proved(link, UDP_RUNG, 100.1)
        at = machine.timer()
        self.assertAlmostEqual(at or 0.0, 100.1 + TCP_HEAD_START)
        machine.time_passed(at or 0.0)
        self.assertEqual(machine.effects(), [Nominate(link), Adopt(link, UDP_RUNG)])

    def test_a_public_address_that_has_not_answered_yet_gets_a_moment(self) -> None:
        """Its answer takes half as long as checks and QUIC: it is probably a firewall that keeps silent."""
        machine, number = self.begun(PUBLIC, UDP)
        link = self.linked(machine, number)
        machine.proved(link, UDP_RUNG, 100.1)
        self.assertEqual(machine.effects(), [])
        self.assertAlmostEqual(machine.timer() or 0.0, 100.1 + TCP_GRACE)

    def test_a_tcp_connection_that_fails_ends_the_head_start(self) -> None:
        """At once."""
        machine, number = self.begun(ONE, UDP)
        link = self.linked(machine, number)
        machine.connected(1)
        machine.proved(link, UDP_RUNG, 100.1)
        machine.dial_failed(1, "refused the connection")
        self.assertEqual(machine.effects(), [Nominate(link), Adopt(link, UDP_RUNG)])

    def test_candidates_that_trickle_in_join_the_checks_under_way(self) -> None:
        """Under the same number."""
        machine = offerer()
        machine.begin([], 100.0, complete=False)
        machine.more([UDP], 100.1, complete=False)
        machine.more([Candidate("host", "udp", "8.8.4.4", 7000)], 100.2, complete=True)
        checks = [effect for effect in machine.effects() if isinstance(effect, Check)]
        self.assertEqual([len(check.candidates) for check in checks], [0, 1, 1])
        self.assertEqual(len({check.number for check in checks}), 1)

    def test_the_news_that_nothing_more_comes_reaches_the_checks(self) -> None:
        """Or they would wait for it until their time is up."""
        machine, number = self.begun(UDP)
        machine.more([], 100.5, complete=True)
        self.assertEqual(machine.effects(), [Check(number, ())])

    def test_a_path_to_somebody_who_named_no_address_counts(self) -> None:
        """Peer-reflexive: the other side is still asking where it is, and its checks come through already."""
        machine = offerer()
        machine.begin([], 100.0, complete=False)
        (check,) = machine.effects()
        assert isinstance(check, Check)
        self.linked(machine, check.number)

    def test_more_candidates_while_a_link_is_opened_open_no_second_one(self) -> None:
        """The checks go on and find what they have found again."""
        machine, number = self.begun(UDP)
        link = self.linked(machine, number)
        machine.more([Candidate("host", "udp", "8.8.4.4", 7000)], 100.5, complete=True)
        machine.path_found(number, UDP)
        machine.path_found(number, Candidate("host", "udp", "8.8.4.4", 7000))
        self.assertEqual(dials(machine.effects()), [])
        machine.dial_failed(link, "QUIC failed")
        (second,) = dials(machine.effects())
        self.assertEqual(second.candidate, Candidate("host", "udp", "8.8.4.4", 7000))
        machine.dial_failed(second.number, "QUIC failed")
        self.assertEqual(dials(machine.effects()), [])

    def test_trickled_candidates_do_not_make_a_scanner_of_a_peer(self) -> None:
        """However many there are, by however many signals: no more calls than one offer could cause."""
        machine = offerer()
        machine.begin([], 100.0, complete=False)
        for number in range(200):
            candidate = Candidate("host", "tcp", f"10.0.{number}.9", 7000)
            machine.more([candidate], 100.0 + number / 1000, complete=False)
        machine.time_passed(109.0)
        self.assertLessEqual(len(dials(machine.effects())), DIALS_PER_NEGOTIATION)

    def test_the_reason_names_what_the_nats_do(self) -> None:
        """Not that some check was lost."""
        for mine, theirs, words in (
            ("address-and-port-dependent", "address-and-port-dependent", "both NATs"),
            ("endpoint-independent", "address-and-port-dependent", "the other one lets in only answers"),
            ("asking", "endpoint-independent", "the P2P server has not answered yet"),
            ("address-and-port-dependent", "asking", "the other side has had no answer"),
            ("blocked", "endpoint-independent", "this network lets no UDP through"),
            ("endpoint-independent", "blocked", "the other side's network lets no UDP through"),
        ):
            machine, number = self.begun(UDP)
            machine.mappings = (mine, theirs)
            machine.dial_failed(number, "no check was answered")
            machine.declined("udp: no check was answered")
            (failed,) = (effect for effect in machine.effects() if isinstance(effect, Failed))
            self.assertIn(words, dict(failed.reasons)[UDP_RUNG])
