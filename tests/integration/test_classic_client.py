"""The classic client against a server written from the grammar alone, and against the gateway; in processes, too."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from p2pim.core.limits import CLASSIC_ASK_AFTER
from p2pim.errors import BadClassicName, ClassicRefused, NoSuchUser, ServerUnreachable
from p2pim.peer.classic_client import SILENCE, ClassicClient
from p2pim.wire.classic import Coding, Endpoint
from tests.integration.classic_case import Clocked, GatewayCase
from tests.integration.classic_client import MinimalClient
from tests.integration.classic_server import MinimalServer

WAIT = 30.0
P2PIM = Path(sys.executable).with_name("p2pim")


class Talker:
    """A client of ours, and what it told."""

    def __init__(
        self, case: TestCase, name: str, port: int, coding: Coding = Coding.UTF8, clock: Any = reactor
    ) -> None:
        self.events: list[dict[str, Any]] = []
        self.client = ClassicClient(
            clock, name, Endpoint("127.0.0.1", port), self.events.append, time.time, coding=coding
        )
        case.addCleanup(self.client.leave)

    async def sign_in(self) -> Talker:
        """Until the list is here."""
        await self.client.sign_in()
        return self

    async def hears(self, event: str) -> dict[str, Any]:
        """The next event of this kind."""
        end = time.monotonic() + WAIT
        while True:
            for each in self.events:
                if each["event"] == event:
                    self.events.remove(each)
                    return each
            assert time.monotonic() < end, (event, self.events)
            await deferLater(reactor, 0.01)


class GrammarTests(TestCase):
    """Against any server that speaks the grammar."""

    encoding = "utf-8"
    coding = Coding.UTF8

    def server(self, **options: Any) -> MinimalServer:
        """A server that knows nothing of p2pim."""
        server = MinimalServer(self.encoding, **options)
        self.addCleanup(deferToThread, server.stop)
        return server

    async def talker(self, name: str, server: MinimalServer) -> Talker:
        """A client of ours that has signed in, and read what it was told by then."""
        talker = await Talker(self, name, server.port, self.coding).sign_in()
        await talker.hears("list")
        return talker

    async def test_it_signs_in_and_keeps_the_list(self) -> None:
        """Everyone who is there, itself included, and then every change."""
        server = self.server()
        alice = await Talker(self, "alice", server.port, self.coding).sign_in()
        accepted, listed = await alice.hears("accepted"), await alice.hears("list")
        self.assertEqual((accepted["port"], accepted["user"]), (server.port, "alice"))
        self.assertEqual(listed["users"], [{"user": "alice", "address": accepted["address"]}])
        bob = await self.talker("小明", server)
        login = await alice.hears("login")
        self.assertEqual((login["user"], login["address"]), ("小明", str(bob.client.address)))
        bob.client.leave()
        self.assertEqual((await alice.hears("logout"))["user"], "小明")
        self.assertEqual(list(alice.client.book.users), ["alice"])

    async def test_talk_goes_straight_from_one_to_the_other(self) -> None:
        """Commas and all; the server hears nothing of it."""
        server = self.server()
        alice, bob = await self.talker("alice", server), await self.talker("bob", server)
        alice.client.say("bob", "one, two, three")
        heard = await bob.hears("talk")
        self.assertEqual((heard["user"], heard["text"], heard["listed"]), ("alice", "one, two, three", True))
        self.assertEqual((await alice.hears("sent"))["user"], "bob")
        bob.client.say("alice", "четыре")
        self.assertEqual((await alice.hears("talk"))["text"], "четыре")
        self.assertFalse([line for line in server.heard if line.startswith("talk")])

    async def test_it_logs_out_when_it_ends(self) -> None:
        """Once."""
        server = self.server()
        alice = await self.talker("alice", server)
        alice.client.leave()
        alice.client.leave()
        await self.until(lambda: not server.users)
        self.assertEqual([line.split(",")[0] for line in server.heard], ["login", "logout"])

    async def test_a_login_that_is_lost_is_said_again(self) -> None:
        """Datagrams get lost."""
        server = self.server(deaf=1)
        await self.talker("alice", server)
        self.assertEqual(len(server.heard), 2)

    async def test_a_refusal_is_told(self) -> None:
        """With its reason."""
        server = self.server()
        server.refusal = "name taken"
        with self.assertRaises(ClassicRefused) as caught:
            await self.talker("alice", server)
        self.assertIn("name taken", caught.exception.message)

    async def test_a_server_that_does_not_close_after_the_list_is_understood(self) -> None:
        """The list says itself where it ends."""
        server = self.server(closes=False)
        await self.talker("alice", server)

    async def until(self, true: Callable[[], Any]) -> None:
        """Wait for what must come true."""
        end = time.monotonic() + WAIT
        while not true():
            self.assertLess(time.monotonic(), end)
            await deferLater(reactor, 0.01)

    async def test_it_talks_with_a_client_written_from_the_grammar(self) -> None:
        """Both ways."""
        server = self.server()
        alice = await self.talker("alice", server)
        other = MinimalClient(("127.0.0.1", server.port), "other", self.encoding)
        self.addCleanup(other.close)
        users = dict(await deferToThread(other.log_in))
        await alice.hears("login")
        other.say(users["alice"], "hello, you")
        self.assertEqual((await alice.hears("talk"))["text"], "hello, you")
        alice.client.say("other", "and you, too")
        self.assertTrue((await deferToThread(other.receive)).endswith(",alice,and you, too"))


class DotNetGrammarTests(GrammarTests):
    """The same in UTF-16LE, with the list as a `BinaryWriter` string."""

    encoding = "utf-16-le"
    coding = Coding.UTF16


class NoServerTests(TestCase):
    """Who cannot be signed in."""

    def test_a_name_that_is_none_is_told_at_once(self) -> None:
        """Before anything is sent."""
        self.assertRaises(BadClassicName, Talker, self, "a,b", 4540)

    async def test_a_server_that_does_not_answer_is_told(self) -> None:
        """After some tries, by a clock of the test's."""
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(silent.close)
        silent.bind(("127.0.0.1", 0))
        clock = Clocked()
        talker = Talker(self, "alice", silent.getsockname()[1], clock=clock)
        signing_in = Deferred.fromCoroutine(talker.client.sign_in())
        clock.pump([1.0] * 20)
        with self.assertRaises(ServerUnreachable):
            await signing_in
        silent.setblocking(False)
        self.assertEqual(len([silent.recv(100) for _ in range(4)]), 4)


class GatewayTests(GatewayCase):
    """Against the gateway, on a clock of the test's."""

    async def talker(self, name: str, coding: Coding = Coding.UTF8) -> Talker:
        """A client of ours that has signed in."""
        talker = await Talker(self, name, self.gateway.port, coding, self.clock).sign_in()
        await talker.hears("list")
        return talker

    async def test_everything_works_against_the_gateway(self) -> None:
        """Signing in, the list, news, talk, and leaving; in both codings side by side."""
        alice = await self.talker("alice")
        net = await self.talker("小明", Coding.UTF16)
        self.assertEqual((await alice.hears("login"))["user"], "小明")
        net.client.say("alice", "one, two")
        self.assertEqual((await alice.hears("talk"))["text"], "one, two")
        alice.client.say("小明", "three, four")
        self.assertEqual((await net.hears("talk"))["text"], "three, four")
        net.client.leave()
        self.assertEqual((await alice.hears("logout"))["user"], "小明")

    async def test_it_answers_when_it_is_asked_whether_it_is_there(self) -> None:
        """Old clients do not; who has answered once must go on."""
        alice = await self.talker("alice")
        guest = self.gateway.roster.find("alice")
        assert guest is not None
        self.clock.advance(CLASSIC_ASK_AFTER)
        self.gateway.sweep()
        await self.until(lambda: guest.answers)
        self.assertEqual(len(self.gateway.roster), 1)
        self.assertEqual([event["event"] for event in alice.events], ["accepted"])

    async def test_a_gateway_that_has_forgotten_it_is_signed_in_to_again(self) -> None:
        """As after a restart of the server."""
        alice = await self.talker("alice")
        guest = self.gateway.roster.find("alice")
        assert guest is not None
        self.clock.advance(CLASSIC_ASK_AFTER)
        self.gateway.sweep()
        await self.until(lambda: guest.answers)
        self.gateway.roster.remove(guest)
        alice.events.clear()
        self.clock.advance(SILENCE)
        self.clock.advance(20)
        await alice.hears("interrupted")
        await alice.hears("accepted")
        await alice.hears("list")
        self.assertIsNotNone(self.gateway.roster.find("alice"))

    async def test_a_name_that_an_account_takes_back_ends_it(self) -> None:
        """With the reason."""
        alice = await self.talker("alice")
        self.gateway.evict("alice")
        with self.assertRaises(ClassicRefused):
            await alice.client.ended

    async def test_who_is_not_in_the_list_cannot_be_written_to(self) -> None:
        """It says so."""
        alice = await self.talker("alice")
        self.assertRaises(NoSuchUser, alice.client.say, "nobody", "hello")


class Command:
    """``p2pim --json classic`` as a process."""

    def __init__(self, case: TestCase, account: str, *options: str, as_json: bool = True) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [P2PIM, *(["--json"] if as_json else []), "classic", account, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True,
            encoding="utf-8",
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        case.addCleanup(self.end)

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(())
        for line in self.process.stdout:
            self.lines.append(line)

    def event(self, kind: str) -> dict[str, Any]:
        """The next event of this kind."""
        end = time.monotonic() + WAIT
        while True:
            for line in list(self.lines):
                event: dict[str, Any] = json.loads(line)
                if event.get("event") == kind or (kind == "error" and "error" in event):
                    self.lines.remove(line)
                    return event
            assert time.monotonic() < end, (kind, self.lines)
            assert self.process.poll() is None or self._reader.is_alive(), (kind, self.lines)
            time.sleep(0.01)

    def say(self, line: str) -> None:
        """A line of stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def close_input(self) -> None:
        """The end of stdin."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self) -> None:
        """Whatever happened."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT)
        self._reader.join(WAIT)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


class CommandTests(TestCase):
    """The command line against the server written from the grammar."""

    def setUp(self) -> None:
        self.server = MinimalServer()
        self.addCleanup(self.server.stop)

    def command(self, name: str, *options: str) -> Command:
        """A process that has its list."""
        command = Command(self, f"{name}@127.0.0.1:{self.server.port}", *options)
        command.event("accepted")
        command.event("list")
        return command

    def test_two_people_talk_and_leave(self) -> None:
        """By lines of stdin and JSON events; the end of stdin logs out."""
        alice, bob = self.command("alice"), self.command("bob")
        self.assertEqual(alice.event("login")["user"], "bob")
        alice.say("bob one, two, three")
        self.assertEqual(bob.event("talk")["text"], "one, two, three")
        alice.say("/list")
        self.assertEqual([user["user"] for user in alice.event("list")["users"]], ["alice", "bob"])
        bob.close_input()
        self.assertEqual(bob.process.wait(WAIT), 0)
        self.assertEqual(alice.event("logout")["user"], "bob")
        alice.say("bob are you there?")
        self.assertEqual(alice.event("error")["error"], "no-such-user")
        alice.close_input()
        self.assertEqual(alice.process.wait(WAIT), 4)
        self.assertEqual(self.server.users, {})

    def test_it_logs_out_however_it_is_stopped(self) -> None:
        """Ctrl-C and SIGTERM."""
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            alice = self.command("alice", "--no-input")
            alice.process.send_signal(number)
            self.assertEqual(alice.process.wait(WAIT), status)
            end = time.monotonic() + WAIT
            while self.server.users:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)

    def test_a_refusal_is_an_exit_status(self) -> None:
        """As for credentials that were refused."""
        self.server.refusal = "name taken"
        alice = Command(self, f"alice@127.0.0.1:{self.server.port}")
        self.assertEqual(alice.event("error")["error"], "classic-refused")
        self.assertEqual(alice.process.wait(WAIT), 3)

    def test_an_account_that_is_none_is_wrong_usage(self) -> None:
        """With what it should be."""
        for account in ("alice", "@127.0.0.1", "a;b@127.0.0.1", "alice@127.0.0.1:0"):
            alice = Command(self, account)
            self.assertEqual(alice.process.wait(WAIT), 2)
            self.assertEqual(alice.event("error")["error"], "usage")
