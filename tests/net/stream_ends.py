"""Two peers' machines in memory with a server between them, and stream channels: called directly, or in a splice."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from p2pim.core.proof import DIALLED, DIALLER
from p2pim.net.channel_factory import TcpChannelFactory
from tests.net.channel_suite import Pair, Recorder
from tests.net.proving import ProvingOwner
from tests.passing_time import pass_time
from tests.peer.memory_network import MemoryNetwork
from tests.peer.town import SERVER, Splices

ONE, OTHER = "10.0.0.2", "10.0.0.3"
TICKETS = b"t" * 31 + b"1", b"t" * 31 + b"2"
TURN = 0.001
"""Seconds that 64 KiB take: fast, and slow enough that one thing can overtake another."""
EPOCH = 1_700_000_000.0


class StreamOwner(ProvingOwner):
    """Decides about one stream connection, whose role it knows: the connection itself does not."""

    dialler = False

    def role(self, link: Any, mine: bool) -> bytes:
        return DIALLER if self.dialler is mine else DIALLED


class StreamEnds:
    """Bob's machine and alice's, and the server's, at which two tickets are good."""

    def __init__(self) -> None:
        self.network = MemoryNetwork(delay=TURN)
        self.splices = Splices()
        self.splices.halves.update(dict.fromkeys(TICKETS))
        self.network.machine(SERVER[0]).listenTCP(SERVER[1], self.splices)
        self.one_user, self.other_user = Recorder(), Recorder()
        self.one_owner = StreamOwner("alice", b"A" * 16, self.one_user, offerer=True)
        self.other_owner = StreamOwner("bob", b"B" * 16, self.other_user, offerer=False)
        self.one_owner.dialler = True
        self.one, self.other = (
            TcpChannelFactory(self.network.machine(host), lambda: EPOCH + self.network.clock.seconds())
            for host in (ONE, OTHER)
        )

    def direct(self) -> None:
        """Bob calls alice."""
        where = self.other.listen((OTHER, 5000), lambda: self.other_owner)
        _seen(self.one.dial(where, self.one_owner))

    def spliced(self) -> None:
        """Both call the server."""
        _seen(self.one.splice(SERVER, TICKETS[0], self.one_owner, dialler=True))
        _seen(self.other.splice(SERVER, TICKETS[1], self.other_owner, dialler=False))

    def advance(self, seconds: float) -> None:
        pass_time(self.network.clock, seconds)

    def pair(self) -> Pair:
        """The two channels, once they stand."""
        for _ in range(100):
            if self.other_owner.channels:
                break
            self.advance(0.1)
        [one], [other] = self.one_owner.channels, self.other_owner.channels
        return Pair(one, other, self.one_user, self.other_user, self.advance, self.cut)

    def cut(self) -> None:
        for here, there in ((ONE, OTHER), (ONE, SERVER[0]), (OTHER, SERVER[0])):
            self.network.cut(here, there)


def _seen(call: Deferred[Any]) -> None:
    """What becomes of a call the owner of the connection is told; one that fails fails the test, which finds no
    channel."""
    call.addErrback(lambda failure: None)
