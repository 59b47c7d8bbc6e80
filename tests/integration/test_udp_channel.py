"""The ``udp`` channel on real sockets of the loopback."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

from p2pim.net.certificates import fingerprint_of_pem, make_certificate
from p2pim.net.datagram import UdpSocket, bind_udp
from p2pim.net.quic_factory import UdpChannelFactory
from tests.net.channel_suite import DIGEST, MIB, Recorder, chat
from tests.net.proving import ProvingOwner

CERTIFICATE = make_certificate("peer", 1)
FINGERPRINT = fingerprint_of_pem(CERTIFICATE.cert_pem)


class LoopbackTests(TestCase):
    """Two peers in this process, a socket each."""

    timeout = 60

    def peer(self, name: str, offerer: bool, offload: bool, host: str) -> tuple[Any, UdpSocket, ProvingOwner]:
        owner = ProvingOwner(name, name.encode().ljust(16), Recorder(), offerer=offerer)
        clock: Any = reactor
        factory = UdpChannelFactory(clock, CERTIFICATE, owner, random.Random(), time.time)
        socket = UdpSocket(clock, bind_udp(host, offload=offload), offload=offload)
        factory.attach(socket)
        socket.start()
        self.addCleanup(socket.close)
        self.addCleanup(factory.stop)
        return factory, socket, owner

    def until(self, condition: Callable[[], object]) -> Deferred[Any]:
        """Fires when ``condition`` has come true."""
        watch = LoopingCall(lambda: watch.stop() if condition() else None)
        return watch.start(0.005)

    async def copy(self, offload: bool, host: str = "127.0.0.1") -> None:
        one, one_socket, one_owner = self.peer("alice", True, offload, host)
        other, other_socket, other_owner = self.peer("bob", False, offload, host)
        other.expect(other_socket, one_socket.address)
        channel = one.dial(one_socket, other_socket.address, FINGERPRINT, one_owner)
        await self.until(lambda: other_owner.channels)
        pieces = [random.Random(number).randbytes(MIB) for number in range(8)]
        done = [channel.send_bulk(1, [piece], DIGEST) for piece in pieces]
        channel.send(chat(1))
        other_owner.channels[0].send(chat(2))
        self.assertLess(await channel.ping(), 5.0)
        await self.until(lambda: len(other_owner.recorder.ends) == 8 and one_owner.recorder.signals)
        for waiting in done:
            await waiting
        self.assertEqual(bytes(other_owner.recorder.bulk[1]), b"".join(pieces))
        self.assertEqual(other_owner.recorder.signals, [chat(1)])
        channel.close("done")
        await self.until(lambda: other_owner.recorder.closed)

    def test_bytes_arrive_with_offload(self) -> Deferred[None]:
        """By glued and segmented datagrams, where the kernel can."""
        return Deferred.fromCoroutine(self.copy(True))

    def test_bytes_arrive_without_offload(self) -> Deferred[None]:
        """One datagram at a time."""
        return Deferred.fromCoroutine(self.copy(False))

    def test_bytes_arrive_over_ipv6(self) -> Deferred[None]:
        """With the other family's socket."""
        return Deferred.fromCoroutine(self.copy(True, "::1"))
