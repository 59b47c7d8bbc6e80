"""Dropped files in the local API: the methods ``drop``, ``drop-send`` and ``drop-cancel``, and where the bytes go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from p2pim.core.names import canonical_name
from p2pim.core.transfer import FINAL
from p2pim.peer.api import Peer
from p2pim.peer.events import Event
from p2pim.peer.local_calls import Item, OfUser, Table
from p2pim.peer.transfer import Transfer
from p2pim.peer.transfer_context import DiskPool
from p2pim.peer.transfer_events import TransferCompleted, TransferDisrupted
from p2pim.web.answers import Answer, json_answer
from p2pim.web.drops import DropFile, Drops
from p2pim.web.http import WebRequest
from p2pim.web.routing import API, Routes


class OfDrop(Struct, frozen=True, forbid_unknown_fields=True):
    drop: str


class DropSend(Struct, frozen=True, forbid_unknown_fields=True):
    drop: str
    comment: str = ""
    route: str = "auto"
    leave: str = "auto"
    name: str = ""


class DropCalls:
    """Serves them for ``peer``."""

    def __init__(self, reactor: Any, peer: Peer) -> None:
        self._peer = peer
        self._pool = DiskPool(reactor)
        self._drops = Drops(reactor, peer.home.path / "outgoing", self._pool, peer.home.random_bytes)

    @property
    def methods(self) -> Table:
        """For the local API."""
        return {
            "drop": (OfUser, self._open),
            "drop-send": (DropSend, self._send),
            "drop-cancel": (OfDrop, self._cancel),
        }

    def serve(self, routes: Routes) -> None:
        """Where the bytes go."""
        routes.add("PUT", "/api/1/drop/{drop}/{path...}", self._put, API, sink=self._sink)

    async def start(self) -> None:
        """Take up what an earlier run left."""
        self._pool.start()
        unfinished = [t.transfer for t in self._peer.transfers.list() if t.state not in FINAL]
        await self._drops.start(unfinished)

    def stop(self) -> None:
        """The peer has stopped."""
        self._pool.stop()

    def event(self, event: Event) -> None:
        """Something happened to the peer."""
        if isinstance(event, TransferCompleted) or (isinstance(event, TransferDisrupted) and not event.waits):
            self._drops.ended(event.transfer, arrived=isinstance(event, TransferCompleted))

    def _sink(self, request: WebRequest, length: int | None) -> DropFile:
        def pause(on: bool) -> None:
            if on:
                request.pause_body()
            else:
                request.resume_body()

        modified = _milliseconds(request.header("x-modified-ms"))
        return self._drops.file(request.facts["drop"], request.facts["path"], length, pause, modified)

    async def _put(self, request: WebRequest) -> Answer:
        sink = request.sink
        assert isinstance(sink, DropFile)
        return json_answer(await sink.finish())

    async def _open(self, peer: Peer, params: OfUser, item: Item) -> dict[str, Any]:
        return {"drop": await self._drops.open(canonical_name(params.user))}

    async def _send(self, peer: Peer, params: DropSend, item: Item) -> dict[str, Any]:
        async def offer(user: str, path: Path) -> Transfer:
            return await peer.send_file(user, path, params.comment, params.route, params.leave)

        ids = await self._drops.send(params.drop, params.name, offer)
        return {"transfers": [peer.transfers.get(id).status().as_json() for id in ids]}

    async def _cancel(self, peer: Peer, params: OfDrop, item: Item) -> dict[str, Any]:
        await self._drops.cancel(params.drop)
        return {"drop": params.drop}


def _milliseconds(text: str) -> int | None:
    """A time as a browser gives it; nonsense is none."""
    return int(text) if text.removeprefix("-").isdecimal() and text.isascii() and len(text) < 16 else None
