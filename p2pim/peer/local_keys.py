"""The methods of the local API that concern devices and keys."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from p2pim.peer.api import Peer
from p2pim.peer.local_calls import Item, OfUser, Params, Table

Hex = Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]


class OfDevice(Params, frozen=True):
    id: str


class Rename(Params, frozen=True):
    id: str
    name: str


class Verify(Params, frozen=True):
    user: str
    accept: bool = False
    confirm: bool = False


class Match(Params, frozen=True):
    run: Hex
    same: bool


async def _devices(peer: Peer, params: Params, item: Item) -> dict[str, Any]:
    return {"devices": await peer.devices()}


async def _rename(peer: Peer, params: Rename, item: Item) -> dict[str, Any]:
    return await peer.rename_device(params.id, params.name)


async def _remove(peer: Peer, params: OfDevice, item: Item) -> dict[str, Any]:
    return await peer.remove_device(params.id)


async def _verify(peer: Peer, params: Verify, item: Item) -> dict[str, Any]:
    return await peer.verify(params.user, accept=params.accept, confirm=params.confirm)


async def _compare(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    return await peer.compare(params.user, item)


async def _match(peer: Peer, params: Match, item: Item) -> dict[str, Any]:
    peer.match(params.run, params.same)
    return {}


KEY_METHODS: Table = {
    "devices": (Params, _devices),
    "rename-device": (Rename, _rename),
    "remove-device": (OfDevice, _remove),
    "verify": (Verify, _verify),
    "compare": (OfUser, _compare),
    "match": (Match, _match),
}
