"""The classic gateway's decisions: names that are too much alike, who is on the list, who is gone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.classic import Guest, Roster, Verdict, effective, is_near
from p2pim.core.classic_names import account_names, likeness
from p2pim.core.limits import (
    CLASSIC_ASK_AFTER,
    CLASSIC_ASKS,
    CLASSIC_GUESTS,
    CLASSIC_GUESTS_PER_HOST,
    CLASSIC_UNPROVED,
    CLASSIC_UNPROVED_TIME,
    CLASSIC_UNPROVED_TOLD,
)
from p2pim.core.names import canonical_conversation, canonical_name, guest_name, guest_user, is_guest_user
from p2pim.errors import BadName
from p2pim.wire.classic import Coding, Endpoint, Login

HERE = Endpoint("192.0.2.1", 5000)
THERE = Endpoint("192.0.2.2", 5000)
HOUR = 3_600.0


class NameTests(SynchronousTestCase):
    """Who could be mistaken for whom."""

    def test_names_that_look_the_same_are_alike(self) -> None:
        """Case, width, spaces, what nobody sees, and letters of other scripts."""
        for name in ("Alice", " alice ", "ＡＬＩＣＥ", "al\u200bice", "\u202ealice", "а\u2060lісе", "ali\ufe0fce"):
            self.assertEqual(likeness(name), "alice", ascii(name))
        self.assertNotEqual(likeness("alice"), likeness("alicia"))
        self.assertEqual(likeness("\u200b \u00a0"), "")
        for unseen in "\u034f\u115f\u3164\uffa0\u17b4\u180b\u2800\ufe0f\U000e0100":
            self.assertEqual(likeness(f"ali{unseen}ce"), "alice", ascii(unseen))

    def test_a_guest_is_asked_after_by_every_account_they_could_be_taken_for(self) -> None:
        """As written, and as it looks."""
        self.assertEqual(account_names("Bob"), ("bob",))
        self.assertEqual(account_names("Вob "), ("bob",))
        self.assertEqual(account_names("анна")[0], "анна")
        self.assertEqual(account_names("a b"), ("ab",))
        self.assertEqual(account_names("!"), ())

    def test_what_a_guest_is_called_is_no_account(self) -> None:
        """By no spelling."""
        self.assertEqual(guest_user("bob"), "bob@classic")
        self.assertTrue(is_guest_user("bob@classic"))
        self.assertFalse(is_guest_user("bob"))
        self.assertFalse(is_guest_user("#bob@classic"))
        self.assertEqual(guest_user("#bob"), "")
        self.assertRaises(BadName, canonical_name, "bob@classic")
        self.assertEqual(canonical_conversation("Bob B@classic"), "Bob B@classic")
        self.assertEqual(guest_name("bob, no@classic".replace(",", "")), "bob no")
        for wrong in ("bob", "@classic", "a,b@classic", "#x@classic", "a" * 33 + "@classic"):
            self.assertRaises(BadName, guest_name, wrong)

    def test_no_account_has_a_letter_that_nobody_sees(self) -> None:
        """Wherever in its name, and whatever else is there; Hangul that can be seen is as good as ever."""
        for unseen in "\u115f\u1160\u3164\uffa0\u200b\u2060\u034f\u17b4\ufe0f":
            for name in (unseen, f"{unseen}bob", f"b{unseen}ob", f"bob{unseen}", f"김{unseen}"):
                with self.assertRaises(BadName, msg=ascii(name)):
                    canonical_name(name)
        for name in ("bob", "김민수", "b_o.b-1", "0", "анна"):
            self.assertEqual(canonical_name(name), name)
        for name in ("_bob", ".bob", "-bob", ""):
            self.assertRaises(BadName, canonical_name, name)

    @given(st.text(min_size=1, max_size=32))
    def test_no_name_has_a_likeness_that_an_account_could_not_be_looked_up_by(self, name: str) -> None:
        """Whatever somebody logs in as, the names to look for are names that accounts can have."""
        for each in account_names(name):
            self.assertEqual(canonical_name(each), each)


class RosterTests(SynchronousTestCase):
    """Who is on the list."""

    def setUp(self) -> None:
        self.roster = Roster()

    def come(self, name: str, endpoint: Endpoint = HERE, now: float = 0.0, coding: Coding = Coding.UTF8) -> Guest:
        """A login that is let in."""
        self.assertIs(self.roster.judge(name, endpoint), Verdict.NEW)
        return self.roster.admit(Login(name, endpoint), endpoint, coding, now)[0]

    def test_a_name_is_taken_while_its_guest_is_here(self) -> None:
        """Also from another place of the same host, also one that only looks like it."""
        guest = self.come("alice")
        self.assertIs(self.roster.judge("alice", HERE), Verdict.KNOWN)
        self.assertIs(self.roster.judge("alice", THERE), Verdict.TAKEN)
        self.assertIs(self.roster.judge("alice", Endpoint(HERE.host, 5001)), Verdict.TAKEN)
        self.assertIs(self.roster.judge("ALICE", HERE), Verdict.TAKEN)
        self.assertIs(self.roster.judge("\u200b", THERE), Verdict.BAD)
        self.roster.remove(guest)
        self.assertIs(self.roster.judge("alice", THERE), Verdict.NEW)

    def test_only_the_host_that_logged_in_may_log_out(self) -> None:
        """And talk under the name."""
        guest = self.come("alice")
        self.assertIsNone(self.roster.leaving("alice", THERE.host))
        self.assertIsNone(self.roster.leaving("Alice", HERE.host))
        self.assertIs(self.roster.leaving("alice", HERE.host), guest)
        self.assertIsNone(self.roster.talked("alice", THERE.host, 1.0))
        self.assertIs(self.roster.talked("alice", HERE.host, 1.0), guest)

    def test_where_a_client_is_answered_is_always_at_its_own_host(self) -> None:
        """Whatever its login says."""
        self.assertEqual(effective(Endpoint("10.0.0.9", 5000), "192.0.2.1"), HERE)

    def test_the_silent_are_asked_and_those_who_answer_must_go_on_doing_so(self) -> None:
        """Who answered once and then misses several questions is gone."""
        guest, now = self.come("alice"), CLASSIC_ASK_AFTER
        self.assertEqual(self.roster.sweep(now).ask, [guest])
        self.roster.asked(guest, now)
        self.roster.repeat(guest.login, Coding.UTF8, now + 1)
        self.assertEqual(self.roster.sweep(now + 2).ask, [])
        now += 1
        for _ in range(CLASSIC_ASKS):
            now += CLASSIC_ASK_AFTER
            found = self.roster.sweep(now)
            self.assertEqual((found.ask, found.gone), ([guest], []))
            self.roster.asked(guest, now)
        self.assertEqual(self.roster.sweep(now + 1).gone, [])
        self.assertEqual(self.roster.sweep(now + CLASSIC_ASK_AFTER).gone, [guest])

    def test_who_never_answers_is_given_longer(self) -> None:
        """Old clients do not; but whoever never showed to receive anything is not kept for hours."""
        old, invented = self.come("alice"), self.come("mallory", THERE)
        self.roster.list_fetched(HERE.host, 1.0)
        for guest in (old, invented):
            for _ in range(2 * CLASSIC_ASKS):
                self.roster.asked(guest, 100.0)
        self.assertEqual(self.roster.sweep(CLASSIC_UNPROVED_TIME - 1).gone, [])
        self.assertEqual(self.roster.sweep(CLASSIC_UNPROVED_TIME).gone, [invented])
        self.assertIn(old, self.roster.sweep(self.roster.expiry + 1.0).gone)

    def test_the_network_is_believed_when_it_says_twice_that_nobody_is_there(self) -> None:
        """And a sign of life between the two makes it the first time again."""
        guest, other = self.come("alice"), self.come("bob", THERE)
        self.roster.unreachable(HERE)
        self.assertEqual(self.roster.sweep(2.0).ask, [guest])
        self.roster.repeat(guest.login, Coding.UTF8, 2.0)
        self.roster.unreachable(HERE)
        self.assertEqual(self.roster.sweep(2.0).gone, [])
        self.roster.unreachable(Endpoint(HERE.host, 0))
        self.assertEqual(self.roster.sweep(2.0).gone, [guest])
        self.assertEqual(other.refusals, 0)

    def test_the_list_comes_in_the_form_that_the_login_used(self) -> None:
        """The last login of the host that has not fetched it; when all have, the last of all."""
        self.come("alice")
        self.come("net", Endpoint(HERE.host, 5001), coding=Coding.UTF16)
        self.assertIs(self.roster.list_fetched(HERE.host, 1.0), Coding.UTF16)
        self.assertIs(self.roster.list_fetched(HERE.host, 1.0), Coding.UTF8)
        self.assertIs(self.roster.list_fetched(HERE.host, 1.0), Coding.UTF16)
        self.assertIs(self.roster.list_fetched(THERE.host, 1.0), Coding.UTF8)

    def test_there_is_room_for_so_many_of_one_host(self) -> None:
        """Further ones come later."""
        for number in range(CLASSIC_GUESTS_PER_HOST):
            self.come(f"user{number}", Endpoint(HERE.host, 5000 + number))
        self.assertIs(self.roster.judge("more", HERE), Verdict.FULL)
        self.assertIs(self.roster.judge("more", THERE), Verdict.NEW)

    def test_invented_hosts_push_out_only_each_other(self) -> None:
        """Those who have shown that they receive stay, and the bound holds whatever comes."""
        real = self.come("alice")
        self.roster.list_fetched(HERE.host, 0.0)
        for number in range(3 * CLASSIC_UNPROVED):
            endpoint = Endpoint(f"198.51.{number // 250}.{number % 250}", 5000)
            guest, gone = self.roster.admit(Login(f"user{number}", endpoint), endpoint, Coding.UTF8, float(number))
            self.assertNotIn(guest, gone)
            self.assertNotIn(real, gone)
            self.assertLessEqual(len(self.roster), CLASSIC_UNPROVED + 1)
        self.assertIs(self.roster.find("alice"), real)
        self.assertLessEqual(len(self.roster._codings), CLASSIC_UNPROVED + 1)

    def test_a_host_that_has_not_fetched_the_list_is_told_little(self) -> None:
        """However many log in in its name; once it has, all of its guests are told of everybody."""
        honest = self.come("alice", THERE)
        self.roster.list_fetched(THERE.host, 0.0)
        invented = [self.come(f"user{n}", Endpoint(HERE.host, 5000 + n)) for n in range(CLASSIC_GUESTS_PER_HOST)]
        self.assertEqual(self.roster.listeners(), [honest, *invented[:CLASSIC_UNPROVED_TOLD]])
        self.roster.list_fetched(HERE.host, 1.0)
        self.assertEqual(self.roster.listeners(), [honest, *invented])

    def test_neither_datagrams_nor_earlier_guests_prove_that_somebody_is_there(self) -> None:
        """When the question comes can be guessed; and who really is at a host did not ask for what others log in as."""
        real = self.come("alice")
        self.roster.list_fetched(HERE.host, 0.0)
        later = self.come("mallory", Endpoint(HERE.host, 5001))
        self.roster.asked(later, CLASSIC_ASK_AFTER)
        self.roster.repeat(later.login, Coding.UTF8, CLASSIC_ASK_AFTER + 1)
        self.assertEqual((real.proved, later.proved, later.answers), (True, False, True))

    def test_a_full_list_takes_nobody(self) -> None:
        """All in all there is a bound, too."""
        for number in range(CLASSIC_GUESTS):
            endpoint = Endpoint(f"198.51.{number // 250}.{number % 250}", 5000)
            self.come(f"user{number}", endpoint).proved = True
        self.assertIs(self.roster.judge("more", HERE), Verdict.FULL)

    def test_local_networks_are_told_from_the_internet(self) -> None:
        """What ``interface = "lan"`` goes by."""
        for host in ("127.0.0.1", "10.1.2.3", "192.168.7.7", "172.16.0.1", "169.254.1.1", "::1", "fd00::1", "fe80::1"):
            self.assertTrue(is_near(host), host)
        for host in ("8.8.8.8", "2001:4860::1", "100.64.0.1", "somewhere", ""):
            self.assertFalse(is_near(host), host)

    @settings(max_examples=60)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["come", "leave", "fetch", "asked", "unreachable", "sweep"]),
                st.sampled_from(["alice", "Alice", "bob", "b\u200bob", "eve"]),
                st.sampled_from([HERE, THERE, Endpoint(HERE.host, 5001)]),
                st.floats(0.0, HOUR),
            ),
            max_size=60,
        )
    )
    def test_whatever_happens_no_two_guests_look_the_same(
        self, happenings: list[tuple[str, str, Endpoint, float]]
    ) -> None:
        """And nothing is kept of hosts that nobody is at."""
        now = 0.0
        for what, name, endpoint, wait in happenings:
            now += wait
            self.happen(what, name, endpoint, now)
            guests = list(self.roster)
            self.assertEqual(len({likeness(guest.name) for guest in guests}), len(guests))
            self.assertLessEqual(set(self.roster._codings), {guest.endpoint.host for guest in guests})

    def happen(self, what: str, name: str, endpoint: Endpoint, now: float) -> None:
        """One of the things that can."""
        login, guest = Login(name, endpoint), self.roster.find(name)
        if what == "come":
            verdict = self.roster.judge(name, endpoint)
            if verdict is Verdict.NEW:
                self.roster.admit(login, endpoint, Coding.UTF8, now)
            elif verdict is Verdict.KNOWN:
                self.roster.repeat(login, Coding.UTF16, now)
        elif what == "fetch":
            self.roster.list_fetched(endpoint.host, now)
        elif what == "asked" and guest is not None:
            self.roster.asked(guest, now)
        elif what == "unreachable":
            self.roster.unreachable(endpoint)
        elif what == "leave" and guest is not None:
            self.roster.remove(guest)
        elif what == "sweep":
            for each in self.roster.sweep(now).gone:
                self.roster.remove(each)
