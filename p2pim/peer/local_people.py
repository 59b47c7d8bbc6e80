"""The local API's methods about people: contacts, presence, my own status, queries. See `p2pim.peer.local_api`."""

from __future__ import annotations

import base64
import binascii
from itertools import count
from typing import Annotated, Any

from msgspec import Meta
from twisted.internet.defer import Deferred

from p2pim.core.limits import QUERY_TIME
from p2pim.errors import QueryFailed, Usage
from p2pim.peer.api import Peer
from p2pim.peer.local_calls import Item, OfUser, Params, Table
from p2pim.peer.states import milliseconds
from p2pim.wire.messages import Person


class Who(Params, frozen=True):
    all: bool = False


class MeetingGuests(Params, frozen=True):
    on: bool | None = None


class Status(Params, frozen=True):
    set: str = ""


class QueryParams(Params, frozen=True):
    """``body`` in base64."""

    user: str
    topic: str
    body: str = ""
    timeout: Annotated[float, Meta(gt=0, le=3600)] = QUERY_TIME


class AnswerParams(Params, frozen=True):
    topic: str


class ReplyParams(Params, frozen=True):
    """``body`` in base64; with an ``error`` there is none."""

    query: int
    body: str = ""
    error: str = ""


async def _status(peer: Peer, params: Status, item: Item) -> dict[str, Any]:
    if params.set:
        peer.set_status(params.set)
    return {
        **peer.identity(),
        "connected": peer.connected,
        "address": peer.my_address() if peer.connected else "",
        "status": peer.status,
        "chosen": peer.chosen_status,
    }


async def _who(peer: Peer, params: Who, item: Item) -> dict[str, Any]:
    people = [_person(peer, person) for person in await peer.who(params.all)]
    return {"people": people + [_guest(person) for person in peer.guest_people()]}


async def _online(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    return {"user": params.user, "online": await peer.is_online(params.user)}


def _person(peer: Peer, person: Person) -> dict[str, Any]:
    """``status`` is "unknown" where it is not for me to know."""
    channel = peer.channel_state(person.user)
    online = next((d.address for d in person.devices if d.address), "")
    route = channel.kind if channel is not None else ("relay" if person.devices and person.status else None)
    return {
        "user": person.user,
        "status": person.status or "unknown",
        "devices": [{"id": d.id.hex(), "name": d.name, "address": d.address} for d in person.devices],
        "route": route,
        "address": channel.address if channel is not None else online,
        "rtt_ms": channel.rtt_ms if channel is not None else None,
        "relation": person.relation,
    }


def _guest(person: Person) -> dict[str, Any]:
    """A guest of the classic gateway: whatever is said is plain text."""
    return {
        "user": person.user, "status": person.status, "devices": [], "route": "classic", "address": "", "rtt_ms": None,
        "relation": person.relation, "encrypted": False,
    }  # fmt: skip


async def _guests(peer: Peer, params: MeetingGuests, item: Item) -> dict[str, Any]:
    return await peer.guests(params.on)


async def _add(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    return _person(peer, await peer.add(params.user))


async def _remove(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    return {"user": params.user, "removed": True, "was": await peer.remove(params.user)}


async def _block(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    await peer.block(params.user)
    return {"user": params.user, "blocked": True}


async def _unblock(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    await peer.unblock(params.user)
    return {"user": params.user, "blocked": False}


async def _active(peer: Peer, params: Params, item: Item) -> dict[str, Any]:
    """A person did something in a window: that it is called says so."""
    return {}


async def _typing(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    peer.typing(params.user)
    return {}


async def _ping_server(peer: Peer, params: Params, item: Item) -> dict[str, Any]:
    return {"rtt_ms": milliseconds(await peer.ping_server())}


async def _ping_channel(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    seconds, route = await peer.ping_channel(params.user)
    return {"rtt_ms": milliseconds(seconds), "route": route}


# --- queries: their bodies are bytes, in base64 here


async def _query(peer: Peer, params: QueryParams, item: Item) -> dict[str, Any]:
    answer = await peer.query(params.user, params.topic, _bytes(params.body), params.timeout)
    return {"user": params.user, "topic": params.topic, "body": base64.b64encode(answer).decode()}


_numbers = count(1)
_open: dict[int, Deferred[bytes]] = {}
"""What programs have been asked and have not answered; as many as `p2pim.peer.queries` lets through."""


async def _answer(peer: Peer, params: AnswerParams, item: Item) -> dict[str, Any]:
    """Have the caller answer a topic until it hangs up: it is given each query as an item, and calls ``reply``."""
    mine: dict[int, Deferred[bytes]] = {}

    async def handler(user: str, body: bytes) -> bytes:
        number = next(_numbers)
        waiting: Deferred[bytes] = Deferred()
        mine[number] = _open[number] = waiting
        waiting.addTimeout(QUERY_TIME, peer.clock)
        item({"query": number, "user": user, "topic": params.topic, "body": base64.b64encode(body).decode()})
        try:
            return await waiting
        finally:
            del mine[number], _open[number]

    end = peer.answer(params.topic, handler)
    try:
        endless: Deferred[dict[str, Any]] = Deferred()
        return await endless
    finally:
        end()
        for waiting in list(mine.values()):
            waiting.errback(QueryFailed("The program that answers this has gone."))


async def _reply(peer: Peer, params: ReplyParams, item: Item) -> dict[str, Any]:
    waiting, body = _open.get(params.query), _bytes(params.body)
    if waiting is None or waiting.called:
        raise Usage(f"No query {params.query} waits for an answer (any more).")
    if params.error:
        waiting.errback(QueryFailed(params.error))
    else:
        waiting.callback(body)
    return {"query": params.query}


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Usage("A body is bytes in base64.") from None


PEOPLE_METHODS: Table = {
    "status": (Status, _status),
    "guests": (MeetingGuests, _guests),
    "who": (Who, _who),
    "online": (OfUser, _online),
    "add": (OfUser, _add),
    "remove": (OfUser, _remove),
    "block": (OfUser, _block),
    "unblock": (OfUser, _unblock),
    "active": (Params, _active),
    "typing": (OfUser, _typing),
    "ping_server": (Params, _ping_server),
    "ping_channel": (OfUser, _ping_channel),
    "query": (QueryParams, _query),
    "answer": (AnswerParams, _answer),
    "reply": (ReplyParams, _reply),
}
