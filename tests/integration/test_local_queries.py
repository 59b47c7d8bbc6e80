"""Programs at two agents ask and answer each other, by the agents' sockets."""

from __future__ import annotations

import base64
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from p2pim.errors import NobodyAnswers, QueryFailed, Usage
from p2pim.web.agent import Agent
from p2pim.web.agent_client import AgentClient, connect_agent
from tests.integration.neighbours import NeighboursCase


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


class LocalQueryTests(NeighboursCase):
    async def client(self, name: str) -> AgentClient:
        """The agent of a new account, and a connection to it."""
        await self.leave(await self.join(name, connect="never"))
        neighbour = self.make(name, connect="never")
        agent = Agent(reactor, neighbour.peer, lambda why: None)
        self.neighbours.remove(neighbour)
        self.addCleanup(agent.stop)
        await agent.start()
        await self.until(lambda: neighbour.peer.connected)
        client = await connect_agent(reactor, neighbour.peer.home.path)
        assert client is not None
        self.addCleanup(lambda: client.gone)
        self.addCleanup(client.close)
        return client

    def call(self, client: AgentClient, method: str, items: list[Any] | None = None, **params: Any) -> Deferred[Any]:
        return client.call(method, params, (items if items is not None else []).append)

    def query(self, client: AgentClient, topic: str = "time") -> Deferred[Any]:
        return self.call(client, "query", user="bob", topic=topic, body=b64(b"\x00\xff"), timeout=15.0)

    async def test_a_query_is_an_item_of_the_answering_program_and_its_reply_the_answer(self) -> None:
        """Bytes come as they went; who asked is told; a refusal is the asker's error, in its words."""
        alice, bob = await self.client("alice"), await self.client("bob")
        asked: list[Any] = []
        answering = self.call(bob, "answer", asked, topic="time")
        answering.addErrback(lambda failure: None)
        await self.call(bob, "status")
        waiting = self.query(alice)
        await self.until(lambda: asked)
        self.assertEqual((asked[0]["user"], asked[0]["topic"], asked[0]["body"]), ("alice", "time", b64(b"\x00\xff")))
        await self.call(bob, "reply", query=asked[0]["query"], body=b64(b"noon\xfe"))
        self.assertEqual((await waiting)["body"], b64(b"noon\xfe"))
        with self.assertRaises(Usage):
            await self.call(bob, "reply", query=asked[0]["query"], body="")
        refused = self.query(alice)
        await self.until(lambda: len(asked) == 2)
        await self.call(bob, "reply", query=asked[1]["query"], error="not today")
        with self.assertRaises(QueryFailed) as caught:
            await refused
        self.assertIn("not today", str(caught.exception))
        answering.cancel()

    async def test_a_program_that_hangs_up_answers_no_more(self) -> None:
        """What it had been asked fails at once, and later queries find nobody."""
        alice, bob = await self.client("alice"), await self.client("bob")
        asked: list[Any] = []
        answering = self.call(bob, "answer", asked, topic="time")
        answering.addErrback(lambda failure: None)
        await self.call(bob, "status")
        waiting = self.query(alice)
        await self.until(lambda: asked)
        answering.cancel()
        with self.assertRaises(QueryFailed):
            await waiting
        for topic in ("time", "nothing of the kind"):
            with self.assertRaises(NobodyAnswers):
                await self.query(alice, topic)

    async def test_a_body_that_is_no_base64_is_a_mistake(self) -> None:
        """It is told at once, and nobody is asked."""
        alice = await self.client("alice")
        with self.assertRaises(Usage):
            await self.call(alice, "query", user="bob", topic="time", body="%", timeout=5.0)
