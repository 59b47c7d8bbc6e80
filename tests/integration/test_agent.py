"""An agent with its control socket, as the command line and other programs use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from p2pim.core.limits import AGENT_LINKS
from p2pim.errors import NoDirectPath, NoSuchTransfer, NoSuchUser, NotSignedIn, ServerUnreachable, TimedOut, Usage
from p2pim.peer import MessageReceived, SessionInterrupted, SignedIn
from p2pim.peer.events import MessageWritten
from p2pim.peer.local_api import LocalApi
from p2pim.web.agent import Agent
from p2pim.web.agent_client import AgentClient, connect_agent
from tests.integration.neighbours import Neighbour, NeighboursCase

Item = Callable[[dict[str, Any]], None]


class AgentTests(NeighboursCase):
    async def agent(self, name: str, **settings: Any) -> tuple[Neighbour, AgentClient]:
        """An agent for a new account, ready, and a program at its socket."""
        await self.leave(await self.join(name))
        neighbour = self.make(name, **settings)
        self.ended: list[str] = []
        agent = Agent(reactor, neighbour.peer, self.ended.append)
        self.neighbours.remove(neighbour)
        self.addCleanup(agent.stop)
        await agent.start()
        await self.until(lambda: neighbour.had(SignedIn))
        return neighbour, await self.client(neighbour)

    async def client(self, neighbour: Neighbour) -> AgentClient:
        client = await connect_agent(reactor, neighbour.peer.home.path)
        assert client is not None
        self.addCleanup(lambda: client.gone)
        self.addCleanup(client.close)
        return client

    async def ask(self, client: AgentClient, method: str, **params: Any) -> dict[str, Any]:
        return await client.call(method, params, lambda item: None)

    async def test_it_says_when_it_is_ready_and_takes_that_back(self) -> None:
        """ready.json has every address; it goes with the agent."""
        alice, client = await self.agent("alice")
        ready = json.loads(alice.peer.home.ready.read_text())
        self.assertEqual((ready["user"], ready["tcp"]), ("alice", alice.peer.listening))
        self.assertEqual(await self.ask(client, "status"), {
            "user": "alice", "device": ready["device"], "server": f"127.0.0.1:{self.port}",
            "fingerprint": ready["fingerprint"], "connected": True, "address": ready["address"],
            "status": "online", "chosen": "online",
        })  # fmt: skip
        await self.ask(client, "stop")
        await self.until(lambda: self.ended)

    async def test_messages_by_the_socket(self) -> None:
        """What `p2pim msg` prints."""
        _, client = await self.agent("alice")
        bob = await self.join("bob")
        sent = await self.ask(client, "msg", user="bob", text="hello", route="direct")
        self.assertEqual(set(sent), {"id", "state", "route", "address", "ms"})
        self.assertEqual((sent["state"], sent["route"]), ("delivered", "tcp"))
        self.assertEqual(bob.had(MessageReceived)[0].id, sent["id"])
        unwaited = await self.ask(client, "msg", user="bob", text="again", wait=False)
        self.assertEqual((unwaited["state"], unwaited["route"]), ("sent", "tcp"))
        await self.leave(bob)
        stored = await self.ask(client, "msg", user="bob", text="later")
        self.assertEqual((stored["state"], stored["route"]), ("stored", "mailbox"))
        (last,) = (await self.ask(client, "history", user="bob", limit=1))["messages"]
        self.assertEqual((last["text"], last["state"], last["direction"]), ("later", "stored", "out"))

    async def test_what_one_program_writes_the_others_hear_of(self) -> None:
        """A window shows what was written by a command; to a group, too."""
        alice, client = await self.agent("alice")
        await self.join("bob")
        await self.ask(client, "group-create", group="#team", users=["bob"])
        sent = await self.ask(client, "msg", user="bob", text="hello", wait=False)
        await self.ask(client, "msg", user="#team", text="all", wait=False)
        await self.until(lambda: len(alice.had(MessageWritten)) == 2)
        first, second = alice.had(MessageWritten)
        self.assertEqual((first.id, first.user, first.text, first.group), (sent["id"], "bob", "hello", None))
        self.assertEqual((second.user, second.text, second.group), ("#team", "all", "#team"))

    async def test_more_calls_at_once_than_connections_are_all_answered(self) -> None:
        """One begins on a connection in the moment in which another ends there."""
        _, client = await self.agent("alice")
        calls = [Deferred.fromCoroutine(self.ask(client, "status")) for _ in range(3 * AGENT_LINKS)]
        answers = [await call for call in calls]
        self.assertEqual({answer["user"] for answer in answers}, {"alice"})

    async def test_errors_by_the_socket(self) -> None:
        """Each with its code."""
        _, client = await self.agent("alice", channel="none")
        await self.join("bob")
        with self.assertRaises(NoSuchUser):
            await self.ask(client, "msg", user="nobody", text="hello")
        with self.assertRaises(NoDirectPath) as caught:
            await self.ask(client, "connect", user="bob")
        self.assertTrue(caught.exception.reasons)
        with self.assertRaises(NoSuchTransfer):
            await self.ask(client, "accept", id="00")
        for method, params in (("nonsense", {}), ("msg", {"user": "bob"}), ("who", {"everyone": True})):
            with self.assertRaises(Usage):
                await self.ask(client, method, **params)
        with self.assertRaises(Usage):
            await self.ask(client, "msg", user="bob", text="x", route="carrier pigeon")

    async def test_events_are_followed_until_cancelled(self) -> None:
        """As `p2pim --json up` prints them."""
        _, client = await self.agent("alice")
        bob = await self.join("bob")
        events: list[dict[str, Any]] = []
        following = client.call("events", {}, events.append)
        following.addErrback(lambda failure: None)
        await bob.peer.send_message("alice", "hello")
        await self.until(lambda: [e for e in events if e["event"] == "message"])
        following.cancel()
        (message,) = [e for e in events if e["event"] == "message"]
        self.assertEqual((message["user"], message["text"], message["route"]), ("bob", "hello", "relay"))

    async def test_who_channels_ping_and_log(self) -> None:
        """Everything that tells by which way."""
        _, client = await self.agent("alice")
        bob = await self.join("bob")
        self.assertEqual((await self.ask(client, "add", user="bob"))["relation"], "requested")
        await bob.peer.add("alice")
        channel = await self.ask(client, "connect", user="bob")
        (person,) = (await self.ask(client, "who"))["people"]
        self.assertEqual((person["user"], person["route"], person["address"]), ("bob", "tcp", channel["address"]))
        pings: list[dict[str, Any]] = []
        summary = await client.call("ping", {"user": "bob", "count": 2, "interval": 0.0}, pings.append)
        self.assertEqual((summary["sent"], summary["received"], [p["seq"] for p in pings]), (2, 2, [1, 2]))
        (listed,) = (await self.ask(client, "channels"))["channels"]
        self.assertEqual((listed["address"], listed["kind"]), (channel["address"], "tcp"))
        self.assertGreater(listed["rtt_ms"], 0)
        lines: list[dict[str, Any]] = []
        await client.call("log", {}, lines.append)
        self.assertIn("tcp channel opened", " ".join(line["text"] for line in lines))
        await self.ask(client, "disconnect", user="bob")
        self.assertEqual((await self.ask(client, "channels"))["channels"], [])

    async def test_files_by_the_socket(self) -> None:
        """Offered here, accepted there, with the events in between."""
        _, client = await self.agent("alice")
        bob = await self.join("bob", accept="always")
        (self.root / "one.txt").write_text("one")
        (self.root / "two.txt").write_text("two")
        items: list[dict[str, Any]] = []
        paths = [str(self.root / "one.txt"), str(self.root / "two.txt")]
        result = await client.call("send", {"user": "bob", "paths": paths}, items.append)
        self.assertEqual([t["state"] for t in result["transfers"]], ["completed", "completed"])
        self.assertEqual([i["event"] for i in items if i["event"] in ("offer", "completed")].count("completed"), 2)
        self.assertEqual((bob.peer.home.path / "downloads" / "two.txt").read_text(), "two")
        self.assertEqual(len((await self.ask(client, "transfers"))["transfers"]), 2)

    async def test_logging_out_ends_the_agent(self) -> None:
        """There is nobody left to be."""
        alice, client = await self.agent("alice")
        self.assertEqual(await self.ask(client, "logout"), {"user": "alice"})
        await self.until(lambda: self.ended)
        self.assertFalse(alice.peer.signed_in_here)

    async def test_it_begins_before_the_server_does(self) -> None:
        """And is told what cannot be asked now."""
        await self.leave(await self.join("alice"))
        await self.stop_server()
        alice = self.make("alice")
        agent = Agent(reactor, alice.peer, lambda reason: None)
        self.neighbours.remove(alice)
        self.addCleanup(agent.stop)
        await agent.start()
        client = await self.client(alice)
        self.assertFalse((await self.ask(client, "status"))["connected"])
        with self.assertRaises(ServerUnreachable):
            await self.ask(client, "add", user="bob")
        self.assertTrue((await self.ask(client, "msg", user="bob", text="later"))["queued"])
        self.start_server()
        await self.until(lambda: alice.had(SignedIn))

    async def test_without_an_agent_the_same_methods_work_in_this_process(self) -> None:
        """And those that need no server, without one."""
        alice, _ = await self.join("alice"), await self.join("bob")
        api = LocalApi(alice.peer)
        await api.call("msg", {"user": "bob", "text": "hello"}, lambda item: None)
        await self.leave(alice)
        api = LocalApi(self.make("alice").peer)
        result = await api.call("history", {"user": "bob"}, lambda item: None)
        self.assertEqual([m["text"] for m in result["messages"]], ["hello"])
        self.assertEqual(await api.call("transfers", {}, lambda item: None), {"transfers": []})
        with self.assertRaises(NotSignedIn):
            await LocalApi(self.make("nobody").peer).call("history", {"user": "bob"}, lambda item: None)

    async def test_a_message_without_receipt_times_out(self) -> None:
        """Exit 6, and it stays in the outbox."""
        _, client = await self.agent("alice", connect="never")
        bob = await self.join("bob")
        bob.peer._account.inbox.live = lambda *arguments: None  # type: ignore[union-attr,method-assign]
        with self.assertRaises(TimedOut):
            await self.ask(client, "msg", user="bob", text="hello", timeout=0.2)

    async def test_the_server_goes_and_the_agent_stays(self) -> None:
        """A12: interrupted, reconnecting, signed in again."""
        alice, client = await self.agent("alice")
        await self.stop_server()
        await self.until(lambda: alice.had(SessionInterrupted))
        self.assertFalse((await self.ask(client, "status"))["connected"])
        self.start_server()
        await self.until(lambda: len(alice.had(SignedIn)) == 2)
        self.assertEqual(self.ended, [])
