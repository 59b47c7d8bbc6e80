"""An outbox on a real database, with ways and recipients as a test sets them."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from p2pim.errors import (
    P2pimError,
)
from p2pim.peer.events import Event
from p2pim.peer.outbox import Outbox
from p2pim.storage.database import Database
from p2pim.storage.outbox import OutboxStore
from p2pim.wire.signals import ChatMessage
from tests.inline_database import InlineDatabase, OpenSeals, inside

A, B, MINE, TABLET = b"a" * 16, b"b" * 16, b"m" * 16, b"t" * 16
DEVICES = {A: "bob", B: "bob", TABLET: "alice"}


@dataclass(frozen=True)
class Known:
    id: bytes


class FakeRoutes:
    """Ways as the test sets them, and what went by them."""

    def __init__(self) -> None:
        self.now: dict[bytes, dict[str, Hashable]] = {}
        self.there: set[str] = set()
        self.sent: list[tuple[bytes, str, str]] = []
        self.envelopes: list[bytes] = []
        self.answers: list[Callable[[P2pimError | None], None]] = []

    def copy_ways(self, user: str, device: bytes) -> dict[str, Hashable]:
        return self.now.get(device, {})

    def is_there(self, user: str) -> bool:
        return user in self.there

    def ways(self, user: str) -> dict[bytes, dict[str, Hashable]]:
        return {device: ways for device, ways in self.now.items() if DEVICES[device] == user and "direct" in ways}

    def send_copy(
        self, user: str, device: bytes, sealed: bytes, message: bytes, way: str, answered: Callable[..., None]
    ) -> tuple[str, str]:
        chat = inside(sealed)
        assert isinstance(chat, ChatMessage)
        self.sent.append((device, chat.text, way))
        self.envelopes.append(sealed)
        self.answers.append(answered)
        return ("tcp", "192.0.2.1:5") if way == "direct" else ("relay", "server")


class FakeRecipients:
    """The devices that users have, as far as the server can be asked."""

    def __init__(self) -> None:
        self.known = {"bob": [A], "alice": [MINE]}
        self.error: P2pimError | None = None

    async def ready(self, user: str) -> list[bytes]:
        if self.error is not None and user == "bob":
            raise self.error
        return self.known[user]

    def devices(self, user: str) -> list[Known]:
        return [Known(device) for device in self.known[user]]


class OutboxCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.database = InlineDatabase()
        self.seals = OpenSeals()
        self.routes = FakeRoutes()
        self.recipients = FakeRecipients()
        self.events: list[Event] = []
        self.lines: list[str] = []
        self.gone: list[bytes] = []
        self.doubted: list[str] = []
        self.ids = 0
        self.restart()

    def restart(self) -> None:
        self.outbox = Outbox(
            self.clock,
            lambda: 1_700_000_000.0,
            OutboxStore(cast(Database, self.database), self.seals.seal_in, "alice"),
            self.routes,
            self.recipients,
            self.events.append,
            lambda *line: self.lines.append(" ".join(line)),
            self.random,
            lambda user, device: self.gone.append(device),
            self.doubted.append,
            ("alice", MINE),
        )
        self.successResultOf(Deferred.fromCoroutine(self.outbox.load()))
        self.outbox.refresh("bob")

    def random(self, size: int) -> bytes:
        self.ids += 1
        return self.ids.to_bytes(size, "big")

    def putting(self, text: str, route: str = "auto") -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.outbox.put("bob", text, route))

    def put(self, text: str, route: str = "auto") -> bytes:
        return self.successResultOf(self.putting(text, route))

    def ways(self, device: bytes = A, **ways: Hashable) -> None:
        self.routes.now[device] = dict(ways)
        self.outbox.refresh(DEVICES[device])

    def delivered(self, message: bytes, device: bytes = A) -> None:
        self.outbox.receipt(DEVICES[device], device, [message], "delivered", "tcp")

    def state(self, message: bytes) -> tuple[str, str]:
        query = "SELECT state, route FROM messages WHERE id = ?"
        return tuple(self.database.connection.execute(query, (message,)).fetchone())

    def copies(self) -> int:
        count: int = self.database.connection.execute("SELECT count(*) FROM copies").fetchone()[0]
        return count
