"""What the command line and other programs on this machine may ask of a peer: a table of methods.

The same table is served in one process (`LocalApi.call`) and over the agent's socket (`p2pim.peer.control`), so whoever
asks need not know which. Parameters are checked against the classes here; a result is a dictionary that JSON can carry.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from twisted.internet.defer import CancelledError, Deferred

from p2pim.core.limits import HISTORY_PAGE, JOURNAL_LINES
from p2pim.core.message_ids import show_message_id
from p2pim.errors import P2pimError, Usage
from p2pim.peer.api import Peer
from p2pim.peer.events import as_json, rfc3339
from p2pim.peer.local_groups import GROUP_METHODS, with_members
from p2pim.peer.local_transfers import TRANSFER_METHODS
from p2pim.peer.states import milliseconds
from p2pim.storage.home import HistoryEntry
from p2pim.wire.messages import Person

Item = Callable[[dict[str, Any]], None]
"""Takes what a method yields before its result."""
Method = Callable[[Peer, Any, Item], Coroutine[Deferred[Any], Any, dict[str, Any]]]

MESSAGE_WAIT = 30.0
"""Seconds for a receipt when the caller names none."""


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all parameters; itself: none."""


class Who(Params, frozen=True):
    all: bool = False


class OfUser(Params, frozen=True):
    user: str


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


class History(Params, frozen=True):
    user: str
    search: str = ""
    limit: Annotated[int, Meta(ge=1, le=HISTORY_PAGE)] = 50
    before: str = ""


class Doctor(Params, frozen=True):
    p2p_server: str | None = None
    server_problem: str = ""


class Log(Params, frozen=True):
    follow: bool = False
    lines: Annotated[int, Meta(ge=0, le=JOURNAL_LINES)] = 100


async def _status(peer: Peer, params: Params, item: Item) -> dict[str, Any]:
    welcome = peer.welcome
    return {
        **peer.identity(),
        "connected": peer.connected,
        "address": welcome.address if welcome is not None and peer.connected else "",
    }


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


async def _who(peer: Peer, params: Who, item: Item) -> dict[str, Any]:
    return {"people": [_person(peer, person) for person in await peer.who(params.all)]}


def _person(peer: Peer, person: Person) -> dict[str, Any]:
    channel = peer.channel_state(person.user)
    online = next((d.address for d in person.devices if d.address), "")
    route = channel.kind if channel is not None else ("relay" if person.devices else None)
    return {
        "user": person.user,
        "status": person.status,
        "devices": [{"id": d.id.hex(), "name": d.name, "address": d.address} for d in person.devices],
        "route": route,
        "address": channel.address if channel is not None else online,
        "rtt_ms": channel.rtt_ms if channel is not None else None,
        "relation": person.relation,
    }


async def _add(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    return _person(peer, await peer.add(params.user))


async def _remove(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    await peer.remove(params.user)
    return {"user": params.user, "removed": True}


async def _block(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    await peer.block(params.user)
    return {"user": params.user, "blocked": True}


async def _unblock(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    await peer.unblock(params.user)
    return {"user": params.user, "blocked": False}


async def _msg(peer: Peer, params: Msg, item: Item) -> dict[str, Any]:
    await peer.opened()
    sent = await peer.send_message(params.user, params.text, params.route, params.wait, params.timeout)
    return sent.as_json()


async def _typing(peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
    peer.typing(params.user)
    return {}


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


async def _history(peer: Peer, params: History, item: Item) -> dict[str, Any]:
    entries = await peer.history(params.user, params.search, params.limit, params.before)
    messages = [_entry(entry) for entry in entries]
    return {"messages": await with_members(peer, params.user, messages)}


def _entry(entry: HistoryEntry) -> dict[str, Any]:
    return {
        "id": show_message_id(entry.id),
        "user": entry.user,
        "direction": entry.direction,
        "text": entry.text,
        "route": entry.route,
        "state": entry.state,
        "sent_at": _time(entry.sent_at),
        "received_at": _time(entry.received_at),
        "read_at": _time(entry.read_at),
        "address": entry.address,
        **({"group": entry.user, "user": entry.author or entry.user} if entry.user.startswith("#") else {}),
    }


def _time(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else rfc3339(milliseconds / 1000)


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


METHODS: dict[str, tuple[type[Struct], Method]] = {
    "status": (Params, _status),
    "events": (Params, _events),
    "who": (Who, _who),
    "add": (OfUser, _add),
    "remove": (OfUser, _remove),
    "block": (OfUser, _block),
    "unblock": (OfUser, _unblock),
    "msg": (Msg, _msg),
    "typing": (OfUser, _typing),
    "connect": (OfUser, _connect),
    "disconnect": (OfUser, _disconnect),
    "channels": (Params, _channels),
    "ping": (PingParams, _ping),
    "history": (History, _history),
    "read": (OfUser, _read),
    "log": (Log, _log),
    "doctor": (Doctor, _doctor),
    "logout": (Params, _logout),
    **TRANSFER_METHODS,
    **GROUP_METHODS,
}


class LocalApi:
    """The table, served by ``peer``.

    :param stop: what the method ``stop`` does, and ``logout`` after it is done; None: nothing, for a peer that ends
        with the command that made it.
    """

    def __init__(self, peer: Peer, stop: Callable[[], None] | None = None) -> None:
        self._peer = peer
        self._stop = stop

    def call(self, method: str, params: dict[str, Any], item: Item) -> Deferred[dict[str, Any]]:
        """Carry out ``method``; ``item`` gets what it yields on the way. Cancelling the Deferred ends it.

        :raises P2pimError: (through the Deferred) as the method does; `Usage` for an unknown method or parameter.
        """
        return Deferred.fromCoroutine(self._call(method, params, item))

    async def _call(self, method: str, params: dict[str, Any], item: Item) -> dict[str, Any]:
        if method == "stop":
            self._end()
            return {}
        if method not in METHODS:
            raise Usage(f"There is no method {method!r}.")
        kind, function = METHODS[method]
        try:
            checked = msgspec.convert(params, kind)
        except msgspec.ValidationError as error:
            raise Usage(f"{method}: {error}") from None
        result = await function(self._peer, checked, item)
        if method == "logout":
            self._end()
        return result

    def _end(self) -> None:
        if self._stop is not None:
            self._stop()


def error_report(error: BaseException) -> dict[str, Any]:
    """An error as it goes over the control socket: code, message, exit status, and what else it knows."""
    if isinstance(error, CancelledError):
        return {"error": "interrupted", "message": "The call was cancelled.", "exit": 130}
    if not isinstance(error, P2pimError):
        return {"error": "error", "message": f"{type(error).__name__}: {error}", "exit": 1}
    report: dict[str, Any] = {"error": error.code, "message": error.message, "exit": error.exit_status}
    if error.retry_after:
        report["retry_after"] = error.retry_after
    reasons = getattr(error, "reasons", None)
    if reasons is not None:
        report["reasons"] = [{"rung": rung, "reason": reason} for rung, reason in reasons]
    return report
