"""The chat page of an agent: on loopback, behind one-time links."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from p2pim.errors import NotEntered, StorageError
from p2pim.net.loopback import is_own
from p2pim.peer.home import Home, write_private
from p2pim.web.address import PageAddress
from p2pim.web.answers import Answer, see_other
from p2pim.web.assets import Assets, error_pages
from p2pim.web.guard import Guard, Links, Sessions, cookie_name, kept_in, loopback_hosts
from p2pim.web.http import WebRequest, WebSite
from p2pim.web.routing import OPEN, Routes, Served


class ChatPage:
    """The page of ``home``, until `close`.

    :param wall: the time in seconds since 1970.
    :param served: what is behind the page.
    """

    log = Logger()

    def __init__(self, reactor: Any, home: Home, wall: Any, served: Sequence[Served]) -> None:
        self._reactor = reactor
        self._home = home
        self._assets = Assets()
        load, save = kept_in(home.path / "web-sessions.json", write_private)
        self._sessions = Sessions(wall, home.random_bytes, load, save)
        self._links = Links(reactor.seconds, home.random_bytes)
        self._port: Any = None
        self._address = PageAddress()
        name = cookie_name("chat", home.credentials().device)
        self._guard = Guard(self._sessions, name, lambda: loopback_hosts(self._address.host, self._address.port))
        routes = Routes()
        routes.add("GET", "/", self._get_page, OPEN)
        routes.add("GET", "/enter/{token}", self._enter, OPEN)
        self._assets.serve(routes)
        for each in served:
            each.serve(routes)
        self.site = WebSite(reactor, routes, error_pages(self._assets), self._guard, trusted=is_own)

    def listen(self, wanted: PageAddress) -> None:
        """Serve it.

        :raises StorageError: the address is taken.
        """
        port = self._remembered() if wanted.remembered else wanted.port
        try:
            self._port = self._reactor.listenTCP(port, self.site, interface=wanted.host)
        except CannotListenError as error:
            if not wanted.remembered or not port:
                raise StorageError(f"The chat page cannot be served at {wanted}: {error.socketError}.") from None
            self._port = self._reactor.listenTCP(0, self.site, interface=wanted.host)
        self._address = PageAddress(wanted.host, self._port.getHost().port)
        if wanted.remembered:
            write_private(self._home.path / "web-port", b"%d\n" % self._address.port)

    @property
    def address(self) -> str:
        """Where it is, ``HOST:PORT``."""
        return str(self._address)

    def make_link(self) -> str:
        """An address that lets one browser in, once."""
        return f"http://{self._address}/enter/{self._links.make()}"

    async def close(self) -> None:
        """End it."""
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        self.site.end()

    def _remembered(self) -> int:
        try:
            return int((self._home.path / "web-port").read_text()) & 0xFFFF
        except (OSError, ValueError):
            return 0

    # --- pages

    async def _get_page(self, request: WebRequest) -> Answer:
        """The page itself. Somebody who was led here by another page comes without the (strict) cookie, and is sent
        once more, by ourselves."""
        try:
            self._guard.entered(request)
        except NotEntered:
            if request.header("sec-fetch-site") in ("cross-site", "same-site"):
                return self._assets.page("again.html", request)
            raise
        return self._assets.page("chat.html", request)

    async def _enter(self, request: WebRequest) -> Answer:
        if "prefetch" in request.header("sec-purpose") + request.header("purpose"):
            return Answer(status=503)  # a browser's guess what comes next must not use the link up
        try:
            self._guard.entered(request)
        except NotEntered:
            suspicious = request.header("sec-fetch-site") in ("", "none", "same-origin")
            token = self._links.use(request.facts["token"], self._sessions, suspicious=suspicious)
            return see_other("/", self._guard.set_cookie(token))
        return see_other("/")
