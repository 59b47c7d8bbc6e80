"""The agent's socket without Twisted: for commands that ask, wait, and print.

They are the many short ones, and answer in a fraction of the time that loading a reactor takes. What has to listen and
type at once (`chat`) uses the reactor and `p2pim.web.agent_client.connect_agent` instead.
"""

from __future__ import annotations

import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from p2pim.cli.backend import Item
from p2pim.core.limits import CONTROL_ANSWER
from p2pim.errors import P2pimError, WireError
from p2pim.peer.control_wire import AgentGone, rebuild, short_path
from p2pim.wire.local_http import AnswerReader, encode_request

T = TypeVar("T")
READ = 65_536


class AgentSocket:
    """A connection to the agent; its calls block, so a coroutine that awaits nothing else never waits.

    :param path: the socket's, for another connection when the agent has hung up between two calls.
    """

    is_agent = True

    def __init__(self, connection: socket.socket, path: Path | None = None) -> None:
        self._connection = connection
        self._path = path

    async def call(self, method: str, params: dict[str, Any], item: Item) -> dict[str, Any]:
        """Have the agent carry out ``method``. Ctrl-C ends it here, and closing the connection ends it there.

        :raises AgentGone: the agent ended before it had answered.
        """
        self._send(encode_request(method, params))
        answer, outcome = AnswerReader(CONTROL_ANSWER), dict[str, Any]()
        while not answer.ended:
            for value in self._receive(answer):
                if "item" in value:
                    item(value["item"])
                else:
                    outcome = value
        if not answer.reusable:
            self._connection.close()
        if "result" not in outcome:
            raise rebuild(outcome) if outcome else AgentGone()
        result: dict[str, Any] = outcome["result"]
        return result

    def _send(self, request: bytes) -> None:
        if self._path is not None and _hung_up(self._connection):
            self._connection.close()
            self._connection = _connect(self._path)
        try:
            self._connection.sendall(request)
        except OSError:
            raise AgentGone from None

    def _receive(self, answer: AnswerReader) -> list[dict[str, Any]]:
        try:
            data = self._connection.recv(READ)
            if not data:
                raise AgentGone
            return answer.feed(data)
        except (OSError, WireError):
            raise AgentGone from None

    async def close(self) -> None:
        self._connection.close()


def _hung_up(connection: socket.socket) -> bool:
    """Whether the other side has ended a connection on which nothing is awaited."""
    if connection.fileno() < 0:
        return True
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(path) as name:
            connection.connect(name)
    except OSError:
        connection.close()
        raise AgentGone from None
    return connection


def connect(home: Path) -> AgentSocket | None:
    """The agent that runs under ``home``, or None when none does."""
    path = home.expanduser().absolute() / "agent.sock"
    if not path.exists():
        return None
    try:
        return AgentSocket(_connect(path), path)
    except P2pimError:
        return None


def drive(work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` returns; it must await nothing but an `AgentSocket`."""
    try:
        work.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    work.close()
    raise RuntimeError("a command waits for something that needs a reactor")
