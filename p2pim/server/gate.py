"""Who may connect at all: bounds for strangers, and what the log says about those who misbehave."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.addresses import host_key, is_loopback
from p2pim.core.limits import COMPLAINTS_PER_SECOND, UNAUTHENTICATED
from p2pim.core.rate import TokenBucket

_log = Logger()


class Admission:
    """One accepted connection: counted from here until `release`."""

    __slots__ = ("_authenticated", "_gate", "_released", "began", "host", "port")

    def __init__(self, gate: Gate, host: str, port: int, began: float) -> None:
        self._gate = gate
        self._authenticated = False
        self._released = False
        self.host = host
        self.port = port
        self.began = began

    def authenticated(self) -> None:
        """The connection is no stranger's any more."""
        if not self._authenticated and not self._released:
            self._authenticated = True
            self._gate.strangers -= 1

    def release(self) -> None:
        """The connection is gone."""
        if not self._released:
            self.authenticated()
            self._released = True
            self._gate.leave(self.host)


class Gate:
    """Counts connections by address, and those that have not signed in.

    :param per_address: connections that one address (loopback excepted) may hold.
    """

    def __init__(self, clock: IReactorTime, per_address: int) -> None:
        self._clock = clock
        self.per_address = per_address
        self.strangers = 0
        self.connections = 0
        self._by_host: dict[str, int] = {}
        self._complaints = TokenBucket(COMPLAINTS_PER_SECOND, COMPLAINTS_PER_SECOND, clock.seconds())
        self._suppressed = 0
        self.refused: Callable[[str, str, str, str], None] = lambda host, user, code, reason: None
        """Told of everybody who was not let in: address, name as claimed, code, reason."""

    def admit(self, host: str, port: int) -> Admission | None:
        """A place for a connection from ``host``, or None, with the reason in the log."""
        key = host_key(host)
        held = self._by_host.get(key, 0)
        if self.strangers >= UNAUTHENTICATED:
            self.complain(host, "too many connections have not signed in yet", "server-full")
            return None
        if held >= self.per_address and not is_loopback(host):
            self.complain(host, "this address holds too many connections", "too-many-connections")
            return None
        self._by_host[key] = held + 1
        self.strangers += 1
        self.connections += 1
        return Admission(self, host, port, self._clock.seconds())

    def leave(self, host: str) -> None:
        """A connection from ``host`` is gone."""
        key = host_key(host)
        self.connections -= 1
        self._by_host[key] -= 1
        if not self._by_host[key]:
            del self._by_host[key]

    def complain(self, host: str, reason: str, code: str = "", user: str = "") -> None:
        """Log that a connection from ``host`` was refused or cut, unless there are too many such lines already.

        :param code: why a stranger was not let in; empty when it was somebody who had signed in.
        :param user: who they said to be.
        """
        if code:
            self.refused(host, user, code, reason)
        if self._complaints.take(self._clock.seconds()):
            self._suppressed += 1
            return
        if self._suppressed:
            _log.warn("{count} refusals were not logged one by one", count=self._suppressed)
            self._suppressed = 0
        _log.warn("refused {host}: {reason}", host=host, reason=reason)
