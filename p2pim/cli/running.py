"""The reactor under a command: started for one coroutine, stopped when that is done, Ctrl-C included.

Signals cancel the coroutine, so its ``finally`` blocks close what is open; a second signal does not wait for them.
Twisted is imported only when a command needs it: ``p2pim --help`` and ``--version`` answer without it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from p2pim.errors import Interrupted, P2pimError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

T = TypeVar("T")
Main = Callable[[Any], Coroutine["Deferred[Any]", Any, T]]
"""What a command does: takes the reactor, returns the result."""


class Terminated(P2pimError):
    """SIGTERM or SIGHUP: somebody wants this process to end, and it did so cleanly."""

    code = "terminated"
    exit_status = 143
    default = "Terminated."


def monotonic_reactor() -> Any:
    """The reactor, its timers on a clock that nobody sets back."""
    from twisted.internet import reactor

    from p2pim.net.process import use_steady_clock

    timed: Any = reactor
    use_steady_clock(timed)
    return timed


def start_logging(*, verbose: bool) -> None:
    """Send Twisted's log to stderr: all of it when ``verbose``, else only what is broken."""
    import sys

    from twisted.logger import (
        FilteringLogObserver,
        ILogObserver,
        LogLevel,
        LogLevelFilterPredicate,
        globalLogBeginner,
        textFileLogObserver,
    )

    observer: ILogObserver = textFileLogObserver(sys.stderr)
    if not verbose:
        observer = FilteringLogObserver(observer, [LogLevelFilterPredicate(defaultLogLevel=LogLevel.critical)])
    globalLogBeginner.beginLoggingTo([observer], discardBuffer=not verbose, redirectStandardIO=False)


class _Run:
    """One run of the reactor."""

    def __init__(self, reactor: Any, main: Main[Any]) -> None:
        self._reactor = reactor
        self._main = main
        self._done: Deferred[Any] | None = None
        self._signal: int | None = None
        self.value: Any = None
        self.failure: Failure | None = None

    def start(self) -> None:
        """The reactor runs: take the signals over and begin."""
        from twisted.internet.defer import Deferred

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._signalled)
        self._done = Deferred.fromCoroutine(self._main(self._reactor))
        self._done.addCallbacks(self._succeeded, self._failed)

    def _signalled(self, number: int, frame: object) -> None:
        if self._signal is not None:
            os._exit(128 + number)
        self._signal = number
        self._reactor.callFromThread(self._cancel)

    def _cancel(self) -> None:
        if self._done is not None:
            self._done.cancel()

    def _succeeded(self, value: Any) -> None:
        self.value = value
        self._finish()

    def _failed(self, failure: Failure) -> None:
        self.failure = failure
        self._finish()

    def _finish(self) -> None:
        self._reactor.callLater(0, self._stop)

    def _stop(self) -> None:
        if self._reactor.running:
            self._reactor.stop()

    def result(self) -> Any:
        """What the coroutine returned.

        :raises Interrupted: it was stopped by Ctrl-C.
        :raises Terminated: it was stopped by another signal.
        """
        from twisted.internet.defer import CancelledError

        if self._signal == signal.SIGINT:
            raise Interrupted
        if self._signal is not None:
            raise Terminated
        if self.failure is None:
            return self.value
        if self.failure.check(CancelledError):
            raise Interrupted
        error = self.failure.value
        assert error is not None
        raise error


def run_reactor(main: Main[T], *, verbose: bool = False) -> T:
    """What ``main(reactor)`` returns; the reactor can run once per process."""
    from p2pim.net.process import keep_freed_memory

    keep_freed_memory()
    start_logging(verbose=verbose)
    reactor = monotonic_reactor()
    run = _Run(reactor, main)
    reactor.callWhenRunning(run.start)
    reactor.run()
    result: T = run.result()
    return result


async def sleep(reactor: Any, seconds: float) -> None:
    """Nothing, for so long."""
    from twisted.internet.task import deferLater

    await deferLater(reactor, seconds, lambda: None)
