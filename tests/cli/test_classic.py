"""What people see of the classic protocol: its client's lines, and guests marked as what they are."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from p2pim.cli.commands.classic import event_text, read_account
from p2pim.cli.text import conversation_title, route_text
from p2pim.errors import Usage
from tests.cli.fakes import Called, FakeBackend

BOB: dict[str, Any] = {
    "user": "bob@classic", "status": "online", "devices": [], "route": "classic", "address": "", "rtt_ms": None,
    "relation": "guest", "encrypted": False,
}  # fmt: skip


class ClientTextTests(SynchronousTestCase):
    """Lines of ``p2pim classic``."""

    def test_an_account_is_a_name_and_a_server(self) -> None:
        """Names may hold almost anything, an @ too; the port is 4540 unless it is said."""
        self.assertEqual(read_account("bob the builder@192.0.2.1"), ("bob the builder", "192.0.2.1", 4540))
        self.assertEqual(read_account("b@b@[2001:db8::1]:99"), ("b@b", "2001:db8::1", 99))
        for text in ("bob", "@host", "bob@", "bob@host:port", "a,b@host", "a" * 33 + "@host"):
            self.assertRaises(Usage, read_account, text)

    def test_every_event_has_its_line(self) -> None:
        """But what I have just typed myself."""
        there = {"at": "", "user": "bob", "address": "192.0.2.2:5002"}
        self.assertIn("bob is here", str(event_text({**there, "event": "login"})))
        self.assertIn("bob has left", str(event_text({**there, "event": "logout"})))
        self.assertIn("signing in again", str(event_text({"event": "interrupted", "at": "", "reason": "it is silent"})))
        self.assertIn("Signed in", str(event_text({**there, "event": "accepted", "server": "192.0.2.9:4540"})))
        self.assertIn("bob  192.0.2.2:5002", str(event_text({"event": "list", "at": "", "users": [there]})))
        self.assertEqual(event_text({"event": "list", "at": "", "users": []}), "Nobody is there.")
        self.assertIsNone(event_text({**there, "event": "sent", "text": "x"}))

    def test_what_is_said_cannot_fake_a_line(self) -> None:
        """Further lines are indented, and who talks from elsewhere is told apart."""
        talk = {"event": "talk", "at": "", "user": "bob", "address": "192.0.2.66:1", "text": "hi\ncarol: yes\n"}
        text = str(event_text({**talk, "listed": False}))
        self.assertIn("bob (from 192.0.2.66:1, where the list does not have them): hi\n    carol: yes", text)
        self.assertNotIn("192.0.2.66", str(event_text({**talk, "listed": True})))


class GuestTextTests(SynchronousTestCase):
    """Guests among the server's own users."""

    def test_guests_are_marked_wherever_they_appear(self) -> None:
        """Nobody takes them for users, or what is said for sealed."""
        self.assertEqual(route_text("classic"), "guest, NOT encrypted")
        self.assertEqual(conversation_title("bob@classic", None), "bob@classic — guest, NOT encrypted")
        shown = Called(FakeBackend({"who": {"people": [BOB]}}), "who")
        self.assertIn("NOT encrypted", shown.out)
        self.assertIn("Names with @classic are guests", shown.out)

    def test_a_message_to_a_guest_says_what_it_is(self) -> None:
        """It was sent, and more is not known."""
        sent = {"id": "1", "state": "sent", "route": "classic", "address": "", "ms": None, "note": "not encrypted"}
        called = Called(FakeBackend({"msg": sent}), "msg", "bob@classic", "hello")
        self.assertIn("sent to bob@classic: guest, NOT encrypted", called.out)
        self.assertIn("not encrypted", called.err)

    def test_the_wish_to_meet_guests_is_asked_and_set(self) -> None:
        """And what the server makes of it is told."""
        backend = FakeBackend({"guests": {"on": True, "policy": "together", "users": ["bob@classic"]}})
        called = Called(backend, "guests", "on")
        self.assertEqual(backend.asked, [("guests", {"on": True})])
        self.assertIn("NOT encrypted", called.out)
        self.assertIn("bob@classic", called.out)
        for policy, words in (("apart", "does not let"), ("shown", "nobody write")):
            backend = FakeBackend({"guests": {"on": True, "policy": policy, "users": []}})
            self.assertIn(words, Called(backend, "guests").out)
        backend = FakeBackend({"guests": {"on": False, "policy": "together", "users": []}})
        self.assertIn("do not meet", Called(backend, "guests", "off").out)
        self.assertEqual(backend.asked, [("guests", {"on": False})])
