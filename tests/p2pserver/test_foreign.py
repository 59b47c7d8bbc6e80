"""Clients that nobody here wrote: aioice, coturn's tools and the old stun client."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest, TestCase

from p2pim.p2pserver.service import P2pService
from p2pim.p2pserver.sockets import P2pSettings

SECONDS = 30


class ForeignTests(TestCase):
    """Each of them runs against a server on all addresses of this host."""

    timeout = SECONDS

    def setUp(self) -> None:
        """A server on a port that was free."""
        self.server = P2pService(reactor, P2pSettings(port=0), time.monotonic, os.urandom)
        self.server.startService()
        self.addCleanup(self.server.stopService)
        self.port = str(self.server.port)

    def run_tool(self, name: str, *arguments: str) -> Deferred[tuple[str, int]]:
        """What a program says, and its exit status."""
        path = shutil.which(name)
        if path is None:
            raise SkipTest(f"{name} is not installed (Debian: coturn, stun-client)")

        def text(result: Any) -> tuple[str, int]:
            out, errors, status = result
            return (out + errors).decode(), status

        ended: Deferred[Any] = getProcessOutputAndValue(path, arguments, os.environ)
        return ended.addCallback(text)

    async def stunclient(self, host: str) -> str:
        out, status = await self.run_tool("turnutils_stunclient", "-p", self.port, host)
        self.assertEqual(status, 0)
        self.assertIn(f"UDP reflexive addr: {host}:", out)
        self.assertNotIn("error", out)
        return out

    def test_turnutils_stunclient_learns_its_address(self) -> Deferred[None]:
        """With a second address it also asks for answers from there and at another port of its own."""

        async def learn() -> None:
            self.assertIn("RFC 5780 response 3", await self.stunclient("127.0.0.1"))

        return Deferred.fromCoroutine(learn())

    def test_turnutils_stunclient_learns_its_ipv6_address(self) -> Deferred[None]:
        """There is no second ::1, so one question is all."""

        async def learn() -> None:
            self.assertNotIn("RFC 5780", await self.stunclient("::1"))

        return Deferred.fromCoroutine(learn())

    def test_turnutils_natdiscovery_finds_no_nat_on_loopback(self) -> Deferred[None]:
        """Mapping and filtering are independent of the other end where there is no NAT; padded or not."""

        async def discover() -> None:
            for further in ((), ("-P",)):
                out, status = await self.run_tool(
                    "turnutils_natdiscovery", "-m", "-f", *further, "-p", self.port, "127.0.0.1"
                )
                self.assertEqual(status, 0)
                self.assertIn("NAT with Endpoint Independent Mapping!", out)
                self.assertIn("NAT with Endpoint Independent Filtering!", out)
                self.assertNotIn("timeout", out)

        return Deferred.fromCoroutine(discover())

    def test_turnutils_natdiscovery_measures_the_life_of_a_mapping(self) -> Deferred[None]:
        """The answer comes to the port that asked first, at the request of another."""

        async def measure() -> None:
            out, _ = await self.run_tool("turnutils_natdiscovery", "-t", "-T", "1", "-p", self.port, "127.0.0.1")
            self.assertNotIn("timeout", out)
            self.assertIn("RFC 5780 response 2", out)

        return Deferred.fromCoroutine(measure())

    def test_the_old_stun_client_finds_an_open_host(self) -> Deferred[None]:
        """RFC 3489; it names what it found in a line and its exit status."""

        async def classify() -> None:
            out, status = await self.run_tool("stun", f"127.0.0.1:{self.port}")
            self.assertIn("Primary: Open", out)
            self.assertEqual(status & 0xF, 1)

        return Deferred.fromCoroutine(classify())

    def test_aioice_gathers_its_reflexive_candidate(self) -> Deferred[None]:
        """It asks from loopback here, since it must not matter which other interfaces this host has."""
        try:
            import aioice.ice
        except ImportError:
            raise SkipTest("aioice is not installed (pip install p2pim[test])") from None
        self.patch(aioice.ice, "get_host_addresses", lambda **_: ["127.0.0.1"])

        async def gather() -> list[tuple[str, str, int]]:
            client = aioice.ice.Connection(ice_controlling=True, stun_server=("127.0.0.1", int(self.port)))
            await client.gather_candidates()
            found = [(each.type, each.host, each.port) for each in client.local_candidates]
            await client.close()
            return found

        def check(found: list[tuple[str, str, int]]) -> None:
            ports = {kind: (host, port) for kind, host, port in found}
            self.assertEqual(ports["srflx"], ports["host"])
            self.assertEqual(self.server.counters.by_kind["plain"], 1)

        gathered: Deferred[list[tuple[str, str, int]]] = deferToThread(lambda: asyncio.run(gather()))
        return gathered.addCallback(check)
