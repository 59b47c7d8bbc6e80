"""The behaviour of every channel, over the two kinds that are a stream of bytes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.net.channel_suite import ChannelBehaviour, Pair
from tests.net.stream_ends import StreamEnds


class TcpChannelBehaviour(ChannelBehaviour, SynchronousTestCase):
    """Every channel's promises, over a connection from one peer to the other."""

    kind = "tcp"

    def make_pair(self) -> Pair:
        ends = StreamEnds()
        ends.direct()
        return ends.pair()


class RelayChannelBehaviour(ChannelBehaviour, SynchronousTestCase):
    """The same promises over a connection from each peer to the server, which joins them."""

    kind = "relay"

    def make_pair(self) -> Pair:
        ends = StreamEnds()
        ends.spliced()
        return ends.pair()
