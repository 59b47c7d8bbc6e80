"""A file descriptor that the reactor reads for us, left in the mode in which it was: others share it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

_READ = 4096


@implementer(IReadDescriptor)
class Input:
    """Gives what comes in on ``source`` to ``read``; nothing at its end.

    The descriptor stays blocking, since making it otherwise would change it for stdout too where both are one terminal;
    it is read once whenever there is something, which does not wait.
    """

    def __init__(self, reactor: Any, read: Callable[[bytes], None], source: int = 0) -> None:
        self._reactor = reactor
        self._read = read
        self.source = source

    def start(self) -> None:
        """Read from now on."""
        self._reactor.addReader(self)

    def pause(self) -> None:
        """Leave what comes where it is until the next `start`."""
        self._reactor.removeReader(self)

    def fileno(self) -> int:
        return self.source

    def doRead(self) -> None:
        try:
            data = os.read(self.source, _READ)
        except OSError:
            data = b""
        if not data:
            self.pause()
        self._read(data)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gave it up: a pipe whose writer is gone has come to its end; or the reactor itself ends."""
        if getattr(self._reactor, "running", False):
            self._read(b"")

    def logPrefix(self) -> str:
        return "stdin"
