"""Those who wait to hear what becomes of a message."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from p2pim.errors import P2pimError


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a message: ``state`` is "delivered", "stored" in a mailbox, or "waiting" here."""

    state: str
    route: str
    address: str


class Waiters:
    """Deferreds by message."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, list[Deferred[Settled]]] = {}

    def add(self, message: bytes) -> Deferred[Settled]:
        """Fires once it is known; cancelling it changes nothing about the message."""
        waiter: Deferred[Settled] = Deferred(lambda d: self._drop(message, d))
        self._waiting.setdefault(message, []).append(waiter)
        return waiter

    def resolve(self, message: bytes, settled: Settled) -> None:
        """That is what became of it."""
        for waiter in self._waiting.pop(message, []):
            waiter.callback(settled)

    def fail(self, message: bytes, error: P2pimError | Failure) -> None:
        """It came to nothing, or nobody can tell."""
        for waiter in self._waiting.pop(message, []):
            waiter.errback(error)

    def stop(self) -> None:
        """Nobody will be told anything any more."""
        waiting, self._waiting = self._waiting, {}
        for several in waiting.values():
            for waiter in several:
                waiter.cancel()

    def _drop(self, message: bytes, waiter: Deferred[Settled]) -> None:
        several = self._waiting.get(message, [])
        if waiter in several:
            several.remove(waiter)
        if not several:
            self._waiting.pop(message, None)
        waiter.errback(CancelledError())
