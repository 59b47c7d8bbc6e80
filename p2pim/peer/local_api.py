"""What the command line and other programs on this machine may ask of a peer: a table of methods.

The same table is served in one process (`LocalApi.call`) and over HTTP (`p2pim.web.local_http`), so whoever asks need
not know which. Parameters are checked against the classes here; a result is a dictionary that JSON can carry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from twisted.internet.defer import Deferred

from p2pim.core.limits import JOURNAL_LINES
from p2pim.errors import Usage
from p2pim.peer.api import Peer
from p2pim.peer.events import as_json
from p2pim.peer.local_calls import Item, OfUser, Params, Table
from p2pim.peer.local_conversations import CONVERSATION_METHODS
from p2pim.peer.local_groups import GROUP_METHODS
from p2pim.peer.local_history import HISTORY_METHODS
from p2pim.peer.local_keys import KEY_METHODS
from p2pim.peer.local_people import PEOPLE_METHODS
from p2pim.peer.local_transfers import TRANSFER_METHODS
from p2pim.peer.states import milliseconds

PASSIVE = (
    "events", "log", "read", "status", "query", "answer", "reply", "conversation", "conversations", "routes", "network",
    "who", "groups", "history", "transfers", "devices", "settings",
)  # fmt: skip
"""Methods that programs and windows call by themselves: they do not show that a person is there; ``active`` does."""

MESSAGE_WAIT = 30.0
"""Seconds for a receipt when the caller names none."""


class Msg(Params, frozen=True):
    user: str
    text: str
    route: str = "auto"
    timeout: Annotated[float, Meta(gt=0)] | None = MESSAGE_WAIT
    wait: bool = True


class PingParams(Params, frozen=True):
    user: str
    count: Annotated[int, Meta(ge=1, le=1_000_000)] = 4
    route: str = "auto"
    interval: Annotated[float, Meta(ge=0, le=3600)] = 0.2


class Doctor(Params, frozen=True):
    p2p_server: str | None = None
    server_problem: str = ""


class Log(Params, frozen=True):
    follow: bool = False
    lines: Annotated[int, Meta(ge=0, le=JOURNAL_LINES)] = 100


async def _events(peer: Peer, params: Params, item: Item) -> dict[str, Any]:
    unsubscribe = peer.subscribe(lambda event: item(as_json(event)))
    try:
        return await until_cancelled()
    finally:
        unsubscribe()


async def until_cancelled() -> dict[str, Any]:
    """Nothing, until the caller has had enough."""
    endless: Deferred[dict[str, Any]] = Deferred()
    return await endless


async def _msg(peer: Peer, params: Msg, item: Item) -> dict[str, Any]:
    await peer.opened()
    sent = await peer.send_message(params.user, params.text, params.route, params.wait, params.timeout)
    return sent.as_json()


async def _connect(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    return (await peer.connect(params.user)).as_json()


async def _disconnect(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    peer.disconnect(params.user)
    return {"user": params.user}


async def _channels(peer: Peer, params: Params, item: Item) -> dict[str, Any]:
    return {"channels": [state.as_json() for state in peer.channels()]}


async def _ping(peer: Peer, params: PingParams, item: Item) -> dict[str, Any]:
    times: list[float] = []
    for seq in range(1, params.count + 1):
        seconds, route = await peer.ping(params.user, params.route)
        times.append(seconds)
        item({"seq": seq, "rtt_ms": milliseconds(seconds), "route": route})
        if seq < params.count:
            await peer.pause(params.interval)
    return {
        "sent": params.count,
        "received": len(times),
        "min_ms": milliseconds(min(times)),
        "avg_ms": milliseconds(sum(times) / len(times)),
        "max_ms": milliseconds(max(times)),
    }


async def _read(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    return {"user": params.user, "read": await peer.mark_read(params.user)}


async def _doctor(peer: Peer, params: Doctor, item: Item) -> dict[str, Any]:
    return (await peer.doctor(params.p2p_server, params.server_problem)).as_json()


async def _log(peer: Peer, params: Log, item: Item) -> dict[str, Any]:
    for entry in peer.journal.last(params.lines):
        item(dict(entry))
    if not params.follow:
        return {}
    unfollow = peer.journal.follow(lambda entry: item(dict(entry)))
    try:
        return await until_cancelled()
    finally:
        unfollow()


async def _logout(peer: Peer, params: Params, item: Item) -> dict[str, Any]:
    user = peer.identity()["user"]
    await peer.logout()
    return {"user": user}


METHODS: Table = {
    "events": (Params, _events),
    "msg": (Msg, _msg),
    "connect": (OfUser, _connect),
    "disconnect": (OfUser, _disconnect),
    "channels": (Params, _channels),
    "ping": (PingParams, _ping),
    "read": (OfUser, _read),
    "log": (Log, _log),
    "doctor": (Doctor, _doctor),
    "logout": (Params, _logout),
    **CONVERSATION_METHODS,
    **HISTORY_METHODS,
    **PEOPLE_METHODS,
    **TRANSFER_METHODS,
    **GROUP_METHODS,
    **KEY_METHODS,
}


class LocalApi:
    """The table, served by ``peer``.

    :param stop: what the method ``stop`` does, and ``logout`` after it is done; None: nothing, for a peer that ends
        with the command that made it.
    :param more: methods of whoever runs the peer.
    """

    def __init__(self, peer: Peer, stop: Callable[[], None] | None = None, more: Table | None = None) -> None:
        self._peer = peer
        self._stop = stop
        self._table = {**METHODS, **(more or {})}

    @property
    def methods(self) -> list[str]:
        """The names of all methods."""
        return sorted([*self._table, "stop"])

    def call(self, method: str, params: dict[str, Any], item: Item) -> Deferred[dict[str, Any]]:
        """Carry out ``method``; ``item`` gets what it yields on the way. Cancelling the Deferred ends it.

        :raises P2pimError: (through the Deferred) as the method does; `Usage` for an unknown method or parameter.
        """
        return Deferred.fromCoroutine(self._call(method, params, item))

    async def _call(self, method: str, params: dict[str, Any], item: Item) -> dict[str, Any]:
        if method == "stop":
            self._end()
            return {}
        if method not in self._table:
            raise Usage(f"There is no method {method!r}.")
        kind, function = self._table[method]
        try:
            checked = msgspec.convert(params, kind)
        except msgspec.ValidationError as error:
            raise Usage(f"{method}: {error}") from None
        if method not in PASSIVE:
            self._peer.active()
        await self._peer.reopened()
        result = await function(self._peer, checked, item)
        if method == "logout":
            self._end()
        return result

    def _end(self) -> None:
        if self._stop is not None:
            self._stop()
