"""Notices that this machine's network has changed: an interface came or went, or has another address.

It looks every `limits.NETWORK_WATCH` seconds, which works on every system and costs less than a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from p2pim.core.interfaces import Interface
from p2pim.core.limits import NETWORK_WATCH


class NetworkWatch:
    """Calls ``changed`` when what ``look`` shows is no longer what it was.

    :param look: all addresses of all interfaces at present.
    """

    def __init__(self, clock: Any, look: Callable[[], list[Interface]], changed: Callable[[], None]) -> None:
        self._clock = clock
        self._look = look
        self._changed = changed
        self._known: frozenset[Interface] = frozenset()
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Look from now on; what is there now is no change."""
        self.stop()
        self._known = frozenset(self._look())
        self._timer = self._clock.callLater(NETWORK_WATCH, self._again)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _again(self) -> None:
        self._timer = self._clock.callLater(NETWORK_WATCH, self._again)
        now = frozenset(self._look())
        if now != self._known:
            self._known = now
            self._changed()
