"""Who is told of whom, checked against a slow and obvious model."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.presence import (
    ASKS,
    CONTACT,
    NO_RELATION,
    OFFLINE,
    REQUESTED,
    Entry,
    PresenceGraph,
    shown_status,
)

EVERYBODY = ["ann", "bob", "cid", "dot"]
NAMES = st.sampled_from(EVERYBODY)


class PresenceMachine(RuleBasedStateMachine):
    """Users come, go, ask, agree, part and block each other at random; the graph must agree with the definition."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = PresenceGraph()
        self.wants: set[tuple[str, str]] = set()
        self.entries: dict[str, Entry] = {}

    def relation(self, one: str, other: str) -> str:
        """How ``one`` stands to ``other``, by who would have whom."""
        if one == other:
            return NO_RELATION
        mine, theirs = (one, other) in self.wants, (other, one) in self.wants
        return (CONTACT if theirs else REQUESTED) if mine else ASKS if theirs else NO_RELATION

    @rule(name=NAMES, blocked=st.sets(NAMES))
    def arrive(self, name: str, blocked: set[str]) -> None:
        """Sign in, with the lists as stored."""
        relations = {other: self.relation(name, other) for other in EVERYBODY}
        lists = [[other for other in EVERYBODY if relations[other] == kind] for kind in (CONTACT, REQUESTED, ASKS)]
        self.entries[name] = Entry(name, lists[0], blocked, lists[1], lists[2])
        self.graph.arrive(self.entries[name])

    @rule(name=NAMES)
    def leave(self, name: str) -> None:
        """Sign out, or vanish, or do so once more."""
        self.graph.leave(name)
        self.entries.pop(name, None)

    @rule(one=NAMES, other=NAMES)
    def add(self, one: str, other: str) -> None:
        """Ask somebody, or agree."""
        if one != other:
            self.wants.add((one, other))
            self.graph.relate(one, other, self.relation(one, other))

    @rule(one=NAMES, other=NAMES)
    def remove(self, one: str, other: str) -> None:
        """Part, or decline, or withdraw."""
        self.wants -= {(one, other), (other, one)}
        self.graph.relate(one, other, NO_RELATION)

    @rule(name=NAMES)
    def forget(self, name: str) -> None:
        """An account is deleted."""
        self.leave(name)
        self.wants = {pair for pair in self.wants if name not in pair}
        self.graph.forget(name)

    @invariant()
    def the_audience_is_the_contacts_who_are_online_and_not_blocked(self) -> None:
        """The definition of who is told."""
        for name in EVERYBODY:
            agreed = {other for other in self.entries if self.relation(name, other) == CONTACT}
            blocked = self.entries[name].blocked if name in self.entries else set()
            assert set(self.graph.audience(name)) == agreed - blocked

    @invariant()
    def seeing_and_being_told_are_the_same_relation(self) -> None:
        """What a newcomer is shown is whose changes they will hear of."""
        for viewer in self.entries:
            seen = set(self.graph.visible_to(viewer))
            assert seen == {name for name in self.entries if viewer in self.graph.audience(name)}

    @invariant()
    def everybody_knows_how_they_stand_to_everybody(self) -> None:
        """And whom one has blocked is that first."""
        for one, entry in self.entries.items():
            for other in EVERYBODY:
                if one != other:
                    assert entry.relation(other) == ("blocked" if other in entry.blocked else self.relation(one, other))


class PresenceTests(SynchronousTestCase):
    def test_the_graph_agrees_with_the_definition_whatever_people_do(self) -> None:
        """Indexes kept up to date by hand are the same as lists searched from end to end."""
        run_state_machine_as_test(PresenceMachine)

    def test_who_is_blocked_is_neither_told_nor_shown(self) -> None:
        """Blocking hides."""
        graph = PresenceGraph()
        graph.arrive(Entry("ann", ["bob"], ["bob"]))
        graph.arrive(Entry("bob", ["ann"], []))
        self.assertEqual(graph.audience("ann"), [])
        self.assertEqual(graph.visible_to("bob"), [])
        self.assertTrue(graph.blocks("ann", "bob"))

    def test_after_leaving_the_blocked_are_still_not_told(self) -> None:
        """Going offline is no news for those who saw nothing before."""
        graph = PresenceGraph()
        graph.arrive(Entry("ann", ["bob"], ["bob"]))
        graph.arrive(Entry("bob", ["ann"], []))
        blocked = graph.blocked_by("ann")
        graph.leave("ann")
        self.assertEqual(graph.audience("ann", blocked), [])

    def test_whoever_only_asks_sees_nothing(self) -> None:
        """Asking tells neither side anything; agreeing tells both."""
        graph = PresenceGraph()
        graph.arrive(Entry("ann", [], []))
        graph.arrive(Entry("bob", [], []))
        graph.relate("ann", "bob", REQUESTED)
        self.assertFalse(graph.shows("ann", "bob") or graph.shows("bob", "ann"))
        graph.relate("bob", "ann", CONTACT)
        self.assertTrue(graph.shows("ann", "bob") and graph.shows("bob", "ann"))

    def test_everyone_sees_everyone_up_to_the_bound_only(self) -> None:
        """An office LAN's roster; its cost is bounded."""
        graph = PresenceGraph(everyone=2)
        graph.arrive(Entry("ann", [], []))
        graph.arrive(Entry("bob", [], []))
        self.assertEqual(graph.visible_to("ann"), ["bob"])
        graph.arrive(Entry("cid", [], []))
        self.assertEqual(graph.visible_to("ann"), [])

    def test_with_several_devices_the_most_present_is_shown(self) -> None:
        """A phone that is away does not hide the person at the desk; invisible alone is offline."""
        self.assertEqual(shown_status(["away", "online"]), "online")
        self.assertEqual(shown_status(["invisible", "away"]), "away")
        self.assertEqual(shown_status(["invisible"]), OFFLINE)
        self.assertEqual(shown_status([]), OFFLINE)
