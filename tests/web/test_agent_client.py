"""Programs at the agent's socket: real ones, many calls at once, and an agent that comes and goes."""

from __future__ import annotations

import shutil
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from p2pim.core.limits import AGENT_LINKS
from p2pim.errors import NoDirectPath, NoSuchUser, P2pimError
from p2pim.peer.control_wire import AgentGone
from p2pim.peer.local_api import LocalApi
from p2pim.web.agent_client import AgentClient, connect_agent
from p2pim.web.local_http import LocalHttp
from p2pim.web.local_socket import LocalSocket
from p2pim.web.routing import Routes
from p2pim.web.sse import EventLog
from tests.web.test_local_http import FakeApi

clock = cast(Any, reactor)


class AgentClientTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)
        self.api = FakeApi()

    def listen(self) -> LocalSocket:
        routes = Routes()
        LocalHttp(cast(LocalApi, self.api), EventLog("e"), clock).serve(routes)
        served = LocalSocket(clock, self.home / "agent.sock", routes)
        self.addCleanup(served.close)
        return served

    async def client(self) -> AgentClient:
        client = await connect_agent(clock, self.home)
        assert client is not None
        self.addCleanup(self.hang_up, client)
        return client

    async def hang_up(self, client: AgentClient) -> None:
        client.close()
        await client.gone

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await deferLater(clock, 0.001)

    async def test_calls_results_items_and_errors_go_through(self) -> None:
        """The same as in one process."""
        self.listen()
        client = await self.client()
        items: list[dict[str, Any]] = []
        self.assertEqual(await client.call("echo", {"text": "grüße\u2028"}, items.append), {"text": "grüße\u2028"})
        answer = client.call("who", {}, items.append)
        await self.until(lambda: self.api.calls)
        self.api.calls[0][2]({"n": 1})
        self.api.calls[0][3].errback(NoSuchUser("nobody of that name"))
        with self.assertRaises(NoSuchUser) as caught:
            await answer
        self.assertEqual((items, caught.exception.message), ([{"n": 1}], "nobody of that name"))

    async def test_reasons_survive_the_way(self) -> None:
        """For `connect`, exit 5."""
        self.listen()
        client = await self.client()
        answer = client.call("connect", {}, lambda item: None)
        await self.until(lambda: self.api.calls)
        self.api.calls[0][3].errback(NoDirectPath("no way", reasons=(("tcp", "refused"),)))
        with self.assertRaises(NoDirectPath) as caught:
            await answer
        self.assertEqual(caught.exception.reasons, (("tcp", "refused"),))

    async def test_many_calls_share_a_few_connections(self) -> None:
        """Those beyond them wait; none is lost."""
        self.listen()
        client = await self.client()
        waiting = [client.call("msg", {"n": n}, lambda item: None) for n in range(3 * AGENT_LINKS)]
        await self.until(lambda: len(self.api.calls) == AGENT_LINKS)
        done = 0
        while done < 3 * AGENT_LINKS:
            for _, params, _, answer in self.api.calls[done:]:
                answer.callback({"n": params["n"]})
                done += 1
            await deferLater(clock, 0.001)
        results = await gatherResults(waiting)
        self.assertEqual([result["n"] for result in results], list(range(3 * AGENT_LINKS)))

    async def test_what_is_asked_after_events_comes_after_their_beginning(self) -> None:
        """Their first item is the first thing that happens then."""
        self.listen()
        client = await self.client()
        events = client.call("events", {}, lambda item: None)
        self.assertEqual(await client.call("echo", {}, lambda item: None), {})
        self.assertEqual([call[0] for call in self.api.calls], ["events"])
        events.cancel()
        with self.assertRaises(CancelledError):
            await events

    async def test_cancelling_here_ends_it_there(self) -> None:
        """Ctrl-C at `p2pim log -f`."""
        self.listen()
        client = await self.client()
        answer = client.call("events", {}, lambda item: None)
        await self.until(lambda: self.api.calls)
        answer.cancel()
        with self.assertRaises(CancelledError):
            await answer
        await self.until(lambda: self.api.cancelled)

    async def test_an_agent_that_dies_fails_what_was_asked(self) -> None:
        """Nobody waits for ever."""
        served = self.listen()
        client = await self.client()
        answer = client.call("events", {}, lambda item: None)
        other: Deferred[dict[str, Any]] = client.call("msg", {}, lambda item: None)
        await self.until(lambda: len(self.api.calls) == 2)
        await served.close()
        for each in (answer, other):
            with self.assertRaises(P2pimError):
                await each
        with self.assertRaises(AgentGone):
            await client.call("echo", {}, lambda item: None)

    async def test_without_an_agent_there_is_none(self) -> None:
        """Neither without a socket, nor with one that a kill -9 left."""
        self.assertIsNone(await connect_agent(clock, self.home))
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.home / "agent.sock"))
        self.assertIsNone(await connect_agent(clock, self.home))
        self.listen()
        self.assertEqual(await (await self.client()).call("echo", {}, lambda item: None), {})

    async def test_only_its_owner_may_connect(self) -> None:
        """Mode 0600."""
        self.listen()
        self.assertEqual(stat.S_IMODE((self.home / "agent.sock").stat().st_mode), 0o600)

    async def test_a_home_may_be_as_deep_as_it_likes(self) -> None:
        """Although the path of a Unix socket has 107 bytes at most."""
        self.home = self.home / ("d" * 100) / ("e" * 100)
        self.home.mkdir(parents=True)
        served = self.listen()
        client = await self.client()
        self.assertEqual(await client.call("echo", {"a": 1}, lambda item: None), {"a": 1})
        await served.close()
        self.assertEqual(list(self.home.iterdir()), [])
