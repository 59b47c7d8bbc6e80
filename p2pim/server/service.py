"""The integrated server as a service: opens its files, listens, says that it is ready; and all of it back again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.error import CannotListenError
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger

from p2pim.core.addresses import format_address
from p2pim.core.limits import BACKLOG, COUNTER_FLUSH, SERIES_SAMPLE, SERIES_WRITE, STOP_WAIT, STORE_SWEEP, SWEEP
from p2pim.errors import BadConfig, P2pimError, StorageError
from p2pim.net.certificates import ensure_certificate, format_fingerprint
from p2pim.net.poll import AVAILABLE, Poll
from p2pim.net.server_tls import ServerTls
from p2pim.server.admin_socket import AdminDesk, AdminFactory
from p2pim.server.beside import BesideP2p, MakeP2p
from p2pim.server.classic_service import ClassicService
from p2pim.server.folder import DataFolder
from p2pim.server.house import House
from p2pim.server.page import IOperatorPage, MakePage
from p2pim.server.passwords import Passwords, PasswordThreads
from p2pim.server.settings import ServerSettings
from p2pim.server.store_bulk import DiskThreads
from p2pim.storage.database import Database
from p2pim.storage.stored_files import StoredFolder

_log = Logger()


def certificate_files(settings: ServerSettings, folder: DataFolder) -> tuple[Path, Path]:
    """Certificate and key as configured, or the self-made ones of the data folder, which are made if need be.

    :raises BadConfig: they cannot be read.
    """
    tls = settings.tls
    if (tls.certificate is None) != (tls.key is None):
        raise BadConfig("tls.certificate and tls.key are given together, or neither.")
    try:
        if tls.certificate is not None and tls.key is not None:
            return tls.certificate, tls.key
        ensure_certificate(folder.certificate, folder.key, "p2pim-server")
    except OSError as error:
        raise BadConfig(f"The certificate cannot be read: {error.filename}: {error.strerror}.") from error
    return folder.certificate, folder.key


class ServerService(Service):
    """Runs the integrated server.

    :param reactor: with a steady clock (see `p2pim.net.process`).
    :param load: gives the settings, now and at each reload.
    :param make_p2p: makes the P2P server beside this one; None: there is none, whatever the settings say.
    :param make_page: makes the operator's page; likewise.
    """

    name = "p2pim-server"

    def __init__(
        self,
        reactor: Any,
        load: Callable[[], ServerSettings],
        make_p2p: MakeP2p | None = None,
        make_page: MakePage | None = None,
    ) -> None:
        self._reactor = reactor
        self._load = load
        self.settings = load()
        self.folder = DataFolder(self.settings.server.data)
        self._threads = PasswordThreads(reactor)
        self._ports: list[Any] = []
        self._loops: list[LoopingCall] = []
        self._database: Database | None = None
        self._disk: DiskThreads | None = None
        self._poll: Poll | None = None
        self.beside = BesideP2p(make_p2p)
        self.house: House | None = None
        self.classic: ClassicService | None = None
        self._make_page = make_page
        self._page: IOperatorPage | None = None

    # --- up

    def startService(self) -> None:
        """Open and listen.

        :raises SystemExit: it cannot; one line says why.
        """
        super().startService()  # type: ignore[no-untyped-call]
        try:
            self._open()
        except P2pimError as error:
            self._fail(error.code, error.message)
        except CannotListenError as error:
            self._fail("cannot-listen", f"{error}")

    def _fail(self, code: str, message: str) -> None:
        if self._poll is not None:
            self._poll.close()
        self.folder.unlock()
        raise SystemExit(f"p2pim-server: {code}: {message}")

    def _open(self) -> None:
        self.folder.make()
        self.folder.lock()
        self.folder.remove_ready()
        tls = ServerTls(*certificate_files(self.settings, self.folder))
        self._database = Database(self._reactor, self.folder.database, "server")
        passwords = Passwords(self._threads.run)
        self._disk = DiskThreads(self._reactor)
        self.house = House(
            self._reactor, self.settings, self._database, passwords, tls, time.time, os.urandom, self.beside,
            self._stored(), self._disk,
        )  # fmt: skip
        self._poll = Poll(self._reactor, self.house.flusher) if AVAILABLE else None
        self._ports.append(self._listen_for_clients(self.house))
        self.classic = ClassicService(self._reactor, self.house.names.exists, self.house.guests, os.urandom)
        self.classic.open(self.settings.classic)
        self._listen_for_operators(self.house)
        self._threads.start()
        self._disk.start()
        self._every(STORE_SWEEP, self._expire_files, now=True)
        self._every(SWEEP, self.house.sweep)
        self._every(SWEEP, self.classic.sweep)
        self._every(COUNTER_FLUSH, self.house.write_counters)
        self._keep_series(self.house)
        self._reactor.callWhenRunning(self._ready)

    def _stored(self) -> StoredFolder:
        stored = StoredFolder(self.folder.files)
        try:
            stored.make()
        except OSError as error:
            raise StorageError(f"The folder {stored.path} cannot be used: {error.strerror}.") from error
        return stored

    def _listen_for_clients(self, house: House) -> Any:
        server = self.settings.server

        def listen_tcp(port: int) -> Any:
            listen = self._reactor.listenTCP if self._poll is None else self._poll.listen_tcp
            return listen(port, house.port, backlog=BACKLOG, interface=server.interface)

        return self.beside.listen(server.interface, server.port, self.settings.p2p, listen_tcp)

    def _listen_for_operators(self, house: House) -> None:
        desk = AdminDesk(house, self.folder)
        if self._make_page is not None:
            self._page = desk.page = self._make_page(house, desk, self.folder)
            self._page.open(self.settings, self._tcp_port(), certificate_files(self.settings, self.folder))
        self.folder.socket.unlink(missing_ok=True)  # of a server that was killed: the lock is ours
        factory = AdminFactory(desk)
        self._ports.append(self._reactor.listenUNIX(self.folder.socket_address(), factory, mode=0o600))

    def _tcp_port(self) -> int:
        port: int = self._ports[0].getHost().port
        return port

    def _keep_series(self, house: House) -> None:
        loaded = Deferred.fromCoroutine(house.meter.load())
        loaded.addErrback(lambda failure: _log.error("no earlier plots: {reason}", reason=failure.getErrorMessage()))
        self._every(SERIES_SAMPLE, house.meter.sample)
        self._every(SERIES_WRITE, house.meter.write)

    def _expire_files(self) -> Deferred[None]:
        assert self.house is not None
        done = Deferred.fromCoroutine(self.house.files.expire())
        return done.addErrback(lambda failure: _log.error("the store: {reason}", reason=failure.getErrorMessage()))

    def _every(self, seconds: float, call: Callable[[], Any], *, now: bool = False) -> None:
        loop = LoopingCall(call)
        loop.clock = self._reactor
        loop.start(seconds, now=now).addErrback(lambda failure: _log.failure("a periodic task ended", failure))
        self._loops.append(loop)

    def _ready(self) -> None:
        """The reactor runs and the ports are open: now, and only now, clients can come."""
        if self.running:
            content = self._write_ready()
            _log.info(
                "ready tcp={tcp} udp={udp} web={web} classic={classic} fingerprint={fingerprint} pid={pid}",
                **{key: "none" if value is None else value for key, value in content.items()},
            )

    def _write_ready(self) -> dict[str, Any]:
        assert self.house is not None
        host = self._ports[0].getHost()
        content: dict[str, Any] = {
            "tcp": format_address(host.host, host.port),
            "udp": self.beside.address,
            "classic": self.classic.address if self.classic is not None else None,
            "web": self._page.address if self._page is not None else None,
            "fingerprint": format_fingerprint(self.house.tls.fingerprint),
            "pid": os.getpid(),
        }
        self.house.listening = {key: content[key] for key in ("tcp", "udp", "web")}
        self.folder.write_ready(content)
        return content

    # --- changes

    def reload(self) -> None:
        """Take over the certificate and the configuration as they are now, or keep the old when they are wrong."""
        assert self.house is not None
        try:
            settings = self._load()
            self.house.tls.use(*certificate_files(settings, self.folder))
        except P2pimError as error:
            _log.error("not reloaded: {code}: {reason}", code=error.code, reason=error.message)
            return
        for key in ("port", "interface", "data"):
            if getattr(settings.server, key) != getattr(self.settings.server, key):
                _log.warn("server.{key} has changed, which needs a restart", key=key)
        self.settings, told = settings, self.house.p2p_server()
        self.house.use(settings)
        if self.classic is not None:
            self.classic.use(settings.classic).addCallback(lambda _: self._write_ready() if self.running else None)
        self.beside.use(self._tcp_port(), settings.p2p)
        if self._page is not None:
            self._page.use(settings, self._tcp_port(), certificate_files(settings, self.folder))
        if self.house.p2p_server() != told:
            self.house.tell_p2p_server()
        self._write_ready()
        _log.info("reloaded, fingerprint={fingerprint}", fingerprint=format_fingerprint(self.house.tls.fingerprint))

    # --- down

    def stopService(self) -> Deferred[None]:
        """Take leave of everybody, write what is to be written, close."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self.folder.remove_ready()
        for loop in self._loops:
            loop.stop()
        self.beside.stop()
        if self.classic is not None:
            await self.classic.close()
        if self._page is not None:
            await self._page.close()
        await DeferredList([port.stopListening() for port in self._ports])
        if self.house is not None:
            await self._take_leave(self.house)
            await self.house.write_counters()
            self.house.meter.sample()
            await self.house.meter.write()
            await self.house.files.let_go()
        if self._poll is not None:
            self._poll.close()
        if self._database is not None:
            await self._database.close()
        self._threads.stop()
        if self._disk is not None:
            self._disk.stop()
        self.folder.socket.unlink(missing_ok=True)
        self.folder.unlock()

    async def _take_leave(self, house: House) -> None:
        house.farewell("stopping", "The server is stopping; it may come back.")
        deadline = self._reactor.seconds() + STOP_WAIT
        while house.connections and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, 0.02)
        for connection in list(house.connections):
            connection.abort("it did not take leave")
