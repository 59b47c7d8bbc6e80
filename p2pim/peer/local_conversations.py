"""The methods of the local API that windows are drawn from: a conversation, its route, the network, settings."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred

from p2pim.peer.api import Peer
from p2pim.peer.kept_settings import Chosen

Item = Callable[[dict[str, Any]], None]
Method = Callable[[Peer, Any, Item], Coroutine[Deferred[Any], Any, dict[str, Any]]]


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """None."""


class Conversation(Struct, frozen=True, forbid_unknown_fields=True):
    user: str
    open: bool = False


async def _conversation(peer: Peer, params: Conversation, item: Item) -> dict[str, Any]:
    return await peer.conversation(params.user, open=params.open)


async def _routes(peer: Peer, params: Params, item: Item) -> dict[str, Any]:
    return {"routes": await peer.best_routes()}


async def _network(peer: Peer, params: Params, item: Item) -> dict[str, Any]:
    return await peer.network()


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    set: Chosen | None = None


async def _settings(peer: Peer, params: Settings, item: Item) -> dict[str, Any]:
    return peer.settings_now() if params.set is None else await peer.choose_settings(params.set)


CONVERSATION_METHODS: dict[str, tuple[type[Struct], Method]] = {
    "conversation": (Conversation, _conversation),
    "routes": (Params, _routes),
    "network": (Params, _network),
    "settings": (Settings, _settings),
}
