"""Asking to be a contact, agreeing, declining; and what somebody blocked sees of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import CONTACT_REQUEST_BURST, CONTACT_REQUESTS_PENDING, CONTACT_REQUESTS_WAITING
from p2pim.storage import accounts, contacts
from p2pim.wire.messages import (
    AddContact,
    BlockUser,
    Failed,
    Found,
    LookUp,
    Person,
    PresenceChanged,
    RemoveContact,
    Welcome,
)
from tests.server.support import PASSWORD, Client, World


class RequestTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.alice = self.world.user("alice")
        self.bob = self.world.user("bob")

    def add(self, client: Client, user: str) -> Person:
        """What ``client`` is answered to an `AddContact`."""
        client.received()
        client.send(AddContact(1, user))
        (found,) = client.all(Found)
        return found.people[0]

    def told(self, client: Client) -> list[tuple[str, str]]:
        """The news of relations."""
        return [(news.person.user, news.person.relation) for news in client.all(PresenceChanged)]

    def relations(self, user: str) -> dict[str, str]:
        """What a new device of ``user`` is told of relations when it signs in."""
        client = self.world.client().sign_in(user, password=PASSWORD)
        return {person.user: person.relation for person in client.one(Welcome).contacts}

    def test_a_request_is_told_at_once_and_shows_nothing_of_either(self) -> None:
        """The one asked learns who asks; no presence, no address goes either way."""
        self.assertEqual(self.add(self.alice, "bob"), Person("bob", "", [], "requested"))
        (news,) = self.bob.all(PresenceChanged)
        self.assertEqual(news.person, Person("alice", "", [], "asks"))

    def test_a_request_waits_for_whoever_is_away_and_outlives_sessions(self) -> None:
        """It comes with the next sign-in, and with each until it is answered."""
        self.bob.lose()
        self.add(self.alice, "bob")
        for _ in range(2):
            self.assertEqual(self.relations("bob"), {"alice": "asks"})
        self.assertEqual(self.relations("alice"), {"bob": "requested"})

    def test_adding_in_turn_agrees(self) -> None:
        """Whichever side asked first; asking twice agrees to nothing."""
        self.add(self.alice, "bob")
        self.assertEqual(self.add(self.alice, "bob").relation, "requested")
        self.assertEqual(self.add(self.bob, "alice").relation, "contact")
        self.assertEqual(self.told(self.alice)[-1:], [("bob", "contact")])
        self.assertEqual(self.relations("alice"), {"bob": "contact"})

    def test_removing_declines_withdraws_and_parts_for_both(self) -> None:
        """Nobody stays on a list whose owner has left theirs; both are told."""
        for agreed, remover, other in ((False, self.bob, self.alice), (False, self.alice, self.bob),
                                       (True, self.alice, self.bob)):  # fmt: skip
            self.add(self.alice, "bob")
            if agreed:
                self.add(self.bob, "alice")
            for client in (self.alice, self.bob):
                client.received()
            remover.send(RemoveContact(2, other.welcome.user))
            self.assertEqual(self.told(other), [(remover.welcome.user, "")])
            self.assertEqual((self.relations("alice"), self.relations("bob")), ({}, {}))

    def test_the_other_devices_of_whoever_asks_or_answers_hear_of_it(self) -> None:
        """A person's devices show the same list."""
        second = self.world.client().sign_in("bob", password=PASSWORD)
        second.received()
        self.add(self.alice, "bob")
        self.assertEqual(self.told(second), [("alice", "asks")])
        self.add(self.bob, "alice")
        self.assertIn(("alice", "contact"), self.told(second))

    def test_somebody_blocked_may_ask_and_sees_no_difference(self) -> None:
        """The request looks like any other to them, now and later; nobody hears of it until the block ends."""
        self.bob.send(BlockUser(1, "alice", True))
        self.bob.received()
        self.assertEqual(self.add(self.alice, "bob"), Person("bob", "", [], "requested"))
        self.assertEqual(self.bob.received(), [])
        self.assertEqual((self.relations("alice"), self.relations("bob")), ({"bob": "requested"}, {"alice": "blocked"}))
        self.bob.send(BlockUser(2, "alice", False))
        self.bob.received()
        self.assertEqual(self.relations("bob"), {"alice": "asks"})

    def test_whom_one_has_blocked_one_does_not_ask(self) -> None:
        """It would be a way to be answered by nobody."""
        self.bob.send(BlockUser(1, "alice", True))
        self.bob.received()
        self.bob.send(AddContact(2, "alice"))
        self.assertEqual(self.bob.one(Failed).code, "refused")

    def test_requests_are_limited_in_time(self) -> None:
        """Nobody goes through a directory of names; agreeing is always possible."""
        for number in range(int(CONTACT_REQUEST_BURST) + 1):
            accounts.add_account(self.world.database.connection, f"user{number}", "x", 0.0)
        self.add(self.bob, "alice")
        for number in range(int(CONTACT_REQUEST_BURST)):
            self.add(self.alice, f"user{number}")
        self.alice.send(AddContact(1, f"user{int(CONTACT_REQUEST_BURST)}"))
        (failed,) = self.alice.all(Failed)
        self.assertEqual(failed.code, "rate-limited")
        self.assertGreater(failed.retry_after, 0)
        self.assertEqual(self.add(self.alice, "bob").relation, "contact")

    def test_requests_without_an_answer_are_bounded_at_both_ends(self) -> None:
        """Neither can one account ask everybody, nor everybody one; what was refused is not kept."""
        database = self.world.database.connection
        for number in range(max(CONTACT_REQUESTS_PENDING, CONTACT_REQUESTS_WAITING)):
            accounts.add_account(database, f"user{number}", "x", 0.0)
        for number in range(CONTACT_REQUESTS_PENDING):
            contacts.add_contact(database, "alice", f"user{number}")
        for number in range(CONTACT_REQUESTS_WAITING):
            contacts.add_contact(database, f"user{number}", "bob")
        carol = self.world.user("carol")
        for client, user in ((self.alice, "carol"), (carol, "bob")):
            client.received()
            client.send(AddContact(1, user))
            self.assertEqual([failed.code for failed in client.all(Failed)], ["too-many"])
        self.assertEqual(self.relations("carol"), {})
        self.add(self.bob, "user1")
        self.assertEqual(self.add(carol, "bob").relation, "requested")

    def test_a_sign_in_that_crosses_an_agreement_knows_of_it(self) -> None:
        """Lists that were read before a change are read again after it."""
        self.add(self.alice, "bob")
        self.bob.lose()
        phone = self.world.client().sign_in("bob", password=PASSWORD)
        phone.received()
        self.alice.received()
        self.world.database.held = []
        back = self.world.client()
        back.sign_in("bob", device=self.bob.device, token=self.bob.welcome.token)
        (reading,) = self.world.database.held
        self.world.database.held = []
        read, answer = reading
        before = read(self.world.database.connection)
        phone.send(AddContact(1, "alice"))
        self.world.database.go_on()
        answer.callback(before)
        (welcome,) = back.all(Welcome)
        self.assertEqual([(each.user, each.relation) for each in welcome.contacts], [("alice", "contact")])

    def test_a_look_up_tells_the_relation(self) -> None:
        """And of somebody asked no more than of a stranger."""
        self.add(self.alice, "bob")
        self.alice.send(LookUp(2, ["bob"]))
        (found,) = self.alice.all(Found)
        self.assertEqual((found.people[0].relation, found.people[0].status), ("requested", ""))
