"""``admin``: what each command asks of the server, and what it prints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import NoSuchUser
from p2pim.server import admin
from tests.cli.fakes import Called

USER = {
    "user": "bob", "disabled": False, "created_at": 1.7e9, "devices": 1, "uploads": 3, "upload_bytes": 2048,
    "last_up": 1.7e9, "downloads": 0, "download_bytes": 0, "last_down": None, "spliced_bytes": 0, "online": True,
    "sessions": [{"address": "192.0.2.7:4000"}],
}  # fmt: skip
STATS = {"running": True, "accounts": 1, "online": 1, "users": [USER]}


class AdminTests(SynchronousTestCase):
    """The server's side is another's; here is only what is asked of it."""

    def setUp(self) -> None:
        self.asked: list[tuple[Path, str, dict[str, Any]]] = []
        self.answer: dict[str, Any] | Exception = {}
        self.patch(admin, "run", self.run_admin)
        self.patch(os, "environ", {**os.environ, "P2PIM_PASSWORD": "correct horse"})

    def run_admin(self, data: Path, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((data, method, params))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def call(self, *arguments: str) -> Called:
        return Called(None, "admin", "--data", "/srv/p2pim", *arguments)

    def test_each_command_asks_for_its_method(self) -> None:
        """With what was given, in the folder that was named."""
        self.answer = {
            **STATS, **USER, "sessions": 1, "invite": "x", "expires_at": 1.7e9, "file": "/b", "bytes": 1, "ok": True,
            "problems": [], "users": 1, "fingerprint": "SHA256:x", "url": "http://127.0.0.1:1/enter/x",
        }  # fmt: skip
        user = {"user": "bob"}
        expected = {
            ("user", "add", "bob"): ("user-add", {**user, "password": "correct horse"}),
            ("user", "delete", "bob"): ("user-delete", user),
            ("user", "disable", "bob"): ("user-disable", user),
            ("user", "enable", "bob"): ("user-enable", user),
            ("user", "password", "bob"): ("user-password", {**user, "password": "correct horse"}),
            ("kick", "bob"): ("kick", user),
            ("invite", "--days", "2"): ("invite", {"days": 2.0}),
            ("invite",): ("invite", {}),
            ("backup", "/b"): ("backup", {"file": "/b"}),
            ("restore", "/b"): ("restore", {"file": "/b"}),
            ("check",): ("check", {}),
            ("operator-password",): ("operator-password", {"password": "correct horse"}),
            ("web", "--no-open"): ("web", {}),
        }
        for arguments, (method, params) in expected.items():
            os.environ["P2PIM_PASSWORD"] = "correct horse"
            called = self.call(*arguments, "--json")
            self.assertEqual((called.status, self.asked.pop()), (0, (Path("/srv/p2pim"), method, params)), arguments)
            self.assertEqual(called.objects, [self.answer])

    def test_the_data_folder_may_stand_behind_the_command(self) -> None:
        """Like the other options."""
        self.answer = STATS
        Called(None, "admin", "stats", "--data", "/elsewhere")
        self.assertEqual(self.asked[0][0], Path("/elsewhere"))

    def test_stats_are_one_object_and_a_table(self) -> None:
        """With each user's counters."""
        self.answer = STATS
        self.assertEqual(self.call("stats", "--json").objects, [STATS])
        shown = self.call("stats").out
        self.assertIn("192.0.2.7:4000", shown)
        self.assertIn("2 KiB", shown)

    def test_the_list_of_users_is_a_line_each(self) -> None:
        """As objects and as a table."""
        self.answer = {"users": [USER, {**USER, "user": "eve", "disabled": True}]}
        self.assertEqual([user["user"] for user in self.call("user", "list", "--json").objects], ["bob", "eve"])
        self.assertIn("disabled", self.call("user", "list").out)

    def test_a_check_that_finds_something_fails(self) -> None:
        """Scripts see it by the status."""
        self.answer = {"ok": False, "problems": ["key.pem can be read by others"], "users": 1, "fingerprint": None}
        called = self.call("check")
        self.assertEqual(called.status, 1)
        self.assertIn("key.pem", called.err)

    def test_a_refusal_has_its_status(self) -> None:
        """As everywhere."""
        self.answer = NoSuchUser()
        self.assertEqual(self.call("kick", "nobody").status, 4)
