"""Sealing for groups: who can open what, whatever happens to the membership; and what cannot be passed off as what."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.groups import Given, GroupSealer, KeptInbound, KeptOutbound, Share
from p2pim.core.limits import GROUP_ROTATE_AGE, GROUP_ROTATE_MESSAGES
from p2pim.core.sealing import DeviceRef
from p2pim.errors import CannotOpen, NoGroupKey, NotMeant, Replayed
from p2pim.wire.keys import Identity
from p2pim.wire.signals import ChatMessage, GroupKey, Sealed

USERS = ("alice", "bob", "carol", "dave")
TEAM = "team"


def ref_of(user: str, number: int = 0) -> DeviceRef:
    """A device of a user."""
    return DeviceRef(user, bytes([USERS.index(user), number]) * 8)


def id_of(number: int) -> bytes:
    """The id of the message ``number``."""
    return number.to_bytes(16, "big")


@dataclass
class MemoryStore:
    """`p2pim.core.groups.GroupStore` in memory."""

    identities: dict[DeviceRef, Identity]
    present: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, KeptOutbound] = field(default_factory=dict)
    shared: dict[str, dict[DeviceRef, Share]] = field(default_factory=dict)
    keys: dict[tuple[DeviceRef, str], KeptInbound] = field(default_factory=dict)
    seen: set[tuple[DeviceRef, str, int]] = field(default_factory=set)

    def outbound(self, group: str) -> KeptOutbound | None:
        return self.sessions.get(self.present.get(group, ""))

    def outbound_of(self, id: str) -> KeptOutbound | None:
        return self.sessions.get(id)

    def keep_outbound(self, kept: KeptOutbound) -> None:
        self.sessions[kept.id] = kept
        self.present[kept.group] = kept.id

    def shares(self, id: str) -> dict[DeviceRef, Share]:
        return dict(self.shared.get(id, {}))

    def share(self, id: str, ref: DeviceRef, share: Share) -> None:
        self.shared.setdefault(id, {})[ref] = share

    def inbound(self, sender: DeviceRef, id: str) -> KeptInbound | None:
        return self.keys.get((sender, id))

    def keep_inbound(self, sender: DeviceRef, id: str, kept: KeptInbound) -> None:
        self.keys[sender, id] = kept

    def see(self, sender: DeviceRef, id: str, index: int, message: bytes) -> bool:
        place = sender, id, index
        known = place in self.seen
        self.seen.add(place)
        return not known

    def identity(self, ref: DeviceRef) -> Identity | None:
        return self.identities.get(ref)


class Device:
    """One device with its store; identities are pinned, as they are once a key has come over Olm."""

    def __init__(self, ref: DeviceRef, identities: dict[DeviceRef, Identity]) -> None:
        self.ref = ref
        identities[ref] = Identity(ref.device * 2, ref.device[::-1] * 2, bytes(64))
        self.store = MemoryStore(identities)
        self.sealer = GroupSealer(ref, bytes(32), lambda: identities[ref])
        self.seq = 0

    def say(self, others: set[DeviceRef], now: float = 0.0, group: str = TEAM) -> tuple[Sealed, list[Given]]:
        """The next message of this device, for ``others``."""
        self.seq += 1
        id = id_of(self.seq)
        chat = ChatMessage(id, self.seq, f"{self.ref.user} {self.seq}", 0, self.seq, "#" + group)
        return self.sealer.seal(self.store, group, 1, others - {self.ref}, chat, id, self.seq, now)

    def take(self, sender: DeviceRef, given: list[Given]) -> None:
        """The keys among these that are for this device, which its Olm sessions have brought."""
        for ref, key in given:
            if ref == self.ref:
                self.sealer.take_key(self.store, sender, key)

    def open(self, sender: DeviceRef, sealed: Sealed) -> bytes:
        """What is in it."""
        group, signal = self.sealer.open(self.store, sender, sealed)
        assert group == TEAM
        return signal


class Membership(RuleBasedStateMachine):
    """Members come and go, have one device or two, and write. Everybody keeps every key they ever had, and has every
    message: the server may hand them to anybody."""

    @initialize()
    def begin(self) -> None:
        self.identities: dict[DeviceRef, Identity] = {}
        refs = [ref_of(user, number) for user in USERS for number in (0, 1)]
        self.devices = {ref: Device(ref, self.identities) for ref in refs}
        self.members = {ref_of("alice"), ref_of("bob")}
        self.said: list[tuple[DeviceRef, Sealed, frozenset[DeviceRef]]] = []
        self.now = 0.0

    @rule(user=st.sampled_from(USERS), number=st.integers(0, 1))
    def comes(self, user: str, number: int) -> None:
        self.members.add(ref_of(user, number))

    @precondition(lambda self: len(self.members) > 1)
    @rule(data=st.data())
    def goes(self, data: st.DataObject) -> None:
        self.members.discard(data.draw(st.sampled_from(sorted(self.members, key=lambda ref: ref.device))))

    @rule(data=st.data(), wait=st.sampled_from([0.0, 1.0, GROUP_ROTATE_AGE]))
    def writes(self, data: st.DataObject, wait: float) -> None:
        self.now += wait
        sender = data.draw(st.sampled_from(sorted(self.members, key=lambda ref: ref.device)))
        sealed, given = self.devices[sender].say(set(self.members), self.now)
        assert {ref for ref, _ in given} <= self.members - {sender}
        for device in self.devices.values():
            device.take(sender, given)
        self.said.append((sender, sealed, frozenset(self.members)))
        self.everybody_tries(sender, sealed, frozenset(self.members))

    def everybody_tries(self, sender: DeviceRef, sealed: Sealed, meant: frozenset[DeviceRef]) -> None:
        """Just those for whom it is can open it."""
        for ref, device in self.devices.items():
            if ref == sender:
                continue
            try:
                device.open(sender, sealed)
                opened = True
            except Replayed:
                opened = True  # it has opened it before
            except CannotOpen:
                opened = False
            assert opened == (ref in meant), (ref, meant)

    def teardown(self) -> None:
        """Later keys open nothing of what was said before, and forgotten messages nothing of what comes."""
        for sender, sealed, meant in getattr(self, "said", []):
            self.everybody_tries(sender, sealed, meant)


class MembershipTests(SynchronousTestCase):
    def test_only_who_is_in_the_group_when_something_is_said_can_ever_read_it(self) -> None:
        """Former members nothing that comes later, new ones nothing that was before, and members everything."""
        run_state_machine_as_test(Membership, settings=settings(max_examples=60, stateful_step_count=25, deadline=None))


class GroupSealingTests(SynchronousTestCase):
    """Alice writes to Bob and Carol; Dave is not in the group."""

    def setUp(self) -> None:
        identities: dict[DeviceRef, Identity] = {}
        self.alice, self.bob, self.carol, self.dave = [Device(ref_of(user), identities) for user in USERS]
        self.all = {self.alice.ref, self.bob.ref, self.carol.ref}

    def heard(self, now: float = 0.0) -> Sealed:
        """A message of Alice whose key everybody has."""
        sealed, given = self.alice.say(self.all, now)
        self.bob.take(self.alice.ref, given)
        self.carol.take(self.alice.ref, given)
        return sealed

    def test_a_key_is_given_once_and_renewed_after_so_many_messages_and_so_long(self) -> None:
        """Not with every message."""
        first = self.heard()
        for _ in range(GROUP_ROTATE_MESSAGES - 1):
            sealed, given = self.alice.say(self.all)
            self.assertEqual(([], first.session), (given, sealed.session))
        again, given = self.alice.say(self.all)
        self.assertNotEqual(first.session, again.session)
        self.assertEqual(2, len(given))
        later, _ = self.alice.say(self.all, GROUP_ROTATE_AGE)
        self.assertNotEqual(again.session, later.session)

    def test_a_removed_device_is_reason_enough_to_renew(self) -> None:
        """Even when its user stays."""
        self.all.add(ref_of("bob", 1))
        before = self.heard()
        self.all.remove(ref_of("bob", 1))
        self.assertNotEqual(before.session, self.heard().session)

    def test_what_was_opened_is_not_opened_again_even_as_another_message(self) -> None:
        """A place in a key's sequence holds one message."""
        sealed = self.heard()
        self.bob.open(self.alice.ref, sealed)
        self.assertRaises(Replayed, self.bob.open, self.alice.ref, sealed)
        self.assertRaises(
            Replayed, self.bob.open, self.alice.ref, Sealed(sealed.scheme, sealed.body, b"", id_of(77), sealed.session)
        )

    def test_a_member_cannot_speak_for_another(self) -> None:
        """Carol has Alice's key and passes it on as her own: nothing that Alice sealed is taken for Carol's."""
        sealed, given = self.alice.say(self.all)
        key = next(key for ref, key in given if ref == self.carol.ref)
        self.bob.sealer.take_key(self.bob.store, self.carol.ref, key)
        self.assertRaises(NotMeant, self.bob.open, self.carol.ref, sealed)
        self.assertRaises(NoGroupKey, self.bob.open, self.alice.ref, sealed)
        self.bob.take(self.alice.ref, given)
        self.bob.open(self.alice.ref, sealed)

    def test_a_key_for_one_group_opens_nothing_for_another(self) -> None:
        """Neither by naming it anew nor by what is sealed with it."""
        _, given = self.alice.say(self.all)
        self.bob.take(self.alice.ref, given)
        key = given[0][1]
        self.assertRaises(
            NotMeant, self.bob.sealer.take_key, self.bob.store, self.alice.ref, replace_key(key, group="other")
        )
        sealed, given = self.alice.say(self.all, group="other")
        self.carol.sealer.take_key(self.carol.store, self.alice.ref, replace_key(given[1][1], group=TEAM))
        self.assertRaises(NotMeant, self.carol.open, self.alice.ref, sealed)

    def test_damaged_keys_and_messages_are_refused(self) -> None:
        """Whatever bit is changed."""
        sealed = self.heard()
        for place in range(0, len(sealed.body), 7):
            body = bytearray(sealed.body)
            body[place] ^= 1
            self.assertRaises(CannotOpen, self.bob.open, self.alice.ref, replace_sealed(sealed, bytes(body)))
        self.assertRaises(CannotOpen, self.bob.open, self.alice.ref, replace_sealed(sealed, sealed.body[:-3]))
        bad = GroupKey(TEAM, sealed.session, "nonsense", 1)
        self.assertRaises(NotMeant, self.bob.sealer.take_key, self.bob.store, self.alice.ref, bad)
        self.bob.open(self.alice.ref, sealed)

    def test_a_key_given_again_opens_from_where_it_was_first_given(self) -> None:
        """And for who was not to have it, from the next message on."""
        first = self.heard()
        second = self.heard()
        again = self.alice.sealer.give_again(self.alice.store, self.bob.ref, first.session, TEAM, 1, 3)
        assert again is not None
        fresh = Device(self.bob.ref, self.bob.store.identities)
        fresh.sealer.take_key(fresh.store, self.alice.ref, again)
        fresh.open(self.alice.ref, first)
        fresh.open(self.alice.ref, second)
        to_dave = self.alice.sealer.give_again(self.alice.store, self.dave.ref, first.session, TEAM, 1, 3)
        assert to_dave is not None
        self.dave.sealer.take_key(self.dave.store, self.alice.ref, to_dave)
        self.assertRaises(CannotOpen, self.dave.open, self.alice.ref, second)
        self.assertIsNone(self.alice.sealer.give_again(self.alice.store, self.bob.ref, "unknown", TEAM, 1, 3))

    def test_a_later_key_of_the_same_session_takes_nothing_away(self) -> None:
        """Whoever gets one that opens less keeps what they have."""
        first = self.heard()
        second, _ = self.alice.say(self.all)
        late = self.alice.sealer.give_again(self.alice.store, self.dave.ref, first.session, TEAM, 1, 3)
        assert late is not None
        self.bob.sealer.take_key(self.bob.store, self.alice.ref, late)
        self.bob.open(self.alice.ref, first)
        self.bob.open(self.alice.ref, second)


def replace_key(key: GroupKey, group: str) -> GroupKey:
    """The same for another group."""
    return GroupKey(group, key.session, key.key, key.version, key.seq)


def replace_sealed(sealed: Sealed, body: bytes) -> Sealed:
    """The same with something else in it."""
    return Sealed(sealed.scheme, body, sealed.sender_key, sealed.message, sealed.session)
