"""Who comes in, who does not, and what each is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.limits import (
    DEVICES,
    PASSWORD_QUEUE,
    REGISTRATIONS_PER_ADDRESS,
    SIGN_IN_TRIES,
    TOKEN_LIFETIME,
    TOKEN_TOUCH,
)
from p2pim.server.operations import invite
from p2pim.server.passwords import Passwords
from p2pim.storage import accounts
from p2pim.wire.messages import Hello, Ping, Pong, Refused, Register, SignedOut, SignIn, SignOut, Welcome
from tests.server.support import PASSWORD, Client, World

T = TypeVar("T")


class SignInTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(self.mktemp())

    def refusal(self, client: Client) -> str:
        """The code with which ``client`` was refused, and the connection closed."""
        code = client.one(Refused).code
        self.assertTrue(client.closed)
        return code

    def test_registering_signs_in_and_tells_the_client_what_it_must_know(self) -> None:
        """One round trip from nothing to a session."""
        welcome = self.world.user("alice").welcome
        self.assertEqual((welcome.user, welcome.address), ("alice", "198.51.100.7:40001"))
        self.assertEqual((len(welcome.token), welcome.p2p_server, welcome.contacts), (32, None, []))
        self.assertEqual((welcome.heartbeat, welcome.patience), (5.0, 30.0))

    def test_a_name_is_one_account_however_it_is_typed(self) -> None:
        """ALICE is alice."""
        self.world.user("alice")
        client = self.world.client().sign_in("ALICE", password=PASSWORD)
        self.assertEqual(client.one(Welcome).user, "alice")

    def test_the_token_signs_the_device_in_without_a_password(self) -> None:
        """Coming back needs no person."""
        first = self.world.user("alice")
        first.lose()
        again = self.world.client().sign_in("alice", device=first.device, token=first.welcome.token)
        self.assertEqual(again.one(Welcome).token, first.welcome.token)

    def test_a_token_is_stored_only_as_its_hash(self) -> None:
        """A stolen database signs nobody in."""
        token = self.world.user("alice").welcome.token
        dump = "\n".join(self.world.database.connection.iterdump())
        self.assertNotIn(token.hex(), dump.lower())
        self.assertIn(accounts.hash_secret(token).hex(), dump.lower())
        self.assertNotIn(PASSWORD, dump)

    def test_a_token_is_good_for_its_own_device_and_account_only(self) -> None:
        """Copied to another device it says nothing."""
        alice, bob = self.world.user("alice"), self.world.user("bob")
        for name, device in (("alice", bytes(16)), ("bob", bob.device), ("bob", alice.device)):
            stranger = self.world.client().sign_in(name, device=device, token=alice.welcome.token)
            self.assertEqual(self.refusal(stranger), "bad-token")

    def test_a_token_unused_for_too_long_is_refused(self) -> None:
        """A forgotten machine is not signed in for ever."""
        alice = self.world.user("alice")
        self.world.wall += TOKEN_LIFETIME + 1
        client = self.world.client().sign_in("alice", device=alice.device, token=alice.welcome.token)
        self.assertEqual(self.refusal(client), "bad-token")

    def test_using_a_token_lengthens_its_life(self) -> None:
        """A device in use never needs its password again."""
        alice = self.world.user("alice")
        for _ in range(3):
            self.world.wall += TOKEN_LIFETIME - TOKEN_TOUCH
            client = self.world.client().sign_in("alice", device=alice.device, token=alice.welcome.token)
            client.one(Welcome)

    def test_a_wrong_password_is_told_as_such(self) -> None:
        """Specific errors: the person knows what to do."""
        self.world.user("alice")
        self.assertEqual(self.refusal(self.world.client().sign_in("alice", password="wrong one")), "wrong-password")
        self.assertEqual(self.refusal(self.world.client().sign_in("alice")), "wrong-password")

    def test_an_unknown_user_is_told_as_such(self) -> None:
        """A mistyped name is not a wrong password."""
        self.assertEqual(self.refusal(self.world.client().sign_in("nobody", password=PASSWORD)), "unknown-user")
        client = self.world.client().sign_in("nobody", token=bytes(32))
        self.assertEqual(self.refusal(client), "unknown-user")

    def test_names_that_cannot_be_are_refused(self) -> None:
        """Before anything is looked up."""
        for name in ("..", "a/b", "a\x00b", "-x", "a" * 33, "\u202eevil", "#group", "a b"):
            client = self.world.client()
            client.send(Hello(1), Register(name, PASSWORD, bytes(16), "d"))
            self.assertEqual(self.refusal(client), "bad-name", name)

    def test_a_status_that_is_none_is_refused(self) -> None:
        """Statuses are a closed list."""
        self.world.user("alice")
        client = self.world.client().sign_in("alice", password=PASSWORD, status="hungry")
        self.assertEqual(self.refusal(client), "bad-message")

    def test_the_version_is_checked_before_anything_else(self) -> None:
        """An old client learns that it is old, and not that its message is malformed."""
        for version, code in ((0, "version-too-old"), (99, "version-too-new")):
            client = self.world.client()
            client.send(Hello(version), SignIn("nobody", bytes(16), "d"))
            self.assertEqual(self.refusal(client), code)

    def test_a_heartbeat_during_the_sign_in_is_answered(self) -> None:
        """The password hash may take longer than the client's heartbeat."""
        self.world.user("alice")
        self.world.hashing = []
        client = self.world.client().sign_in("alice", password=PASSWORD)
        client.send(Ping(7))
        self.assertEqual(client.one(Pong).nonce, 7)
        self.world.hash_now()
        client.one(Welcome)

    def test_a_client_that_left_while_its_password_was_verified_gets_no_session(self) -> None:
        """Nobody is online who is not there."""
        self.world.user("alice").lose()
        self.world.hashing = []
        client = self.world.client().sign_in("alice", password=PASSWORD)
        client.lose()
        self.world.hash_now()
        self.assertEqual(self.world.house.directory.sessions, 0)
        self.assertEqual(self.world.house.directory.users, {})

    # --- the same device twice

    def test_a_newer_sign_in_replaces_the_older_and_tells_it(self) -> None:
        """The replaced client is told why, so that it does not come back."""
        older = self.world.user("alice")
        newer = self.world.client().sign_in("alice", device=older.device, token=older.welcome.token)
        self.assertEqual(older.one(SignedOut).reason, "replaced")
        self.assertTrue(older.closed)
        newer.one(Welcome)
        self.assertEqual(self.world.house.directory.sessions, 1)
        older.lose()
        self.assertIs(self.world.house.directory.of("alice")[0].client, newer.connection)

    def test_by_setting_the_newer_sign_in_is_refused(self) -> None:
        """The operator decides which of the two stays."""
        self.world.set(same_device="refuse")
        older = self.world.user("alice")
        newer = self.world.client().sign_in("alice", device=older.device, token=older.welcome.token)
        self.assertEqual(self.refusal(newer), "already-signed-in")
        self.assertFalse(older.closed)

    def test_another_device_of_the_same_account_is_no_rival(self) -> None:
        """People have a desk and a laptop."""
        desk = self.world.user("alice")
        laptop = self.world.client().sign_in("alice", password=PASSWORD)
        laptop.one(Welcome)
        self.assertFalse(desk.closed)
        self.assertEqual(len(self.world.house.directory.of("alice")), 2)

    def test_the_device_unused_for_longest_gives_way_when_there_are_too_many(self) -> None:
        """Tokens of one account are bounded, and the newest works."""
        first = self.world.user("alice")
        for number in range(DEVICES):
            self.world.wall += 1
            client = self.world.client().sign_in("alice", device=number.to_bytes(16, "big"), password=PASSWORD)
            client.one(Welcome)
        again = self.world.client().sign_in("alice", device=first.device, token=first.welcome.token)
        self.assertEqual(self.refusal(again), "bad-token")

    def test_the_device_that_gives_way_is_signed_out(self) -> None:
        """Its keys and its mailbox are gone: it must not seem to be there."""
        first = self.world.user("alice")
        for number in range(DEVICES):
            self.world.wall += 1
            self.world.client().sign_in("alice", device=number.to_bytes(16, "big"), password=PASSWORD).one(Welcome)
        self.assertEqual(first.one(SignedOut).reason, "removed")
        self.assertIsNone(self.world.house.directory.find("alice", first.device))

    # --- signing out

    def test_signing_out_keeps_the_token_unless_it_is_to_be_forgotten(self) -> None:
        """Leaving is not logging out."""
        alice = self.world.user("alice")
        alice.send(SignOut())
        self.assertEqual(alice.one(SignedOut).reason, "logout")
        again = self.world.client().sign_in("alice", device=alice.device, token=alice.welcome.token)
        again.one(Welcome)
        again.send(SignOut(forget=True))
        again.one(SignedOut)
        last = self.world.client().sign_in("alice", device=alice.device, token=alice.welcome.token)
        self.assertEqual(self.refusal(last), "bad-token")

    # --- bounds

    def test_guessing_is_slowed_down_and_told_how_long_to_wait(self) -> None:
        """Growing delays, per account and from wherever."""
        self.world.user("alice")
        for number in range(SIGN_IN_TRIES + 1):
            client = self.world.client(f"203.0.113.{number}").sign_in("alice", password="guess nr. 1")
            self.assertEqual(self.refusal(client), "wrong-password")
        late = self.world.client("203.0.113.99").sign_in("alice", password=PASSWORD)
        refused = late.one(Refused)
        self.assertEqual((refused.code, refused.retry_after), ("too-many-tries", 1.0))
        self.world.pass_time(2)
        self.world.client("203.0.113.99").sign_in("alice", password=PASSWORD).one(Welcome)

    def test_an_address_that_guesses_is_slowed_down_for_every_account(self) -> None:
        """Trying one password on many names is guessing too."""
        for number in range(SIGN_IN_TRIES + 1):
            self.refusal(self.world.client().sign_in(f"user{number}", password="guess nr. 1"))
        self.assertEqual(self.refusal(self.world.client().sign_in("other", password="guess")), "too-many-tries")

    def test_devices_with_a_token_come_back_though_their_address_is_slowed_down(self) -> None:
        """One guesser in an office does not lock the office out."""
        alice = self.world.user("alice")
        for _ in range(SIGN_IN_TRIES + 1):
            self.refusal(self.world.client().sign_in("bob", password="guess nr. 1"))
        self.world.client().sign_in("alice", device=alice.device, token=alice.welcome.token).one(Welcome)

    def test_a_database_that_fails_is_no_failed_try(self) -> None:
        """The server's own trouble is told as such and does not count against anybody."""
        self.world.user("alice").lose()
        self.world.database.broken = True
        for _ in range(SIGN_IN_TRIES + 2):
            client = self.world.client().sign_in("alice", password=PASSWORD)
            self.assertEqual(self.refusal(client), "database-down")
        self.world.database.broken = False
        self.world.client().sign_in("alice", password=PASSWORD).one(Welcome)

    def test_the_password_queue_is_bounded(self) -> None:
        """Hashing costs; whoever comes when too many wait is told to come back."""
        waiting: list[Deferred[Any]] = []

        def never(function: Callable[..., T], *arguments: object) -> Deferred[T]:
            waiting.append(Deferred())
            return waiting[-1]

        passwords = Passwords(never)
        queue = [Deferred.fromCoroutine(passwords.hash("x")) for _ in range(PASSWORD_QUEUE)]
        late = self.failureResultOf(Deferred.fromCoroutine(passwords.hash("x")))
        self.assertEqual((late.value.code, late.value.retry_after), ("too-many-tries", 5))
        self.assertEqual(len(waiting), PASSWORD_QUEUE)
        waiting[0].callback("hash")
        self.assertEqual(self.successResultOf(queue[0]), "hash")
        self.assertNoResult(Deferred.fromCoroutine(passwords.hash("x")))

    def test_a_full_server_says_so_and_lets_its_own_come_back(self) -> None:
        """A reconnecting device takes its own place."""
        self.world.limit(max_connections=1)
        alice = self.world.user("alice")
        client = self.world.client()
        client.send(Hello(1), Register("bob", PASSWORD, bytes(16), "d"))
        self.assertEqual(self.refusal(client), "server-full")
        self.world.client().sign_in("alice", device=alice.device, token=alice.welcome.token).one(Welcome)

    # --- registration

    def registration(self, name: str, password: str = PASSWORD, invite: str = "", host: str = "198.51.100.7") -> Client:
        """A client that has tried to register."""
        client = self.world.client(host)
        client.send(Hello(1), Register(name, password, client.device, "d", invite))
        return client

    def test_a_taken_name_is_told_as_such(self) -> None:
        """Also in another spelling."""
        self.world.user("alice")
        self.assertEqual(self.refusal(self.registration("Alice")), "name-taken")

    def test_two_who_register_one_name_at_once_get_one_account(self) -> None:
        """The database decides, not the look before."""
        self.world.hashing = []
        one, two = self.registration("alice"), self.registration("alice")
        self.world.hash_now()
        self.assertEqual(
            sorted(type(message).__name__ for client in (one, two) for message in client.received()),
            ["Refused", "Welcome"],
        )

    def test_passwords_too_short_or_long_are_refused(self) -> None:
        """Before any hashing."""
        for password in ("12345", "x" * 257):
            self.assertEqual(self.refusal(self.registration("alice", password)), "bad-password")

    def test_closed_registration_says_so(self) -> None:
        """The operator makes the accounts."""
        self.world.set(registration="closed")
        self.assertEqual(self.refusal(self.registration("alice")), "registration-closed")

    def test_an_invitation_is_good_once(self) -> None:
        """Registration by invitation: needed, used up, and told apart."""
        self.world.set(registration="invite")
        code = invite(self.world.database.connection, {}, self.world.wall)["invite"]
        self.assertEqual(self.refusal(self.registration("alice")), "invite-needed")
        self.assertEqual(self.refusal(self.registration("alice", invite="made up")), "invite-needed")
        self.registration("alice", invite=code).one(Welcome)
        self.assertEqual(self.refusal(self.registration("bob", invite=code)), "invite-needed")

    def test_a_refused_invitation_makes_no_account(self) -> None:
        """All of a registration or nothing of it."""
        self.world.set(registration="invite")
        self.refusal(self.registration("alice", invite="made up"))
        self.assertFalse(accounts.exists(self.world.database.connection, "alice"))

    def test_an_old_invitation_has_ended(self) -> None:
        """What nobody used is no door left open."""
        self.world.set(registration="invite")
        code = invite(self.world.database.connection, {"days": 1}, self.world.wall)["invite"]
        self.world.wall += 86_401
        self.assertEqual(self.refusal(self.registration("alice", invite=code)), "invite-needed")

    def test_one_address_makes_so_many_accounts_and_no_more(self) -> None:
        """Each costs a password hash and a name; loopback is the operator's own."""
        self.world.hashing = []
        for number in range(int(REGISTRATIONS_PER_ADDRESS)):
            self.registration(f"user{number}")
        self.assertEqual(self.refusal(self.registration("late")), "too-many-tries")
        self.assertEqual(self.registration("other", host="203.0.113.1").received(), [])
        for number in range(int(REGISTRATIONS_PER_ADDRESS) + 5):
            self.assertEqual(self.registration(f"local{number}", host="127.0.0.1").received(), [])

    # --- what changes while a sign-in is under way

    def test_an_account_disabled_while_its_token_was_read_does_not_come_in(self) -> None:
        """What was read before the operator's change is not acted upon after it."""
        alice = self.world.user("alice")
        alice.lose()
        database = self.world.database
        database.held = []
        client = self.world.client().sign_in("alice", device=alice.device, token=alice.welcome.token)
        ((work, done),) = database.held
        read = work(database.connection)
        database.held = None
        accounts.set_disabled(database.connection, "alice", True)
        self.world.house.store.revocations += 1
        done.callback(read)
        self.assertEqual(self.refusal(client), "account-disabled")

    def test_a_password_changed_while_it_was_verified_is_the_wrong_one(self) -> None:
        """The old password is worth nothing from the moment of the change."""
        self.world.user("alice").lose()
        self.world.hashing = []
        client = self.world.client().sign_in("alice", password=PASSWORD)
        accounts.set_password(self.world.database.connection, "alice", "$argon2id$other")
        self.world.house.store.revocations += 1
        self.world.hash_now()
        self.assertEqual(self.refusal(client), "wrong-password")
