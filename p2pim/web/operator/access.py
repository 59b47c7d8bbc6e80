"""Who may see the operator's page.

On this machine, a browser of the user that the server runs as, or of root: the kernel knows whose a connection is. It
is looked up once, for the session that it opens. A connection that says that it speaks for another (a proxy's headers)
is not believed to be the operator's. Everybody else signs in with the operator's password, or opens a one-time link
made on the server. Scrapers of metrics may show a token instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.addresses import host_key, is_loopback, normal_host
from p2pim.core.candidates import Endpoint
from p2pim.core.limits import METRICS_TOKEN_FILE, SOCKET_OWNER_BURST, SOCKET_OWNER_CHECKS
from p2pim.core.rate import TokenBucket
from p2pim.core.signin import SignInTries
from p2pim.errors import BadConfig, NoOperatorPassword, TooManyTries, WrongPassword
from p2pim.net.socket_owner import socket_owner
from p2pim.server.house import House
from p2pim.storage import operator
from p2pim.web.guard import Guard
from p2pim.web.http import WebRequest

_log = Logger()

LOCAL: Final = "local"
SIGNED_IN: Final = "signed-in"
"""How a session was begun."""
HEALTH: Final = b"/health"
FORWARDED: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
"""What proxies add; where one of them is, the connection is not the browser's own."""

Owner = Callable[[Endpoint, Endpoint], int | None]


class OperatorGuard(Guard):
    """The gate of the operator's page: as every page's, but health is told under any name, since monitors ask by
    address."""

    def check(self, request: WebRequest, access: str) -> None:
        """See `p2pim.web.guard.Guard.check`."""
        if request.path != HEALTH:
            super().check(request, access)


class LocalOperator:
    """Knows the operator's own programs on this machine.

    :param owner: whose the other end of a connection is.
    """

    def __init__(self, clock: IReactorTime, owner: Owner = socket_owner) -> None:
        self._clock = clock
        self._owner = owner
        self._checks = TokenBucket(SOCKET_OWNER_CHECKS, SOCKET_OWNER_BURST, clock.seconds())
        self._users = {os.geteuid(), 0}

    def is_behind(self, request: WebRequest) -> bool:
        """Whether this connection is one of theirs."""
        if any(request.header(name) for name in FORWARDED):
            return False
        transport: Any = request.channel.transport
        peer, host = transport.getPeer(), transport.getHost()
        theirs, ours = (normal_host(peer.host), peer.port), (normal_host(host.host), host.port)
        if not (is_loopback(theirs[0]) and is_loopback(ours[0])) or self._checks.take(self._clock.seconds()):
            return False
        return self._owner(theirs, ours) in self._users


class PasswordDoor:
    """Signs the operator in, as slowly as `p2pim.core.signin` has it after failures."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._tries = SignInTries()

    async def prove(self, password: str, host: str) -> None:
        """Let the operator in.

        :raises TooManyTries: too many failed before.
        :raises WrongPassword: it is another.
        :raises NoOperatorPassword: none was set.
        """
        now, address = self._house.clock.seconds(), f"from {host_key(host)}"
        wait = self._tries.wait(now, address, "operator")
        if wait > 0:
            raise TooManyTries(retry_after=wait)
        self._tries.begin(now, address, "operator")
        try:
            await self._verify(password)
        except WrongPassword:
            self._house.complain(host, "wrong-password: at the operator's page", WrongPassword.code, "operator")
            raise
        except BaseException:
            self._forgive(address)
            raise
        self._forgive(address)
        self._tries.clear("operator")

    def _forgive(self, address: str) -> None:
        self._tries.forgive(address)
        self._tries.forgive("operator")

    async def _verify(self, password: str) -> None:
        stored = await self._house.store.read(operator.get_password)
        if stored is None:
            raise NoOperatorPassword
        await self._house.passwords.verify(stored, password)


def host_of(request: WebRequest) -> str:
    """The address at the other end of the connection."""
    transport: Any = request.channel.transport
    return normal_host(transport.getPeer().host)


class MetricsToken:
    """The token of scrapers, from the operator's file."""

    def __init__(self) -> None:
        self._token = b""

    def use(self, name: str) -> None:
        """Read it.

        :raises BadConfig: it cannot be read, or there is nothing in it.
        """
        if not name:
            self._token = b""
            return
        file = Path(name).expanduser()
        try:
            with file.open("rb") as stream:
                token = stream.read(METRICS_TOKEN_FILE).strip()
        except OSError as error:
            raise BadConfig(f"web.metrics_token_file: {file} cannot be read: {error.strerror}.") from error
        if not token:
            raise BadConfig(f"web.metrics_token_file: {file} is empty; put a long random text into it.")
        self._token = token

    def is_shown(self, request: WebRequest) -> bool:
        """Whether ``request`` has it (``Authorization: Bearer …``)."""
        kind, _, token = request.header("authorization").partition(" ")
        shown = token.strip().encode("latin-1", "replace")
        return bool(self._token) and kind.lower() == "bearer" and compare_digest(shown, self._token)
