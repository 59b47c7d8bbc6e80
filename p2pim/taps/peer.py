"""``twistd p2pim-peer``: options, and the service they make: a person's agent, the same as ``p2pim up``."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from platformdirs import user_data_path
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

from p2pim.core.limits import AWAY_AFTER
from p2pim.errors import BadConfig, NotSignedIn, P2pimError, Usage
from p2pim.net.process import keep_freed_memory, use_steady_clock
from p2pim.peer.api import Peer
from p2pim.peer.states import PeerSettings
from p2pim.taps.config import given_keys, load_config
from p2pim.web.address import PageAddress, parse_page_address
from p2pim.web.agent import Agent


class PeerSection(Struct, frozen=True, kw_only=True):
    """``[peer]``: see ``etc/p2pim-peer.toml``."""

    home: Path | None = None
    accept: Literal["always", "contacts", "ask", "never"] = "ask"
    downloads: Path | None = None
    channel: Literal["auto", "tcp", "udp", "none"] = "auto"
    connect: Literal["chat", "lan", "never"] = "chat"
    p2p_server: str = ""
    away_after: Annotated[float, Meta(ge=0, le=1440)] = AWAY_AFTER / 60
    web: str = "auto"
    quota: int | None = None


class PeerConfig(Struct, frozen=True, kw_only=True):
    """All of it."""

    peer: PeerSection = msgspec.field(default_factory=PeerSection)

    @property
    def home(self) -> Path:
        """The home directory: as configured, ``P2PIM_HOME``, or the platform's folder for a user's data."""
        named = self.peer.home or os.environ.get("P2PIM_HOME")
        return Path(named).expanduser() if named else user_data_path("p2pim", appauthor=False)

    def settings(self) -> PeerSettings:
        """What the peer is made with.

        :raises BadP2pServer: ``p2p_server`` is none.
        """
        p = self.peer
        return PeerSettings(
            accept=p.accept,
            downloads=p.downloads,
            p2p_server=p.p2p_server or None,
            channel=p.channel,
            connect=p.connect,
            away_after=p.away_after * 60,
            quota=p.quota,
        )

    def page(self) -> PageAddress | None:
        """Where the chat page is served; None: nowhere.

        :raises BadConfig: that is no address, or leads out of this machine.
        """
        try:
            return parse_page_address(self.peer.web)
        except Usage as error:
            raise BadConfig(f"[peer] web: {error.message}") from None


class Options(usage.Options):
    """The command line of ``twistd p2pim-peer``."""

    synopsis = "[options]"
    longdesc = "A person's p2pim agent: stays signed in, receives messages and files, serves the `p2pim` command."
    optParameters = [  # noqa: RUF012 - Twisted's interface
        ["config", "c", None, "Configuration file (TOML)."],
        ["home", None, None, "Home directory, signed in by `p2pim register` or `p2pim login`."],
    ]

    def postOptions(self) -> None:
        """Check the whole configuration while a mistake can still be told in one line."""
        try:
            config = config_from(self)
            config.settings()
            config.page()
        except P2pimError as error:
            raise usage.UsageError(f"{error.code}: {error.message}") from None


def config_from(options: Options) -> PeerConfig:
    """The configuration of these options, the environment, and the file they name.

    :raises BadConfig: something in them is wrong.
    """
    file = Path(options["config"]).absolute() if options["config"] else None
    home = Path(options["home"]).absolute() if options["home"] else None
    return load_config(PeerConfig, file, os.environ, {"peer": {"home": home}})


def fixed_by(options: Options) -> frozenset[str]:
    """The settings that these options, the environment and the file they name set: no window changes them."""
    file = Path(options["config"]).absolute() if options["config"] else None
    return given_keys(PeerConfig, "peer", file, os.environ, {}) - {"home", "web"}


class PeerService(Service):
    """Runs an agent.

    :param load: gives the configuration, now and at each reload.
    :param fixed: gives the names of the settings that it sets.
    """

    name = "p2pim-peer"
    log = Logger()

    def __init__(
        self, reactor: Any, load: Callable[[], PeerConfig], fixed: Callable[[], frozenset[str]] = frozenset
    ) -> None:
        self._reactor = reactor
        self._load = load
        self._fixed = fixed
        self._config = load()
        self._settings = self._config.settings()
        self._page = self._config.page()
        self.agent: Agent | None = None
        self._changing = False

    def startService(self) -> None:
        """Take the home and begin.

        :raises SystemExit: it cannot; one line says why.
        """
        super().startService()  # type: ignore[no-untyped-call]
        try:
            self._begin()
        except P2pimError as error:
            raise SystemExit(f"p2pim-peer: {error.code}: {error.message}") from None

    def stopService(self) -> Deferred[None]:
        """Leave in order."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._end())

    def reload(self) -> None:
        """Read the configuration again and begin anew with it, or keep the old one when it is wrong."""
        try:
            config = self._load()
            settings, page = config.settings(), config.page()
        except P2pimError as error:
            self.log.error("the configuration was not reloaded: {error}", error=error.message)
            return
        if not self._changing:
            self._config, self._settings, self._page = config, settings, page
            self._watch(Deferred.fromCoroutine(self._begin_anew()))

    def _begin(self) -> None:
        peer = Peer(self._reactor, self._config.home, self._settings, fixed=self._fixed())
        if not peer.signed_in_here:
            peer.home.unlock()
            raise NotSignedIn
        agent = self.agent = Agent(self._reactor, peer, self._ended, self._page)
        self._watch(Deferred.fromCoroutine(agent.start()))

    async def _begin_anew(self) -> None:
        self._changing = True
        try:
            await self._end()
            if self.running:
                self._begin()
        finally:
            self._changing = False

    async def _end(self) -> None:
        agent, self.agent = self.agent, None
        if agent is not None:
            await agent.stop()

    def _ended(self, reason: str) -> None:
        """The agent has nothing more to do: logged out, replaced, refused, or told to stop."""
        self.log.info("the agent ends: {reason}", reason=reason)
        self._reactor.stop()

    def _watch(self, done: Deferred[None]) -> None:
        done.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if failure.check(P2pimError):
            self.log.error("the agent cannot run: {error}", error=failure.getErrorMessage())
        else:
            self.log.failure("the agent cannot run", failure)
        self._reactor.stop()


class SignallingPeerService(PeerService):
    """The service, reloading when the process gets SIGHUP."""

    def startService(self) -> None:
        """As `PeerService.startService`."""
        super().startService()
        signal.signal(signal.SIGHUP, self._hang_up)

    def stopService(self) -> Deferred[None]:
        """As `PeerService.stopService`."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # one that comes now must not end what is being closed
        return super().stopService()

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self.reload)


def makeService(options: Options) -> IService:
    """A person's agent with these options."""
    from twisted.internet import reactor

    use_steady_clock(reactor)
    keep_freed_memory()
    return SignallingPeerService(reactor, lambda: config_from(options), lambda: fixed_by(options))
