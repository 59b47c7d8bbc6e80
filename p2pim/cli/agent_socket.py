"""The agent's socket without Twisted: for commands that ask, wait, and print.

They are the many short ones, and answer in a fraction of the time that loading a reactor takes. What has to listen and
type at once (`chat`) uses the reactor and `p2pim.peer.control.connect_agent` instead.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from p2pim.cli.backend import Item
from p2pim.core.limits import CONTROL_ANSWER
from p2pim.peer.control_wire import AgentGone, rebuild, short_path

T = TypeVar("T")


class AgentSocket:
    """A connection to the agent; its calls block, so a coroutine that awaits nothing else never waits."""

    is_agent = True

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._number = 0

    async def call(self, method: str, params: dict[str, Any], item: Item) -> dict[str, Any]:
        """Have the agent carry out ``method``. Ctrl-C ends it here, and closing the connection ends it there.

        :raises AgentGone: the agent ended before it had answered.
        """
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        while True:
            value = self._receive()
            if value.get("id") != self._number:
                continue
            if "item" in value:
                item(value["item"])
            elif "result" in value:
                result: dict[str, Any] = value["result"]
                return result
            else:
                raise rebuild(value)

    def _send(self, value: dict[str, Any]) -> None:
        try:
            self._connection.sendall(json.dumps(value).encode() + b"\n")
        except OSError:
            raise AgentGone from None

    def _receive(self) -> dict[str, Any]:
        try:
            value: dict[str, Any] = json.loads(self._lines.readline(CONTROL_ANSWER))
        except (OSError, ValueError):
            raise AgentGone from None
        return value

    async def close(self) -> None:
        self._lines.close()
        self._connection.close()


def connect(home: Path) -> AgentSocket | None:
    """The agent that runs under ``home``, or None when none does."""
    path = home.expanduser().absolute() / "agent.sock"
    if not path.exists():
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(path) as name:
            connection.connect(name)
    except OSError:
        connection.close()
        return None
    return AgentSocket(connection)


def drive(work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` returns; it must await nothing but an `AgentSocket`."""
    try:
        work.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    work.close()
    raise RuntimeError("a command waits for something that needs a reactor")
