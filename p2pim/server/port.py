"""The server's port: every accepted connection, counted, looked at, and handed to what it turns out to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol

from p2pim.core.addresses import normal_host
from p2pim.net.server_tls import ServerTls
from p2pim.net.splice import FirstBytes, SpliceEnd
from p2pim.server.connection import IHouse, ServerConnection
from p2pim.server.gate import Admission, Gate


class PortFactory(Factory):
    """Makes a protocol for each connection, or refuses it.

    :param take_ticket: the end of a splice for a ticket, or None.
    """

    noisy = False

    def __init__(
        self,
        gate: Gate,
        house: IHouse,
        tls: ServerTls,
        take_ticket: Callable[[bytes, Admission], SpliceEnd | None],
    ) -> None:
        self._gate = gate
        self._house = house
        self._take_ticket = take_ticket
        self._tls = tls
        self._undecided: dict[FirstBytes, Admission] = {}

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        address: Any = addr
        admission = self._gate.admit(normal_host(address.host), address.port)
        return self._first_bytes(admission) if admission is not None else None

    def sweep(self, now: float, handshake: float) -> None:
        """Cut connections that have said nothing for so long. They are in order of age."""
        for first, admission in list(self._undecided.items()):
            if now - admission.began <= handshake:
                break
            first.cut("handshake-timeout: it said nothing")

    def _first_bytes(self, admission: Admission) -> FirstBytes:
        def decided() -> None:
            self._undecided.pop(first, None)

        def tls() -> Protocol:
            decided()
            return self._tls.wrap(ServerConnection(self._house, admission))

        def splice(ticket: bytes) -> Protocol | None:
            end = self._take_ticket(ticket, admission)
            if end is not None:
                decided()
            return end

        def gone(reason: str) -> None:
            decided()
            admission.release()
            self._gate.complain(admission.host, reason, "no-handshake")

        first = FirstBytes(tls, splice, gone)
        self._undecided[first] = admission
        return first
