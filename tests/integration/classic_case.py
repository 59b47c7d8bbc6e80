"""A gateway on real sockets of the loopback interface, on a clock of the test's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from p2pim.core.classic import Guest
from p2pim.server.classic import Gateway
from p2pim.server.settings import ClassicSection
from p2pim.wire.classic import Login
from tests.integration.classic_client import MinimalClient

T = TypeVar("T")
PATIENCE = 20.0


class Clocked(Clock):
    """The real reactor's sockets, and a clock that a test moves."""

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class Watcher:
    """Hears of guests; shows them these users."""

    def __init__(self) -> None:
        self.here: list[str] = []
        self.shown: list[Login] = []

    def guest_came(self, guest: Guest) -> None:
        self.here.append(guest.name)

    def guest_went(self, guest: Guest) -> None:
        self.here.remove(guest.name)

    def residents(self, local_host: str) -> Iterable[Login]:
        return self.shown


class GatewayCase(TestCase):
    """One gateway per test."""

    interface = "loopback"

    def setUp(self) -> None:
        self.clock = Clocked()
        self.accounts = {"carol"}
        self.watcher = Watcher()
        section = ClassicSection(port=0, interface=self.interface)
        self.gateway = Gateway(self.clock, section, self.exists, self.watcher, os.urandom)
        self.addCleanup(self.gateway.close)

    async def exists(self, name: str) -> bool:
        """Whether there is such an account."""
        return name in self.accounts

    def client(self, name: str, encoding: str = "utf-8", host: str = "127.0.0.1") -> MinimalClient:
        """A client that knows nothing of p2pim."""
        made = MinimalClient((host, self.gateway.port), name, encoding)
        self.addCleanup(made.close)
        return made

    async def off(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do what blocks in a thread, while the gateway goes on."""
        result: T = await deferToThread(work, *arguments)
        return result

    async def users(self, *names: str) -> list[MinimalClient]:
        """Clients that have logged in one after the other, and have read what they were told of each other."""
        clients: list[MinimalClient] = []
        for name in names:
            client = self.client(name)
            await self.off(client.log_in)
            for earlier in clients:
                self.assertEqual(await self.off(earlier.receive), f"login,{name},{client.endpoint}")
            clients.append(client)
        return clients

    async def until(self, true: Callable[[], Any]) -> None:
        """Wait for what must come true."""
        end = reactor.seconds() + PATIENCE
        while not true():
            self.assertLess(reactor.seconds(), end)
            await self.moment()

    @staticmethod
    def moment(seconds: float = 0.01) -> Deferred[None]:
        """A little while of real time."""
        return deferLater(reactor, seconds, lambda: None)
