"""How long to wait before the next attempt to reach a server.

The wait is drawn at random from a window that doubles with each failure. A server that restarts loses all its clients
in one moment; were they to come back in one moment too, it would fall over again, so not even the first wait is the
same for two of them.
"""

from __future__ import annotations

import random
from typing import Final

from p2pim.core.limits import RECONNECT_FIRST, RECONNECT_MAX

SPREAD: Final = 0.5
"""A wait lies within this part of its window, below or above."""


class Backoff:
    """The waits of one client. ``rng`` makes them differ between clients and repeat in tests."""

    def __init__(self, rng: random.Random, first: float = RECONNECT_FIRST, most: float = RECONNECT_MAX) -> None:
        self._rng = rng
        self._first = first
        self._most = most
        self._window = first

    def next(self, at_least: float = 0.0) -> float:
        """Seconds to wait now; the window doubles for the time after. ``at_least`` is what the other side asked for."""
        window = max(self._window, at_least)
        self._window = min(self._most, self._window * 2)
        low = max(at_least, window * (1 - SPREAD))
        return self._rng.uniform(low, max(low, window) * (1 + SPREAD))

    def succeeded(self, lasted: float) -> None:
        """A connection ended that had stood for ``lasted`` seconds.

        The windows begin anew, unless it stood no longer than what was waited for it: a server that lets everyone in
        and falls over at once is given ever more time.
        """
        if lasted >= self._window:
            self._window = self._first
