"""The agent's socket without Twisted."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from p2pim.cli.agent_socket import AgentSocket, connect, drive
from p2pim.cli.backend import ignore_item
from p2pim.errors import NoDirectPath, NoSuchUser
from p2pim.peer.control_wire import AgentGone

LINES = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"


def whole(*values: dict[str, Any], status: str = "200 OK") -> bytes:
    """An answer whose length is told."""
    body = b"".join(json.dumps(value).encode() + b"\n" for value in values)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def chunks(*values: dict[str, Any]) -> bytes:
    """An answer that came by and by."""
    lines = [json.dumps(value).encode() + b"\n" for value in values]
    body = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in lines)
    return f"{LINES}Transfer-Encoding: chunked\r\n\r\n".encode() + body + b"0\r\n\r\n"


class AgentSocketTests(SynchronousTestCase):
    """A pair of sockets; what the agent will answer is written before it is asked."""

    def setUp(self) -> None:
        mine, self.agent = socket.socketpair()
        self.addCleanup(self.agent.close)
        self.client = AgentSocket(mine)
        self.addCleanup(lambda: drive(self.client.close()))

    def asked(self) -> tuple[str, dict[str, Any]]:
        head, _, body = self.agent.recv(65536).partition(b"\r\n\r\n")
        return head.decode().splitlines()[0], json.loads(body)

    def test_a_call_gives_its_items_and_its_result(self) -> None:
        """Items in an answer that comes by and by, and the next call on the same connection."""
        self.agent.sendall(chunks({"item": {"n": 1}}, {"item": {"n": 2}}, {"result": {"done": True}}))
        items: list[dict[str, Any]] = []
        self.assertEqual(drive(self.client.call("ping", {"user": "bob"}, items.append)), {"done": True})
        self.assertEqual(items, [{"n": 1}, {"n": 2}])
        self.assertEqual(self.asked(), ("POST /api/1/ping HTTP/1.1", {"user": "bob"}))
        self.agent.sendall(whole({"result": {"text": "grüße\u2028\n"}}))
        self.assertEqual(drive(self.client.call("who", {}, items.append)), {"text": "grüße\u2028\n"})

    def test_an_error_keeps_its_class_and_reasons(self) -> None:
        """As it was raised in the agent, before anything was said or after some items."""
        reasons = [{"rung": "tcp", "reason": "refused"}]
        self.agent.sendall(whole({"error": "no-such-user", "message": "who?"}, status="404 Not Found"))
        self.assertRaises(NoSuchUser, drive, self.client.call("add", {}, ignore_item))
        self.agent.sendall(chunks({"item": {}}, {"error": "no-direct-path", "message": "no", "reasons": reasons}))
        error = self.assertRaises(NoDirectPath, drive, self.client.call("connect", {}, ignore_item))
        self.assertEqual(error.reasons, (("tcp", "refused"),))

    def test_an_agent_that_ends_is_told(self) -> None:
        """Before it was asked, in the middle of an answer, or before it answered."""
        self.agent.sendall(chunks({"item": {}})[:-5])
        self.agent.shutdown(socket.SHUT_WR)
        self.assertRaises(AgentGone, drive, self.client.call("who", {}, ignore_item))
        self.agent.close()
        self.assertRaises(AgentGone, drive, self.client.call("who", {}, ignore_item))

    def test_an_answer_that_is_none_ends_it(self) -> None:
        """Something else answers at this socket."""
        for rubbish in (b"220 mail.example.org\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", whole()[:-1] + b"\n\n[1]"):
            mine, other = socket.socketpair()
            other.sendall(rubbish)
            other.close()
            client = AgentSocket(mine)
            self.assertRaises(AgentGone, drive, client.call("who", {}, ignore_item))
            drive(client.close())

    def test_what_printing_raises_is_not_the_agents_fault(self) -> None:
        """A reader of stdout who is gone ends the command."""
        self.agent.sendall(chunks({"item": {}}))

        def printing(item: dict[str, Any]) -> None:
            raise BrokenPipeError

        self.assertRaises(BrokenPipeError, drive, self.client.call("log", {}, printing))


class ConnectTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.home)

    def test_without_an_agent_there_is_no_connection(self) -> None:
        """Neither where there is no socket, nor where that of a dead agent was left."""
        self.assertIsNone(connect(self.home))
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(self.home / "agent.sock"))
        dead.close()
        self.assertIsNone(connect(self.home))

    def test_a_connection_that_was_hung_up_while_nothing_was_asked_is_made_again(self) -> None:
        """An agent does not keep silent connections for ever."""
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(self.home / "agent.sock"))
            listening.listen()

            def serve() -> None:
                listening.accept()[0].close()
                with listening.accept()[0] as second:
                    second.recv(65536)
                    second.sendall(whole({"result": {"n": 2}}))

            agent = threading.Thread(target=serve)
            agent.start()
            client = connect(self.home)
            assert client is not None
            self.addCleanup(lambda: drive(client.close()))
            client._connection.recv(1, socket.MSG_PEEK)  # until the first was hung up
            self.assertEqual(drive(client.call("who", {}, ignore_item)), {"n": 2})
            agent.join()
