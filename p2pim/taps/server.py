"""``twistd p2pim-server``: options, and the service they make."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

from twisted.application.service import IService
from twisted.python import usage

from p2pim.core.p2p_choice import read_p2p_server
from p2pim.errors import BadConfig, P2pimError
from p2pim.net.process import use_steady_clock
from p2pim.p2pserver.service import P2pService
from p2pim.p2pserver.sockets import P2pSettings
from p2pim.server.admin_socket import AdminDesk
from p2pim.server.beside import LAST_PORT
from p2pim.server.folder import DataFolder
from p2pim.server.house import House
from p2pim.server.service import ServerService
from p2pim.server.settings import P2pSection, ServerSettings
from p2pim.taps.config import load_config
from p2pim.web.operator.access import LocalOperator
from p2pim.web.operator.page import OperatorPage, read_address


class Options(usage.Options):
    """The command line of ``twistd p2pim-server``."""

    synopsis = "[options]"
    longdesc = "The p2pim server: introduces people, then gets out of the way. Without options it just works."
    optParameters = [  # noqa: RUF012 - Twisted's interface
        ["config", "c", None, "Configuration file (TOML)."],
        ["port", "p", None, "TCP port; 0 picks a free one. [default: 4530]"],
        ["interface", "i", None, "Address to listen on. [default: all of IPv4]"],
        ["data", "d", None, "Folder of the database, certificate and ready.json."],
        ["web", None, None, 'Operator\'s page, ADDR:PORT, "auto" or "none". [default: loopback, TCP port + 2]'],
    ]
    optFlags = [["no-p2p", None, "Do not run the P2P server on UDP."]]  # noqa: RUF012

    def postOptions(self) -> None:
        """Check the whole configuration while a mistake can still be told in one line."""
        try:
            settings_from(self)
        except P2pimError as error:
            raise usage.UsageError(f"{error.code}: {error.message}") from None


def allow_many_connections() -> None:
    """Let the process have as many files open as the system lets it: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class IntegratedP2p(P2pService):
    """The P2P server beside the server."""

    def __init__(self, reactor: Any, interface: str, port: int, section: P2pSection) -> None:
        super().__init__(reactor, p2p_settings(interface, port, section), time.monotonic, os.urandom)
        self._interface = interface

    def use(self, section: P2pSection) -> None:
        """Go on with other settings, on the same port.

        :raises OSError: another address or companion port cannot be had.
        """
        self.reload(p2p_settings(self._interface, self.port, section))


class SignallingServerService(ServerService):
    """The service, reloading when the process gets SIGHUP."""

    _before: Any = None

    def startService(self) -> None:
        """As `ServerService.startService`."""
        super().startService()
        self._before = signal.signal(signal.SIGHUP, self._hang_up)

    def stopService(self) -> Any:
        """As `ServerService.stopService`."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # one that comes now must not end what is being closed
        return super().stopService()

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self.reload)


def settings_from(options: Options) -> ServerSettings:
    """The settings of these options, the environment, and the file they name.

    :raises BadConfig: something in them is wrong.
    """
    given = {
        "server": {"port": options["port"], "interface": options["interface"], "data": options["data"]},
        "p2p": {"enabled": False if options["no-p2p"] else None},
        "web": {"address": options["web"]},
    }
    file = Path(options["config"]).absolute() if options["config"] else None
    settings = load_config(ServerSettings, file, os.environ, given)
    check_p2p(settings)
    read_address(settings.web, settings.server.port)
    return settings


def check_p2p(settings: ServerSettings) -> None:
    """Find mistakes in ``[p2p]`` before anything is opened.

    :raises BadConfig: there is one.
    """
    section, server = settings.p2p, settings.server
    if section.address:
        try:
            read_p2p_server(section.address)
        except P2pimError as error:
            raise BadConfig(f"p2p.address: {error.message}") from None
    if section.enabled:
        p2p_settings("", server.port + 1 if 0 < server.port < LAST_PORT else 0, section)


def p2p_settings(interface: str, port: int, section: P2pSection) -> P2pSettings:
    """What the P2P server beside the server is made with.

    :raises BadConfig: an address is none.
    """
    return P2pSettings(
        port=port,
        interface=interface,
        alternate_port=section.alternate_port,
        alternate_address=section.alternate_address,
        rate=section.rate,
        burst=section.burst,
    )


def makeService(options: Options) -> IService:
    """The integrated server with these options."""
    from twisted.internet import reactor

    def make_p2p(interface: str, port: int, section: P2pSection) -> IntegratedP2p:
        return IntegratedP2p(reactor, interface, port, section)

    def make_page(house: House, desk: AdminDesk, folder: DataFolder) -> OperatorPage:
        return OperatorPage(reactor, house, desk, folder, LocalOperator(house.clock))

    use_steady_clock(reactor)
    allow_many_connections()
    return SignallingServerService(reactor, lambda: settings_from(options), make_p2p, make_page)
