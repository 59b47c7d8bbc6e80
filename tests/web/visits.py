"""A site in memory, and visitors who say to it whatever they like."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from p2pim.web.answers import Answer, error_answer, json_answer
from p2pim.web.connection import WebChannel
from p2pim.web.http import Gate, WebRequest, WebSite
from p2pim.web.routing import API, OPEN, PAGE, Routes


class LosableTransport(StringTransport):
    """Remembers that it was cut."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()


@dataclass
class Reply:
    """An answer, taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def taken_apart(data: bytes) -> Reply:
    """The first answer in ``data``."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Reply(int(first.split(" ")[1]), headers, body)


class Visitor:
    """A connection to ``site``.

    :param peer: whence, if that matters.
    """

    def __init__(self, site: WebSite, peer: IAddress | None = None) -> None:
        self.transport = LosableTransport(peerAddress=peer)
        self.channel: WebChannel = site.buildProtocol(None)
        self.channel.makeConnection(self.transport)

    def say(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    def ask(self, method: str, path: str, body: bytes = b"", /, **headers: str) -> Reply:
        """The answer; ``headers`` in snake_case, ``Host`` is ours unless given."""
        self.transport.clear()
        self.say(request(method, path, body, **headers))
        return taken_apart(self.transport.value())

    def leave(self) -> None:
        """Hang up."""
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        self.channel.connectionLost(Failure(ConnectionDone()))


def request(method: str, path: str, body: bytes = b"", /, **headers: str) -> bytes:
    """On the wire."""
    given = {"host": "127.0.0.1:8480", **headers}
    if body or method in ("POST", "PUT"):
        given.setdefault("content_length", str(len(body)))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def small_site(gate: Gate | None = None, clock: Clock | None = None, **more: Callable[..., Any]) -> WebSite:
    """Something open, a page, and an API that says what it was given."""

    async def hello(request: WebRequest) -> Answer:
        return Answer(body=b"<p>hello")

    async def echo(request: WebRequest) -> Answer:
        return json_answer({"path": request.facts.get("rest", ""), "got": request.json()})

    async def wrong(request: WebRequest) -> Answer:
        raise ZeroDivisionError("oops")

    routes = Routes()
    routes.add("GET", "/open", hello, OPEN)
    routes.add("GET", "/", hello, PAGE)
    routes.add("POST", "/api/echo", echo, API)
    routes.add("GET", "/api/data", hello, API)
    routes.add("GET", "/wrong", wrong, OPEN)
    return WebSite(clock or Clock(), routes, lambda request, error: error_answer(error), gate)
