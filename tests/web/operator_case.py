"""The operator's page of a server in memory, and browsers that ask for it."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core.candidates import Endpoint
from p2pim.net.certificates import ensure_certificate
from p2pim.server.admin_socket import AdminDesk
from p2pim.server.folder import DataFolder
from p2pim.server.passwords import hash_password
from p2pim.server.settings import ServerSettings, WebSection
from p2pim.storage import operator
from p2pim.web.operator.access import LocalOperator
from p2pim.web.operator.page import OperatorPage
from tests.server.support import World

PORT = 4532
PASSWORD = "the operator's own"


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class Wire(StringTransport):
    """The server's end of a browser's connection."""

    def abortConnection(self) -> None:
        self.disconnected = True
        self.loseConnection()


class Browser:
    """Asks for pages, and keeps their cookies.

    :param host: where it is.
    """

    def __init__(self, case: OperatorCase, host: str = "127.0.0.1", port: int = 50_000) -> None:
        self.case = case
        self.peer = IPv4Address("TCP", host, port)
        self.own = IPv4Address("TCP", "127.0.0.1" if host == "127.0.0.1" else "192.0.2.1", PORT)
        self.host = f"{self.own.host}:{PORT}"
        self.cookies: dict[str, str] = {}
        self.open: list[tuple[Any, Wire]] = []

    def send(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Wire:
        """Send a request; what comes of it is in the wire."""
        wire = Wire(self.own, self.peer)
        channel = self.case.factory.buildProtocol(self.peer)
        channel.makeConnection(wire)
        given = {"Host": self.host, "Connection": "close", "Content-Length": str(len(body)), **(headers or {})}
        if self.cookies:
            given["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        channel.dataReceived(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        self.case.world.settle()
        self.open.append((channel, wire))
        return wire

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
        """The answer to a request."""
        return self.read(self.send(method, path, headers, body))

    def read(self, wire: Wire) -> Reply:
        """An answer that is complete."""
        head, _, body = wire.value().partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if "set-cookie" in headers:
            name, _, value = headers["set-cookie"].partition(";")[0].partition("=")
            self.cookies[name] = value
        return Reply(int(first.split()[1]), headers, body)

    def get(self, path: str, **headers: str) -> Reply:
        """A page, or what a page asks for."""
        return self.ask("GET", path, {name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, value: Any, **headers: str) -> Reply:
        """What our own page's script asks for."""
        given = {"Content-Type": "application/json", "Origin": f"http://{self.host}", "Sec-Fetch-Site": "same-origin"}
        given |= {name.replace("_", "-"): text for name, text in headers.items()}
        return self.ask("POST", path, given, json.dumps(value).encode())

    def sign_in(self, password: str = PASSWORD) -> Reply:
        """Send the form."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"{self.case.scheme}://{self.host}"}
        return self.ask("POST", "/sign-in", headers, urlencode({"password": password}).encode())

    def watch(self, after: str) -> Wire:
        """Follow the changes."""
        return self.send("GET", f"/api/1/changes?after={after}")

    def leave(self) -> None:
        """Close every connection."""
        for channel, _ in self.open:
            channel.connectionLost(Failure(ConnectionDone()))
        self.open = []


def events(wire: Wire) -> list[dict[str, Any]]:
    """The events that have come since the last time."""
    text = wire.value().decode().replace("\r\n", "\n")
    wire.clear()
    return [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]


class OperatorCase(SynchronousTestCase):
    """A server with its page, in memory. ``owner`` is whose browsers on this machine are."""

    web = WebSection(address=f"127.0.0.1:{PORT}")
    scheme = "http"

    def setUp(self) -> None:
        self.world = World(self.mktemp())
        self.house = self.world.house
        self.folder = DataFolder(self.world.path)
        ensure_certificate(self.folder.certificate, self.folder.key, "test")
        self.certificate = (self.folder.certificate, self.folder.key)
        self.owner: int | None = os.geteuid()
        self.looked: list[tuple[Endpoint, Endpoint]] = []
        self.desk = AdminDesk(self.house, self.folder)
        self.reactor: Any = MemoryReactorClock()
        self.page = self.make_page()
        self.desk.page = self.page

    def make_page(self) -> OperatorPage:
        """The page, as the server makes it."""
        local = LocalOperator(self.world.clock, self.look)
        self.reactor.seconds, self.reactor.callLater = self.world.clock.seconds, self.world.clock.callLater
        return OperatorPage(self.reactor, self.house, self.desk, self.folder, local)

    def look(self, theirs: Endpoint, ours: Endpoint) -> int | None:
        """Whose it is, as a test says."""
        self.looked.append((theirs, ours))
        return self.owner

    def serve(self, web: WebSection | None = None) -> None:
        """Open the page."""
        self.page.open(self.settings(web or self.web), 4530, self.certificate)

    def settings(self, web: WebSection) -> ServerSettings:
        """The server's, with these."""
        return ServerSettings(web=web)

    @property
    def factory(self) -> Any:
        """What answers browsers now."""
        return self.page._served

    def set_password(self, password: str = PASSWORD) -> None:
        """As the operator's command does."""
        with closing(sqlite3.connect(self.folder.database)) as db, db:
            operator.set_password(db, hash_password(password))

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """The result of an operator's command."""
        return self.successResultOf(Deferred.fromCoroutine(self.desk.run(method, params)))

    def operator(self) -> Browser:
        """The operator's own browser, let in."""
        browser = Browser(self)
        browser.get("/")
        return browser

    def tick(self, seconds: float = 1.0) -> None:
        """Let time go by, as much as one tick."""
        self.world.clock.advance(seconds)
        self.world.wall += seconds
        self.world.settle()
