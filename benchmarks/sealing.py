"""What sealing costs: the time from `send_message` to `delivered`, over a tcp channel on loopback, sealed and not.

A server and two peers in one process, with their databases on disk, as in a LAN without its delays. "Not sealed" is
for this comparison alone: the same copies, transactions and receipts, with an envelope that closes nothing. The two are
measured in turn, so that whatever else the machine does falls on both. Then many messages are sent without waiting,
which shows how they share commits.

    python -m benchmarks.sealing [--messages 400] [--rounds 5] [--bulk 5000]
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from p2pim.net.trust import Trust
from p2pim.peer import MessageReceived, Peer, PeerSettings
from p2pim.peer.seals import Seals
from p2pim.server.service import ServerService
from p2pim.server.settings import ServerSection, ServerSettings
from p2pim.wire.signals import AnySignal, ChatMessage, Sealed, Signal, decode_signal, encode_signal

TARGET = 1.25
"""Sealing adds at most a quarter to the median."""


OPEN = b"not sealed"
"""Stands where the key of a sender would."""


class Unsealed(Seals):
    """Messages in envelopes that close nothing; all the rest as it is."""

    def seal_in(self, db: sqlite3.Connection, user: str, device: bytes, signal: Signal, message: bytes = b"") -> bytes:
        if not isinstance(signal, ChatMessage):
            return super().seal_in(db, user, device, signal, message)
        return encode_signal(Sealed(1, encode_signal(signal), OPEN, message))

    def open_in(self, db: sqlite3.Connection, user: str, device: bytes, sealed: Sealed) -> AnySignal:
        if sealed.sender_key != OPEN:
            return super().open_in(db, user, device, sealed)
        return decode_signal(sealed.body)


class Pair:
    """Alice and bob at the server, with a channel between them."""

    def __init__(self, root: Path, port: int, fingerprint: bytes, seals: type[Seals]) -> None:
        self._root, self._port, self._fingerprint = root, port, fingerprint
        self._seals = seals
        self.name = seals.__name__.lower()
        self.received = 0
        self._peers: list[Peer] = []

    async def begin(self) -> None:
        with mock.patch("p2pim.peer.account.Seals", self._seals):
            self.alice, self.bob = [await self._join(f"{name}-{self.name}") for name in ("alice", "bob")]
        self.bob.subscribe(self._heard)
        for one, other in ((self.alice, self.bob), (self.bob, self.alice)):
            await one.add(other.identity()["user"])
        channel = await self.alice.connect(self.bob.identity()["user"])
        assert channel.kind == "tcp"

    async def _join(self, name: str) -> Peer:
        settings = PeerSettings(channel="tcp", downloads=self._root / name / "downloads")
        peer = Peer(reactor, home=self._root / name, settings=settings)
        self._peers.append(peer)
        trust = Trust(fingerprint=self._fingerprint)
        await peer.register(f"{name}@127.0.0.1:{self._port}", "a good password", trust=trust)
        return peer

    def _heard(self, event: object) -> None:
        self.received += isinstance(event, MessageReceived)

    async def one_by_one(self, count: int) -> list[float]:
        """Milliseconds from sending to the receipt, of each."""
        user, times = self.bob.identity()["user"], []
        for number in range(count):
            sent = await self.alice.send_message(user, f"message {number}")
            assert (sent.state, sent.route) == ("delivered", "tcp"), sent
            times.append(sent.ms or 0.0)
        return times

    async def bulk(self, count: int) -> float:
        """Messages per second from the first call until the last is shown."""
        user, before, began = self.bob.identity()["user"], self.received, time.perf_counter()
        waiting = []
        for number in range(count):
            waiting.append(Deferred.fromCoroutine(self.alice.send_message(user, f"bulk {number}", wait=False)))
            if len(waiting) == 256:
                for each in waiting:
                    await each
                waiting.clear()
        for each in waiting:
            await each
        while self.received - before < count:
            await deferLater(reactor, 0.01)
        return count / (time.perf_counter() - began)

    async def end(self) -> None:
        for peer in self._peers:
            await peer.stop()


async def measure(options: argparse.Namespace, root: Path) -> int:
    section = ServerSection(port=0, interface="127.0.0.1", data=root / "server")
    settings = ServerSettings(server=section)
    service = ServerService(reactor, lambda: settings)
    service.startService()
    assert service.house is not None
    port, fingerprint = service._ports[0].getHost().port, service.house.tls.fingerprint
    pairs = [Pair(root, port, fingerprint, seals) for seals in (Unsealed, Seals)]
    times: dict[str, list[float]] = {pair.name: [] for pair in pairs}
    rates: dict[str, float] = {}
    try:
        for pair in pairs:
            await pair.begin()
            await pair.one_by_one(50)
        for _ in range(options.rounds):
            for pair in pairs:
                times[pair.name] += await pair.one_by_one(options.messages // options.rounds)
        for pair in pairs:
            rates[pair.name] = await pair.bulk(options.bulk)
    finally:
        for pair in pairs:
            await pair.end()
        await service.stopService()
    return report(times, rates)


def report(times: dict[str, list[float]], rates: dict[str, float]) -> int:
    print(f"{'':10} {'median ms':>10} {'p99 ms':>8} {'bulk msg/s':>11}")
    for name, label in (("unsealed", "not sealed"), ("seals", "sealed")):
        p99 = statistics.quantiles(times[name], n=100)[98]
        print(f"{label:10} {statistics.median(times[name]):10.2f} {p99:8.2f} {rates[name]:11,.0f}")
    ratio = statistics.median(times["seals"]) / statistics.median(times["unsealed"])
    print(f"\nSealing changes the median by {100 * (ratio - 1):+.0f} % (target: at most {100 * (TARGET - 1):+.0f} %).")
    return 0 if ratio <= TARGET else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--messages", type=int, default=400, help="sent one by one, each way of sealing")
    parser.add_argument("--rounds", type=int, default=5, help="in which the two take turns")
    parser.add_argument("--bulk", type=int, default=5000, help="sent without waiting for each")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="p2pim-sealing-"))
    status: list[int] = []

    async def run(_: Any) -> None:
        status.append(await measure(options, root))

    try:
        react(lambda chosen: Deferred.fromCoroutine(run(chosen)), [])
    finally:
        shutil.rmtree(root, ignore_errors=True)
        if status:
            sys.exit(status[0])


if __name__ == "__main__":
    main()
