"""A person's agent: a peer that stays signed in, and the control socket by which programs on this machine use it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from p2pim.peer.api import Peer
from p2pim.peer.control import ControlSocket
from p2pim.peer.events import Event, SignedIn, SignedOut
from p2pim.peer.local_api import LocalApi


class Agent:
    """Runs ``peer`` until it is told to stop or is signed out for good.

    :param ended: called once when it has ended by itself: stopped through the socket, logged out, replaced, refused.
    """

    log = Logger()

    def __init__(self, reactor: Any, peer: Peer, ended: Callable[[str], None]) -> None:
        self._reactor = reactor
        self.peer = peer
        self._ended: Callable[[str], None] | None = ended
        self._socket: ControlSocket | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Open the socket, and sign in as soon as the server is there.

        :raises NotSignedIn: nobody is signed in under this home.
        """
        home = self.peer.home
        home.ready.unlink(missing_ok=True)
        await self.peer.opened()
        self._socket = ControlSocket(self._reactor, home.socket, LocalApi(self.peer, self._end_soon))
        self._unsubscribe = self.peer.subscribe(self._event)
        await self.peer.begin()

    async def stop(self) -> None:
        """End in order; what is under way goes on the next time."""
        self._ended = None
        self._unsubscribe()
        self.peer.home.ready.unlink(missing_ok=True)
        if self._socket is not None:
            await self._socket.close()
            self._socket = None
        await self.peer.stop()

    def _event(self, event: Event) -> None:
        if isinstance(event, SignedIn):
            self._ready(event)
        elif isinstance(event, SignedOut) and event.reason != "logout":
            self._end_soon(event.message or event.reason)

    def _ready(self, event: SignedIn) -> None:
        """Say so, each time that it is signed in anew: the addresses may be others."""
        facts = {
            "tcp": self.peer.listening or None,
            "udp": None,
            "web": None,
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
            "ready tcp={tcp} udp=none web=none socket={socket} user={user} server={server} pid={pid}",
            **{**facts, "tcp": facts["tcp"] or "none"},
        )

    def _end_soon(self, reason: str = "stopped") -> None:
        """End in the next turn, when the answer that caused it has been written."""
        ended, self._ended = self._ended, None
        if ended is not None:
            self._reactor.callLater(0, ended, reason)
