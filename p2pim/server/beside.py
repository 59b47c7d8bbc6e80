"""The P2P server that runs beside this server, on UDP at the TCP port + 1, as far as this server has to do with it.

What it is made of is not this package's business: whoever composes the two brings a maker of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from p2pim.errors import P2pimError
from p2pim.server.settings import P2pSection

_log = Logger()

WILDCARDS: Final = {"": "0.0.0.0", "0.0.0.0": "0.0.0.0", "::": "::"}  # noqa: S104 - to listen there is the point
"""Interfaces that stand for all addresses; as with TCP, nothing given means all of IPv4."""
TRIES: Final = 32
"""Pairs of ports tried when any will do."""
LAST_PORT: Final = 65_535


class NoUdpPort(P2pimError):
    """The UDP port next to the TCP port cannot be had."""

    code = "cannot-listen"


class IP2pService(Protocol):
    """A P2P server: bound by `open`, answering from `startService` to `stopService`."""

    @property
    def port(self) -> int:
        """Its UDP port."""

    def listening(self) -> list[str]:
        """Every address that is answered on."""

    def counted(self) -> dict[str, object]:
        """Its counters."""

    def open(self) -> None:
        """Bind. Raises OSError."""

    def use(self, section: P2pSection) -> None:
        """Go on with other settings. Raises OSError, and then goes on with the old ones."""

    def startService(self) -> None:
        """Begin to answer."""

    def stopService(self) -> Any:
        """Close."""


MakeP2p = Callable[[str, int, P2pSection], IP2pService]
"""Makes one for an interface and a UDP port."""


class BesideP2p:
    """Runs it, or does without.

    :param make: makes one; None: there never is one.
    """

    def __init__(self, make: MakeP2p | None) -> None:
        self._make = make
        self._interface, self._section = "", P2pSection()
        self._service: IP2pService | None = None

    # --- what others are told

    @property
    def address(self) -> str | None:
        """Where it answers; None when it does not run."""
        return self._service.listening()[0] if self._service is not None else None

    def told(self) -> str | None:
        """What clients are told: where it answers, or ``:PORT`` when that is wherever they have reached this server."""
        if self._service is None:
            return None
        return f":{self._service.port}" if self._interface in WILDCARDS else self.address

    def counters(self) -> dict[str, object] | None:
        """What it has counted; None when it does not run."""
        return {"address": self.address, **self._service.counted()} if self._service is not None else None

    # --- running

    def listen(self, interface: str, port: int, section: P2pSection, listen_tcp: Callable[[int], Any]) -> Any:
        """Open the TCP port, and the UDP port next to it when this server is to be a P2P server.

        :param port: for TCP; 0: any whose neighbour is free as well.
        :param listen_tcp: opens a TCP port.
        :return: what ``listen_tcp`` gave.
        :raises CannotListenError: the TCP port cannot be had.
        :raises NoUdpPort: the UDP port cannot.
        """
        self._interface, self._section = interface, section
        if self._make is None or not section.enabled:
            return listen_tcp(port)
        if port:
            listening = listen_tcp(port)
            try:
                self._start(port + 1, section)
            except NoUdpPort:
                listening.stopListening()
                raise
            return listening
        return self._listen_anywhere(section, listen_tcp)

    def _listen_anywhere(self, section: P2pSection, listen_tcp: Callable[[int], Any]) -> Any:
        """UDP takes what it gets, and TCP the port below: a UDP port can be given back at once, a TCP port cannot."""
        for attempt in range(TRIES):
            service = self._open(0, section)
            try:
                listening = listen_tcp(service.port - 1)
            except CannotListenError:
                service.stopService()
                if attempt == TRIES - 1:
                    raise
            else:
                self._answer(service)
                return listening
        raise AssertionError

    def use(self, port: int, section: P2pSection) -> None:
        """The configuration has changed: begin, end, or go on with that. What cannot be had is logged.

        :param port: the TCP port.
        """
        before, self._section = self._section, section
        if not section.enabled and self._service is not None:
            self.stop()
            _log.info("the P2P server was switched off")
        elif section.enabled and self._make is not None:
            try:
                self._change(port, section, changed=section != before)
            except (NoUdpPort, OSError) as error:
                _log.error("the P2P server goes on as it was: {reason}", reason=str(error))

    def _change(self, port: int, section: P2pSection, *, changed: bool) -> None:
        if self._service is None:
            self._start(port + 1, section)
        elif changed:
            self._service.use(section)

    def stop(self) -> None:
        """Close it, if it runs."""
        service, self._service = self._service, None
        if service is not None:
            service.stopService()

    def _start(self, port: int, section: P2pSection) -> None:
        self._answer(self._open(port, section))

    def _answer(self, service: IP2pService) -> None:
        service.startService()
        self._service = service
        _log.info(
            "this server is a P2P server too: it answers UDP on {addresses}", addresses=", ".join(service.listening())
        )

    def _open(self, port: int, section: P2pSection) -> IP2pService:
        assert self._make is not None
        if port > LAST_PORT:
            raise NoUdpPort(f"The P2P server needs the UDP port after the TCP port; {LAST_PORT} is the last. {_ADVICE}")
        service = self._make(WILDCARDS.get(self._interface, self._interface), port, section)
        try:
            service.open()
        except OSError as error:
            where = f"UDP {self._interface or '*'}:{port or 'any port'}"
            reason = error.strerror or str(error)
            raise NoUdpPort(f"{where}, for the P2P server, cannot be had: {reason}. {_ADVICE}") from error
        return service


_ADVICE: Final = "Free it, choose another --port, or do without a P2P server by --no-p2p."
