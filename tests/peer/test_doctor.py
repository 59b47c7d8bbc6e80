"""The doctor's run over real sockets on this machine."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from random import Random
from unittest.mock import patch

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from p2pim.core.doctor import Circumstances, Report
from p2pim.core.p2p_choice import P2pServer
from p2pim.p2pserver.service import P2pService
from p2pim.p2pserver.sockets import P2pSettings
from p2pim.peer import doctor
from p2pim.peer.api import Peer
from p2pim.peer.states import PeerSettings


class DoctorRunTests(TestCase):
    timeout = 30

    def serve(self) -> P2pServer:
        """A P2P server on loopback."""
        settings = P2pSettings(port=0, interface="127.0.0.1")
        service = P2pService(reactor, settings, time.monotonic, os.urandom)
        service.startService()
        self.addCleanup(service.stopService)
        return P2pServer("127.0.0.1", service.port)

    async def diagnose(self, server: P2pServer | None) -> Report:
        """The report."""
        return await doctor.diagnose(reactor, Random(1), Circumstances(), server)

    def test_on_one_machine_there_is_no_nat_and_no_filter(self) -> Deferred[None]:
        """All tests over real datagrams; loopback has a second address."""

        async def run() -> None:
            server = self.serve()
            said = await self.diagnose(server)
            self.assertEqual((said.mapping, said.filtering), ("none", "endpoint-independent"))
            self.assertEqual((said.public_address, said.p2p_server), ("127.0.0.1", str(server)))

        return Deferred.fromCoroutine(run())

    def test_a_p2p_server_that_is_not_there_is_told_from_a_network_that_drops_udp(self) -> Deferred[None]:
        """The machine itself says that nobody listens."""

        async def run() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            said = await self.diagnose(P2pServer("127.0.0.1", port))
            self.assertEqual((said.mapping, said.filtering), ("unknown", "unknown"))
            self.assertIn("no program answers there", said.rungs[2].why)

        return Deferred.fromCoroutine(run())

    def test_silence_is_called_blocked(self) -> Deferred[None]:
        """Somebody has the port and says nothing."""

        async def run() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
                silent.bind(("127.0.0.1", 0))
                said = await self.diagnose(P2pServer("127.0.0.1", silent.getsockname()[1]))
            self.assertEqual((said.mapping, said.filtering, said.rungs[2].works), ("blocked", "blocked", False))

        return Deferred.fromCoroutine(run())

    def test_a_name_that_nobody_knows_is_a_reason_and_no_failure(self) -> Deferred[None]:
        """In the rung and in the advice."""

        async def run() -> None:
            said = await self.diagnose(P2pServer("nobody.invalid", 9901))
            self.assertIn("nobody knows the name nobody.invalid", said.rungs[2].why)
            self.assertIsNone(said.public_address)

        return Deferred.fromCoroutine(run())

    def test_without_a_p2p_server_no_socket_is_even_made(self) -> Deferred[None]:
        """Nothing is sent by a peer that has been told to use none."""

        async def run() -> None:
            peer = Peer(reactor, Path(self.mktemp()), PeerSettings(p2p_server="none"))
            self.addCleanup(lambda: Deferred.fromCoroutine(peer.stop()))
            self.assertIsNone(peer.p2p_server)
            with patch.object(doctor, "bind_udp", side_effect=AssertionError("a socket was made")):
                said = await peer.doctor()
            self.assertEqual((said.p2p_server, said.rungs[2].works), (None, False))

        return Deferred.fromCoroutine(run())
