"""A receiver whose disk is full for a while, among messages that keep coming."""

from __future__ import annotations

import sqlite3
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from p2pim.peer import MessageReceived, ReceiptReceived, SessionInterrupted
from tests.integration.neighbours import Neighbour, NeighboursCase

BEFORE, MEANWHILE, AFTER = 20, 200, 60
"""Messages: in the middle more than a ratchet can skip."""


class FullStoreTests(NeighboursCase):
    """What was acknowledged arrives, once, in order."""

    async def send(self, alice: Neighbour, numbers: range) -> None:
        for number in numbers:
            await alice.peer.send_message("bob", str(number), wait=False)

    def fail_commits(self, bob: Neighbour) -> None:
        """No commit of ``bob`` goes through, but for one now and then: a small one may still find room."""
        account: Any = bob.peer._account
        run, tried = account.database._run, [0]

        def full(connection: sqlite3.Connection, works: list[Any]) -> Any:
            tried[0] += 1
            if tried[0] % 5:
                raise sqlite3.OperationalError("database or disk is full")
            return run(connection, works)

        self.patch(account.database, "_run", full)
        self.mend = lambda: self.patch(account.database, "_run", run)

    async def fill_and_mend(self, **settings: Any) -> None:
        alice, bob = await self.join("alice", **settings), await self.join("bob", **settings)
        await self.send(alice, range(BEFORE))
        await self.until(lambda: len(bob.had(MessageReceived)) == BEFORE)
        self.fail_commits(bob)
        await self.send(alice, range(BEFORE, BEFORE + MEANWHILE))
        await self.until(lambda: bob.had(SessionInterrupted))
        await deferLater(reactor, 1.0)
        await self.send(alice, range(BEFORE + MEANWHILE, BEFORE + MEANWHILE + AFTER))
        self.mend()
        everything = [str(number) for number in range(BEFORE + MEANWHILE + AFTER)]
        await self.until(lambda: len(bob.had(MessageReceived)) >= len(everything))
        self.assertEqual([message.text for message in bob.had(MessageReceived)], everything)
        delivered = lambda: [r for r in alice.had(ReceiptReceived) if r.state == "delivered"]  # noqa: E731
        await self.until(lambda: len(delivered()) == len(everything))
        history = await bob.peer.history("alice", limit=1_000)
        self.assertEqual([message.text for message in history], everything)

    async def test_what_comes_through_the_server_meanwhile_comes_afterwards_once_and_in_order(self) -> None:
        """The receiver leaves, and takes it out of its mailbox."""
        await self.fill_and_mend(connect="never")

    async def test_what_comes_over_a_channel_meanwhile_comes_afterwards_once_and_in_order(self) -> None:
        """The receiver closes it, and the sender's outbox has it all."""
        await self.fill_and_mend()
