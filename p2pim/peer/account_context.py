"""What the parts of an account work with, and how they begin and end together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from p2pim.net.trust import ServerAddress
from p2pim.peer.events import Event
from p2pim.peer.home import Home
from p2pim.peer.journal import Journal
from p2pim.peer.states import PeerSettings


@dataclass(frozen=True)
class AccountContext:
    """What comes from outside an account.

    ``reactor``: clock, sockets and threads. ``wall``: the time in seconds since 1970. ``rng`` spreads what is repeated,
    ``random_bytes`` are unpredictable. ``emit`` tells whoever listens to events. ``user`` and ``device``: whose
    account it is, and this device's id. ``route_changed``: told that the best route to a user may be another now.
    """

    reactor: Any
    wall: Callable[[], float]
    rng: Random
    random_bytes: Callable[[int], bytes]
    emit: Callable[[Event], None]
    journal: Journal
    home: Home
    settings: PeerSettings
    user: str
    device: bytes
    server: ServerAddress
    route_changed: Callable[[str], None] = lambda user: None


Work = Callable[[], Awaitable[object] | None]


class Lives:
    """Parts begin in the order in which they were added, and end the other way round."""

    def __init__(self) -> None:
        self._loads: list[Work] = []
        self._stops: list[Work] = []

    def add(self, *, load: Work | None = None, stop: Work | None = None) -> None:
        """One more part: what it does first and what it does last."""
        self._loads += [load] if load is not None else []
        self._stops += [stop] if stop is not None else []

    async def load(self) -> None:
        """Let every part take up what earlier runs left."""
        await _do(self._loads)

    async def stop(self) -> None:
        """End every part."""
        await _do(self._stops[::-1])


async def _do(works: list[Work]) -> None:
    for work in works:
        done = work()
        if done is not None:
            await done
