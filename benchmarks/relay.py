"""How many messages a second does one core of server relay, and how long does each take?

A hundred signed-in connections in a ring, each sending messages of 200 bytes of text to the next one over TLS 1.3. The
server has one core to itself, the load generator (C, bytes made beforehand) the other. Saturated: each connection keeps
1, then 16 messages under way, and sends the next as soon as one of them has been received; counted where they are
received. So 100 or 1,600 are under way in all, the server nearly always has something to do, and the rate is what its
core can carry: it is saturated when the share of the core that it had (second table) is close to 1 and the generator's
(printed in each round) is not. A share well below 1 means that something else ran there; such a round says little. With
a window of 1 a message is alone in its read, its TLS record and its write: nothing can be batched, and the figure is
the cost of a message.
With receipts: every message is answered by a receipt (p2pim: a Receipt in a SIGNAL envelope; XMPP: XEP-0184), and
only that lets the next one go. Then the latency with messages sent one by one, evenly spread: at half of what the
same server managed with a window of 1, and at the same 5,000 messages/s for all. In p2pim a message is a `Send` of
kind MESSAGE, passed on as `Incoming`, and counted.

Compared with Prosody and ejabberd as Debian packages them (``peers/install.sh``), with no module they can do without.

    python -m benchmarks.relay            # about six minutes
    python -m benchmarks.relay --rounds 1 --seconds 2 --only p2pim,prosody
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.common import (
    Figures,
    Program,
    Rig,
    chosen,
    interleave,
    note,
    parser,
    patient,
    print_machine,
    print_table,
    print_targets,
    write_json,
)
from benchmarks.loadgen import TEXT, Connection, Load, write_script
from benchmarks.p2pim_load import RECEIPT_MARKER, p2pim_connections
from benchmarks.p2pim_rig import Server
from benchmarks.peers import xmpp
from p2pim.wire.messages import ALPN

NAMES = ("p2pim", "prosody", "ejabberd")
COMMON_RATE = 5_000.0
RUNS = (("window 1", 1, False), ("window 16", 16, False), ("window 16, receipts", 16, True))
"""The saturated runs: messages under way of each connection, and whether receipts come back."""


class Contender:
    """One server under load."""

    def __init__(self, rig: Rig, name: str, connections: int, server_cpu: int, seconds: float) -> None:
        names = [f"user{index:04}" for index in range(connections)]
        self.seconds = seconds
        self.program, port, alpn, receipt, talk = self._start(rig, name, names, server_cpu)
        script = rig.folder / f"{name}.script"
        write_script(script, alpn, receipt, talk)
        self.load = Load(rig, name, script, port, 1 - server_cpu)
        note(f"{name}: {self.load.greeting()}")

    def _start(
        self, rig: Rig, name: str, names: Sequence[str], cpu: int
    ) -> tuple[Program, int, bytes, bytes, list[Connection]]:
        if name == "p2pim":
            server = Server(rig, cpu=cpu, users=names)
            return server.program, server.port, ALPN, RECEIPT_MARKER, p2pim_connections(names)
        program, port = xmpp.SERVERS[name](rig, cpu, names)
        return program, port, b"", xmpp.RECEIPT_MARKER, xmpp.connections(names, TEXT)

    def measure(self) -> Figures:
        """All runs of this contender, once."""
        figures: dict[str, float] = {}
        for key, window, receipts in RUNS:
            cpu, begin = self.program.cpu_seconds(), time.monotonic()
            result = self.load.saturate(window, receipts, self.seconds)
            share = (self.program.cpu_seconds() - cpu) / (time.monotonic() - begin)
            figures[key] = result["rate"]
            figures[f"{key}, share"] = share
            figures[f"{key}, a CPU second"] = result["rate"] / share
            figures["generator cpu"] = max(figures.get("generator cpu", 0.0), result["generator_cpu"])
            figures["lost"] = figures.get("lost", 0.0) + result["lost"]
        for key, rate in (("half", figures["window 1"] / 2), ("common", COMMON_RATE)):
            result = self.load.paced(rate, self.seconds)
            figures[f"{key} p50 ms"], figures[f"{key} p99 ms"] = result["p50_us"] / 1e3, result["p99_us"] / 1e3
            figures["lost"] += result["lost"]
        return figures


def report(medians: dict[str, dict[str, float]]) -> None:
    """The tables and the targets."""
    print_machine()
    keys = [key for key, _, _ in RUNS]
    print_table(
        "Relay over TLS, messages/s through one core of server",
        ["", *keys, "lost"],
        [[name, *(m[key] for key in keys), m["lost"]] for name, m in medians.items()],
    )
    print_table(
        "The same by what the server used: messages per CPU second (share of its core that it had)",
        ["", *keys],
        [
            [name, *(f"{m[f'{key}, a CPU second']:,.0f} ({m[f'{key}, share']:.2f})" for key in keys)]
            for name, m in medians.items()
        ],
    )
    latency = ("half p50 ms", "half p99 ms", "common p50 ms", "common p99 ms")
    print_table(
        "Latency, ms",
        ["", "median at half load", "p99 at half load", "median at 5,000/s", "p99 at 5,000/s"],
        [[name, *(m[key] for key in latency)] for name, m in medians.items()],
    )
    if "p2pim" not in medians:
        return
    ours = medians["p2pim"]
    targets = []
    for name, wanted in (("prosody", 5.0), ("ejabberd", 3.0)):
        if name in medians:
            for key in ("window 1", "window 16"):
                targets.append((f"{key}, times {name}", ours[key] / medians[name][key], wanted, True))
    print_targets(targets)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=4.0, help="length of each run (default 4)")
    options.add_argument("--connections", type=int, default=100)
    options.add_argument("--server-cpu", type=int, choices=(0, 1), default=1, help="the generator has the other one")
    given = options.parse_args()
    with patient(), Rig(given.folder) as rig:
        contenders = {
            name: Contender(rig, name, given.connections, given.server_cpu, given.seconds)
            for name in chosen(NAMES, given.only)
        }
        medians = interleave({name: contender.measure for name, contender in contenders.items()}, given.rounds)
    report(medians)
    write_json(given.json, medians)


if __name__ == "__main__":
    main()
