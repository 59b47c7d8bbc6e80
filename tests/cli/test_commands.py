"""Each command: what it asks for, what it prints, how it ends."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from p2pim.cli.main import COMMANDS
from p2pim.errors import NoDirectPath, NoSuchUser, NotSignedIn, Offline, TimedOut
from tests.cli.fakes import Called, FakeBackend

CHANNEL = {
    "user": "bob", "device": "ab" * 16, "kind": "tcp", "address": "192.168.1.7:50122", "local_address": "192.168.1.4:4",
    "same_lan": True, "rtt_ms": 0.42, "sent": 1536, "received": 0, "since": "2026-01-31T12:00:00.000Z", "reasons": [],
}  # fmt: skip
TRANSFER = {
    "transfer": "0f" * 16, "user": "bob", "name": "a.iso", "direction": "in", "state": "waiting", "bytes": 512,
    "total": 1024, "rate": 0, "route": None, "reason": "", "path": None, "comment": "", "files": 1,
}  # fmt: skip


class FrameTests(SynchronousTestCase):
    """What all commands share."""

    def test_the_version_is_one_line(self) -> None:
        """Name and number."""
        called = Called(None, "--version")
        self.assertEqual(called.status, 0)

    def test_every_command_has_help(self) -> None:
        """Each can be loaded, and says what it does."""
        for name in COMMANDS:
            self.assertEqual(Called(None, name, "--help").status, 0, name)

    def test_wrong_usage_is_one_line_and_status_2(self) -> None:
        """An unknown command, a missing argument, a wrong value."""
        for arguments in (("nonsense",), ("add",), ("ping", "bob", "-c", "many"), ("--colour", "who")):
            called = Called(None, *arguments)
            self.assertEqual((called.status, called.out), (2, ""))
            self.assertRegex(called.err, r"\Ap2pim: usage: .*\n\Z")

    def test_wrong_usage_is_an_object_too_with_json(self) -> None:
        """Even when the option stands behind what was wrong."""
        called = Called(None, "nonsense", "--json")
        self.assertEqual((called.status, called.objects[0]["error"]), (2, "usage"))

    def test_global_options_stand_before_or_after_the_command(self) -> None:
        """Both orders give objects."""
        for arguments in (("--json", "add", "bob"), ("add", "--json", "bob"), ("add", "bob", "--json")):
            backend = FakeBackend({"add": {"user": "bob", "status": "online"}})
            self.assertEqual(Called(backend, *arguments).objects, [{"user": "bob", "status": "online"}])

    def test_a_failure_has_its_status_and_line(self) -> None:
        """The error decides; the backend is closed all the same."""
        for error, status in ((NotSignedIn(), 3), (NoSuchUser(), 4), (Offline(), 5), (TimedOut(), 6)):
            backend = FakeBackend({"msg": error})
            called = Called(backend, "--json", "msg", "bob", "hi")
            self.assertEqual((called.status, backend.closed), (status, 1))
            self.assertEqual(called.objects, [{"error": error.code, "message": error.message}])
            self.assertEqual(called.err, f"p2pim: {error.code}: {error.message}\n")

    def test_a_defect_is_told_in_one_line(self) -> None:
        """No traceback for people."""
        called = Called(FakeBackend({"who": lambda params, item: 1 / 0}), "who")
        self.assertEqual(called.status, 1)
        self.assertRegex(called.err, r"\Ap2pim: internal-error: ZeroDivisionError: .*\n\Z")

    def test_ctrl_c_is_status_130(self) -> None:
        """Wherever it comes."""

        def interrupt(params: Any, item: Any) -> None:
            raise KeyboardInterrupt

        called = Called(FakeBackend({"who": interrupt}), "who")
        self.assertEqual((called.status, called.err), (130, "p2pim: interrupted: Interrupted.\n"))


class ContactTests(SynchronousTestCase):
    """who, add, remove, block, unblock."""

    PERSON: ClassVar[dict[str, Any]] = {
        "user": "bob", "status": "online", "devices": 1, "route": "tcp", "address": "192.168.1.7:50122", "rtt_ms": 0.42,
    }  # fmt: skip

    def test_who_prints_a_line_per_person(self) -> None:
        """As objects and as a table."""
        backend = FakeBackend({"who": {"people": [self.PERSON]}})
        self.assertEqual(Called(backend, "--json", "who").objects, [self.PERSON])
        shown = Called(backend, "who", "--all").out
        self.assertIn("direct TCP 192.168.1.7:50122", shown)
        self.assertEqual(backend.asked, [("who", {"all": False}), ("who", {"all": True})])

    def test_who_without_contacts_says_what_to_do(self) -> None:
        """And prints no object."""
        backend = FakeBackend({"who": {"people": []}})
        self.assertIn("p2pim add", Called(backend, "who").out)
        self.assertEqual(Called(backend, "--json", "who").out, "")

    def test_lists_are_changed(self) -> None:
        """Each asks for its method with the user."""
        for command in ("add", "remove", "block", "unblock"):
            backend = FakeBackend({command: {"user": "bob"}})
            called = Called(backend, command, "Bob")
            self.assertEqual((called.status, backend.asked), (0, [(command, {"user": "Bob"})]))
            self.assertIn("bob", called.out)

    def test_adding_tells_what_came_of_it(self) -> None:
        """Asked, or agreed."""
        for relation, words in (("requested", "has to agree"), ("contact", "is a contact (online)")):
            backend = FakeBackend({"add": {"user": "bob", "status": "online", "relation": relation}})
            self.assertIn(words, Called(backend, "add", "bob").out)

    def test_removing_tells_what_has_ended(self) -> None:
        """A request of theirs, one of mine, or more."""
        for was, words in (("asks", "declined"), ("requested", "withdrawn"), ("contact", "no contact")):
            backend = FakeBackend({"remove": {"user": "bob", "removed": True, "was": was}})
            self.assertIn(words, Called(backend, "remove", "bob").out)

    def test_who_shows_who_asks_and_how_to_answer(self) -> None:
        """They are no contacts, and not in the table."""
        asks = {**self.PERSON, "user": "carol", "status": "unknown", "route": None, "relation": "asks"}
        called = Called(FakeBackend({"who": {"people": [self.PERSON, asks]}}), "who")
        self.assertNotIn("unknown", called.out)
        self.assertRegex(called.out + called.err, "carol wants to be your contact: p2pim .*add carol")

    def test_the_status_is_shown_and_set(self) -> None:
        """With the address that the server sees."""
        mine = {"user": "alice", "server": "h:1", "address": "10.0.0.2:5", "status": "away", "chosen": "online"}
        backend = FakeBackend({"status": mine})
        self.assertEqual(Called(backend, "status").out, "alice is away by itself, seen by h:1 at 10.0.0.2:5\n")
        Called(backend, "status", "busy")
        self.assertEqual(backend.asked, [("status", {"set": ""}), ("status", {"set": "busy"})])
        self.assertEqual(Called(backend, "status", "asleep").status, 2)


class MessageTests(SynchronousTestCase):
    """msg."""

    SENT: ClassVar[dict[str, Any]] = {
        "id": "01",
        "state": "delivered",
        "route": "tcp",
        "address": "192.168.1.7:50122",
        "ms": 1.4,
    }

    def test_msg_tells_the_receipt_and_the_route(self) -> None:
        """State, way and time."""
        backend = FakeBackend({"msg": self.SENT})
        self.assertEqual(
            Called(backend, "msg", "bob", "hi").out, "delivered to bob: direct TCP 192.168.1.7:50122, 1 ms\n"
        )
        self.assertEqual(Called(backend, "--json", "msg", "bob", "hi").objects, [self.SENT])

    def test_msg_passes_its_options_on(self) -> None:
        """Route, timeout, and not to wait; several words are one text."""
        backend = FakeBackend({"msg": self.SENT})
        Called(backend, "msg", "--route", "relay", "--timeout", "2.5", "--no-wait", "bob", "two", "words")
        expected = {"user": "bob", "text": "two words", "route": "relay", "timeout": 2.5, "wait": False}
        self.assertEqual(backend.asked, [("msg", expected)])

    def test_msg_says_when_it_waits_in_the_outbox(self) -> None:
        """Nobody thinks it has arrived."""
        answer = {**self.SENT, "state": "sent", "queued": True, "note": "bob is away; it goes when both are there."}
        called = Called(FakeBackend({"msg": answer}), "msg", "bob", "hi")
        self.assertEqual((called.status, called.out), (0, "waits for bob in this home's outbox\n"))
        self.assertIn("bob is away", called.err)

    def test_without_agent_and_server_the_message_waits(self) -> None:
        """The home takes it, and it is said what will send it."""
        answer = {**self.SENT, "state": "sent", "queued": True, "note": "the server cannot be reached"}
        backend = FakeBackend({"msg": answer})
        backend.offline, backend.is_agent = True, False
        called = Called(backend, "msg", "bob", "hi")
        self.assertEqual((called.status, called.online), (0, [True, False]))
        self.assertIn("up` sends it", called.err)

    def test_an_empty_message_is_wrong_usage(self) -> None:
        """Nothing is asked."""
        backend = FakeBackend()
        self.assertEqual((Called(backend, "msg", "bob", "  ").status, backend.asked), (2, []))


class ChannelTests(SynchronousTestCase):
    """connect, disconnect, channels, ping, log."""

    def test_connect_prints_the_channel(self) -> None:
        """As its title, and as the object of `channels`."""
        backend = FakeBackend({"connect": CHANNEL})
        self.assertEqual(
            Called(backend, "connect", "bob").out, "bob — direct TCP 192.168.1.7:50122, same LAN, 0.4 ms\n"
        )
        self.assertEqual(Called(backend, "--json", "connect", "bob").objects, [CHANNEL])

    def test_connect_without_a_path_is_status_5_with_the_reasons(self) -> None:
        """A program gets them all."""
        backend = FakeBackend({"connect": NoDirectPath(reasons=(("tcp", "refused"), ("udp", "not tried")))})
        called = Called(backend, "--json", "connect", "bob")
        self.assertEqual(called.status, 5)
        self.assertEqual([reason["rung"] for reason in called.objects[0]["reasons"]], ["tcp", "udp"])

    def test_channels_are_a_line_each_with_the_reasons_below(self) -> None:
        """Why it is relayed stands there."""
        relay = {**CHANNEL, "kind": "relay", "reasons": [{"rung": "tcp", "reason": "refused"}]}
        backend = FakeBackend({"channels": {"channels": [CHANNEL, relay]}})
        shown = Called(backend, "channels").out
        self.assertIn("bob: tcp: refused", shown)
        self.assertIn("1.5 KiB", shown)
        self.assertEqual(Called(backend, "--json", "channels").objects, [CHANNEL, relay])

    def test_ping_prints_each_answer_and_the_figures(self) -> None:
        """Like the program of that name."""
        backend = FakeBackend(
            {"ping": {"sent": 2, "received": 1, "min_ms": 1.0, "avg_ms": 1.0, "max_ms": 1.0}},
            {"ping": [{"seq": 1, "rtt_ms": 1.0, "route": "tcp"}, {"seq": 2, "rtt_ms": None, "route": "tcp"}]},
        )
        called = Called(backend, "ping", "bob", "-c", "2", "--route", "direct")
        self.assertEqual(called.status, 0)
        self.assertIn("seq=1 1.0 ms", called.out)
        self.assertIn("seq=2 no answer", called.out)
        self.assertEqual(backend.asked, [("ping", {"user": "bob", "count": 2, "route": "direct"})])

    def test_pings_without_any_answer_time_out(self) -> None:
        """Status 6."""
        figures = {"sent": 2, "received": 0, "min_ms": None, "avg_ms": None, "max_ms": None}
        self.assertEqual(Called(FakeBackend({"ping": figures}), "ping", "bob").status, 6)

    def test_the_log_needs_no_server_unless_it_goes_on(self) -> None:
        """Reading what was is local."""
        entry = {"at": "2026-01-31T12:00:00.000Z", "kind": "message", "user": "bob", "text": "went by tcp"}
        backend = FakeBackend(items={"log": [entry]})
        called = Called(backend, "log")
        self.assertIn("bob", called.out)
        self.assertIn("went by tcp", called.out)
        self.assertEqual((called.online, Called(backend, "log", "-f").online), ([False], [True]))
        self.assertEqual(Called(backend, "--json", "log").objects, [entry])


class TransferTests(SynchronousTestCase):
    """transfers and what is done to one."""

    def test_transfers_are_a_line_each(self) -> None:
        """With state and how far."""
        backend = FakeBackend({"transfers": {"transfers": [TRANSFER]}})
        self.assertIn("512 B of 1 KiB", Called(backend, "transfers").out)
        self.assertEqual(Called(backend, "--json", "transfers").objects, [TRANSFER])

    def test_each_change_asks_for_its_method(self) -> None:
        """With the id as typed."""
        for command in ("reject", "pause", "resume", "cancel"):
            backend = FakeBackend({command: TRANSFER})
            called = Called(backend, command, "0f0f")
            self.assertEqual((called.status, backend.asked), (0, [(command, {"id": "0f0f"})]))

    def test_accept_names_the_folder_absolutely(self) -> None:
        """The agent has another working directory."""
        backend = FakeBackend({"accept": TRANSFER})
        Called(backend, "accept", "0f", "--to", "here")
        self.assertTrue(str(backend.asked[0][1]["to"]).startswith("/"))


class SendTests(SynchronousTestCase):
    """send."""

    OFFER: ClassVar[dict[str, Any]] = {
        "event": "offer", "at": "2026-01-31T12:00:00.000Z", "transfer": "0f" * 16, "user": "bob", "name": "a.txt",
        "size": 3, "files": 1, "comment": "", "direction": "out",
    }  # fmt: skip
    COMPLETED: ClassVar[dict[str, Any]] = {
        "event": "completed", "at": "2026-01-31T12:00:01.000Z", "transfer": "0f" * 16, "name": "a.txt",
        "path": "/a.txt", "bytes": 3, "seconds": 1.0, "route": "tcp", "blake3": "00",
    }  # fmt: skip

    def setUp(self) -> None:
        self.path = self.mktemp()
        with open(self.path, "w") as file:
            file.write("abc")

    def backend(self, *events: dict[str, Any]) -> FakeBackend:
        return FakeBackend({"send": {"transfers": []}}, {"send": list(events)})

    def test_events_are_printed_as_they_come(self) -> None:
        """Objects with --json, sentences without."""
        backend = self.backend(self.OFFER, self.COMPLETED)
        self.assertEqual(Called(backend, "--json", "send", "bob", self.path).objects, [self.OFFER, self.COMPLETED])
        shown = Called(backend, "send", "bob", self.path).out
        self.assertIn("bob is offered a.txt (3 B).", shown)
        self.assertIn("a.txt is complete", shown)

    def test_the_path_is_absolute_and_must_exist(self) -> None:
        """Told before anything is asked."""
        backend = self.backend()
        called = Called(backend, "send", "bob", "/no/such/file")
        self.assertEqual((called.status, backend.asked), (1, []))
        self.assertIn("file-unreadable", called.err)
        Called(backend, "send", "bob", self.path, "--comment", "for you", "--route", "relay")
        params = backend.asked[0][1]
        self.assertTrue(params["paths"][0].startswith("/"))
        self.assertEqual((params["comment"], params["route"], params["wait"]), ("for you", "relay", True))

    def test_a_transfer_that_ends_badly_fails_with_its_reason(self) -> None:
        """Each reason has its status."""
        for reason, status in (
            ("rejected", 4),
            ("peer-cancelled", 4),
            ("peer-offline", 5),
            ("no-answer", 6),
            ("error", 1),
        ):
            event = {**self.COMPLETED, "event": "disrupted", "reason": reason}
            self.assertEqual(Called(self.backend(self.OFFER, event), "send", "bob", self.path).status, status, reason)

    def test_whoever_does_not_wait_is_content_with_a_transfer_that_does(self) -> None:
        """The other side is away: it is offered when they are back."""
        event = {**self.COMPLETED, "event": "disrupted", "reason": "peer-offline", "waits": True, "user": "bob"}
        called = Called(self.backend(self.OFFER, event), "send", "--no-wait", "bob", self.path)
        self.assertEqual(called.status, 0)
        self.assertIn("bob is not online", called.out)

    def test_not_waiting_says_who_goes_on(self) -> None:
        """The agent, or the next one."""
        backend = self.backend(self.OFFER)
        self.assertIn("The agent goes on", Called(backend, "send", "--no-wait", "bob", self.path).err)
        backend.is_agent = False
        self.assertIn("up` goes on", Called(backend, "send", "--no-wait", "bob", self.path).err)
