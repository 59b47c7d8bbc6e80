"""A conversation at work: keys in, messages out, events shown."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.cli.chat.screen import LINES_KEPT
from p2pim.cli.chat.session import ChatSession
from p2pim.core.limits import TYPING_SHOWN
from p2pim.errors import Interrupted, NoDirectPath, NoSuchUser, RateLimited
from tests.cli.fakes import FakeBackend

CHANNEL = {"user": "bob", "device": "ab" * 16, "kind": "tcp", "address": "192.168.1.7:50122"}
NOW = "2026-01-31T12:00:00.000Z"


def event(kind: str, /, **values: Any) -> dict[str, Any]:
    return {"event": kind, "at": NOW, **values}


class ChatCase(SynchronousTestCase):
    """A conversation with bob, without any channel at first."""

    def setUp(self) -> None:
        self.listening: list[Any] = []
        self.sent: list[Deferred[dict[str, Any]]] = []
        self.backend = FakeBackend(
            {
                "history": {"messages": []},
                "channels": {"channels": []},
                "connect": NoDirectPath(),
                "events": self.listen,
                "msg": self.send,
            }
        )
        self.drawn = 0
        self.clock = Clock()
        self.talk_with("bob")

    def talk_with(self, user: str) -> None:
        self.session = ChatSession(self.clock, self.backend, user, "p2pim", self.draw, lambda: 0.0)
        self.screen = self.session.screen
        self.ended = self.session.ended

    def listen(self, params: Any, item: Any) -> Deferred[dict[str, Any]]:
        self.listening.append(item)
        return Deferred()

    def send(self, params: Any, item: Any) -> Deferred[dict[str, Any]]:
        self.sent.append(Deferred())
        return self.sent[-1]

    def draw(self) -> None:
        self.drawn += 1
        self.screen.draw(80, 24)

    def start(self) -> None:
        self.session.start()

    def happens(self, kind: str, /, **values: Any) -> None:
        self.listening[0](event(kind, **values))

    def texts(self) -> list[str]:
        return [line.text for line in self.screen.lines]

    def asked(self, method: str) -> list[dict[str, Any]]:
        return [params for name, params in self.backend.asked if name == method]


class TitleTests(ChatCase):
    """The title line shows the route as it changes."""

    def test_it_follows_the_channel(self) -> None:
        """Relayed, direct, and relayed again."""
        self.start()
        self.assertEqual(self.screen.title, "bob — relayed")
        self.happens("channel-opened", **CHANNEL, local_address="", same_lan=True, rtt_ms=1.0)
        self.assertEqual(self.screen.title, "bob — direct TCP 192.168.1.7:50122")
        self.happens("channel-closed", **{**CHANNEL, "reason": "gone"})
        self.assertEqual(self.screen.title, "bob — relayed")

    def test_a_channel_that_stands_already_is_shown_at_once(self) -> None:
        """Another user's is not."""
        others = {**CHANNEL, "user": "eve", "address": "192.0.2.6:6"}
        self.backend.answers["channels"] = {"channels": [others, CHANNEL]}
        self.start()
        self.assertEqual(self.screen.title, "bob — direct TCP 192.168.1.7:50122")

    def test_opening_a_conversation_tries_for_a_direct_channel(self) -> None:
        """In the background; that none can be had ends nothing."""
        self.start()
        self.assertEqual(self.asked("connect"), [{"user": "bob"}])
        self.assertNoResult(self.ended)


class MessageTests(ChatCase):
    """What is said."""

    def test_a_typed_line_is_sent_and_its_state_shown(self) -> None:
        """On its way, delivered, read."""
        self.start()
        self.session.keys(b"hello\r")
        self.assertEqual([params["text"] for params in self.asked("msg")], ["hello"])
        line = self.screen.lines[-1]
        self.assertEqual((line.who, line.text, line.state), ("me", "hello", "sending"))
        self.sent[0].callback({"id": "01", "state": "delivered", "route": "relay", "address": "", "ms": 1.0})
        self.assertEqual((line.state, line.route), ("delivered", "relayed"))
        self.happens("receipt", id="01", user="bob", state="read", route="relay")
        self.assertEqual(line.state, "read")

    def test_a_late_receipt_sets_nothing_back(self) -> None:
        """Read stays read."""
        self.start()
        self.session.keys(b"hello\r")
        self.sent[0].callback({"id": "01", "state": "delivered", "route": "tcp", "address": "h:1", "ms": 1.0})
        self.happens("receipt", id="01", user="bob", state="read", route="tcp")
        self.happens("receipt", id="01", user="bob", state="delivered", route="tcp")
        self.assertEqual(self.screen.lines[-1].state, "read")

    def test_what_arrives_is_shown_and_marked_as_read(self) -> None:
        """The line being written stays."""
        self.start()
        self.session.keys(b"half a th")
        self.happens("message", id="02", user="bob", text="hi", route="tcp", address="h:1", sent_at=NOW)
        self.assertEqual((self.screen.lines[-1].text, self.screen.input), ("hi", "half a th"))
        self.assertEqual(len(self.asked("read")), 2)

    def test_a_message_that_cannot_be_sent_says_why(self) -> None:
        """And the conversation goes on."""
        self.start()
        self.session.keys(b"hello\r")
        self.sent[0].errback(RateLimited("Too fast."))
        self.assertEqual(self.screen.lines[-2].state, "failed")
        self.assertEqual(self.texts()[-1], "Too fast.")
        self.assertNoResult(self.ended)

    def test_other_conversations_are_remarks(self) -> None:
        """A message of someone else's does not look like bob's."""
        self.start()
        self.happens("message", id="03", user="eve", text="psst", route="relay", address="", sent_at=NOW)
        self.assertEqual(self.screen.lines[-1].who, "")
        self.assertIn("eve: psst", self.texts()[-1])

    def test_typing_is_told_now_and_then(self) -> None:
        """Not with every key."""
        self.start()
        self.session.keys(b"a")
        self.session.keys(b"b")
        self.assertEqual(len(self.asked("typing")), 1)
        self.clock.advance(5)
        self.session.keys(b"c")
        self.assertEqual(len(self.asked("typing")), 2)

    def test_earlier_messages_are_shown_with_their_states(self) -> None:
        """From the history, and a receipt still reaches them."""
        message = {
            "id": "01", "user": "bob", "direction": "out", "text": "yesterday", "route": "relay", "state": "delivered",
            "sent_at": NOW, "received_at": NOW, "read_at": None, "address": "",
        }  # fmt: skip
        self.backend.answers["history"] = {"messages": [message]}
        self.start()
        self.happens("receipt", id="01", user="bob", state="read", route="relay")
        self.assertEqual((self.screen.lines[0].text, self.screen.lines[0].state), ("yesterday", "read"))


class HistoryTests(ChatCase):
    """What was said before, and what is read now."""

    def setUp(self) -> None:
        super().setUp()
        self.past = [self.message(number) for number in range(1, 121)]
        self.backend.answers["history"] = self.answer
        self.start()

    def message(self, number: int) -> dict[str, Any]:
        return {
            "id": f"{number:032x}", "number": number, "user": "bob", "direction": "in", "text": f"text {number}",
            "route": "relay", "state": "read", "sent_at": NOW, "received_at": NOW, "read_at": None, "address": "",
        }  # fmt: skip

    def answer(self, params: dict[str, Any], item: Any) -> Deferred[dict[str, Any]]:
        older = [message for message in self.past if message["number"] < (params.get("before") or 1000)]
        return succeed({"messages": older[-params["limit"] :]})

    def said(self) -> list[str]:
        return [line.text for line in self.screen.lines if line.who]

    def test_scrolling_to_the_top_fetches_what_is_older(self) -> None:
        """Until there is no more."""
        self.assertEqual(self.said(), [f"text {n}" for n in range(71, 121)])
        for _ in range(60):
            self.session.keys(b"\x1b[5~")
        self.assertEqual(self.said(), [f"text {n}" for n in range(1, 121)])
        self.assertEqual(self.screen.notice, "nothing was said before this")

    def test_older_messages_are_fetched_by_a_command(self) -> None:
        """As many as one likes, and the first of them is in sight."""
        self.session.keys(b"/history 7\r")
        self.assertEqual(self.said()[0], "text 64")
        self.assertGreater(self.screen.scroll, 0)
        self.session.keys(b"/history many\r")
        self.assertIn("from 1 to", self.texts()[-1])

    def test_a_long_history_ends_where_the_screen_does(self) -> None:
        """A conversation of years is not held in memory."""
        self.past = [self.message(number) for number in range(-5000, 121)]
        for _ in range(10):
            self.session.keys(b"/history 999\r")
        self.assertEqual(len(self.screen.lines), LINES_KEPT)
        self.assertIn("p2pim history", self.screen.notice)

    def test_what_is_out_of_sight_is_not_read(self) -> None:
        """Scrolled back, a message gets no receipt until it is before my eyes."""
        self.assertEqual(len(self.asked("read")), 1)
        self.session.keys(b"\x1b[5~")
        self.happens("message", id="0a", user="bob", text="look", route="relay", address="", sent_at=NOW)
        self.assertEqual(len(self.asked("read")), 1)
        for _ in range(3):
            self.session.keys(b"\x1b[6~")
        self.assertEqual(len(self.asked("read")), 2)


class CommandTests(ChatCase):
    """What begins with a slash."""

    def test_an_offer_can_be_taken_from_here(self) -> None:
        """It says how."""
        self.start()
        self.happens("offer", transfer="0f", user="bob", name="a.iso", size=1024, files=1, comment="", direction="in")
        self.assertIn("/accept 0f", self.texts()[-1])
        self.session.keys(b"/accept 0f\r")
        self.assertEqual(self.asked("accept"), [{"id": "0f"}])

    def test_a_file_is_offered(self) -> None:
        """By an absolute path, which the agent understands."""
        self.start()
        self.session.keys(b"/send a.iso\r")
        self.assertTrue(self.asked("send")[0]["paths"][0].startswith("/"))

    def test_an_unknown_one_shows_the_help_and_sends_nothing(self) -> None:
        """A mistyped command does not become a message; two slashes make one."""
        self.start()
        self.session.keys(b"/acept 0f\r")
        self.assertEqual(self.asked("msg"), [])
        self.session.keys(b"//etc\r")
        self.assertEqual(self.asked("msg")[0]["text"], "/etc")


class EndTests(ChatCase):
    """How a conversation ends."""

    def test_quit_and_ctrl_d_end_it_well(self) -> None:
        """Ctrl-D only on an empty line."""
        self.start()
        self.session.keys(b"x\x04")
        self.assertNoResult(self.ended)
        self.session.keys(b"\x7f\x04")
        self.successResultOf(self.ended)

    def test_ctrl_c_interrupts(self) -> None:
        """Status 130."""
        self.start()
        self.session.keys(b"\x03")
        self.failureResultOf(self.ended, Interrupted)

    def test_a_terminal_that_is_gone_ends_it(self) -> None:
        """As does the end of the input."""
        self.start()
        self.session.keys(b"")
        self.successResultOf(self.ended)

    def test_nobody_of_that_name_ends_it_with_the_reason(self) -> None:
        """Status 4."""
        self.backend.answers["connect"] = NoSuchUser()
        self.start()
        self.failureResultOf(self.ended, NoSuchUser)

    def test_stopping_leaves_nothing_running(self) -> None:
        """Not even what waits for a receipt; the message stays in the outbox."""
        self.start()
        self.session.keys(b"hello\r")
        self.session.stop()
        self.assertTrue(self.sent[0].called)


class WritingTests(ChatCase):
    """That the other side is writing is shown for as long as it is likely."""

    def test_a_notice_is_shown_for_some_seconds_and_renewed(self) -> None:
        """Nothing says that somebody has stopped; whoever is writing says so again and again."""
        self.start()
        self.happens("typing", user="bob")
        self.assertEqual(self.screen.notice, "bob is writing…")
        self.clock.advance(TYPING_SHOWN - 1)
        self.happens("typing", user="bob")
        self.clock.advance(TYPING_SHOWN - 1)
        self.assertEqual(self.screen.notice, "bob is writing…")
        self.clock.advance(2)
        self.assertEqual(self.screen.notice, "")

    def test_in_a_group_it_is_shown_who_of_its_members_writes(self) -> None:
        """And what the same person writes elsewhere is no matter of the group."""
        self.talk_with("#team")
        self.start()
        self.happens("typing", user="bob")
        self.assertEqual(self.screen.notice, "")
        self.happens("typing", user="bob", group="#team")
        self.assertEqual(self.screen.notice, "bob is writing…")
        self.clock.advance(TYPING_SHOWN + 1)
        self.assertEqual(self.screen.notice, "")
        self.session.keys(b"a")
        self.assertEqual([params["user"] for params in self.asked("typing")], ["#team"])

    def test_others_who_write_are_not_shown_here(self) -> None:
        """It is bob's conversation, and a message ends his writing."""
        self.start()
        self.happens("typing", user="carol")
        self.assertEqual(self.screen.notice, "")
        self.happens("typing", user="bob")
        self.happens("message", id="1", user="bob", text="hi", route="tcp", address="", sent_at=NOW)
        self.assertEqual(self.screen.notice, "")

    def test_a_request_to_be_contacts_is_remarked(self) -> None:
        """With what to type."""
        self.start()
        self.happens("contact-request", user="bob")
        self.assertIn("p2pim add bob", self.texts()[-1])
