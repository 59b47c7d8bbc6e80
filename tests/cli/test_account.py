"""Passwords, trust, and what `register`, `login` and `logout` do with them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click
from twisted.trial.unittest import SynchronousTestCase

from p2pim.cli import passwords, signing_in, trust
from p2pim.cli.trust import TrustChoice
from p2pim.errors import NameTaken, ServerUnreachable, Usage
from p2pim.net.certificates import fingerprint_of_der, format_fingerprint
from p2pim.net.trust import ServerAddress
from p2pim.peer.home_account import parse_server
from tests.cli.fakes import Called, FakeBackend

FINGERPRINT = format_fingerprint(fingerprint_of_der(b"a certificate"))
SERVER = ServerAddress("chat.example.org", 4530)


class AccountCase(SynchronousTestCase):
    """No network: whether the server is vouched for, what it presents and what the sign-in says are set here."""

    def setUp(self) -> None:
        self.home = Path(self.mktemp())
        self.signed_in: list[dict[str, Any]] = []
        self.typed: list[str] = []
        self.terminal = False
        self.error: Exception | None = None
        self.patch(trust, "vouched_for", lambda server: False)
        self.patch(trust, "presented_certificate", lambda server: b"a certificate")
        for module in (trust, passwords):
            self.patch(module, "has_terminal", lambda: self.terminal)
        self.patch(signing_in, "sign_in", self.sign_in)
        self.patch(os, "environ", {**os.environ, "P2PIM_PASSWORD": "correct horse"})

    async def sign_in(
        self, reactor: Any, home: Path, account: str, password: str, choice: TrustChoice, **rest: Any
    ) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        self.signed_in.append({"account": account, "password": password, "choice": choice, **rest})
        return {"user": "alice", "device": "ab" * 16, "server": str(SERVER), "fingerprint": choice.fingerprint or ""}

    def call(self, *arguments: str) -> Called:
        return Called(None, *arguments, home=self.home)


class RegisterTests(AccountCase):
    """register and login."""

    def test_register_prints_who_is_signed_in_where(self) -> None:
        """Four keys."""
        called = self.call("--json", "register", "alice@chat.example.org", "--fingerprint", FINGERPRINT)
        self.assertEqual(called.status, 0)
        self.assertEqual(set(called.objects[0]), {"user", "device", "server", "fingerprint"})
        self.assertEqual(self.signed_in[0]["choice"], TrustChoice(FINGERPRINT))
        self.assertTrue(self.signed_in[0]["register"])

    def test_login_does_not_register(self) -> None:
        """The account exists."""
        self.call("login", "alice@chat.example.org", "--trust-first-use")
        self.assertFalse(self.signed_in[0]["register"])
        self.assertEqual(self.signed_in[0]["choice"], TrustChoice(first_use=True))

    def test_a_refusal_is_status_3(self) -> None:
        """With the server's code."""
        self.error = NameTaken()
        called = self.call("register", "alice@chat.example.org", "--trust-first-use")
        self.assertEqual((called.status, called.err.split(":")[1]), (3, " name-taken"))

    def test_what_is_no_address_is_wrong_usage(self) -> None:
        """Told before anything is asked."""
        for account in ("alice", "alice@", "alice@host:x", "alice@host:0", "@host"):
            self.assertEqual(self.call("register", account, "--trust-first-use").status, 2, account)

    def test_ways_to_trust_exclude_each_other(self) -> None:
        """One is enough."""
        called = self.call("login", "a@host", "--trust-first-use", "--fingerprint", FINGERPRINT)
        self.assertEqual((called.status, self.signed_in), (2, []))


class PasswordTests(AccountCase):
    """Where passwords come from."""

    def test_a_file_gives_its_first_line(self) -> None:
        """Without its end."""
        path = self.mktemp()
        Path(path).write_text("from the file\nnot this\n")
        self.call("login", "alice@host", "--trust-first-use", "--password-file", path)
        self.assertEqual(self.signed_in[0]["password"], "from the file")

    def test_the_variable_is_not_inherited(self) -> None:
        """It is gone from the environment once it was read."""
        self.call("login", "alice@host", "--trust-first-use")
        self.assertEqual(self.signed_in[0]["password"], "correct horse")
        self.assertNotIn("P2PIM_PASSWORD", os.environ)

    def test_without_a_terminal_nothing_prompts(self) -> None:
        """It is wrong usage, and says how to give one."""
        del os.environ["P2PIM_PASSWORD"]
        called = self.call("login", "alice@host", "--trust-first-use")
        self.assertEqual((called.status, self.signed_in), (2, []))
        self.assertIn("--password-file", called.err)

    def test_a_terminal_is_asked_twice_when_registering(self) -> None:
        """Unseen, and confirmed."""
        del os.environ["P2PIM_PASSWORD"]
        self.terminal = True
        asked: list[dict[str, Any]] = []

        def prompt(text: str, **options: Any) -> str:
            asked.append(options)
            return "typed"

        self.patch(click, "prompt", prompt)
        self.call("register", "alice@host", "--trust-first-use")
        self.assertEqual((asked[0]["hide_input"], asked[0]["confirmation_prompt"]), (True, True))
        self.assertEqual(self.signed_in[0]["password"], "typed")

    def test_a_new_password_that_is_too_short_is_asked_for_again(self) -> None:
        """Before the server is bothered; an old one is what it is."""
        del os.environ["P2PIM_PASSWORD"]
        self.terminal = True
        checks: list[Any] = []

        def prompt(text: str, **options: Any) -> str:
            checks.append(options["value_proc"])
            return "typed once"

        self.patch(click, "prompt", prompt)
        self.call("register", "alice@host", "--trust-first-use")
        self.call("login", "alice@host", "--trust-first-use")
        self.assertRaises(click.UsageError, checks[0], "short")
        self.assertEqual((checks[0]("longer"), checks[1]), ("longer", None))

    def test_a_server_that_is_no_address_is_wrong_usage(self) -> None:
        """Nothing is looked up; IPv6 stands with or without brackets."""
        for account in ("alice@host:1:2", "alice@host:0", "alice@host:99999", "alice@host:x", "alice@", "alice"):
            self.assertEqual(self.call("login", account, "--trust-first-use").status, 2, account)
        self.assertEqual(self.signed_in, [])
        for text, server in (("::1", "[::1]:4530"), ("[::1]:99", "[::1]:99"), ("h", "h:4530"), ("h:5", "h:5")):
            self.assertEqual(str(parse_server(text)), server)

    def test_an_empty_or_unreadable_file_is_refused(self) -> None:
        """Nothing is sent."""
        empty = Path(self.mktemp())
        empty.touch()
        self.assertEqual(self.call("login", "a@host", "--trust-first-use", "--password-file", str(empty)).status, 2)
        called = self.call("login", "a@host", "--trust-first-use", "--password-file", "/no/such/file")
        self.assertEqual((called.status, self.signed_in), (1, []))


class TrustTests(AccountCase):
    """Whether to believe a server."""

    def test_without_a_terminal_an_unknown_server_is_not_trusted(self) -> None:
        """The fingerprint and what to do with it are told, and no password was sent."""
        called = self.call("login", "alice@chat.example.org")
        self.assertEqual((called.status, self.signed_in), (3, []))
        self.assertIn(f"--fingerprint {FINGERPRINT}", called.err)
        self.assertTrue(called.err.startswith("p2pim: untrusted-server: "))

    def test_a_person_who_says_yes_pins_what_was_shown(self) -> None:
        """As with SSH."""
        self.terminal = True
        self.patch(click, "confirm", lambda text, err: True)
        self.call("login", "alice@chat.example.org")
        self.assertEqual(self.signed_in[0]["choice"], TrustChoice(FINGERPRINT))

    def test_a_person_who_says_no_sends_nothing(self) -> None:
        """Not even the password is asked for."""
        self.terminal = True
        self.patch(click, "confirm", lambda text, err: False)
        self.assertEqual((self.call("login", "alice@host").status, self.signed_in), (3, []))

    def test_a_server_that_authorities_vouch_for_needs_no_question(self) -> None:
        """The connection verifies it for itself."""
        self.patch(trust, "vouched_for", lambda server: True)
        self.call("login", "alice@chat.example.org")
        self.assertFalse(self.signed_in[0]["choice"].made)

    def test_a_server_that_this_home_knows_needs_no_question(self) -> None:
        """Its pin is kept in the home."""
        self.home.mkdir()
        known = {"device": "00" * 16, "device_name": "here", "server": str(SERVER), "fingerprint": FINGERPRINT}
        (self.home / "credentials.json").write_text(json.dumps(known))
        self.call("login", "alice@chat.example.org")
        self.assertFalse(self.signed_in[0]["choice"].made)

    def test_a_server_that_does_not_answer_is_unreachable(self) -> None:
        """Its address and the reason are in the line."""
        self.patch(trust, "vouched_for", _refused)
        called = self.call("login", "alice@chat.example.org")
        self.assertEqual((called.status, called.err.split(":")[1]), (1, " server-unreachable"))

    def test_what_is_no_fingerprint_is_wrong_usage(self) -> None:
        """Told before anything is sent."""
        self.assertRaises(Usage, signing_in.as_trust, TrustChoice("SHA256:short"))


class LogoutTests(SynchronousTestCase):
    """logout."""

    def test_logout_asks_for_it(self) -> None:
        """And says what stays."""
        backend = FakeBackend({"logout": {"user": "alice"}})
        called = Called(backend, "logout")
        self.assertEqual((called.status, backend.asked, called.online), (0, [("logout", {})], [True]))
        self.assertIn("Signed out", called.out)

    def test_without_the_server_this_device_forgets_all_the_same(self) -> None:
        """And says that the server does not know."""
        backend = FakeBackend({"logout": {"user": "alice"}}, offline=True)
        called = Called(backend, "logout")
        self.assertEqual((called.status, called.online), (0, [True, False]))
        self.assertIn("could not be told", called.err)


def _refused(server: ServerAddress) -> bool:
    raise ServerUnreachable(f"{server} cannot be reached: refused.")
