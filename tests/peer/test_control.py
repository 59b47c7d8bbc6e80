"""The control socket: requests in, items and results out, and nothing that a stranger or a mistake could break."""

from __future__ import annotations

import json
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from p2pim.core.limits import CONTROL_BACKLOG, CONTROL_CALLS, CONTROL_CLIENTS
from p2pim.errors import NoDirectPath, NoSuchUser, P2pimError, TimedOut
from p2pim.peer.control import AgentClient, ControlFactory, ControlProtocol, ControlSocket, connect_agent
from p2pim.peer.control_wire import AgentGone
from p2pim.peer.local_api import LocalApi

Item = Callable[[dict[str, Any]], None]


class FakeApi:
    """Methods that do as the test says."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any], Item, Deferred[dict[str, Any]]]] = []
        self.cancelled: list[str] = []

    def call(self, method: str, params: dict[str, Any], item: Item) -> Deferred[dict[str, Any]]:
        if method == "echo":
            return succeed(params)
        answer: Deferred[dict[str, Any]] = Deferred(lambda _: self.cancelled.append(method))
        self.calls.append((method, params, item, answer))
        return answer


class LosableTransport(StringTransport):
    """Remembers that it was cut."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()


class ControlProtocolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = FakeApi()
        self.factory = ControlFactory(cast(LocalApi, self.api))
        self.protocol, self.transport = self.connect()

    def connect(self) -> tuple[ControlProtocol, LosableTransport]:
        protocol, transport = self.factory.buildProtocol(None), LosableTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def say(self, *values: object) -> None:
        self.protocol.dataReceived(b"".join(json.dumps(value).encode() + b"\n" for value in values))

    def heard(self) -> list[dict[str, Any]]:
        lines = self.transport.value().splitlines()
        self.transport.clear()
        return [json.loads(line) for line in lines]

    def test_a_result_carries_the_id_of_its_request(self) -> None:
        """Several may be under way."""
        self.say({"id": 7, "method": "echo", "params": {"a": 1}}, {"id": 8, "method": "echo"})
        self.assertEqual(self.heard(), [{"id": 7, "result": {"a": 1}}, {"id": 8, "result": {}}])

    def test_items_come_before_the_result(self) -> None:
        """As many as there are."""
        self.say({"id": 1, "method": "events", "params": {}})
        _, _, item, answer = self.api.calls[0]
        item({"n": 1})
        item({"n": 2})
        answer.callback({})
        items = [{"id": 1, "item": {"n": 1}}, {"id": 1, "item": {"n": 2}}]
        self.assertEqual(self.heard(), [*items, {"id": 1, "result": {}}])

    def test_an_error_carries_code_message_exit_status_and_reasons(self) -> None:
        """All that a command line prints."""
        self.say({"id": 1, "method": "connect", "params": {}})
        self.api.calls[0][3].errback(NoDirectPath("no way", reasons=(("tcp", "refused"),)))
        self.assertEqual(
            self.heard(),
            [
                {
                    "id": 1,
                    "error": "no-direct-path",
                    "message": "no way",
                    "exit": 5,
                    "reasons": [{"rung": "tcp", "reason": "refused"}],
                }
            ],
        )

    def test_a_programming_mistake_is_an_error_too_and_is_logged(self) -> None:
        """The agent goes on."""
        self.say({"id": 1, "method": "msg", "params": {}})
        self.api.calls[0][3].errback(ZeroDivisionError("oops"))
        self.assertEqual(self.heard()[0]["error"], "error")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_cancelled_request_ends(self) -> None:
        """And says so."""
        self.say({"id": 1, "method": "events", "params": {}}, {"id": 1, "cancel": True}, {"id": 99, "cancel": True})
        self.assertEqual(self.api.cancelled, ["events"])
        self.assertEqual([answer["error"] for answer in self.heard()], ["interrupted"])

    def test_whoever_hangs_up_ends_their_requests(self) -> None:
        """Nothing goes on for nobody."""
        self.say({"id": 1, "method": "events", "params": {}}, {"id": 2, "method": "log", "params": {}})
        self.protocol.connectionLost()
        self.assertEqual(self.api.cancelled, ["events", "log"])

    def test_requests_at_once_are_bounded(self) -> None:
        """And an id that is in use cannot be used again."""
        self.say(*({"id": n, "method": "events", "params": {}} for n in range(CONTROL_CALLS + 1)))
        self.say({"id": 0, "method": "events", "params": {}})
        self.assertEqual([(a["id"], a["error"]) for a in self.heard()], [(CONTROL_CALLS, "usage"), (0, "usage")])

    def test_programs_at_once_are_bounded(self) -> None:
        """The next is hung up on, until one has gone."""
        others = [self.connect() for _ in range(CONTROL_CLIENTS - 1)]
        _, late = self.connect()
        self.assertTrue(late.disconnecting)
        others[0][0].connectionLost()
        _, later = self.connect()
        self.assertFalse(later.disconnecting)

    def test_a_program_that_does_not_read_is_dropped(self) -> None:
        """The agent's memory is not its buffer."""
        self.say({"id": 1, "method": "events", "params": {}})
        self.protocol.pauseProducing()
        for _ in range(CONTROL_BACKLOG // 1000 + 1):
            self.api.calls[0][2]({"text": "x" * 1000})
        self.assertTrue(self.transport.aborted)

    @given(st.binary(min_size=1, max_size=200))
    def test_rubbish_ends_the_connection_and_nothing_else(self, rubbish: bytes) -> None:
        """Whatever it is."""
        protocol, transport = self.connect()
        protocol.dataReceived(rubbish + b"\n")
        protocol.connectionLost()
        self.assertNotIn(protocol, self.factory._clients)
        self.assertTrue(transport.disconnecting or transport.value() or not rubbish.strip())


class ControlSocketTests(TestCase):
    def setUp(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)
        self.api = FakeApi()

    def listen(self) -> None:
        served = ControlSocket(reactor, self.home / "agent.sock", cast(LocalApi, self.api))
        self.addCleanup(served.close)

    async def client(self) -> AgentClient:
        client = await connect_agent(reactor, self.home)
        assert client is not None
        self.addCleanup(self.hang_up, client)
        return client

    async def hang_up(self, client: AgentClient) -> None:
        client.close()
        await client.gone

    async def test_calls_results_items_and_errors_go_through(self) -> None:
        """The same as in one process."""
        self.listen()
        client = await self.client()
        items: list[dict[str, Any]] = []
        self.assertEqual(await client.call("echo", {"text": "grüße\u2028"}, items.append), {"text": "grüße\u2028"})
        answer = client.call("who", {}, items.append)
        while not self.api.calls:
            await deferLater(reactor, 0.001)
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
        while not self.api.calls:
            await deferLater(reactor, 0.001)
        self.api.calls[0][3].errback(NoDirectPath("no way", reasons=(("tcp", "refused"),)))
        with self.assertRaises(NoDirectPath) as caught:
            await answer
        self.assertEqual(caught.exception.reasons, (("tcp", "refused"),))

    async def test_cancelling_here_ends_it_there(self) -> None:
        """Ctrl-C at `p2pim log -f`."""
        self.listen()
        client = await self.client()
        answer = client.call("events", {}, lambda item: None)
        while not self.api.calls:
            await deferLater(reactor, 0.001)
        answer.cancel()
        with self.assertRaises(CancelledError):
            await answer
        while not self.api.cancelled:
            await deferLater(reactor, 0.001)

    async def test_an_agent_that_dies_fails_what_was_asked(self) -> None:
        """Nobody waits for ever."""
        served = ControlSocket(reactor, self.home / "agent.sock", cast(LocalApi, self.api))
        client = await self.client()
        answer = client.call("events", {}, lambda item: None)
        while not self.api.calls:
            await deferLater(reactor, 0.001)
        await served.close()
        with self.assertRaises(P2pimError):
            await answer
        with self.assertRaises(AgentGone):
            await client.call("echo", {}, lambda item: None)

    async def test_without_an_agent_there_is_none(self) -> None:
        """Neither without a socket, nor with one that a kill -9 left."""
        self.assertIsNone(await connect_agent(reactor, self.home))
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.home / "agent.sock"))
        self.assertIsNone(await connect_agent(reactor, self.home))
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
        served = ControlSocket(reactor, self.home / "agent.sock", cast(LocalApi, self.api))
        client = await self.client()
        self.assertEqual(await client.call("echo", {"a": 1}, lambda item: None), {"a": 1})
        await served.close()
        self.assertEqual(list(self.home.iterdir()), [])


class TimedOutTests(SynchronousTestCase):
    def test_every_exit_status_survives_the_way(self) -> None:
        """The class is rebuilt from its code."""
        client = AgentClient()
        client.makeConnection(StringTransport())
        answer = client.call("msg", {}, lambda item: None)
        client.dataReceived(b'{"id":1,"error":"timed-out","message":"m","exit":6}\n')
        self.assertEqual(self.failureResultOf(answer, TimedOut).value.exit_status, 6)
