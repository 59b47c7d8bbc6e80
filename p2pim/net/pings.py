"""Round trips measured by asking."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from p2pim.core.limits import CHANNEL_PING, CHANNEL_PINGS
from p2pim.errors import ChannelClosed, TimedOut


class Pings:
    """Pings that wait for their answer."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._last = 0
        self._waiting: dict[int, tuple[float, Deferred[float], IDelayedCall]] = {}

    def new(self) -> tuple[int | None, Deferred[float]]:
        """A nonce to send, or None when too many wait, and what fires with the seconds until `answered`."""
        if len(self._waiting) >= CHANNEL_PINGS:
            return None, fail(TimedOut("Too many pings wait for an answer."))
        self._last += 1
        nonce, answer = self._last, Deferred[float](lambda _: self._drop(nonce))
        timeout = self._clock.callLater(CHANNEL_PING, self._late, nonce)
        self._waiting[nonce] = self._clock.seconds(), answer, timeout
        return nonce, answer

    def answered(self, nonce: int) -> None:
        """The answer came; one that nobody waits for is ignored."""
        waiting = self._take(nonce)
        if waiting is not None:
            waiting[1].callback(self._clock.seconds() - waiting[0])

    def _take(self, nonce: int) -> tuple[float, Deferred[float], IDelayedCall] | None:
        waiting = self._waiting.pop(nonce, None)
        if waiting is not None and waiting[2].active():
            waiting[2].cancel()
        return waiting

    def _drop(self, nonce: int) -> None:
        self._take(nonce)

    def _late(self, nonce: int) -> None:
        waiting = self._take(nonce)
        if waiting is not None:
            waiting[1].errback(TimedOut("The other side did not answer the ping in time."))

    def fail(self, reason: str) -> None:
        """There will be no answers."""
        for nonce in list(self._waiting):
            waiting = self._take(nonce)
            if waiting is not None:
                waiting[1].errback(ChannelClosed(reason))
