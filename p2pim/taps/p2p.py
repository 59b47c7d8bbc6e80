"""``twistd p2pim-p2p``: the standalone P2P server. Its one section of configuration is ``[p2p_server]``.

Not ``[p2p]``, which is the integrated server's: both may run with the same environment, and what is set for one must
not be read by the other.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from msgspec import Meta, Struct
from twisted.application.service import IService, Service
from twisted.logger import Logger
from twisted.python import usage

from p2pim.core import limits
from p2pim.errors import P2pimError
from p2pim.net.process import use_steady_clock
from p2pim.p2pserver.service import P2pService
from p2pim.p2pserver.sockets import P2pSettings
from p2pim.taps.config import load_config

Port = Annotated[int, Meta(ge=0, le=65535)]


class P2pServerSection(Struct, frozen=True, kw_only=True):
    """``[p2p_server]``: where it listens and how much it answers."""

    port: Port = 9901
    """The UDP port that peers are told; 0 picks a free one."""
    interface: str = ""
    """The address to listen on; empty for all of IPv4 and IPv6."""
    alternate_port: Port = 0
    """The companion port of NAT tests; 0: the port + 10000, or any free one where that is taken."""
    alternate_address: str = ""
    """The second address of NAT tests; empty: found where the host has one; "none": not used."""
    data: Path = Path("p2pim-p2p")
    """The folder of ready.json; nothing else is kept."""
    rate: Annotated[float, Meta(ge=0.1, le=1e6)] = limits.STUN_RATE
    """Answers per second to one address (IPv6: network of 64 bits) on average."""
    burst: Annotated[float, Meta(ge=10, le=1e6)] = limits.STUN_BURST
    """Answers to one address at once."""
    limit_loopback: bool = False
    """Whether these limits hold for this very machine too."""

    def settings(self) -> P2pSettings:
        """As the service wants it.

        :raises BadConfig: an address is none.
        """
        return P2pSettings(
            port=self.port,
            interface=self.interface,
            alternate_port=self.alternate_port,
            alternate_address=self.alternate_address,
            rate=self.rate,
            burst=self.burst,
            free_loopback=not self.limit_loopback,
        )


class P2pConfig(Struct, frozen=True, kw_only=True):
    """The whole file."""

    p2p_server: P2pServerSection = P2pServerSection()


class Options(usage.Options):
    """The command line of ``twistd p2pim-p2p``."""

    synopsis = "[options]"
    longdesc = "Tells peers the addresses that they are seen from (STUN), so that they find direct paths."
    optParameters = [  # noqa: RUF012 - as Twisted wants it
        ["config", "c", None, "A TOML file with a section [p2p_server]."],
        ["port", "p", None, "The UDP port (9901; 0 picks a free one)."],
        ["interface", "i", None, "The address to listen on (default: all)."],
        ["data", "d", None, "The folder of ready.json (p2pim-p2p)."],
    ]

    def postOptions(self) -> None:
        """Check the whole configuration while a mistake can still be told in one line."""
        try:
            read_config(self, os.environ).settings()
        except P2pimError as error:
            raise usage.UsageError(f"{error.code}: {error.message}") from None


def read_config(options: Mapping[str, Any], environ: Mapping[str, str]) -> P2pServerSection:
    """The settings by file, environment and options.

    :raises BadConfig: something in it is unknown or wrong; the message says where.
    """
    file = Path(options["config"]) if options["config"] else None
    given = {name: options[name] for name in ("port", "interface", "data")}
    return load_config(P2pConfig, file, environ, {"p2p_server": given}).p2p_server


class P2pProgram(Service):
    """The P2P server as a program: says when it is ready, reads its configuration again on SIGHUP.

    :param read: gives the settings anew.
    """

    log = Logger()

    def __init__(self, reactor: Any, section: P2pServerSection, read: Callable[[], P2pServerSection]) -> None:
        self._reactor, self._read, self._section = reactor, read, section
        self._folder = section.data.absolute()
        self.p2p = P2pService(reactor, section.settings(), time.monotonic, os.urandom)

    def privilegedStartService(self) -> None:
        """Bind while it is still allowed to."""
        self._open()
        Service.privilegedStartService(self)

    def _open(self) -> None:
        """Bind.

        :raises SystemExit: it cannot; one line says why.
        """
        try:
            self.p2p.open()
        except OSError as error:
            where = f"UDP {self._section.interface or '*'}:{self._section.port}"
            raise SystemExit(f"p2pim-p2p: cannot-listen: {where} cannot be had: {error.strerror}.") from error

    def startService(self) -> None:
        """Answer, then say so."""
        self._open()
        self.p2p.startService()
        signal.signal(signal.SIGHUP, self._hang_up)
        Service.startService(self)
        self._reactor.callWhenRunning(self._announce)

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self.reload)

    def _announce(self) -> None:
        sockets = self.p2p.sockets
        if not self.running or sockets is None:
            return
        told, pid = sockets.listening(), os.getpid()
        self._write_ready({"udp": told[0], "pid": pid, "addresses": told, "alternate": sockets.companions()})
        self.log.info(
            "ready udp={udp} alternate={alternate} pid={pid}",
            udp=",".join(told),
            alternate=",".join(sockets.companions()),
            pid=pid,
        )

    @property
    def ready_file(self) -> Path:
        """Is there while the program is ready."""
        return self._folder / "ready.json"

    def _write_ready(self, facts: dict[str, object]) -> None:
        aside = self.ready_file.with_name("ready.json.new")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            aside.write_text(json.dumps(facts) + "\n", encoding="utf-8")
            aside.replace(self.ready_file)
        except OSError as error:
            self.log.error("{path} cannot be written: {reason}", path=str(self.ready_file), reason=error.strerror)

    def reload(self) -> None:
        """Take the configuration as it is now. What is wrong in it is logged, and the old one stays."""
        try:
            section = self._read()
            self.p2p.reload(section.settings())
        except P2pimError as error:
            self.log.error("the configuration was not reloaded: {error}", error=error.message)
        except OSError as error:
            self.log.error("the new addresses cannot be had: {error}", error=str(error))
        else:
            if section.data != self._section.data:
                self.log.warn("p2p_server.data has changed, which needs a restart")
            self._section = section
            self.log.info("the configuration was reloaded")
            self._announce()

    def stopService(self) -> None:
        """Close everything."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # one that comes now must not end what is being closed
        self.ready_file.unlink(missing_ok=True)
        self.p2p.stopService()
        Service.stopService(self)


def makeService(options: Mapping[str, Any]) -> IService:
    """What twistd runs."""
    from twisted.internet import reactor

    def read() -> P2pServerSection:
        return read_config(options, os.environ)

    use_steady_clock(reactor)
    return P2pProgram(reactor, read(), read)
