"""Two peers whose sockets live in memory, and the channel between them."""

from __future__ import annotations

import random

from p2pim.net.certificates import CertificateAndKey, fingerprint_of_pem, make_certificate
from p2pim.net.quic import QuicChannel
from p2pim.net.quic_factory import UdpChannelFactory
from tests.net.channel_suite import Pair, Recorder
from tests.net.datagram_world import DatagramWorld, MemorySocket
from tests.net.proving import ProvingOwner

ONE, OTHER = make_certificate("one", 1), make_certificate("other", 1)
OTHER_FINGERPRINT = fingerprint_of_pem(OTHER.cert_pem)


class Ends:
    """Two peers with a socket each; bob dials alice."""

    def __init__(self, world: DatagramWorld, one_key: bytes | None = None) -> None:
        self.world = world
        self.one_user, self.other_user = Recorder(), Recorder()
        self.one_owner = ProvingOwner("alice", b"A" * 16, self.one_user, offerer=True)
        self.other_owner = ProvingOwner("bob", b"B" * 16, self.other_user, offerer=False)
        if one_key is not None:
            self.one_owner.key = one_key
        self.one_socket, self.one = self._factory("10.0.0.1", ONE, self.one_owner)
        self.other_socket, self.other = self._factory("10.0.0.2", OTHER, self.other_owner)

    def _factory(
        self, host: str, certificate: CertificateAndKey, owner: ProvingOwner
    ) -> tuple[MemorySocket, UdpChannelFactory]:
        socket = self.world.socket(host)
        factory = UdpChannelFactory(
            self.world.clock,
            certificate,
            owner,
            random.Random(1),
            self.world.clock.seconds,
        )
        socket.factory = factory
        return socket, factory

    def dial(self, fingerprint: bytes = OTHER_FINGERPRINT, expected: bool = True) -> QuicChannel:
        """Bob calls alice."""
        if expected:
            self.other.expect(self.other_socket, self.one_socket.address)
        return self.one.dial(self.one_socket, self.other_socket.address, fingerprint, self.one_owner)


def make_pair(world: DatagramWorld) -> tuple[Ends, Pair]:
    """Two channels in ``world``."""
    ends = Ends(world)
    one = ends.dial()
    for _ in range(200):
        if ends.other_owner.channels:
            break
        world.advance(0.1)
    other = ends.other_owner.channels[0]

    def cut() -> None:
        world.cut = True

    return ends, Pair(one, other, ends.one_user, ends.other_user, world.advance, cut)
