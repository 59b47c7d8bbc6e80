"""`p2pim doctor`: the tests of `p2pim.core.nat_tests` over a fresh socket, and the report on what they show."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater

from p2pim.core.addresses import normal_host
from p2pim.core.candidates import Endpoint
from p2pim.core.doctor import Circumstances, Report, examine, global_ipv6
from p2pim.core.nat_tests import NatFindings, NatTests
from p2pim.core.p2p_choice import P2pServer
from p2pim.net.datagram import Address, UdpSocket, bind_udp
from p2pim.net.own_addresses import own_addresses, source_towards
from p2pim.net.resolve import resolve
from p2pim.wire.stun_binding import pack_question

REFUSAL_WAIT: Final = 0.5
"""Seconds in which a host says that nobody listens at a port."""


class NatTestRun:
    """One run of the tests, over a socket of its own."""

    def __init__(self, reactor: Any, rng: Random, server: Endpoint, *, reach_only: bool = False) -> None:
        self._reactor = reactor
        self._udp = UdpSocket(reactor, bind_udp("::" if ":" in server[0] else "0.0.0.0"), offload=False)  # noqa: S104
        port = self._udp.address[1]
        source = source_towards(server)
        local = frozenset({(source, port)}) if source else frozenset()
        self._tests = NatTests(server, rng=rng, now=reactor.seconds(), local=local, reach_only=reach_only)
        self._timer: IDelayedCall | None = None
        self._done: Deferred[NatFindings] = Deferred(lambda _: self._close())

    def start(self) -> Deferred[NatFindings]:
        """Begin; fires when all is found. Cancelling it ends the tests."""
        self._udp.on_stun = self._received
        self._udp.start()
        self._turn()
        return self._done

    def _received(self, data: bytes, address: Address) -> None:
        if self._tests.receive(data, (normal_host(address[0]), address[1]), self._reactor.seconds()):
            self._turn()

    def _turn(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        now = self._reactor.seconds()
        self._tests.handle_timer(now)
        for data, target in self._tests.to_send():
            self._udp.send([data], target)
        due = self._tests.timer()
        if due is not None:
            self._timer = self._reactor.callLater(max(due - now, 0.0), self._turn)
        elif not self._done.called:
            self._close()
            self._done.callback(self._tests.findings())

    def _close(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._udp.close()


async def nobody_listens(reactor: Any, server: Endpoint, rng: Random) -> bool:
    """Whether the host of ``server`` says that no program has this port (ICMP); silence says nothing."""
    family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(server)
            probe.send(pack_question(rng.randbytes(12)))
            await deferLater(reactor, REFUSAL_WAIT)
            probe.recv(1)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


async def diagnose(reactor: Any, rng: Random, around: Circumstances, server: P2pServer | None) -> Report:
    """The report.

    :param around: what is known already; the tests' findings are added.
    :param server: the P2P server to ask; None: nobody is asked, and no datagram is sent.
    """
    around = replace(around, addresses=own_addresses(), p2p_server=str(server) if server else None)
    if server is None:
        return examine(around)
    endpoints = await resolve(reactor, server.host, server.port)
    if not endpoints:
        return examine(replace(around, p2p_problem=f"nobody knows the name {server.host}"))
    main = endpoints[0]
    if source_towards(main) is None:
        return examine(replace(around, p2p_problem="this machine has no way to it, not even a route"))
    reaches = _reaches_by_ipv6(reactor, rng, around, endpoints)
    try:
        found = await NatTestRun(reactor, rng, main).start()
        around = replace(around, found=found, ipv6_reaches=await reaches)
    finally:
        reaches.cancel()
    if not found.answered and await nobody_listens(reactor, main, rng):
        problem = f"no program answers there; the machine of {server} is on, its P2P server is not, or has another port"
        around = replace(around, found=None, p2p_problem=problem)
    return examine(around)


def _reaches_by_ipv6(
    reactor: Any, rng: Random, around: Circumstances, endpoints: Sequence[Endpoint]
) -> Deferred[bool | None]:
    """Whether the P2P server answers by IPv6; None where it has no such address, or this machine none to ask from."""
    server = next((endpoint for endpoint in endpoints if ":" in endpoint[0]), None)
    if server is None or global_ipv6(around.addresses) is None:
        return succeed(None)
    run = NatTestRun(reactor, rng, server, reach_only=True)
    return run.start().addCallbacks(lambda found: bool(found.answered), lambda failure: None)
