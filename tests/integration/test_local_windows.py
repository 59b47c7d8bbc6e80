"""What windows are drawn from, asked of an agent with a real server and a real neighbour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor

from p2pim.peer import SignedIn
from p2pim.peer.events import RouteChanged, SettingsChanged
from p2pim.peer.transfer_events import TransferCompleted
from p2pim.web.agent import Agent
from p2pim.web.agent_client import AgentClient, connect_agent
from tests.integration.neighbours import Neighbour, NeighboursCase


class WindowsTests(NeighboursCase):
    async def agent(self, name: str, **settings: Any) -> tuple[Neighbour, AgentClient]:
        """An agent for a new account, ready, and a program at its socket."""
        await self.leave(await self.join(name))
        neighbour = self.make(name, **settings)
        agent = Agent(reactor, neighbour.peer, lambda reason: None)
        self.neighbours.remove(neighbour)
        self.addCleanup(agent.stop)
        await agent.start()
        await self.until(lambda: neighbour.had(SignedIn))
        client = await connect_agent(reactor, neighbour.peer.home.path)
        assert client is not None
        self.addCleanup(lambda: client.gone)
        self.addCleanup(client.close)
        return neighbour, client

    async def ask(self, client: AgentClient, method: str, **params: Any) -> dict[str, Any]:
        return await client.call(method, params, lambda item: None)

    async def test_opening_a_conversation_finds_a_direct_way_and_tells_of_it(self) -> None:
        """In the background; the title follows the route."""
        alice, client = await self.agent("alice")
        await self.join("bob")
        await self.ask(client, "msg", user="bob", text="hello", route="relay")
        opened = await self.ask(client, "conversation", user="BOB", open=True)
        self.assertEqual((opened["user"], opened["route"]["kind"], opened["verified"]), ("bob", "relay", False))
        await self.until(lambda: [e for e in alice.had(RouteChanged) if e.kind == "tcp"])
        (route,) = (await self.ask(client, "routes"))["routes"]
        self.assertEqual((route["user"], route["kind"], route["same_lan"]), ("bob", "tcp", True))
        network = await self.ask(client, "network")
        self.assertEqual((network["me"]["user"], network["me"]["connected"]), ("alice", True))
        self.assertGreater(network["me"]["server_rtt_ms"], 0)
        (peer,) = network["peers"]
        self.assertEqual((peer["user"], peer["kind"], len(peer["channels"])), ("bob", "tcp", 1))

    async def test_a_setting_takes_effect_at_once_and_stays(self) -> None:
        """Channels are given up when they are switched off, and what is said goes by the relay."""
        alice, client = await self.agent("alice")
        await self.join("bob")
        await self.ask(client, "msg", user="bob", text="hello", route="direct")
        told = await self.ask(client, "settings", set={"channel": "none", "accept": "always"})
        self.assertEqual((told["channel"], told["accept"], told["fixed"]), ("none", "always", ["downloads"]))
        await self.until(lambda: len(alice.had(SignedIn)) == 2)
        sent = await self.ask(client, "msg", user="bob", text="still here")
        self.assertEqual((sent["state"], sent["route"]), ("delivered", "relay"))
        self.assertEqual(alice.had(SettingsChanged)[0].settings, told)
        self.assertIn('"channel":"none"', (alice.peer.home.path / "settings.json").read_text())

    async def test_dropped_files_arrive_and_their_copies_go(self) -> None:
        """By the socket as by the page."""
        alice, client = await self.agent("alice")
        bob = await self.join("bob", accept="always")
        drop = (await self.ask(client, "drop", user="bob"))["drop"]
        folder = alice.peer.home.path / "outgoing" / drop
        (folder / "files" / "trip").mkdir()
        (folder / "files" / "trip" / "a.txt").write_bytes(b"hello")
        (sent,) = (await self.ask(client, "drop-send", drop=drop, comment="here"))["transfers"]
        self.assertEqual((sent["name"], sent["folder"], sent["comment"]), ("trip", True, "here"))
        await self.until(lambda: bob.had(TransferCompleted) and alice.had(TransferCompleted))
        self.assertEqual((Path(bob.had(TransferCompleted)[0].path) / "a.txt").read_bytes(), b"hello")
        await self.until(lambda: not folder.exists())
