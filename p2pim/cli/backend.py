"""Who does the work: the agent that runs under this home, or the same peer inside this process.

Both take the same methods with the same parameters and give the same results, so no command needs to know which it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from p2pim.errors import HomeLocked

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from p2pim.peer.api import Peer

T = TypeVar("T")
Item = Callable[[dict[str, Any]], None]
"""Takes what a method yields before its result."""

LOCK_WAIT = 10.0
"""Seconds to wait for another command that uses the home: it is either short, or an agent about to answer."""
LOCK_POLL = 0.1


class Backend(Protocol):
    """Something that carries out the methods of the local API."""

    is_agent: bool
    """Whether the work goes on in another process when this one ends."""

    def call(self, method: str, params: dict[str, Any], item: Item) -> Awaitable[dict[str, Any]]:
        """Carry out ``method``; ``item`` gets what it yields first."""

    def close(self) -> Coroutine[Deferred[Any], Any, None]:
        """End what this process holds of it."""


class LiveBackend(Backend, Protocol):
    """One that works while other things go on: on a reactor."""

    def call(self, method: str, params: dict[str, Any], item: Item) -> Deferred[dict[str, Any]]:
        """The same; cancelling the Deferred ends it."""


OpenBackend = Callable[[Any, Path, bool], Coroutine["Deferred[Any]", Any, LiveBackend]]
"""``open_backend`` or a test's stand-in: reactor, home, whether the method needs the server."""


class AgentBackend:
    """The agent, through its socket."""

    is_agent = True

    def __init__(self, client: Any) -> None:
        self._client = client

    def call(self, method: str, params: dict[str, Any], item: Item) -> Deferred[dict[str, Any]]:
        answer: Deferred[dict[str, Any]] = self._client.call(method, params, item)
        return answer

    async def close(self) -> None:
        self._client.close()


class PeerBackend:
    """The peer inside this process, which holds the home's lock until `close`."""

    is_agent = False

    def __init__(self, peer: Peer) -> None:
        from p2pim.peer.local_api import LocalApi

        self._peer = peer
        self._api = LocalApi(peer)

    def call(self, method: str, params: dict[str, Any], item: Item) -> Deferred[dict[str, Any]]:
        answer: Deferred[dict[str, Any]] = self._api.call(method, params, item)
        return answer

    async def close(self) -> None:
        await self._peer.stop()


async def open_backend(reactor: Any, home: Path, online: bool) -> LiveBackend:
    """The agent of ``home``, or else a peer inside this process, signed in when ``online``.

    :raises NotSignedIn: nobody is signed in under this home.
    :raises HomeLocked: another process uses the home, does not answer, and did not end within `LOCK_WAIT`.
    """
    from p2pim.cli.running import sleep
    from p2pim.web.agent_client import connect_agent

    give_up = reactor.seconds() + LOCK_WAIT
    while True:
        client = await connect_agent(reactor, home)
        if client is not None:
            return AgentBackend(client)
        try:
            return await _open_peer(reactor, home, online)
        except HomeLocked:
            if reactor.seconds() >= give_up:
                raise
        await sleep(reactor, LOCK_POLL)


async def _open_peer(reactor: Any, home: Path, online: bool) -> PeerBackend:
    from p2pim.peer.api import Peer

    peer = Peer(reactor, home=home)
    try:
        if online:
            await peer.start()
        return PeerBackend(peer)
    except BaseException:
        await peer.stop()
        raise


def ignore_item(item: dict[str, Any]) -> None:
    """For methods that yield nothing."""
