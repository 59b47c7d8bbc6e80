"""The operator's page of a server: where it is served, and over what."""

from __future__ import annotations

import ipaddress
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from p2pim.core.addresses import format_address, is_loopback
from p2pim.errors import BadConfig, P2pimError, Usage
from p2pim.server.admin_socket import AdminDesk
from p2pim.server.beside import LAST_PORT
from p2pim.server.folder import DataFolder
from p2pim.server.house import House
from p2pim.server.settings import ServerSettings, WebSection
from p2pim.storage import operator
from p2pim.web.assets import error_pages
from p2pim.web.guard import Sessions, cookie_name, kept_in, loopback_hosts
from p2pim.web.http import WebSite
from p2pim.web.operator.access import LocalOperator, OperatorGuard
from p2pim.web.operator.site import OperatorSite

_log = Logger()

LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True)
class Wanted:
    """Where to serve it; ``port`` 0: anywhere; ``instead``: another port will do."""

    host: str
    port: int
    instead: bool = False

    @property
    def is_local(self) -> bool:
        """Whether nobody beyond this machine can reach it."""
        return is_loopback(self.host)


def read_address(section: WebSection, tcp: int) -> Wanted | None:
    """What ``[web] address`` says.

    :param tcp: the server's TCP port.
    :raises BadConfig: it is no address.
    """
    text = section.address
    if text == "none":
        return None
    if text == "auto":
        return Wanted(LOOPBACK, tcp + 2 if 0 < tcp <= LAST_PORT - 2 else 0, instead=True)
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]").replace("localhost", LOOPBACK)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        colon = ""
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > LAST_PORT:
        raise BadConfig(f'web.address: {text!r} is not ADDR:PORT (as 127.0.0.1:4532), "auto" or "none".')
    return Wanted(host, int(port))


class PageTls:
    """TLS for browsers, with the certificate that is current; Twisted's context factory."""

    def __init__(self, certificate: tuple[Path, Path]) -> None:
        self.use(certificate)

    def use(self, certificate: tuple[Path, Path]) -> None:
        """Take this certificate (with its chain) and key for connections from now on.

        :raises BadConfig: they cannot be used.
        """
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(b"ECDHE+AESGCM:ECDHE+CHACHA20")
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
        chain, key = certificate
        try:
            context.use_certificate_chain_file(str(chain))
            context.use_privatekey_file(str(key))
            context.check_privatekey()
        except SSL.Error as error:
            raise BadConfig(f"The certificate {chain} and the key {key} cannot be used: {error}.") from None
        self._context = context

    def getContext(self) -> SSL.Context:  # noqa: N802 - Twisted's
        """For one more connection."""
        return self._context


class OperatorPage:
    """See `p2pim.server.page.IOperatorPage`.

    :param local: knows the operator's own browser.
    """

    def __init__(self, reactor: Any, house: House, desk: AdminDesk, folder: DataFolder, local: LocalOperator) -> None:
        self._reactor = reactor
        self._folder = folder
        load, save = kept_in(folder.page_sessions, folder.write_private)
        self._sessions = Sessions(house.wall, house.random_bytes, load, save)
        self._site = OperatorSite(house, desk, self._sessions, local)
        self._routes = self._site.routes()
        self._served: WebSite | None = None
        self._section = WebSection()
        self._wanted: Wanted | None = None
        self._tls: PageTls | None = None
        self._port: Any = None

    @property
    def feed(self) -> Any:
        """What its watchers are told."""
        return self._site.feed

    @property
    def address(self) -> str | None:
        """See `IOperatorPage`."""
        if self._port is None or self._wanted is None:
            return None
        return format_address(self._wanted.host, self._port.getHost().port)

    # --- beginning, changing, ending

    def open(self, settings: ServerSettings, port: int, certificate: tuple[Path, Path]) -> None:
        """See `IOperatorPage`."""
        wanted = read_address(settings.web, port)
        self._site.token.use(settings.web.metrics_token_file)
        self._section = settings.web
        if wanted is None:
            return
        try:
            self._listen(wanted, certificate)
        except BadConfig as error:
            if not wanted.instead:
                raise
            _log.error("there is no operator's page: {reason}", reason=error.message)

    def use(self, settings: ServerSettings, port: int, certificate: tuple[Path, Path]) -> None:
        """See `IOperatorPage`."""
        try:
            wanted = read_address(settings.web, port)
            self._site.token.use(settings.web.metrics_token_file)
            if self._tls is not None:
                self._tls.use(certificate)
            if wanted != self._wanted:
                self._move(wanted, certificate)
            self._section = settings.web
            if self._wanted is not None and self._served is not None:
                self._served.gate = self._site.guard = self._make_guard(self._wanted)
        except P2pimError as error:
            _log.error("the operator's page goes on as it was: {reason}", reason=error.message)

    def _move(self, wanted: Wanted | None, certificate: tuple[Path, Path]) -> None:
        before = self._port, self._served
        if wanted is None:
            self._port = self._wanted = self._served = self._tls = None
        else:
            self._listen(wanted, certificate)
        self._end(*before)
        _log.info("the operator's page is at {address} now", address=self.address or "no address")

    def _listen(self, wanted: Wanted, certificate: tuple[Path, Path]) -> None:
        tls = None
        if not wanted.is_local:
            self._check_password(wanted)
            tls = PageTls(certificate)
        guard = self._make_guard(wanted)
        served = WebSite(self._reactor, self._routes, error_pages(self._site.assets), guard)
        self._port = self._bind(wanted, served, tls)
        self._site.guard, self._served, self._wanted, self._tls = guard, served, wanted, tls

    def _make_guard(self, wanted: Wanted) -> OperatorGuard:
        return OperatorGuard(self._sessions, self._cookie(), self._hosts(wanted), secure=not wanted.is_local)

    def _bind(self, wanted: Wanted, served: WebSite, tls: PageTls | None) -> Any:
        def listen(port: int) -> Any:
            if tls is None:
                return self._reactor.listenTCP(port, served, interface=wanted.host)
            return self._reactor.listenSSL(port, served, tls, interface=wanted.host)

        try:
            try:
                return listen(wanted.port)
            except CannotListenError:
                if not wanted.instead:
                    raise
                return listen(0)
        except CannotListenError as error:
            where = format_address(wanted.host, wanted.port)
            raise BadConfig(
                f"web.address: the operator's page cannot be served at {where}: {error.socketError}. Free it, or "
                "choose another by --web ADDR:PORT, or none by --web none."
            ) from None

    def _check_password(self, wanted: Wanted) -> None:
        """Whoever can reach the page must have something to show."""
        with closing(sqlite3.connect(self._folder.database)) as db:
            if operator.get_password(db) is None:
                where = format_address(wanted.host, wanted.port)
                raise BadConfig(
                    f"web.address: {where} can be reached from elsewhere, and no password is set. Set one with `p2pim "
                    f"admin --data {self._folder.path} operator-password`, or serve the page on loopback alone "
                    '(web.address = "auto").'
                )

    def _hosts(self, wanted: Wanted) -> Callable[[], frozenset[str]] | None:
        """The names under which it may be asked: on loopback its own and those of the configuration; elsewhere any,
        since browsers hold the name against the certificate, unless the configuration names some."""

        def names() -> frozenset[str]:
            host, port = wanted.host, self._port.getHost().port
            more = {name.lower() for name in self._section.hosts}
            own = loopback_hosts(host, port) if wanted.is_local else {format_address(host, port)}
            return frozenset(own | more | {f"{name}:{port}" for name in more})

        return names if wanted.is_local or self._section.hosts else None

    def _cookie(self) -> str:
        return cookie_name("operator", str(self._folder.path))

    def make_link(self) -> str:
        """See `IOperatorPage`."""
        if self._wanted is None:
            raise Usage("The operator's page is switched off ([web] address or --web is none).")
        scheme = "https" if self._tls is not None else "http"
        hosts, port = self._section.hosts, self._port.getHost().port
        name = hosts[0] if hosts and not self._wanted.is_local else _reachable(self._wanted.host)
        shown = name if ":" in name and not _is_ip(name) else format_address(name, port)
        return f"{scheme}://{shown}/enter/{self._site.links.make()}"

    def end_sessions(self) -> None:
        """See `IOperatorPage`."""
        self._sessions.end_all()

    async def close(self) -> None:
        """See `IOperatorPage`."""
        self._site.feed.stop()
        port, served, self._port, self._served = self._port, self._served, None, None
        if port is not None:
            await maybeDeferred(port.stopListening)
        if served is not None:
            served.end()

    @staticmethod
    def _end(port: Any, served: WebSite | None) -> None:
        if port is not None:
            maybeDeferred(port.stopListening).addErrback(lambda failure: _log.failure("a port stays open", failure))
        if served is not None:
            served.end()


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _reachable(host: str) -> str:
    """An address to dial for one that is listened on: this machine stands for all of them."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104
