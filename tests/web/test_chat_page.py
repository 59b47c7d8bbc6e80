"""The chat page of an agent: its door, on real loopback, as a browser and others knock at it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import TestCase

from p2pim.errors import StorageError, Usage
from p2pim.peer.home import Home
from p2pim.peer.local_api import LocalApi
from p2pim.web.address import PageAddress, parse_page_address
from p2pim.web.chat import ChatPage
from p2pim.web.local_http import LocalHttp
from p2pim.web.sse import EventLog
from tests.web.test_local_http import FakeApi
from tests.web.visits import Reply, request, taken_apart

PAGE = {"accept": "text/html", "sec_fetch_site": "none"}


def exchange(address: tuple[str, int], data: bytes) -> Reply:
    """Ask in one thread's own time, and hang up."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        said = b""
        while part := connection.recv(65536):
            said += part
    return taken_apart(said)


class ChatPageTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.home = Home(self.folder)
        self.now = 1_000_000_000.0
        self.log: list[str] = []
        self.page = self.serve()

    def serve(self, wanted: PageAddress = PageAddress(remembered=True)) -> ChatPage:  # noqa: B008 - frozen
        served = (LocalHttp(cast(LocalApi, FakeApi()), EventLog("e"), cast(Any, reactor)),)
        page = ChatPage(cast(Any, reactor), self.home, lambda: self.now, served)
        page.listen(wanted)
        self.addCleanup(page.close)
        return page

    def ask(self, path: str, method: str = "GET", body: bytes = b"", /, **headers: str) -> Deferred[Reply]:
        host, _, port = self.page.address.rpartition(":")
        headers = {"host": self.page.address, **headers}
        return deferToThread(exchange, (host, int(port)), request(method, path, body, **headers))

    async def enter(self) -> str:
        """Let a browser in: its cookie."""
        path = self.page.make_link().removeprefix(f"http://{self.page.address}")
        reply = await self.ask(path, **PAGE)
        self.assertEqual((reply.status, reply.headers["location"]), (303, "/"))
        return reply.headers["set-cookie"].partition(";")[0]

    async def test_a_link_opens_the_page_and_the_api(self) -> None:
        """Once; the cookie does from then on."""
        cookie = await self.enter()
        page = await self.ask("/", cookie=cookie, **PAGE)
        self.assertEqual(page.status, 200)
        self.assertNotIn(b"<script>", page.body)
        reply = await self.ask("/api/1/echo", "POST", b'{"a":1}', cookie=cookie, content_type="application/json")
        self.assertEqual(reply.json, {"a": 1})

    async def test_without_a_link_a_page_says_what_to_do(self) -> None:
        """And programs are told in JSON."""
        page = await self.ask("/", **PAGE)
        self.assertEqual(page.status, 401)
        self.assertIn(b"p2pim web", page.body)
        self.assertEqual((await self.ask("/api/1")).json["error"], "not-entered")

    async def test_a_stolen_link_helps_nobody_for_long(self) -> None:
        """Whoever comes second is refused, and the session of the first ends; the next link is good."""
        link = self.page.make_link()
        path = link.removeprefix(f"http://{self.page.address}")
        thief = (await self.ask(path)).headers["set-cookie"].partition(";")[0]
        self.assertEqual((await self.ask("/api/1", cookie=thief)).status, 200)
        self.assertEqual((await self.ask(path, **PAGE)).status, 403)
        self.assertEqual((await self.ask("/api/1", cookie=thief)).status, 401)
        self.assertEqual((await self.ask("/", cookie=await self.enter(), **PAGE)).status, 200)

    async def test_going_back_to_ones_own_link_is_no_theft(self) -> None:
        """The browser that it let in is led to the page."""
        path = self.page.make_link().removeprefix(f"http://{self.page.address}")
        cookie = (await self.ask(path, **PAGE)).headers["set-cookie"].partition(";")[0]
        self.assertEqual((await self.ask(path, cookie=cookie, **PAGE)).status, 303)
        self.assertEqual((await self.ask("/", cookie=cookie, **PAGE)).status, 200)

    async def test_a_guess_of_the_browser_does_not_use_the_link_up(self) -> None:
        """It loads ahead what may come next."""
        path = self.page.make_link().removeprefix(f"http://{self.page.address}")
        self.assertEqual((await self.ask(path, sec_purpose="prefetch;prerender", **PAGE)).status, 503)
        self.assertEqual((await self.ask(path, **PAGE)).status, 303)

    async def test_who_is_led_here_by_another_page_is_sent_once_more(self) -> None:
        """A browser keeps the strict cookie back then; it says nothing of anybody."""
        reply = await self.ask("/", accept="text/html", sec_fetch_site="cross-site")
        self.assertEqual(reply.status, 200)
        self.assertIn(b'http-equiv="refresh"', reply.body)
        self.assertEqual((await self.ask("/", accept="text/html", sec_fetch_site="same-origin")).status, 401)

    async def test_browsers_stay_in_through_a_restart_of_the_agent(self) -> None:
        """At the same address."""
        cookie, address = await self.enter(), self.page.address
        await self.page.close()
        self.page = self.serve()
        self.assertEqual(self.page.address, address)
        self.assertEqual((await self.ask("/", cookie=cookie, **PAGE)).status, 200)

    async def test_a_port_that_was_taken_meanwhile_is_given_up(self) -> None:
        """For another; but not one that was asked for."""
        address = self.page.address
        other = self.serve()
        self.assertNotEqual(other.address, address)
        port = int(address.rpartition(":")[2])
        self.assertRaises(StorageError, self.serve, PageAddress("127.0.0.1", port))

    async def test_no_secret_is_written_down(self) -> None:
        """Neither link nor cookie: not in the log, and not in the home."""
        events: list[dict[str, Any]] = []
        note = cast(Any, events.append)
        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        link = self.page.make_link()
        path = link.removeprefix(f"http://{self.page.address}")
        cookie = (await self.ask(path, **PAGE)).headers["set-cookie"].partition(";")[0]
        await self.ask(path, **PAGE)
        await self.ask("/nowhere", cookie=cookie)
        written = json.dumps(events, default=repr) + "".join(f.read_text() for f in self.folder.iterdir())
        for secret in (path.rpartition("/")[2], cookie.partition("=")[2]):
            self.assertNotIn(secret, written)
        for file in self.folder.iterdir():
            self.assertEqual(os.stat(file).st_mode & 0o077, 0, file.name)

    async def test_nothing_else_of_the_disk_is_served(self) -> None:
        """Whichever way a path is spelt."""
        paths = (
            *("/static/x/../guard.py", "/static/x/%2e%2e/guard.py", "/static/x/..%2fguard.py", "/static/x//etc/passwd"),
            *("/static/x/", "/static/x/chat", "/strings/../guard.py", "/strings/de.json", "/static/x/%00"),
        )
        for path in paths:
            self.assertEqual((await self.ask(path)).status, 404, path)


class AddressTests(TestCase):
    def test_the_page_stays_on_this_machine(self) -> None:
        """Whoever wants it elsewhere is told so."""
        self.assertEqual(parse_page_address("auto"), PageAddress(remembered=True))
        self.assertIsNone(parse_page_address("none"))
        self.assertEqual(str(parse_page_address("localhost:80")), "127.0.0.1:80")
        self.assertEqual(str(parse_page_address("[::1]:80")), "[::1]:80")
        for wrong in ("0.0.0.0:80", "[::]:80", "example.org:80", "127.0.0.1", "127.0.0.1:x", ":80", "192.168.1.7:80"):
            self.assertRaises(Usage, parse_page_address, wrong)
