"""A home's messages in memory, committed when the test says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from p2pim.core.delivery import Outgoing
from p2pim.errors import DatabaseDown
from p2pim.storage.home import Arrived


class MemoryStore:
    """The part of `p2pim.storage.home.HomeStore` that delivery uses."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes, bytes], Arrived] = {}
        self.outgoing: dict[str, dict[bytes, Outgoing]] = {}
        self.states: dict[bytes, tuple[str, str]] = {}
        self.next: dict[tuple[str, bytes], int] = {}
        self.broken = False

    def _answer(self, value: Any) -> Deferred[Any]:
        return fail(DatabaseDown()) if self.broken else succeed(value)

    def enqueue(self, user: str, id: bytes, text: str, sent_at: int, route: str) -> Deferred[Outgoing]:
        mine = self.outgoing.setdefault(user, {})
        message = Outgoing(id, len(mine) + 1, text, sent_at, route)
        if not self.broken:
            mine[id] = message
            self.states[id] = ("waiting", route)
        return self._answer(message)

    def waiting(self) -> Deferred[list[tuple[str, Outgoing]]]:
        all_mine = [(user, message) for user, mine in self.outgoing.items() for message in mine.values()]
        return self._answer([(user, message) for user, message in all_mine if self.states[message.id][0] == "waiting"])

    def settle(self, user: str, ids: Sequence[bytes], state: str, route: str, address: str, at: int) -> Deferred[None]:
        if not self.broken:
            self.states.update(dict.fromkeys(ids, (state, route)))
        return self._answer(None)

    def confirm_read(self, user: str, ids: Sequence[bytes], at: int) -> Deferred[list[tuple[bytes, str]]]:
        return self._answer([(id, "tcp") for id in ids if self.states.get(id, ("", ""))[0] == "delivered"])

    def receive(self, message: Arrived, expected: int) -> Deferred[bool]:
        key = (message.user, message.device, message.id)
        new = key not in self.rows
        if not self.broken:
            self.rows.setdefault(key, message)
            self.next[message.user, message.device] = expected
        return self._answer(new)

    def expected(self) -> Deferred[dict[tuple[str, bytes], int]]:
        return self._answer(dict(self.next))
