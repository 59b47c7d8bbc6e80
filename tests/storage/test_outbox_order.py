"""What a copy says of the messages before it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from p2pim.core.delivery import Outgoing
from p2pim.storage.database import Database
from p2pim.storage.outbox import OutboxStore
from p2pim.wire.signals import ChatMessage, Signal

DEVICE = ("bob", b"b" * 16)


class OldestTests(TestCase):
    """Nobody is told not to wait for a message that is still to come."""

    async def test_a_message_that_has_no_copy_yet_is_waited_for(self) -> None:
        """The one after it was sealed first, since bob's devices became known in between."""
        database = Database(reactor, Path(self.mktemp()), "peer")
        self.addCleanup(database.close)
        sealed: list[ChatMessage] = []

        def seal(db: sqlite3.Connection, user: str, device: bytes, signal: Signal, message: bytes) -> bytes:
            assert isinstance(signal, ChatMessage)
            sealed.append(signal)
            return b"sealed"

        outbox = OutboxStore(database, seal, "alice")
        await outbox.enqueue(Outgoing(b"1" * 16, 0, "first", 0), "bob", [])
        await outbox.enqueue(Outgoing(b"2" * 16, 0, "second", 0), "bob", [DEVICE])
        self.assertEqual([(chat.seq, chat.oldest) for chat in sealed], [(2, 1)])
