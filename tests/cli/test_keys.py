"""``verify`` and ``devices`` on the command line, over a backend that answers as it is told."""

from __future__ import annotations

import io
import sys
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import IdentityChanged, NoSuchDevice
from tests.cli.fakes import Called, FakeBackend

NUMBER = " ".join(f"{n:05}" for n in range(12))


def device(id: str, user: str = "bob", **more: Any) -> dict[str, Any]:
    return {
        "user": user, "device": id * 32, "name": "desk", "this": False, "verified": False, "accepted": True,
        "fingerprint": "AAAA BBBB", **more,
    }  # fmt: skip


def report(**more: Any) -> dict[str, Any]:
    return {
        "user": "bob", "safety_number": NUMBER, "verified": False, "changed": False,
        "devices": [device("a", "alice", this=True), device("b")], **more,
    }  # fmt: skip


class VerifyTests(SynchronousTestCase):
    """Whose keys these are."""

    def test_it_shows_the_number_and_over_which_devices(self) -> None:
        """In lines that can be read out, and a table."""
        called = Called(FakeBackend({"verify": report()}), "verify", "bob")
        self.assertEqual(called.backend.asked, [("verify", {"user": "bob", "accept": False, "confirm": False})])
        self.assertIn("    00000  00001  00002  00003\n", called.out)
        self.assertIn("not verified", called.out)
        self.assertIn("this device", called.out)

    def test_what_a_person_says_is_passed_on(self) -> None:
        """That the number is the same; or that new keys are taken as they are."""
        for option in ("confirm", "accept"):
            called = Called(FakeBackend({"verify": report(verified=True)}), "verify", "bob", f"--{option}")
            asked = {"user": "bob", "accept": option == "accept", "confirm": option == "confirm"}
            self.assertEqual(called.backend.asked, [("verify", asked)])
            self.assertIn("(verified)", called.out)

    def test_a_device_at_which_nobody_has_looked_is_shouted_about(self) -> None:
        """And so is the change."""
        new = report(changed=True, devices=[device("c", accepted=False)])
        called = Called(FakeBackend({"verify": new}), "verify", "bob")
        self.assertIn("CHANGED since verified", called.out)
        self.assertIn("NEW, not accepted", called.out)

    def test_one_thing_at_a_time(self) -> None:
        """A mistake is told, and nothing is asked for."""
        called = Called(None, "verify", "bob", "--confirm", "--accept")
        self.assertEqual((called.status, called.backend.asked), (2, []))

    def test_with_json_it_is_one_object(self) -> None:
        """All of it."""
        called = Called(FakeBackend({"verify": report()}), "--json", "verify", "bob")
        self.assertEqual(called.objects, [report()])

    def test_a_short_string_is_compared_and_the_persons_word_passed_on(self) -> None:
        """Pictures and numbers; without a terminal the word is the next line of stdin."""
        self.patch(sys, "stdin", io.StringIO("yes\n"))
        shown = {"run": "07", "emoji": ["Dog", "Key"], "decimals": [1, 2, 3]}
        result = {"user": "bob", "device": "b" * 32}
        called = Called(FakeBackend({"compare": result}, {"compare": [shown]}), "verify", "bob", "--sas")
        self.assertEqual(called.backend.asked[0], ("compare", {"user": "bob"}))
        self.assertIn(("match", {"run": "07", "same": True}), called.backend.asked)
        self.assertIn("Dog, Key", called.out)
        self.assertIn("bob is verified on device bbbbbbbb.", called.out)

    def test_a_no_is_passed_on_too(self) -> None:
        """And the comparison fails, with its status."""
        self.patch(sys, "stdin", io.StringIO("no\n"))

        def compare(params: Any, item: Any) -> Deferred[dict[str, Any]] | IdentityChanged:
            item({"run": "07", "emoji": [], "decimals": []})
            return IdentityChanged("They are not the same.")

        called = Called(FakeBackend({"compare": compare}), "verify", "bob", "--sas")
        self.assertIn(("match", {"run": "07", "same": False}), called.backend.asked)
        self.assertEqual(called.status, IdentityChanged.exit_status)
        self.assertIn("They are not the same.", called.err)


class DeviceTests(SynchronousTestCase):
    """The devices of one's own account."""

    MINE: ClassVar = {
        "device": "a" * 32,
        "name": "desk",
        "added": "2026-01-31T12:00:00.000Z",
        "used": None,
        "this": True,
    }

    def test_they_are_listed(self) -> None:
        """With the name alone, or by ``list``; one object each with --json."""
        for command in (["devices"], ["devices", "list"]):
            called = Called(FakeBackend({"devices": {"devices": [self.MINE]}}), *command)
            self.assertIn("aaaaaaaa", called.out)
            self.assertIn("this device", called.out)
        called = Called(FakeBackend({"devices": {"devices": [self.MINE]}}), "devices", "--json")
        self.assertEqual(called.objects, [self.MINE])

    def test_one_is_named_and_removed(self) -> None:
        """By the beginning of its id; a name may have several words."""
        answer = lambda params, item: succeed({"device": "b" * 32, **params})  # noqa: E731
        backend = FakeBackend({"rename-device": answer, "remove-device": answer})
        self.assertIn("is called my old phone now", Called(backend, "devices", "name", "bb", "my", "old", "phone").out)
        self.assertIn("bbbbbbbb is removed", Called(backend, "devices", "remove", "bb").out)
        self.assertEqual(
            backend.asked, [("rename-device", {"id": "bb", "name": "my old phone"}), ("remove-device", {"id": "bb"})]
        )

    def test_one_that_is_not_there_is_told(self) -> None:
        """With the status of such mistakes."""
        called = Called(FakeBackend({"remove-device": NoSuchDevice()}), "devices", "remove", "cc")
        self.assertEqual(called.status, NoSuchDevice.exit_status)
        self.assertTrue(called.err)
