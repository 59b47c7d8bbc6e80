"""The agent's socket without Twisted."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from p2pim.cli.agent_socket import AgentSocket, connect, drive
from p2pim.cli.backend import ignore_item
from p2pim.errors import NoDirectPath, NoSuchUser
from p2pim.peer.control_wire import AgentGone


class AgentSocketTests(SynchronousTestCase):
    """A pair of sockets; what the agent will answer is written before it is asked."""

    def setUp(self) -> None:
        mine, self.agent = socket.socketpair()
        self.addCleanup(self.agent.close)
        self.client = AgentSocket(mine)
        self.addCleanup(lambda: drive(self.client.close()))

    def answers(self, *values: dict[str, Any]) -> None:
        for value in values:
            self.agent.sendall(json.dumps(value).encode() + b"\n")

    def asked(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.agent.recv(65536))
        return value

    def test_a_call_gives_its_items_and_its_result(self) -> None:
        """And passes over what belongs to no call of its."""
        self.answers({"id": 7, "result": {}}, {"id": 1, "item": {"n": 1}}, {"id": 1, "result": {"done": True}})
        items: list[dict[str, Any]] = []
        self.assertEqual(drive(self.client.call("ping", {"user": "bob"}, items.append)), {"done": True})
        self.assertEqual(items, [{"n": 1}])
        self.assertEqual(self.asked(), {"id": 1, "method": "ping", "params": {"user": "bob"}})

    def test_an_error_keeps_its_class_and_reasons(self) -> None:
        """As it was raised in the agent."""
        reasons = [{"rung": "tcp", "reason": "refused"}]
        self.answers({"id": 1, "error": "no-such-user", "message": "who?"})
        self.answers({"id": 2, "error": "no-direct-path", "message": "no", "reasons": reasons})
        self.assertRaises(NoSuchUser, drive, self.client.call("add", {}, ignore_item))
        error = self.assertRaises(NoDirectPath, drive, self.client.call("connect", {}, ignore_item))
        self.assertEqual(error.reasons, (("tcp", "refused"),))

    def test_an_agent_that_ends_is_told(self) -> None:
        """Before it was asked, or before it answered."""
        self.agent.shutdown(socket.SHUT_WR)
        self.assertRaises(AgentGone, drive, self.client.call("who", {}, ignore_item))
        self.agent.close()
        self.assertRaises(AgentGone, drive, self.client.call("who", {}, ignore_item))

    def test_what_printing_raises_is_not_the_agents_fault(self) -> None:
        """A reader of stdout who is gone ends the command."""
        self.answers({"id": 1, "item": {}})

        def printing(item: dict[str, Any]) -> None:
            raise BrokenPipeError

        self.assertRaises(BrokenPipeError, drive, self.client.call("log", {}, printing))

    def test_without_an_agent_there_is_no_connection(self) -> None:
        """Neither where there is no socket, nor where that of a dead agent was left."""
        home = Path(self.mktemp())
        home.mkdir()
        self.assertIsNone(connect(home))
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(home / "agent.sock"))
        dead.close()
        self.assertIsNone(connect(home))
