"""history: reading, searching, writing out and deleting what was said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from p2pim.cli.commands.history import highlights
from p2pim.cli.output import Output
from p2pim.cli.text import lit_text
from p2pim.errors import StorageError
from tests.cli.fakes import Called, FakeBackend


def message(number: int = 1, /, **values: Any) -> dict[str, Any]:
    return {
        "id": f"{number:032x}", "number": number, "user": "bob", "direction": "out", "text": f"text {number}",
        "route": "relay", "state": "delivered", "sent_at": "2026-01-31T12:00:00.000Z", "received_at": None,
        "read_at": None, "address": "h:1",
    } | values  # fmt: skip


class Past:
    """A backend's history of so many messages."""

    def __init__(self, count: int) -> None:
        self.messages = [message(number) for number in range(1, count + 1)]
        self.backend = FakeBackend({"history": self.answer})

    def answer(self, params: dict[str, Any], item: Any) -> Deferred[dict[str, Any]]:
        before, after = params.get("before") or 10**9, params.get("after") or 0
        found = [m for m in self.messages if m["number"] < before and m["number"] > after]
        forward = params.get("oldest") or (after and before == 10**9)
        return succeed({"messages": found[: params["limit"]] if forward else found[-params["limit"] :]})


class ShowTests(SynchronousTestCase):
    """history USER."""

    def test_route_state_and_time_are_shown(self) -> None:
        """Mine and theirs; without the server."""
        said = message(text="hello", state="read")
        backend = FakeBackend({"history": {"messages": [said, {**said, "direction": "in", "text": "ho\x1b[2J"}]}})
        called = Called(backend, "history", "bob", "--search", "h", "--limit", "7")
        self.assertRegex(called.out, r"me: hello  \(relayed ✓✓ read\)\n.* bob: ho␛\[2J  \(relayed\)\n\Z")
        self.assertEqual(called.online, [False])
        self.assertEqual(
            backend.asked[0][1], {"user": "bob", "search": "h", "limit": 7, "before": "", "after": ""}
        )  # fmt: skip
        self.assertEqual(Called(backend, "--json", "history", "bob").objects[0], said)

    def test_each_state_has_its_mark(self) -> None:
        """From the outbox to their eyes."""
        states = ("waiting", "sent", "stored", "delivered", "read", "failed")
        backend = FakeBackend({"history": {"messages": [message(state=state) for state in states]}})
        shown = [line.rpartition("(")[2] for line in Called(backend, "history", "bob").out.splitlines()]
        expected = ["waits in the outbox)"] + [f"relayed {mark})" for mark in ("✓", "✓", "✓✓", "✓✓ read", "✗")]
        self.assertEqual(shown, expected)

    def test_more_than_a_page_is_fetched_in_pages(self) -> None:
        """From the newest back, or from a message on."""
        past = Past(2500)
        numbers = [m["number"] for m in Called(past.backend, "--json", "history", "bob", "--limit", "2400").objects]
        self.assertEqual(numbers, list(range(101, 2501)))

    def test_a_search_without_a_name_is_among_all(self) -> None:
        """And says whom each message is to."""
        backend = FakeBackend({"history": {"messages": [message(), message(direction="in", user="carol")]}})
        called = Called(backend, "history", "--search", "text")
        self.assertRegex(called.out, r"me to bob: text 1 .*\n.* carol: text 1 ")
        self.assertIsNone(backend.asked[0][1]["user"])

    def test_without_anything_the_conversations_are_listed(self) -> None:
        """With their last message and what is unread."""
        found = [{"user": "bob", "unread": 2, "last": message(text="two\nlines")}]
        backend = FakeBackend({"conversations": {"conversations": found}})
        self.assertRegex(Called(backend, "history").out, r"bob +2 +me: two lines +2026-01-31")
        self.assertEqual(Called(backend, "--json", "history").objects, found)
        self.assertEqual(Called(backend, "history", "--before", "x").status, 2)

    def test_a_user_called_like_a_command_has_a_history(self) -> None:
        """By an option."""
        past = Past(1)
        self.assertEqual(Called(past.backend, "--json", "history", "--with", "export").status, 0)
        self.assertEqual(past.backend.asked[0][1]["user"], "export")

    def test_hits_are_bold_on_a_terminal_alone(self) -> None:
        """What others wrote stays harmless around them."""
        self.assertEqual(lit_text("a\x1bbc", [(1, 3)]), "a\x1b[1m␛b\x1b[0mc")
        stream = mock.Mock(**{"isatty.return_value": True})
        with mock.patch.dict(os.environ, clear=True):
            self.assertTrue(highlights(Output(stdout=stream)))
            self.assertFalse(highlights(Output(stdout=stream, json=True)))
            os.environ["NO_COLOR"] = "1"
            self.assertFalse(highlights(Output(stdout=stream)))


class ExportTests(SynchronousTestCase):
    """history export."""

    def setUp(self) -> None:
        self.past = Past(450)
        self.file = Path(self.mktemp())

    def export(self, *arguments: str) -> Called:
        return Called(self.past.backend, "history", "export", *arguments)

    def test_all_of_it_is_written_in_pages(self) -> None:
        """To stdout as objects, oldest first."""
        called = self.export("bob", "--format", "json")
        self.assertEqual([m["number"] for m in called.objects], list(range(1, 451)))
        self.assertEqual(len(self.past.backend.asked), 3)

    def test_a_file_is_for_its_owner_alone(self) -> None:
        """Mode 0600, whatever the umask."""
        old = os.umask(0)
        self.addCleanup(os.umask, old)
        called = self.export("--to", str(self.file))
        self.assertEqual((called.status, called.out), (0, f"450 messages in {self.file}\n"))
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)
        self.assertEqual(len(self.file.read_text().splitlines()), 450)
        self.assertIn("me to bob: text 1 ", self.file.read_text())

    def test_json_in_a_file_is_an_object_a_line(self) -> None:
        """And the result says how much there is."""
        called = self.export("bob", "--to", str(self.file), "--json")
        size = self.file.stat().st_size
        self.assertEqual(called.objects, [{"file": str(self.file), "messages": 450, "bytes": size}])
        self.assertEqual(json.loads(self.file.read_text().splitlines()[0]), message(1))

    def test_nothing_is_overwritten(self) -> None:
        """The file that is there stays as it is."""
        self.file.write_text("precious")
        called = self.export("bob", "--to", str(self.file))
        self.assertEqual((called.status, self.file.read_text()), (1, "precious"))
        self.assertIn("exists", called.err)

    def test_a_failed_export_leaves_no_file(self) -> None:
        """Half of it is not taken for all of it."""
        called = Called(FakeBackend({"history": StorageError()}), "history", "export", "--to", str(self.file))
        self.assertEqual((called.status, self.file.exists()), (1, False))


class DeleteTests(SynchronousTestCase):
    """history delete."""

    def test_messages_are_named_or_all_are_meant(self) -> None:
        """Never all by an omission."""
        backend = FakeBackend({"delete": {"deleted": 1, "kept": 0}})
        for arguments in (("bob",), ("bob", "01", "--all")):
            self.assertEqual(Called(backend, "history", "delete", *arguments).status, 2)
        self.assertEqual(backend.asked, [])
        self.assertEqual(Called(backend, "history", "delete", "bob", "01").out, "1 message deleted.\n")
        Called(backend, "history", "delete", "bob", "--all")
        self.assertEqual([params["ids"] for _, params in backend.asked], [["01"], None])

    def test_what_is_kept_is_told(self) -> None:
        """Nobody believes it is gone."""
        called = Called(FakeBackend({"delete": {"deleted": 0, "kept": 2}}), "history", "delete", "bob", "--all")
        self.assertIn("2 messages still on the way to bob", called.err)
