"""Two residents of a `tests.peer.nat_town`, and what is asked of what they make."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from p2pim.core import limits
from p2pim.peer.interfaces import IChannel
from p2pim.wire.signals import Typing
from tests.network import Link
from tests.peer.nat_town import NatTown

GATHERED = 2.0
"""Seconds after which a peer knows where it is seen, and `BLOCKED` after which it knows that it is not."""
BLOCKED = 20.0


class PairCase(SynchronousTestCase):
    """Alice and bob, somewhere."""

    def meet(self, one: str, other: str, *, settle: float = GATHERED, seed: int = 1, link: Link | None = None) -> None:
        """They settle in places of these kinds, and ``settle`` seconds pass."""
        self.town = NatTown(seed, link) if link is not None else NatTown(seed)
        self.alice = self.town.settle_in("alice", one)
        self.bob = self.town.settle_in("bob", other)
        self.town.run(settle)

    def called(self, seconds: float = limits.NEGOTIATION_TIME + 1.0) -> Deferred[IChannel]:
        """Alice calls bob, and it ends one way or the other."""
        result = self.alice.connect(self.bob)
        self.town.run(seconds)
        return result

    def assert_talking(self, channel: IChannel) -> IChannel:
        """Both have the same channel, and words pass both ways. Bob's end."""
        there = self.bob.table.channel_to("alice")
        assert there is not None
        self.assertEqual(there.kind, channel.kind)
        heard = len(self.alice.signals), len(self.bob.signals)
        channel.send(Typing())
        there.send(Typing())
        self.town.run(3.0)
        self.assertEqual((len(self.alice.signals), len(self.bob.signals)), (heard[0] + 1, heard[1] + 1))
        return there

    def assert_nothing_left(self) -> None:
        """Once both have stopped there is no timer, and nobody sends anything."""
        for each in (self.alice, self.bob):
            each.table.stop()
        self.town.run(5.0)
        sent = len(self.alice.datagrams), len(self.bob.datagrams)
        self.assertEqual(self.town.clock.getDelayedCalls(), [])
        self.town.run(60.0)
        self.assertEqual((len(self.alice.datagrams), len(self.bob.datagrams)), sent)
