"""The P2P server that this peer uses, by name and by address, as far as it is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from p2pim.core.candidates import Endpoint
from p2pim.core.limits import DIRECT_RETRY
from p2pim.core.p2p_choice import P2pServer, choose_p2p_server
from p2pim.errors import BadP2pServer
from p2pim.net.resolve import resolve


class KnownP2pServer:
    """Chosen at each sign-in and when the server says so, and then looked up; looked up again while that fails.

    :param own: the peer's setting: ``HOST:PORT``, "none" or nothing.
    :param journal: takes kind, user and text of a line for people.
    :raises BadP2pServer: ``own`` is nothing of that kind.
    """

    _log = Logger()

    def __init__(self, reactor: Any, own: str | None, journal: Callable[[str, str, str], None]) -> None:
        self.named: P2pServer | None = choose_p2p_server(own, None, "")
        """By the name that it was given; None: there is none."""
        self.endpoints: Sequence[Endpoint] = ()
        """Its addresses, IPv4 ones first; none while they are not known."""
        self.changed: Callable[[], None] = lambda: None
        """Called when `named` or `endpoints` have changed."""
        self._reactor = reactor
        self._own = own
        self._journal = journal
        self._again: IDelayedCall | None = None
        self._stopped = False

    @property
    def name(self) -> str | None:
        """`named` as text."""
        return str(self.named) if self.named is not None else None

    @property
    def endpoint(self) -> Endpoint | None:
        """The first of its addresses; None without one."""
        return self.endpoints[0] if self.endpoints else None

    def welcomed(self, told: str | None, reached: str) -> None:
        """Signed in at a server reached at the address ``reached``, which has ``told`` of a P2P server or not.

        Also when that server, during the session, tells of another.
        """
        try:
            named = choose_p2p_server(self._own, told, reached)
        except BadP2pServer as error:
            self._journal("p2p", "", f"the server names a P2P server that is none: {error.message}")
            named = None
        if named != self.named:
            self.named, self.endpoints = named, ()
            if named is None:
                self._journal("p2p", "", "there is no P2P server any more")
            self.changed()
        self._look_up()

    def stop(self) -> None:
        """Look for nothing more."""
        self._stopped = True
        self._cancel()

    def _cancel(self) -> None:
        if self._again is not None and self._again.active():
            self._again.cancel()
        self._again = None

    def _look_up(self) -> None:
        self._cancel()
        if self.named is not None and not self._stopped:
            looking = Deferred.fromCoroutine(self._found(self.named))
            looking.addErrback(lambda failure: self._log.failure("a name could not be looked up", failure))

    async def _found(self, named: P2pServer) -> None:
        endpoints = await resolve(self._reactor, named.host, named.port)
        if self._stopped or named != self.named:
            return
        if not endpoints:
            self._journal("p2p", "", f"the P2P server {named} cannot be found: nobody knows its name")
            self._again = self._reactor.callLater(DIRECT_RETRY, self._look_up)
        elif list(endpoints) != list(self.endpoints):
            self.endpoints = endpoints
            self._journal("p2p", "", f"the P2P server is {named}")
            self.changed()
