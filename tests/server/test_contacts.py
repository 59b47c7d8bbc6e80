"""Contact lists, look-ups, and who is told of whose presence."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import CONTACTS, PRESENCE_DELAY, PRESENCE_INTERVAL, REQUEST_BURST
from p2pim.storage import accounts, contacts
from p2pim.wire.messages import (
    AddContact,
    BlockUser,
    Device,
    Done,
    Failed,
    Found,
    LookUp,
    Person,
    PresenceChanged,
    RemoveContact,
    SetStatus,
    Welcome,
    WhoIsOnline,
)
from tests.server.support import PASSWORD, Client, World


class ContactTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.alice = self.world.user("alice")
        self.bob = self.world.user("bob")
        self.quiet()

    def quiet(self) -> None:
        """Let all news be told, and forget it."""
        self.world.pass_time(2 * PRESENCE_INTERVAL)
        for client in (self.alice, self.bob):
            client.received()

    def add(self, client: Client, user: str) -> Found:
        """Put ``user`` on the list of ``client``."""
        client.send(AddContact(1, user))
        return client.one(Found)

    def befriend(self, one: Client | None = None, other: str = "bob", by: Client | None = None) -> None:
        """Make alice and bob (or others) contacts, and let all news of it be told."""
        one, by = one or self.alice, by or self.bob
        self.add(one, other)
        by.received()
        by.send(AddContact(2, one.welcome.user))
        for client in (one, by):
            client.received()

    def news(self, client: Client) -> list[tuple[str, str]]:
        """What ``client`` is told, after the delay in which news are collected."""
        self.world.clock.advance(PRESENCE_DELAY)
        return [(each.person.user, each.person.status) for each in client.all(PresenceChanged)]

    def failure(self, client: Client) -> str:
        """The code of the one failure."""
        return client.one(Failed).code

    # --- the list

    def test_adding_somebody_shows_them_and_keeps_them(self) -> None:
        """The list is on the server, and comes with the next sign-in."""
        (person,) = self.add(self.alice, "Bob").people
        self.assertEqual((person.user, person.status, person.relation), ("bob", "", "requested"))
        self.bob.received()
        (person,) = self.add(self.bob, "alice").people
        self.assertEqual((person.user, person.status, person.relation), ("alice", "online", "contact"))
        again = self.world.client().sign_in("alice", password=PASSWORD).one(Welcome)
        self.assertEqual([(each.user, each.status) for each in again.contacts], [("bob", "online")])

    def test_adding_twice_and_removing_twice_are_as_once(self) -> None:
        """A repeated request after a lost answer does no harm."""
        self.add(self.alice, "bob")
        self.add(self.alice, "bob")
        for number in (1, 2):
            self.alice.send(RemoveContact(number, "bob"))
            self.alice.one(Done)
        self.assertEqual(self.world.client().sign_in("alice", password=PASSWORD).one(Welcome).contacts, [])

    def test_people_who_do_not_exist_cannot_be_added(self) -> None:
        """Nor names that nobody can have, nor oneself."""
        for name, code in (("nobody", "no-such-user"), ("..", "no-such-user"), ("alice", "refused")):
            self.alice.send(AddContact(1, name))
            self.assertEqual(self.failure(self.alice), code)

    def test_the_list_is_bounded(self) -> None:
        """The one beyond the bound is refused and not stored."""
        database = self.world.database.connection
        for number in range(CONTACTS):
            accounts.add_account(database, f"user{number}", "x", 0.0)
            contacts.add_contact(database, f"user{number}", "alice")
            contacts.add_contact(database, "alice", f"user{number}")
        self.alice.send(AddContact(1, "bob"))
        self.assertEqual(self.failure(self.alice), "too-many")
        (count,) = database.execute("SELECT count(*) FROM contacts").fetchone()
        self.assertEqual(count, 2 * CONTACTS)

    def test_what_could_not_be_stored_is_not_acknowledged(self) -> None:
        """An acknowledged change is one that is on the disk."""
        self.world.database.broken = True
        self.alice.send(AddContact(1, "bob"))
        self.assertEqual(self.failure(self.alice), "database-down")
        self.bob.send(SetStatus("away"))
        self.assertEqual(self.news(self.alice), [])

    def test_requests_are_limited_and_told_when_to_go_on(self) -> None:
        """A client in a loop does not keep the database busy."""
        self.alice.send(*[LookUp(number, ["bob"]) for number in range(int(REQUEST_BURST) + 5)])
        failures = self.alice.all(Failed)
        self.assertEqual([failed.code for failed in failures], ["rate-limited"] * 5)
        self.assertGreater(failures[0].retry_after, 0.0)
        self.assertFalse(self.alice.closed)

    # --- presence

    def test_contacts_are_told_of_changes_and_nobody_else(self) -> None:
        """Presence goes to contacts only, as changes; having asked is not enough, at either end."""
        self.add(self.alice, "bob")
        self.bob.received()
        self.bob.send(SetStatus("busy"))
        self.assertEqual(self.news(self.alice), [])
        self.alice.send(SetStatus("away"))
        self.assertEqual(self.news(self.bob), [])
        self.add(self.bob, "alice")
        self.quiet()
        self.bob.send(SetStatus("online"))
        self.assertEqual(self.news(self.alice), [("bob", "online")])

    def test_coming_and_going_is_told(self) -> None:
        """Online, and offline however the connection ended."""
        self.befriend()
        self.bob.lose()
        self.assertEqual(self.news(self.alice), [("bob", "offline")])
        self.world.pass_time(PRESENCE_INTERVAL)
        self.world.client().sign_in("bob", device=self.bob.device, token=self.bob.welcome.token)
        self.assertEqual(self.news(self.alice), [("bob", "online")])

    def test_a_reconnect_is_no_news(self) -> None:
        """Away and back within the delay is told as what it is: still online."""
        self.befriend()
        self.bob.lose()
        self.world.client().sign_in("bob", device=self.bob.device, token=self.bob.welcome.token)
        self.assertEqual(self.news(self.alice), [("bob", "online")])

    def test_flapping_costs_the_others_one_message_a_second(self) -> None:
        """And the last news is the truth."""
        self.befriend()
        told = []
        for number in range(100):
            self.bob.send(SetStatus("away" if number % 2 == 0 else "online"))
            told += self.news(self.alice)
        self.bob.send(SetStatus("busy"))
        self.world.pass_time(2 * PRESENCE_INTERVAL, 0.1)
        told += [(each.person.user, each.person.status) for each in self.alice.all(PresenceChanged)]
        self.assertLessEqual(len(told), 2 + 100 * PRESENCE_DELAY / PRESENCE_INTERVAL + 1)
        self.assertEqual(told[-1], ("bob", "busy"))

    def test_an_invisible_user_looks_offline_and_can_still_be_written_to(self) -> None:
        """Invisible is for the eyes only."""
        self.befriend()
        self.bob.send(SetStatus("invisible"))
        self.assertEqual(self.news(self.alice), [("bob", "offline")])
        self.alice.send(LookUp(1, ["bob"]))
        self.assertEqual(self.alice.one(Found).people[0].devices, [])

    def test_a_login_costs_the_others_what_they_must_know(self) -> None:
        """With any number of users online, only the newcomer's contacts hear of it, once each."""
        others = [self.world.user(f"user{number}", host="127.0.0.1") for number in range(30)]
        for client in others[:3]:
            self.befriend(client)
        self.bob.lose()
        self.quiet_all(others)
        self.world.client().sign_in("bob", device=self.bob.device, token=self.bob.welcome.token)
        told = [self.news(client) for client in others]
        self.assertEqual(told, [[("bob", "online")]] * 3 + [[]] * 27)

    def quiet_all(self, clients: list[Client]) -> None:
        """As `quiet`, for others."""
        self.world.pass_time(2 * PRESENCE_INTERVAL)
        for client in clients:
            client.received()

    # --- addresses

    def test_of_a_stranger_one_learns_that_they_exist_and_which_devices_they_have(self) -> None:
        """Enough to write to them, and the same whether they are there or not; one who is a contact is shown."""
        told = []
        for _ in ("there", "away"):
            self.alice.send(LookUp(1, ["bob"]))
            told += self.alice.one(Found).people
            self.bob.lose()
        self.assertEqual(told, [Person("bob", "", [Device(self.bob.device, "")])] * 2)
        self.bob = self.world.client().sign_in("bob", device=self.bob.device, token=self.bob.welcome.token)
        self.bob.welcome = self.bob.one(Welcome)
        self.befriend()
        self.alice.send(LookUp(2, ["bob"]))
        (person,) = self.alice.one(Found).people
        self.assertEqual((person.status, person.devices[0].address), ("online", self.bob.welcome.address))

    def test_agreeing_brings_presence_and_address_to_both_without_asking(self) -> None:
        """Each learns at once that they may see more."""
        self.add(self.alice, "bob")
        self.bob.received()
        (shown,) = self.add(self.bob, "alice").people
        (news,) = self.alice.all(PresenceChanged)
        self.assertEqual((news.person.relation, shown.relation), ("contact", "contact"))
        self.assertEqual(news.person.devices[0].address, self.bob.welcome.address)
        self.assertEqual(shown.devices[0].address, self.alice.welcome.address)

    def test_looking_up_somebody_who_does_not_exist_says_so(self) -> None:
        """And a contact who is away is offline."""
        self.befriend()
        self.bob.lose()
        self.quiet()
        self.alice.send(LookUp(1, ["bob"]))
        self.assertEqual(self.alice.one(Found).people[0].status, "offline")
        self.alice.send(LookUp(2, ["bob", "nobody"]))
        self.assertEqual(self.failure(self.alice), "no-such-user")

    def test_who_is_online_lists_those_whom_the_asker_sees(self) -> None:
        """Contacts who are here, with addresses."""
        carol = self.world.user("carol")
        carol.send(AddContact(1, "alice"))
        self.alice.received()
        self.befriend()
        self.alice.send(WhoIsOnline(1))
        people = self.alice.one(Found).people
        self.assertEqual([(each.user, each.devices[0].address) for each in people], [("bob", self.bob.welcome.address)])

    # --- blocking

    def test_blocking_hides_and_unblocking_shows_again(self) -> None:
        """To the blocked the other looks offline, at once; whoever asks for them is told why."""
        self.befriend()
        self.bob.send(BlockUser(1, "alice", True))
        self.bob.one(Done)
        self.assertEqual(self.news(self.alice), [("bob", "offline")])
        self.bob.send(SetStatus("away"))
        self.assertEqual(self.news(self.alice), [])
        self.alice.send(LookUp(1, ["bob"]), WhoIsOnline(2))
        heard = self.alice.received()
        self.assertEqual([(m.id, m.code) for m in heard if isinstance(m, Failed)], [(1, "blocked")])
        self.assertEqual([m.people for m in heard if isinstance(m, Found)], [[]])
        self.bob.send(BlockUser(2, "alice", False))
        self.assertEqual(self.news(self.alice), [("bob", "away")])

    def test_a_block_outlives_the_session(self) -> None:
        """Whom one has blocked stays blocked."""
        self.befriend()
        self.bob.send(BlockUser(1, "alice", True))
        self.bob.lose()
        self.quiet()
        self.alice.send(LookUp(7, ["bob"]))
        self.assertEqual(self.failure(self.alice), "blocked")
        self.world.client().sign_in("bob", device=self.bob.device, token=self.bob.welcome.token)
        self.assertEqual(self.news(self.alice), [])

    def test_whom_one_has_blocked_is_told_at_the_sign_in(self) -> None:
        """They can be found again to be unblocked, without their presence."""
        self.bob.send(BlockUser(1, "alice", True))
        self.bob.received()
        (person,) = self.world.client().sign_in("bob", password=PASSWORD).one(Welcome).contacts
        self.assertEqual(
            (person.user, person.relation, person.status, person.devices), ("alice", "blocked", "offline", [])
        )

    def test_nobody_blocks_themselves(self) -> None:
        """It would only confuse."""
        self.alice.send(BlockUser(1, "alice", True))
        self.assertEqual(self.failure(self.alice), "refused")

    # --- everyone

    def test_with_the_roster_of_everyone_all_see_all_with_addresses(self) -> None:
        """An office LAN, as set by its operator."""
        self.world.set(roster="everyone")
        self.bob.send(SetStatus("away"))
        self.assertEqual(self.news(self.alice), [("bob", "away")])
        carol = self.world.client()
        carol.register("carol")
        shown = [(each.user, each.devices[0].address, each.relation) for each in carol.welcome.contacts]
        alice, bob = self.alice.welcome.address, self.bob.welcome.address
        self.assertEqual(shown, [("alice", alice, ""), ("bob", bob, "")])
        self.assertEqual(self.news(self.bob), [("carol", "online")])
