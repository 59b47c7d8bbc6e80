"""Names to addresses, for UDP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from p2pim.core.candidates import Endpoint, parse_host

PATIENCE: Final = 10.0
"""Seconds for a name; whoever asks can ask again."""


@implementer(IResolutionReceiver)
class _Answers:
    def __init__(self) -> None:
        self.found: list[Endpoint] = []
        self.done: Deferred[None] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:  # noqa: N802, N803 - Twisted's names
        """Nothing to show."""

    def addressResolved(self, address: IAddress) -> None:  # noqa: N802
        """One more."""
        if isinstance(address, IPv4Address | IPv6Address) and (address.host, address.port) not in self.found:
            self.found.append((address.host, address.port))

    def resolutionComplete(self) -> None:  # noqa: N802
        """No more."""
        if not self.done.called:
            self.done.callback(None)


async def resolve(reactor: Any, host: str, port: int) -> Sequence[Endpoint]:
    """The addresses of ``host``, IPv4 ones first; none when it has none or nobody knows it."""
    literal = parse_host(host)
    if literal is not None:
        return [(str(literal), port)]
    answers = _Answers()
    reactor.nameResolver.resolveHostName(answers, host, port, [IPv4Address, IPv6Address], "UDP")
    try:
        await answers.done.addTimeout(PATIENCE, reactor)
    except TimeoutError:
        return []
    return sorted(answers.found, key=lambda endpoint: ":" in endpoint[0])
