"""Devices and their keys: published, claimed once each, listed, named and removed."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.identity import identity_bytes
from p2pim.core.limits import ASKER_CLAIM_BURST, CLAIM_BURST, DEVICE_CLAIM_BURST, KEYS_LOW, KEYS_SPENT, ONE_TIME_KEYS
from p2pim.storage import keys
from p2pim.wire.keys import (
    Claim,
    ClaimedKeys,
    ClaimKeys,
    DeviceList,
    DeviceLists,
    DevicesChanged,
    Identity,
    KeysLeft,
    KnownDevice,
    ListDevices,
    OneTimeKey,
    PublishKeys,
    RemoveDevice,
    RenameDevice,
)
from p2pim.wire.messages import (
    MESSAGE,
    AddContact,
    BlockUser,
    Done,
    Failed,
    Found,
    Message,
    Refused,
    Send,
    SignedOut,
    Welcome,
)
from tests.server.support import PASSWORD, Client, World


def identity_of(user: str, device: bytes, seed: bytes = bytes(32)) -> Identity:
    """The identity that a device of ``user`` makes of ``seed``."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public = key.public_key().public_bytes_raw()
    curve = bytes(reversed(public))
    return Identity(public, curve, key.sign(identity_bytes(user, device, public, curve)))


def one_time(number: int, fallback: bool = False) -> OneTimeKey:
    """A key; whoever claims it checks the signature, the server does not."""
    return OneTimeKey(str(number), number.to_bytes(32, "big"), bytes(64), fallback)


class KeysCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.alice = self.world.user("alice")
        self.bob = self.world.user("bob")

    def befriend(self) -> None:
        """Alice and Bob become contacts."""
        self.alice.send(AddContact(1, "bob"))
        self.bob.send(AddContact(1, "alice"))
        for client in (self.alice, self.bob):
            client.all(Found)

    def publish(self, client: Client, name: str, count: int = 0, first: int = 0, fallback: bool = True) -> int:
        """Publish so many one-time keys; how many there are then."""
        numbers = range(first, first + count)
        client.send(
            PublishKeys(
                1,
                identity_of(name, client.device),
                [one_time(number) for number in numbers],
                one_time(10**6, True) if fallback else None,
            )
        )
        return client.all(KeysLeft)[0].left

    def claim(self, client: Client, *claims: Claim) -> list[str | None]:
        """The ids of the keys claimed."""
        client.send(ClaimKeys(2, list(claims)))
        return [claimed.key.id if claimed.key else None for claimed in client.all(ClaimedKeys)[0].keys]

    def failure(self, client: Client, request: Message) -> str:
        """Why a request fails."""
        client.send(request)
        return client.all(Failed)[0].code

    @property
    def of_bob(self) -> Claim:
        """A wish for a key of Bob's device."""
        return Claim("bob", self.bob.device)


class PublishedKeysTests(KeysCase):
    def test_a_device_that_published_nothing_has_no_identity(self) -> None:
        """Told to itself at the sign-in, and to whoever asks."""
        self.assertEqual(self.bob.welcome.keys_left, -1)
        self.alice.send(ClaimKeys(1, [self.of_bob, Claim("bob", bytes(16))]))
        claimed = self.alice.one(ClaimedKeys).keys
        self.assertEqual([(each.identity, each.key) for each in claimed], [(None, None)] * 2)

    def test_every_one_time_key_is_handed_out_once_and_then_the_fallback_key(self) -> None:
        """The oldest first; how many are left is known at the next sign-in."""
        self.assertEqual(self.publish(self.bob, "bob", 3), 3)
        self.assertEqual(self.claim(self.alice, self.of_bob, self.of_bob), ["0", "1"])
        again = self.world.client().sign_in("bob", device=self.bob.device, token=self.bob.welcome.token)
        self.assertEqual(again.one(Welcome).keys_left, 1)
        self.assertEqual(self.claim(self.alice, self.of_bob, self.of_bob), ["2", "1000000"])

    def test_keys_published_again_are_not_handed_out_again(self) -> None:
        """A request repeated because its answer was lost."""
        self.publish(self.bob, "bob", 3)
        self.claim(self.alice, self.of_bob)
        self.assertEqual(self.publish(self.bob, "bob", 3), 2)
        self.assertEqual(self.claim(self.alice, self.of_bob), ["1"])

    def test_without_a_fallback_key_the_end_is_an_identity_without_a_key(self) -> None:
        """Which the asker can say."""
        self.publish(self.bob, "bob", 1, fallback=False)
        self.alice.send(ClaimKeys(1, [self.of_bob, self.of_bob]))
        first, second = self.alice.one(ClaimedKeys).keys
        self.assertEqual(first.key, one_time(0))
        self.assertEqual((second.identity, second.key), (identity_of("bob", self.bob.device), None))

    def test_an_identity_never_changes(self) -> None:
        """Other keys are refused, and nothing that came with them is kept."""
        self.publish(self.bob, "bob", 1)
        other = identity_of("bob", self.bob.device, bytes(31) + b"x")
        self.assertEqual(self.failure(self.bob, PublishKeys(1, other, [one_time(9)])), "keys-differ")
        self.alice.send(ClaimKeys(1, [self.of_bob]))
        self.assertEqual(self.alice.one(ClaimedKeys).keys[0].identity, identity_of("bob", self.bob.device))
        self.assertEqual(self.publish(self.bob, "bob"), 0)

    def test_an_identity_must_be_signed_for_this_user_and_device(self) -> None:
        """Nobody publishes what another device has signed."""
        for wrong in (identity_of("alice", self.bob.device), identity_of("bob", bytes(16))):
            self.assertEqual(self.failure(self.bob, PublishKeys(1, wrong)), "bad-keys")
        signed = identity_of("bob", self.bob.device)
        moved = Identity(signed.ed25519, bytes(32), signed.signature)
        self.assertEqual(self.failure(self.bob, PublishKeys(1, moved)), "bad-keys")

    def test_a_fallback_key_among_one_time_keys_is_refused(self) -> None:
        """It would be handed out once only."""
        identity = identity_of("bob", self.bob.device)
        self.assertEqual(self.failure(self.bob, PublishKeys(1, identity, [one_time(1, True)])), "bad-message")
        self.assertEqual(self.failure(self.bob, PublishKeys(1, identity, [], one_time(1))), "bad-message")

    def test_the_number_of_keys_is_bounded(self) -> None:
        """What goes beyond is refused as a whole."""
        for first in range(0, ONE_TIME_KEYS, 100):
            self.publish(self.bob, "bob", 100, first)
        request = PublishKeys(1, identity_of("bob", self.bob.device), [one_time(5000)])
        self.assertEqual(self.failure(self.bob, request), "too-many")
        self.assertEqual(self.publish(self.bob, "bob"), ONE_TIME_KEYS)

    def test_a_device_hears_when_its_keys_run_low(self) -> None:
        """With the number that is left."""
        self.publish(self.bob, "bob", KEYS_LOW + 2)
        self.claim(self.alice, self.of_bob)
        self.assertEqual(self.bob.all(KeysLeft), [])
        self.claim(self.alice, self.of_bob)
        self.assertEqual(self.bob.all(KeysLeft), [KeysLeft(0, KEYS_LOW)])

    def test_blocked_and_unknown_users_give_no_keys(self) -> None:
        """Neither is there anything to learn."""
        self.publish(self.bob, "bob", 1)
        self.bob.send(BlockUser(1, "alice", True))
        self.assertEqual(self.failure(self.alice, ClaimKeys(1, [self.of_bob])), "blocked")
        self.assertEqual(self.failure(self.alice, ClaimKeys(1, [Claim("nobody", bytes(16))])), "no-such-user")
        self.assertEqual(self.failure(self.alice, ClaimKeys(1, [Claim("a/b", bytes(16))])), "no-such-user")

    @given(st.lists(st.sampled_from(["publish", "claim", "again"]), max_size=30))
    def test_whatever_the_order_no_one_time_key_is_given_twice(self, steps: list[str]) -> None:
        """Keys published, published again and claimed."""
        db, device = self.world.database.connection, self.bob.device
        identity, given, published = identity_of("bob", device), [], 0
        db.execute("DELETE FROM identities")
        for step in steps:
            if step == "claim":
                claimed = keys.claim(db, "bob", device, "alice", True).key.key
                given += [claimed.id] if claimed is not None else []
            else:
                published += 5 if step == "publish" and published < ONE_TIME_KEYS else 0
                batch = [one_time(number) for number in range(max(0, published - 5), published)]
                keys.publish(db, "bob", device, identity, batch, None)
        self.assertEqual(given, [str(number) for number in range(len(given))])


class ExhaustionTests(KeysCase):
    def test_one_asker_gets_the_fallback_key_after_a_few(self) -> None:
        """Everybody else still gets one-time keys."""
        self.publish(self.bob, "bob", 30)
        few = int(ASKER_CLAIM_BURST)
        self.assertEqual(self.claim(self.alice, *[self.of_bob] * (few + 5)).count("1000000"), 5)
        self.assertEqual(self.claim(self.world.user("carol"), self.of_bob), [str(few)])

    def test_many_askers_together_get_the_fallback_key_too(self) -> None:
        """A device does not give all its keys away at once."""
        self.publish(self.bob, "bob", 100)
        askers = int(DEVICE_CLAIM_BURST / ASKER_CLAIM_BURST) + 1
        taken = [self.claim(self.world.user(f"user{n}"), *[self.of_bob] * 5) for n in range(askers)]
        self.assertEqual(set(taken[-1]), {"1000000"})
        self.assertGreater(self.publish(self.bob, "bob"), 0)

    def test_claiming_without_end_is_limited(self) -> None:
        """With the time after which to go on."""
        self.publish(self.bob, "bob", 1)
        for _ in range(int(CLAIM_BURST) // 60):
            self.claim(self.alice, *[self.of_bob] * 60)
        self.alice.send(ClaimKeys(1, [self.of_bob]))
        failed = self.alice.one(Failed)
        self.assertEqual(failed.code, "rate-limited")
        self.assertGreater(failed.retry_after, 0)

    def test_spent_keys_are_remembered_in_a_bounded_number(self) -> None:
        """More than a repeated request can hold."""
        db, device = self.world.database.connection, self.bob.device
        for number in range(KEYS_SPENT + 20):
            keys.publish(db, "bob", device, identity_of("bob", device), [one_time(number)], None)
            keys.claim(db, "bob", device, "alice", True)
        (count,) = db.execute("SELECT count(*) FROM spent_keys").fetchone()
        self.assertEqual(count, KEYS_SPENT)


class DevicesTests(KeysCase):
    def lists(self, client: Client, *users: str) -> list[DeviceList]:
        """The devices of ``users``."""
        client.send(ListDevices(3, list(users)))
        return client.all(DeviceLists)[0].lists

    def test_all_devices_are_listed_whether_signed_in_or_not(self) -> None:
        """When they were used is for their owner alone."""
        laptop = self.world.client().sign_in("bob", password=PASSWORD)
        self.publish(self.bob, "bob")
        self.bob.lose()
        at = self.world.wall
        (found,) = self.lists(self.alice, "BOB")
        self.assertEqual(found.user, "bob")
        expected = {
            KnownDevice(self.bob.device, "bob's device", identity_of("bob", self.bob.device), at),
            KnownDevice(laptop.device, "bob's device", None, at),
        }
        self.assertEqual(set(found.devices), expected)
        self.assertEqual({device.used for device in self.lists(laptop, "bob")[0].devices}, {at})

    def test_devices_of_those_who_blocked_the_asker_are_not_listed(self) -> None:
        """Nor those of nobody."""
        self.bob.send(BlockUser(1, "alice", True))
        self.assertEqual(self.failure(self.alice, ListDevices(1, ["bob"])), "blocked")
        self.assertEqual(self.failure(self.alice, ListDevices(1, ["nobody"])), "no-such-user")

    def test_first_keys_are_news_for_contacts_and_own_devices(self) -> None:
        """Further keys are not; strangers hear nothing."""
        laptop = self.world.client().sign_in("bob", password=PASSWORD)
        carol = self.world.user("carol")
        self.befriend()
        for client in (self.alice, laptop):
            client.received()
        self.publish(self.bob, "bob", 3)
        (news,) = self.alice.all(DevicesChanged)
        published = [device for device in news.list.devices if device.identity is not None]
        self.assertEqual([(device.id, device.used) for device in published], [(self.bob.device, 0.0)])
        self.assertEqual(laptop.all(DevicesChanged)[0].list.devices[0].used, self.world.wall)
        self.publish(self.bob, "bob", 3, first=3)
        for client in (self.alice, laptop, carol):
            self.assertEqual(client.all(DevicesChanged), [])

    def test_a_device_is_called_what_its_owner_calls_it(self) -> None:
        """In lists, in presence, and after the next sign-in."""
        self.befriend()
        self.bob.send(RenameDevice(1, self.bob.device, "desk"))
        self.assertIn(Done(1), self.bob.received())
        (news,) = self.alice.all(DevicesChanged)
        self.assertEqual(news.list.devices[0].name, "desk")
        self.world.client().sign_in("bob", device=self.bob.device, password=PASSWORD).received()
        self.assertEqual(self.lists(self.alice, "bob")[0].devices[0].name, "desk")
        self.assertEqual(self.world.house.directory.of("bob")[0].device_name, "desk")

    def test_another_users_device_can_be_neither_named_nor_removed(self) -> None:
        """Not even by its id."""
        self.assertEqual(self.failure(self.alice, RenameDevice(1, self.bob.device, "mine")), "no-such-device")
        self.assertEqual(self.failure(self.alice, RemoveDevice(1, self.bob.device)), "no-such-device")

    def test_a_removed_device_is_gone_with_its_token_keys_and_mail(self) -> None:
        """Its session ends, and its contacts and the other devices hear of it."""
        laptop = self.world.client().sign_in("bob", password=PASSWORD)
        self.publish(self.bob, "bob", 3)
        self.alice.send(Send(1, "bob", self.bob.device, MESSAGE, b"hi", bytes(16)))
        laptop.received()
        laptop.send(RemoveDevice(4, self.bob.device))
        answers = laptop.received()
        self.assertIn(Done(4), answers)
        news = [each for each in answers if isinstance(each, DevicesChanged)]
        self.assertEqual([device.id for device in news[0].list.devices], [laptop.device])
        self.assertEqual(self.bob.all(SignedOut)[0].reason, "removed")
        self.assertEqual(self.alice.all(Failed)[0].code, "no-such-device")
        again = self.world.client().sign_in("bob", device=self.bob.device, token=self.bob.welcome.token)
        self.assertEqual(again.one(Refused).code, "bad-token")
        for table in ("identities", "one_time_keys", "mailboxes", "mail"):
            (count,) = self.world.database.connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            self.assertEqual(count, 0, table)

    def test_a_device_can_remove_itself(self) -> None:
        """It hears that it is done before it is signed out."""
        self.bob.send(RemoveDevice(4, self.bob.device))
        self.assertEqual([type(each) for each in self.bob.received()], [Done, SignedOut])
        self.alice.send(Send(1, "bob", self.bob.device, MESSAGE, b"hi", bytes(16)))
        self.assertEqual(self.alice.one(Failed).code, "no-devices")
