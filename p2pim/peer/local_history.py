"""The methods of the local API that concern the history."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from p2pim.core.limits import HISTORY_PAGE
from p2pim.core.message_ids import show_message_id
from p2pim.core.search import spans
from p2pim.peer.events import rfc3339
from p2pim.peer.home_history import HomeHistory
from p2pim.peer.local_calls import Item, Params, Table
from p2pim.storage.history import HistoryEntry

Number = Annotated[int, Meta(ge=0, le=2**62)]


class History(Params, frozen=True):
    user: str | None = None
    search: str = ""
    limit: Annotated[int, Meta(ge=1, le=HISTORY_PAGE)] = 50
    before: str | Number = ""
    after: str | Number = ""
    oldest: bool = False


class Delete(Params, frozen=True):
    user: str
    ids: Annotated[list[str], Meta(max_length=HISTORY_PAGE)] | None = None


async def _history(peer: HomeHistory, params: History, item: Item) -> dict[str, Any]:
    p = params
    entries = await peer.history(p.user, p.search, p.limit, p.before, p.after, p.oldest)
    return {"messages": [await _with_members(peer, _found(entry, p.search)) for entry in entries]}


async def _with_members(peer: HomeHistory, message: dict[str, Any]) -> dict[str, Any]:
    """A message; one of mine to a group says how far each member is with it."""
    if "group" in message and message["direction"] == "out":
        message["members"] = [
            {"user": user, "state": state, "at": _time(at)}
            for user, state, at in await peer.message_members(message["group"], message["id"])
        ]
    return message


def _found(entry: HistoryEntry, search: str) -> dict[str, Any]:
    return {**entry_json(entry), "hits": spans(entry.text, search)} if search else entry_json(entry)


def entry_json(entry: HistoryEntry) -> dict[str, Any]:
    """A message of the history in the documented form."""
    return {
        "id": show_message_id(entry.id),
        "number": entry.number,
        "user": entry.user,
        "direction": entry.direction,
        "text": entry.text,
        "route": entry.route,
        "state": entry.state,
        "sent_at": _time(entry.sent_at),
        "received_at": _time(entry.received_at),
        "read_at": _time(entry.read_at),
        "address": entry.address,
        **_of_group(entry),
    }


def _of_group(entry: HistoryEntry) -> dict[str, Any]:
    """In a group's conversation: which, and who wrote it if I did not."""
    if not entry.user.startswith("#"):
        return {}
    return {"group": entry.user, **({"sender": entry.author} if entry.author else {})}


def _time(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else rfc3339(milliseconds / 1000)


async def _conversations(peer: HomeHistory, params: Params, item: Item) -> dict[str, Any]:
    found = await peer.conversations()
    return {
        "conversations": [
            {"user": each.user, "unread": each.unread, "last": entry_json(each.last)} for each in found
        ]
    }  # fmt: skip


async def _delete(peer: HomeHistory, params: Delete, item: Item) -> dict[str, Any]:
    deleted = await peer.delete_history(params.user, params.ids)
    return {"user": params.user, "deleted": deleted.count, "kept": deleted.kept}


HISTORY_METHODS: Table = {
    "history": (History, _history),
    "conversations": (Params, _conversations),
    "delete": (Delete, _delete),
}
