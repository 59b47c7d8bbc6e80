"""The calls of one negotiation: what is dialled, and what is said when nobody takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectingCancelledError, UserError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.core.candidates import UDP_RUNG, Endpoint
from p2pim.core.negotiation_effects import Dial
from p2pim.errors import P2pimError
from p2pim.net.channel_factory import TcpChannelFactory
from p2pim.net.links import Link
from p2pim.peer.negotiation_links import LinksOwner, NegotiationLink, NegotiationLinks
from p2pim.peer.udp_paths import UdpPaths
from p2pim.wire.signals import Signal


@dataclass(frozen=True)
class Place:
    """What every negotiation of a peer works with.

    ``send`` gives a signal to the server for one device of a user; its last argument hears when that failed. ``random``
    gives unpredictable bytes. ``udp`` is there and open only while UDP can be used; ``rng`` spreads checks.
    """

    clock: IReactorTime
    channels: TcpChannelFactory
    udp: UdpPaths
    rng: Random
    random: Callable[[int], bytes]
    send: Callable[[str, bytes, Signal, Callable[[P2pimError], None] | None], None]


class NegotiationCalls:
    """Dials, and makes links of the calls that are taken.

    :param server: where a splice is, and ``ticket`` mine for it, when this negotiation is over the ``relay``.
    """

    _log = Logger()

    def __init__(
        self, owner: LinksOwner, place: Place, links: NegotiationLinks, *, relay: bool, server: Endpoint, ticket: bytes
    ) -> None:
        self._owner = owner
        self._place = place
        self._links = links
        self._relay = relay
        self._server = server
        self._ticket = ticket
        self._calls: dict[int, Deferred[Any]] = {}

    def dial(self, dial: Dial) -> None:
        """Call; what becomes of it, the links say."""
        offerer = self._owner.machine.offerer
        link = self._links.add(dial.number, dial.rung, dialler=offerer or not self._relay)
        if dial.rung == UDP_RUNG and dial.candidate is not None:
            self._dial_udp((dial.candidate.host, dial.candidate.port), link)
            return
        if dial.candidate is None:
            call = self._place.channels.splice(self._server, self._ticket, link, dialler=offerer)
        else:
            call = self._place.channels.dial((dial.candidate.host, dial.candidate.port), link)
        self._calls[dial.number] = call
        call.addCallbacks(self._taken, self._not_taken, callbackArgs=(link,), errbackArgs=(link,))
        call.addErrback(lambda failure: self._log.failure("A call broke.", failure))

    def cancel(self) -> None:
        """Hang up on everyone who has not answered."""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.cancel()

    def _dial_udp(self, remote: Endpoint, link: NegotiationLink) -> None:
        try:
            link.channel = self._place.udp.dial(remote, self._links.their_fingerprint, link)
        except P2pimError as error:
            self._links.lost(link, error.message)

    def _taken(self, channel: Link, link: NegotiationLink) -> None:
        self._calls.pop(link.number, None)
        link.channel = channel
        self._owner.machine.connected(link.number)
        if self._owner.over and not link.proved:
            channel.drop("not needed any more")

    def _not_taken(self, failure: Failure, link: NegotiationLink) -> None:
        failure.trap(ConnectError, ConnectingCancelledError, UserError, CancelledError, OSError, P2pimError)
        self._calls.pop(link.number, None)
        if not self._owner.over:
            self._links.lost(link, _words(failure))


def _words(failure: Failure) -> str:
    if isinstance(failure.value, P2pimError):
        return failure.value.message
    name = type(failure.value).__name__
    return _CALL_FAILURES.get(name) or str(failure.value).rstrip(".")


_CALL_FAILURES: Final = {
    "ConnectError": "there is no way there",  # what the kernel reports late, as an event, reaches us without its number
    "ConnectionRefusedError": "refused the connection",
    "TCPTimedOutError": "did not answer",
    "TimeoutError": "did not answer",
    "NoRouteError": "there is no way there",
    "ConnectingCancelledError": "the call was given up",
    "UserError": "the call was given up",
    "CancelledError": "the call was given up",
}
