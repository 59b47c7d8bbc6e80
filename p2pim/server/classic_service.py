"""The classic gateway as the configuration has it: there or not, and another after a reload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from p2pim.server.classic import Gateway
from p2pim.server.classic_residents import Residents
from p2pim.server.guests import GuestDesk
from p2pim.server.settings import ClassicSection

_log = Logger()


class ClassicService:
    """Opens and closes the gateway.

    :param exists: whether an account has this name.
    """

    def __init__(
        self,
        reactor: Any,
        exists: Callable[[str], Awaitable[bool]],
        desk: GuestDesk,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._reactor = reactor
        self._exists = exists
        self._desk = desk
        self._random_bytes = random_bytes
        self.gateway: Gateway | None = None

    @property
    def address(self) -> str | None:
        """Where it listens, on UDP and on TCP; None: there is none."""
        return self.gateway.address if self.gateway is not None else None

    def open(self, section: ClassicSection) -> None:
        """Begin, if the configuration has a gateway.

        :raises CannotListenError: its ports cannot be had.
        """
        if section.port is None:
            return
        self.gateway = gateway = Gateway(self._reactor, section, self._exists, self._desk, self._random_bytes)
        self._desk.opened(gateway, Residents(self._reactor, gateway, self._desk.guest_said, self._random_bytes))

    def use(self, section: ClassicSection) -> Deferred[object]:
        """The configuration has changed: begin, end, move, or go on with that; fires when it is so. What cannot be had
        is logged."""
        before = self.gateway.section if self.gateway is not None else ClassicSection()
        if (section.port, section.interface) == (before.port, before.interface):
            if self.gateway is not None:
                self.gateway.use(section)
                self._desk.use(section.guests)
            return succeed(None)
        closed = self.close()
        closed.addCallback(lambda _: self._reopen(section))
        return closed.addErrback(lambda failure: _log.failure("the classic gateway could not move", failure))

    def _reopen(self, section: ClassicSection) -> None:
        try:
            self.open(section)
        except CannotListenError as error:
            _log.error("there is no classic gateway now: {reason}", reason=str(error))
        else:
            _log.info("the classic gateway is at {address} now", address=self.address or "no address")

    def sweep(self) -> None:
        """Called every second or so."""
        if self.gateway is not None:
            self.gateway.sweep()

    def close(self) -> Deferred[object]:
        """End it, if it is there; fires when its ports are free."""
        gateway, self.gateway = self.gateway, None
        if gateway is None:
            return succeed(None)
        self._desk.closing()
        return gateway.close()
