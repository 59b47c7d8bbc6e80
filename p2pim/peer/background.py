"""Work that nobody waits for: its failure is logged, so that it is seen."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure


class Background:
    """Runs such work until it is stopped; what fails after that has failed because of it."""

    log = Logger()

    def __init__(self) -> None:
        self._stopped = False

    def run(self, work: Awaitable[object], what: str) -> None:
        """Run ``work``; ``what`` it is stands in the log if it fails."""
        done: Deferred[Any] = Deferred.fromCoroutine(work)  # type: ignore[arg-type]
        done.addErrback(self._failed, what)

    def stop(self) -> None:
        """Failures are no news from now on."""
        self._stopped = True

    def _failed(self, failure: Failure, what: str) -> None:
        if not self._stopped:
            self.log.failure("{what} failed", failure, what=what)
