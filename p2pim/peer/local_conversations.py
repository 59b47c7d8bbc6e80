"""The methods of the local API that windows are drawn from: a conversation, its route, the network, settings."""

from __future__ import annotations

from typing import Any

from p2pim.peer.api import Peer
from p2pim.peer.kept_settings import Chosen
from p2pim.peer.local_calls import Item, Params, Table


class Conversation(Params, frozen=True):
    user: str
    open: bool = False


async def _conversation(peer: Peer, params: Conversation, item: Item) -> dict[str, Any]:
    return await peer.conversation(params.user, open=params.open)


async def _routes(peer: Peer, params: Params, item: Item) -> dict[str, Any]:
    return {"routes": await peer.best_routes()}


async def _network(peer: Peer, params: Params, item: Item) -> dict[str, Any]:
    return await peer.network()


class Settings(Params, frozen=True):
    set: Chosen | None = None


async def _settings(peer: Peer, params: Settings, item: Item) -> dict[str, Any]:
    return peer.settings_now() if params.set is None else await peer.choose_settings(params.set)


CONVERSATION_METHODS: Table = {
    "conversation": (Conversation, _conversation),
    "routes": (Params, _routes),
    "network": (Params, _network),
    "settings": (Settings, _settings),
}
