"""The server's own users as guests of the classic gateway see them: each with a UDP port of their own.

A talk line says who speaks, not to whom: that is told by the port alone. So everyone who is shown has a port at the
gateway's address; what guests send there is theirs, and what they say comes from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from twisted.logger import Logger

from p2pim.core.address_rate import AddressRates, address_key
from p2pim.core.classic import Guest
from p2pim.core.limits import CLASSIC_RATE_TABLE, CLASSIC_RESIDENTS, CLASSIC_TALK_BURST, CLASSIC_TALK_RATE, CLASSIC_TEXT
from p2pim.errors import BadClassicLine
from p2pim.net.classic_udp import ClassicSocket, bind_classic
from p2pim.net.own_addresses import source_towards
from p2pim.server.classic import Gateway
from p2pim.wire.classic import Endpoint, Line, Login, Logout, Talk, decode, encode, write

_log = Logger()

Said = Callable[[str, Guest, str], None]
"""Told that a guest said something to a user: the user's name, the guest, the text."""


@dataclass
class _Resident:
    name: str
    socket: ClassicSocket


class Residents:
    """Those who are shown to the guests of ``gateway``."""

    def __init__(self, reactor: Any, gateway: Gateway, said: Said, random_bytes: Callable[[int], bytes]) -> None:
        self._reactor = reactor
        self._gateway = gateway
        self._said = said
        self._shown: dict[str, _Resident] = {}
        secret = int.from_bytes(random_bytes(8), "big")
        self._rates = AddressRates(CLASSIC_TALK_RATE, CLASSIC_TALK_BURST, CLASSIC_RATE_TABLE, secret)
        self.dropped = 0
        """Datagrams that were no talk line of a guest, too many of one host, or too long."""

    def __contains__(self, name: str) -> bool:
        return name in self._shown

    def logins(self, local_host: str) -> Iterator[Login]:
        """Everyone who is shown, to somebody who reached this machine at ``local_host``."""
        for resident in self._shown.values():
            yield Login(resident.name, Endpoint(local_host, resident.socket.port))

    # --- coming and going

    def show(self, name: str) -> None:
        """``name`` is there, for guests. When there are too many, or no port is to be had, they are not shown."""
        if name in self._shown or len(self._shown) >= CLASSIC_RESIDENTS:
            return
        try:
            bound = bind_classic(self._gateway.host)
        except OSError as error:
            _log.error("{name} cannot be shown to guests: {reason}", name=name, reason=str(error))
            return
        socket = ClassicSocket(
            self._reactor, bound, lambda data, source: self._received(name, data, source), self._gateway.unreachable
        )
        socket.start()
        self._shown[name] = _Resident(name, socket)
        self._tell(name, Login)

    def hide(self, name: str) -> None:
        """``name`` is gone, for guests. Nothing happens when they were not there."""
        if name in self._shown:
            self._tell(name, Logout)
            self._shown.pop(name).socket.close()

    def hide_all(self) -> None:
        """There is nobody any more."""
        for name in list(self._shown):
            self.hide(name)

    def _tell(self, name: str, kind: Callable[[str, Endpoint], Line]) -> None:
        port = self._shown[name].socket.port
        hosts: dict[str, str] = {}
        for guest in self._gateway.roster.listeners():
            local = hosts.setdefault(guest.endpoint.host, self._local_host(guest))
            self._gateway.send_text(write(kind(name, Endpoint(local, port))), guest)

    def _local_host(self, guest: Guest) -> str:
        """This machine's address as ``guest`` reaches it."""
        if self._gateway.host not in ("0.0.0.0", "::"):  # noqa: S104 - a comparison
            return self._gateway.host
        return source_towards(guest.endpoint) or self._gateway.host

    # --- talking

    def say(self, name: str, guest: Guest, text: str) -> None:
        """What ``name`` says to ``guest``, from the port at which ``name`` can be answered."""
        line = Talk(time.strftime("%H:%M:%S"), name, text)
        self._shown[name].socket.send(encode(line, guest.coding), guest.endpoint)

    def _received(self, name: str, data: bytes, source: tuple[str, int]) -> None:
        host, port = source
        now = self._reactor.seconds()
        if not self._gateway.welcomes(host):
            return
        if not self._rates.allow(address_key(ip_address(host).packed), port, now):
            self.dropped += 1
            return
        try:
            line = decode(data)
        except BadClassicLine:
            line = None
        guest = self._gateway.roster.talked(line.name, host, now) if isinstance(line, Talk) else None
        if guest is None or not isinstance(line, Talk) or not 0 < len(line.text.encode()) <= CLASSIC_TEXT:
            self.dropped += 1
            return
        self._said(name, guest, line.text)
