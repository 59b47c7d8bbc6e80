"""A real server and real peers in one process, over sockets on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from p2pim.net.trust import Trust
from p2pim.peer import Event, Peer, PeerSettings
from p2pim.server.service import ServerService
from p2pim.server.settings import ClassicSection, ServerSection, ServerSettings

LONG = 20.0
"""Seconds after which what was to happen will not."""
PASSWORD = "a good password"

E = TypeVar("E", bound=Event)


class Neighbour:
    """A peer, and all the events it had."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.events: list[Event] = []
        peer.subscribe(self.events.append)

    def had(self, kind: type[E]) -> list[E]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def log(self) -> str:
        """The readable log."""
        path = self.peer.home.log
        return path.read_text() if path.exists() else ""


class ServerCase(TestCase):
    """Has a server from the beginning, in its folder under ``root``."""

    classic = ClassicSection()

    def setUp(self) -> Any:
        self.root = Path(self.mktemp()).absolute()
        self.root.mkdir(parents=True)
        self.port = 0
        self.service: ServerService | None = None
        self.start_server()

    def start_server(self) -> None:
        """Start the server, on its old port if it had one."""
        section = ServerSection(port=self.port, interface="127.0.0.1", data=self.root / "server")
        settings = ServerSettings(server=section, classic=self.classic)
        service = self.service = ServerService(reactor, lambda: settings)
        service.startService()
        assert service.house is not None
        self.port = service._ports[0].getHost().port
        self.fingerprint = service.house.tls.fingerprint

    async def stop_server(self) -> None:
        """Stop it; `start_server` brings it back with its data."""
        service, self.service = self.service, None
        if service is not None:
            await service.stopService()


class NeighboursCase(ServerCase):
    """Everything is stopped at the end."""

    timeout = 90

    def setUp(self) -> Any:
        self.neighbours: list[Neighbour] = []
        super().setUp()
        self.addCleanup(self.all_leave)

    async def all_leave(self) -> None:
        for neighbour in self.neighbours:
            await neighbour.peer.stop()
        await self.stop_server()

    def address(self, name: str) -> str:
        """``NAME@HOST:PORT`` at this server."""
        return f"{name}@127.0.0.1:{self.port}"

    def make(self, home: str, **settings: Any) -> Neighbour:
        """A peer of the home directory ``home``, not signed in."""
        settings.setdefault("downloads", self.root / home / "downloads")
        peer = Peer(reactor, home=self.root / home, settings=PeerSettings(**settings))
        neighbour = Neighbour(peer)
        self.neighbours.append(neighbour)
        return neighbour

    async def join(self, name: str, **settings: Any) -> Neighbour:
        """A new account ``name``, signed in."""
        neighbour = self.make(name, **settings)
        await neighbour.peer.register(self.address(name), PASSWORD, trust=Trust(fingerprint=self.fingerprint))
        return neighbour

    async def come_back(self, home: str, **settings: Any) -> Neighbour:
        """The account of a home that was left, signed in again."""
        neighbour = self.make(home, **settings)
        await neighbour.peer.start()
        return neighbour

    async def leave(self, neighbour: Neighbour) -> None:
        """Stop one peer."""
        self.neighbours.remove(neighbour)
        await neighbour.peer.stop()

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for ``condition``, which comes about by what happens on the sockets."""
        end = time.monotonic() + LONG
        while not condition():
            if time.monotonic() > end:
                self.fail("\n\n".join(neighbour.log() for neighbour in self.neighbours))
            await deferLater(reactor, 0.005)
