"""The methods of the local API that concern groups."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from msgspec import field

from p2pim.errors import Usage
from p2pim.peer.api import Peer
from p2pim.peer.groups import group_name
from p2pim.peer.local_calls import Item, Params, Table
from p2pim.wire.groups import Group


class OfGroup(Params, frozen=True):
    group: str


class Users(Params, frozen=True):
    group: str
    users: list[str] = field(default_factory=list)


class Role(Params, frozen=True):
    group: str
    user: str
    role: str


class Topic(Params, frozen=True):
    group: str
    topic: str


class Broadcast(Params, frozen=True):
    group: str
    topic: str
    body: str
    """Base64."""


def group_json(group: Group) -> dict[str, Any]:
    """A group as programs see it."""
    return {
        "group": "#" + group.name,
        "topic": group.topic,
        "members": [{"user": member.user, "role": member.role} for member in group.members],
    }


async def _groups(peer: Peer, params: Params, item: Item) -> dict[str, Any]:
    return {"groups": [group_json(group) for group in await peer.groups()]}


async def _create(peer: Peer, params: Users, item: Item) -> dict[str, Any]:
    return group_json(await peer.create_group(params.group, params.users))


async def _add(peer: Peer, params: Users, item: Item) -> dict[str, Any]:
    return group_json(await peer.add_to_group(params.group, params.users))


async def _remove(peer: Peer, params: Users, item: Item) -> dict[str, Any]:
    return group_json(await peer.remove_from_group(params.group, params.users))


async def _leave(peer: Peer, params: OfGroup, item: Item) -> dict[str, Any]:
    await peer.leave_group(params.group)
    return {"group": "#" + group_name(params.group), "left": True}


async def _end(peer: Peer, params: OfGroup, item: Item) -> dict[str, Any]:
    await peer.end_group(params.group)
    return {"group": "#" + group_name(params.group), "ended": True}


async def _role(peer: Peer, params: Role, item: Item) -> dict[str, Any]:
    return group_json(await peer.set_group_role(params.group, params.user, params.role))


async def _topic(peer: Peer, params: Topic, item: Item) -> dict[str, Any]:
    return group_json(await peer.set_group_topic(params.group, params.topic))


async def _broadcast(peer: Peer, params: Broadcast, item: Item) -> dict[str, Any]:
    try:
        body = base64.b64decode(params.body, validate=True)
    except binascii.Error:
        raise Usage("The body of a broadcast is base64.") from None
    devices = await peer.broadcast(params.group, params.topic, body)
    return {"group": "#" + group_name(params.group), "devices": devices}


GROUP_METHODS: Table = {
    "groups": (Params, _groups),
    "group-create": (Users, _create),
    "group-add": (Users, _add),
    "group-remove": (Users, _remove),
    "group-leave": (OfGroup, _leave),
    "group-end": (OfGroup, _end),
    "group-role": (Role, _role),
    "group-topic": (Topic, _topic),
    "broadcast": (Broadcast, _broadcast),
}
