"""Comparing keys: the same safety number on both sides, short authentication strings, and who is told what."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred

from p2pim.core.safety import EMOJI
from p2pim.core.sas import Comparison, Party
from p2pim.errors import TimedOut, VerificationFailed
from p2pim.peer.events import ComparisonAsked
from p2pim.peer.verification import Verification
from tests.core.sealing_world import SealingDevice
from tests.peer.key_server import SealingPeer
from tests.peer.test_seals import SealsCase


class VerificationTests(SealsCase):
    """Between alice and bob."""

    async def asyncSetUp(self) -> None:
        await super().asyncSetUp()
        self.shown: dict[str, dict[str, Any]] = {}
        self.of = {peer.user: self.verification(peer) for peer in (self.alice, self.bob)}

    def verification(self, peer: SealingPeer) -> Verification:
        return Verification(
            reactor,
            lambda: peer.now, peer.seals, peer.events.append, lambda n: bytes([peer.device[0]]) * n,
        )  # fmt: skip

    def compare(self, mine: SealingPeer, other: SealingPeer) -> Deferred[bytes]:
        show = lambda item: self.shown.update({mine.user: item})  # noqa: E731
        return Deferred.fromCoroutine(self.of[mine.user].compare(other.user, show))

    async def shown_on_both(self) -> tuple[Deferred[bytes], Deferred[bytes]]:
        one = self.compare(self.alice, self.bob)
        await self.until(lambda: any(isinstance(e, ComparisonAsked) for e in self.bob.events))
        two = self.compare(self.bob, self.alice)
        await self.until(lambda: len(self.shown) == 2)
        return one, two

    def answer(self, user: str, same: bool) -> None:
        self.of[user].match(bytes.fromhex(self.shown[user]["run"]), same)

    async def test_both_sides_have_the_same_safety_number(self) -> None:
        """Sixty digits, over the same devices, told by both."""
        one, two = await self.of["alice"].report("bob"), await self.of["bob"].report("alice")
        self.assertEqual(one["safety_number"], two["safety_number"])
        self.assertRegex(one["safety_number"], r"^(\d{5} ){11}\d{5}$")
        self.assertEqual({d["device"] for d in one["devices"]}, {self.alice.device.hex(), self.bob.device.hex()})

    async def test_a_further_device_changes_it(self) -> None:
        """And is named among the devices."""
        before = (await self.of["alice"].report("bob"))["safety_number"]
        phone = await self.peer("bob", 3)
        phone.sign_in()
        await self.until(lambda: phone.device in self.server.fallbacks)
        self.server.tell_devices("bob")
        await self.until(lambda: phone.device in self.alice.seals.directory._ready.get("bob", []))
        after = await self.of["alice"].report("bob")
        self.assertNotEqual(after["safety_number"], before)
        self.assertEqual(len(after["devices"]), 3)

    async def test_confirming_verifies_and_accepting_does_not(self) -> None:
        """What a person has compared is told apart from what they have only taken."""
        await self.of["alice"].report("bob")
        await self.of["alice"].judge("bob", verified=False)
        self.assertFalse((await self.of["alice"].report("bob"))["verified"])
        await self.of["alice"].judge("bob", verified=True)
        self.assertTrue((await self.of["alice"].report("bob"))["verified"])

    async def test_a_short_string_verifies_both(self) -> None:
        """Both see the same seven pictures and three numbers, and both are verified once both said so."""
        one, two = await self.shown_on_both()
        self.assertEqual(self.shown["alice"]["emoji"], self.shown["bob"]["emoji"])
        self.assertEqual(self.shown["alice"]["decimals"], self.shown["bob"]["decimals"])
        self.assertEqual(len(self.shown["alice"]["emoji"]), 7)
        self.answer("alice", same=True)
        await self.settle()
        self.assertNoResult(one)
        self.answer("bob", same=True)
        self.assertEqual((await one, await two), (self.bob.device, self.alice.device))
        for mine, other in (("alice", "bob"), ("bob", "alice")):
            self.assertTrue((await self.of[mine].report(other))["verified"])

    async def test_both_may_ask_at_once(self) -> None:
        """Also when the first question was lost, since the other side was not there yet."""
        self.bob.sign_out()
        one = self.compare(self.alice, self.bob)
        await self.until(lambda: any(to == self.bob.device for _, to, _ in self.server.forwarded))
        self.bob.sign_in()
        two = self.compare(self.bob, self.alice)
        await self.until(lambda: len(self.shown) == 2)
        self.assertEqual(self.shown["alice"]["emoji"], self.shown["bob"]["emoji"])
        for user in ("alice", "bob"):
            self.answer(user, same=True)
        self.assertEqual((await one, await two), (self.bob.device, self.alice.device))

    async def test_a_difference_ends_it_on_both_sides(self) -> None:
        """And verifies nobody."""
        one, two = await self.shown_on_both()
        self.answer("alice", same=False)
        await self.assertFailure(one, VerificationFailed)
        await self.assertFailure(two, VerificationFailed)
        self.assertFalse((await self.of["bob"].report("alice"))["verified"])

    async def test_whoever_closes_the_window_ends_it_on_both_sides(self) -> None:
        """While it is shown, and while it is asked for: what is taken up later is a question of one's own."""
        one, two = await self.shown_on_both()
        one.cancel()
        await self.assertFailure(one, CancelledError)
        error: Any = await self.assertFailure(two, VerificationFailed)
        self.assertIn("nobody waits", error.message)
        self.bob.events.clear()
        one = self.compare(self.alice, self.bob)
        await self.until(lambda: any(isinstance(e, ComparisonAsked) for e in self.bob.events))
        one.cancel()
        await self.assertFailure(one, CancelledError)
        await self.until(lambda: not self.of["bob"]._asked)


class ComparisonTests(SealsCase):
    """The machine, against somebody in between."""

    async def asyncSetUp(self) -> None:
        alice, bob = SealingDevice("alice", 1), SealingDevice("bob", 2)
        self.one, self.two = Party(alice.ref, alice.identity), Party(bob.ref, bob.identity)
        self.peers: list[SealingPeer] = []

    def test_a_key_changed_after_the_commitment_is_noticed(self) -> None:
        """Whoever was asked cannot choose a key to get the pictures they want."""
        a, b = Comparison(b"r" * 16, self.one, self.two, True), Comparison(b"r" * 16, self.two, self.one, False)
        (key,) = a.take(b.accept())
        (answer,) = b.take(key)
        other = Comparison(b"r" * 16, self.two, self.one, False)
        self.assertRaises(VerificationFailed, a.take, msgspec.structs.replace(answer, value=other._mine))

    def test_other_identities_give_other_pictures_and_other_macs(self) -> None:
        """Somebody who shows each side other keys than the real ones is found out by either."""
        mallory = SealingDevice("bob", 2)
        lie = Party(mallory.ref, mallory.identity)
        a, b = Comparison(b"r" * 16, self.one, lie, True), Comparison(b"r" * 16, self.two, self.one, False)
        (key,) = a.take(b.accept())
        (answer,) = b.take(key)
        a.take(answer)
        self.assertNotEqual(a.emoji, b.emoji)
        (mac,) = b.match()
        a.match()
        self.assertRaises(VerificationFailed, a.take, mac)
        self.assertFalse(a.done)

    def test_steps_out_of_turn_are_refused(self) -> None:
        """In any state."""
        a = Comparison(b"r" * 16, self.one, self.two, True)
        for step in ("key", "mac", "nonsense"):
            wrong = msgspec.structs.replace(a.start(), step=step, value=b"x" * 32)
            self.assertRaises(VerificationFailed, a.take, wrong)

    def test_there_are_sixty_four_pictures(self) -> None:
        """All different."""
        self.assertEqual(len(set(EMOJI)), 64)
        self.assertTrue(issubclass(TimedOut, Exception))
