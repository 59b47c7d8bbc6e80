"""My contact list, as the peer keeps it: who is asked when, and what is told of what others do."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import NoSuchUser, P2pimError, RateLimited
from p2pim.peer.background import Background
from p2pim.peer.contacts import Contacts
from p2pim.peer.people import People
from p2pim.wire.messages import AddContact, BlockUser, Device, Done, Found, LookUp, Message, Person

ME, BOB = b"m" * 16, b"b" * 16


class World:
    """A server that answers as told, and all that the contact list tells others."""

    def __init__(self) -> None:
        self.people = People(ME)
        self.people.signed_in([])
        self.welcome = SimpleNamespace(user="alice")
        self.asked: list[Message] = []
        self.answer: Person | P2pimError = Person("bob", "", [], "requested")
        self.told: list[tuple[str, ...]] = []
        context: Any = SimpleNamespace(
            wall=lambda: 0.0,
            emit=lambda event: self.told.append((event.event, event.user)),
            journal=SimpleNamespace(write=lambda kind, user, text: None),
        )
        anything: Any = self
        self.contacts = Contacts(context, anything, self.people, anything, self, Background())

    async def request(self, message_factory: Callable[[int], Message]) -> Message:
        self.asked.append(message_factory(1))
        if isinstance(self.answer, P2pimError):
            raise self.answer
        return Found(1, [self.answer]) if isinstance(self.asked[-1], AddContact | LookUp) else Done(1)

    def note(self, person: Person) -> None:
        self.people.changed(person)

    async def look_up(self, user: str) -> None:
        await self.request(lambda number: LookUp(number, [user]))
        assert isinstance(self.answer, Person)
        self.note(self.answer)

    def befriended(self, user: str) -> None:
        self.told.append(("befriended", user))

    def disconnect(self, user: str, reason: str) -> None:
        self.told.append(("disconnected", user))

    def hear(self, person: Person) -> None:
        """The server tells of somebody."""
        before = self.people.relation(person.user)
        self.people.changed(person)
        self.contacts.changed(person.user, before)


class ContactsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.contacts = self.world.contacts

    def acquaint(self, user: str = "bob") -> list[Message]:
        """What the server is asked when I write to ``user``."""
        self.world.asked.clear()
        self.successResultOf(Deferred.fromCoroutine(self.contacts.acquaint(user)))
        return list(self.world.asked)

    def test_writing_to_a_stranger_asks_them_once(self) -> None:
        """Whoever is written to learns who writes; a second message asks nothing."""
        self.assertEqual(self.acquaint(), [AddContact(1, "bob")])
        self.assertEqual(self.world.people.relation("bob"), "requested")
        self.assertEqual(self.acquaint(), [])

    def test_writing_to_whoever_asks_agrees(self) -> None:
        """An answer is an answer."""
        self.world.hear(Person("bob", "", [], "asks"))
        self.assertEqual(self.world.told, [("contact-request", "bob")])
        self.world.answer = Person("bob", "online", [Device(BOB, "desk", "10.0.0.3:5")], "contact")
        self.assertEqual(self.acquaint(), [AddContact(1, "bob")])
        self.assertEqual(self.world.told[1:], [("befriended", "bob")])
        self.assertTrue(self.world.people.knows_me("bob"))

    def test_being_agreed_with_is_told(self) -> None:
        """Both see more of each other now, and a direct way may be possible."""
        self.acquaint()
        self.world.hear(Person("bob", "online", [Device(BOB, "desk", "10.0.0.3:5")], "contact"))
        self.assertEqual(self.world.told, [("contact-accepted", "bob"), ("befriended", "bob")])

    def test_whoever_declined_or_left_is_not_asked_by_writing(self) -> None:
        """Only by being added again; and channels that told where I am are closed."""
        self.acquaint()
        self.world.hear(Person("bob", "", [], ""))
        self.assertEqual(self.acquaint(), [])
        self.successResultOf(Deferred.fromCoroutine(self.contacts.add("bob")))
        self.world.hear(Person("bob", "online", [Device(BOB, "desk", "10.0.0.3:5")], "contact"))
        self.world.told.clear()
        self.world.hear(Person("bob", "", [], ""))
        self.assertEqual(self.world.told, [("disconnected", "bob")])
        self.assertFalse(self.world.people.knows_me("bob"))
        self.assertEqual(list(self.world.people.devices("bob")), [BOB])

    def test_nobody_is_asked_where_all_see_all_nor_oneself(self) -> None:
        """An office needs no requests; its server tells addresses."""
        self.world.hear(Person("bob", "online", [Device(BOB, "desk", "10.0.0.3:5")]))
        self.assertTrue(self.world.people.knows_me("bob"))
        self.assertEqual(self.acquaint() + self.acquaint("alice"), [])

    def test_a_request_that_fails_does_not_stop_a_message(self) -> None:
        """Unless there is nobody of that name."""
        self.world.answer = RateLimited()
        self.acquaint()
        self.world.answer = NoSuchUser()
        self.failureResultOf(Deferred.fromCoroutine(self.contacts.acquaint("nobody")), NoSuchUser)

    def test_what_happened_between_sessions_is_told(self) -> None:
        """Requests that waited, and agreements; not what was so before."""
        self.acquaint()
        before = self.world.people.signed_in([Person("bob", "offline", [], "contact"), Person("carol", "", [], "asks")])
        self.contacts.signed_in(before, ["dave"])
        self.assertEqual(
            self.world.told, [("contact-accepted", "bob"), ("befriended", "bob"), ("contact-request", "carol")]
        )
        self.assertEqual(self.world.asked[1:], [AddContact(1, "dave")])
        self.assertEqual(self.world.people.signed_in(self.world.people.all()), {})

    def test_unblocking_finds_out_what_they_are(self) -> None:
        """Somebody who was a contact is one again."""
        self.successResultOf(Deferred.fromCoroutine(self.contacts.block("bob")))
        self.assertTrue(self.world.people.is_blocked("bob"))
        self.world.answer = Person("bob", "away", [], "contact")
        self.successResultOf(Deferred.fromCoroutine(self.contacts.unblock("bob")))
        self.assertTrue(self.world.people.is_contact("bob"))
        self.assertIn(BlockUser(1, "bob", False), self.world.asked)
