"""The methods of the local API that concern files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from p2pim.errors import Usage
from p2pim.peer.api import Peer
from p2pim.peer.events import Event, as_json
from p2pim.peer.local_calls import Item, Method, Params, Table
from p2pim.peer.transfer_events import TransferChanged, TransferCompleted, TransferDisrupted, TransferStored


class Send(Params, frozen=True):
    user: str
    paths: list[str]
    comment: str = ""
    route: str = "auto"
    leave: str = "auto"
    wait: bool = True


class OfTransfer(Params, frozen=True):
    id: str


class Accept(Params, frozen=True):
    id: str
    to: str | None = None


class _Following:
    """The events of some transfers, handed on as they come, until each of them is over."""

    def __init__(self, item: Item) -> None:
        self._item = item
        self._early: list[Event] = []
        self._ids: set[str] | None = None
        self.open: set[str] = set()
        self.ended: Deferred[None] = Deferred()

    def event(self, event: Event) -> None:
        """Something happened; whether to one of ours is known once `follow` was called."""
        transfer = getattr(event, "transfer", None)
        if transfer is None or isinstance(event, TransferChanged):
            return
        if self._ids is None:
            self._early.append(event)
        elif transfer in self._ids:
            self._item(as_json(event))
            if _is_over(event):
                self.open.discard(transfer)
                if not self.open and not self.ended.called:
                    self.ended.callback(None)

    def follow(self, ids: list[str]) -> None:
        """These are ours."""
        self._ids, self.open = set(ids), set(ids)
        early, self._early = self._early, []
        for event in early:
            self.event(event)


def _is_over(event: Event) -> bool:
    """Whether this is the last that is heard of a transfer for now. A break in the middle is not: it goes on."""
    if isinstance(event, TransferDisrupted):
        return not event.waits or (event.reason == "peer-offline" and not event.bytes)
    return isinstance(event, TransferCompleted | TransferStored)


async def _send(peer: Peer, params: Send, item: Item) -> dict[str, Any]:
    if not params.paths:
        raise Usage("Name at least one file or folder.")
    following = _Following(item)
    unsubscribe = peer.subscribe(following.event)
    try:
        ids = [
            (await peer.send_file(params.user, Path(path), params.comment, params.route, params.leave)).id
            for path in params.paths
        ]
        following.follow(ids)
        if params.wait and following.open:
            await following.ended
    finally:
        unsubscribe()
    return {"transfers": [status for status in _statuses(peer) if status["transfer"] in ids]}


def _statuses(peer: Peer) -> list[dict[str, Any]]:
    return [status.as_json() for status in peer.transfers.list()]


def _status(peer: Peer, transfer: str) -> dict[str, Any]:
    return peer.transfers.get(transfer).status().as_json()


async def _transfers(peer: Peer, params: Params, item: Item) -> dict[str, Any]:
    await peer.opened()
    return {"transfers": _statuses(peer)}


async def _accept(peer: Peer, params: Accept, item: Item) -> dict[str, Any]:
    await peer.opened()
    await peer.transfers.accept(params.id, Path(params.to) if params.to is not None else None)
    return _status(peer, params.id)


def _change(verb: str) -> Method:
    async def method(peer: Peer, params: OfTransfer, item: Item) -> dict[str, Any]:
        await peer.opened()
        await getattr(peer.transfers, verb)(params.id)
        return _status(peer, params.id)

    return method


TRANSFER_METHODS: Table = {
    "send": (Send, _send),
    "transfers": (Params, _transfers),
    "accept": (Accept, _accept),
    "reject": (OfTransfer, _change("reject")),
    "pause": (OfTransfer, _change("pause")),
    "resume": (OfTransfer, _change("resume")),
    "leave": (OfTransfer, _change("leave")),
    "cancel": (OfTransfer, _change("cancel")),
}
