"""The agent's socket: the local API over HTTP for the programs of the home's owner.

Only they can reach it: it has mode 0600 in a directory of mode 0700, so nobody is asked for a cookie.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import maybeDeferred

from p2pim.peer.control_wire import short_path
from p2pim.web.answers import error_answer
from p2pim.web.http import WebSite
from p2pim.web.routing import Routes


class LocalSocket:
    """The socket at ``path``, which serves ``routes`` from here until `close`.

    The caller holds the home's lock, so a socket that is there is a dead agent's, and is replaced.
    """

    def __init__(self, reactor: Any, path: Path, routes: Routes) -> None:
        self._path = path
        self._site = WebSite(reactor, routes, lambda request, error: error_answer(error))
        with suppress(FileNotFoundError):
            path.unlink()
        self._name = ExitStack()  # the short name is needed to the end, when Twisted removes the socket by it
        self._port = reactor.listenUNIX(self._name.enter_context(short_path(path)), self._site, mode=0o600)

    async def close(self) -> None:
        """Hang up, once what was said has been written, and remove the socket."""
        self._site.end()
        await maybeDeferred(self._port.stopListening)
        self._name.close()
        with suppress(FileNotFoundError):
            self._path.unlink()
