"""A person's agent: a peer that stays signed in, the socket by which programs on this machine use it, and its page."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from p2pim.errors import Usage
from p2pim.peer.api import Peer
from p2pim.peer.events import Event, SignedIn, SignedOut, as_json
from p2pim.peer.local_api import LocalApi
from p2pim.peer.local_calls import Item, Params, Table
from p2pim.web.address import PageAddress
from p2pim.web.chat import ChatPage
from p2pim.web.drop_calls import DropCalls
from p2pim.web.local_http import LocalHttp
from p2pim.web.local_socket import LocalSocket
from p2pim.web.routing import Routes, Served
from p2pim.web.sse import EventLog
from p2pim.web.transfer_file import TransferFiles


class Agent:
    """Runs ``peer`` until it is told to stop or is signed out for good.

    :param ended: called once when it has ended by itself: stopped through the socket, logged out, replaced, refused.
    :param page: where the chat page is served; None: nowhere.
    """

    log = Logger()

    def __init__(self, reactor: Any, peer: Peer, ended: Callable[[str], None], page: PageAddress | None = None) -> None:
        self._reactor = reactor
        self.peer = peer
        self._ended: Callable[[str], None] | None = ended
        self._socket: LocalSocket | None = None
        self._page_address = page
        self._page: ChatPage | None = None
        self._drops = DropCalls(reactor, peer)
        self._events = EventLog(peer.home.random_bytes(8).hex())
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Open the socket, and sign in as soon as the server is there.

        :raises NotSignedIn: nobody is signed in under this home.
        """
        home = self.peer.home
        home.ready.unlink(missing_ok=True)
        await self.peer.opened()
        more: Table = {"web-link": (Params, self._web_link), **self._drops.methods}
        api = LocalApi(self.peer, self._end_soon, more)
        await self._drops.start()
        others: tuple[Served, ...] = (self._drops, TransferFiles(self.peer))
        if self._page_address is not None:
            local = LocalHttp(api, self._events, self._reactor, without=("web-link",))
            self._page = ChatPage(self._reactor, home, time.time, (local, *others))
            self._page.listen(self._page_address)
        routes = Routes()
        for each in (LocalHttp(api, self._events, self._reactor), *others):
            each.serve(routes)
        self._socket = LocalSocket(self._reactor, home.socket, routes)
        self._unsubscribe = self.peer.subscribe(self._event)
        await self.peer.begin()

    async def stop(self) -> None:
        """End in order; what is under way goes on the next time."""
        self._ended = None
        self._unsubscribe()
        self.peer.home.ready.unlink(missing_ok=True)
        page, self._page = self._page, None
        if page is not None:
            await page.close()
        if self._socket is not None:
            await self._socket.close()
            self._socket = None
        await self.peer.stop()
        self._drops.stop()

    async def _web_link(self, peer: Peer, params: Params, item: Item) -> dict[str, Any]:
        if self._page is None:
            raise Usage("This agent serves no chat page: start it without `--web none`.")
        return {"url": self._page.make_link()}

    def _event(self, event: Event) -> None:
        self._events.add(as_json(event))
        self._drops.event(event)
        if isinstance(event, SignedIn):
            self._ready(event)
        elif isinstance(event, SignedOut) and event.reason != "logout":
            self._end_soon(event.message or event.reason)

    def _ready(self, event: SignedIn) -> None:
        """Say so, each time that it is signed in anew: the addresses may be others."""
        facts = {
            "tcp": self.peer.listening or None,
            "udp": None,
            "web": self._page.address if self._page is not None else None,
            "fingerprint": self.peer.identity()["fingerprint"],
            "pid": os.getpid(),
            "user": event.user,
            "device": event.device,
            "server": event.server,
            "address": event.address,
            "socket": str(self.peer.home.socket),
        }
        try:
            self.peer.home.write_ready(facts)
        except Exception:  # noqa: BLE001 - an agent works without it
            self.log.failure("cannot write {path}", path=str(self.peer.home.ready))
        self.log.info(
            "ready tcp={tcp} udp=none web={web} socket={socket} user={user} server={server} pid={pid}",
            **{**facts, "tcp": facts["tcp"] or "none", "web": facts["web"] or "none"},
        )

    def _end_soon(self, reason: str = "stopped") -> None:
        """End in the next turn, when the answer that caused it has been written."""
        ended, self._ended = self._ended, None
        if ended is not None:
            self._reactor.callLater(0, ended, reason)
