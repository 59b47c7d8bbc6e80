"""Who is told of whom, checked against a slow and obvious model."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.presence import OFFLINE, Entry, PresenceGraph, shown_status

NAMES = st.sampled_from(["ann", "bob", "cid", "dot"])


class PresenceMachine(RuleBasedStateMachine):
    """Users come, go, list and block each other at random; the graph must agree with the definition."""

    def __init__(self) -> None:
        super().__init__()
        self.graph = PresenceGraph()
        self.contacts: dict[str, set[str]] = {}
        self.blocked: dict[str, set[str]] = {}
        self.online: set[str] = set()

    @rule(name=NAMES)
    def arrive(self, name: str) -> None:
        """Sign in, with the lists as stored."""
        self.graph.arrive(Entry(name, self.contacts.get(name, set()), self.blocked.get(name, set())))
        self.online.add(name)

    @rule(name=NAMES)
    def leave(self, name: str) -> None:
        """Sign out, or vanish, or do so once more."""
        self.graph.leave(name)
        self.online.discard(name)

    @rule(owner=NAMES, contact=NAMES)
    def add(self, owner: str, contact: str) -> None:
        """Put somebody on a list."""
        self.contacts.setdefault(owner, set()).add(contact)
        self.graph.add_contact(owner, contact)

    @rule(owner=NAMES, contact=NAMES)
    def remove(self, owner: str, contact: str) -> None:
        """Take somebody off a list."""
        self.contacts.setdefault(owner, set()).discard(contact)
        self.graph.remove_contact(owner, contact)

    @invariant()
    def the_audience_is_who_lists_them_is_online_and_not_blocked(self) -> None:
        """The definition of who is told."""
        for name in ("ann", "bob", "cid", "dot"):
            lists = {other for other in self.online if name in self.contacts.get(other, set())}
            blocked = self.blocked.get(name, set()) if name in self.online else set()
            assert set(self.graph.audience(name)) == lists - blocked - {name}

    @invariant()
    def seeing_and_being_told_are_the_same_relation(self) -> None:
        """What a newcomer is shown is whose changes they will hear of."""
        for viewer in self.online:
            seen = set(self.graph.visible_to(viewer))
            assert seen == {name for name in self.online if viewer in self.graph.audience(name)}


class PresenceTests(SynchronousTestCase):
    def test_the_graph_agrees_with_the_definition_whatever_people_do(self) -> None:
        """Indexes kept up to date by hand are the same as lists searched from end to end."""
        run_state_machine_as_test(PresenceMachine)

    def test_who_is_blocked_is_neither_told_nor_shown(self) -> None:
        """Blocking hides."""
        graph = PresenceGraph()
        graph.arrive(Entry("ann", [], ["bob"]))
        graph.arrive(Entry("bob", ["ann"], []))
        self.assertEqual(graph.audience("ann"), [])
        self.assertEqual(graph.visible_to("bob"), [])
        self.assertTrue(graph.hidden("ann", "bob"))

    def test_after_leaving_the_blocked_are_still_not_told(self) -> None:
        """Going offline is no news for those who saw nothing before."""
        graph = PresenceGraph()
        graph.arrive(Entry("ann", [], ["bob"]))
        graph.arrive(Entry("bob", ["ann"], []))
        blocked = graph.blocked_by("ann")
        graph.leave("ann")
        self.assertEqual(graph.audience("ann", blocked), [])

    def test_addresses_are_for_those_whom_one_lists(self) -> None:
        """Listing somebody does not tell where they are; being listed does."""
        graph = PresenceGraph()
        graph.arrive(Entry("ann", ["bob"], []))
        graph.arrive(Entry("bob", [], []))
        self.assertTrue(graph.knows_address("ann", "bob"))
        self.assertFalse(graph.knows_address("bob", "ann"))

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
