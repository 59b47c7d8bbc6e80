"""What do watchers of the operator's page cost the server?

5,000 users sign in over TLS and stay, sending nothing but heartbeats (every 5 s), to a server with a core to itself.
Then its CPU time is measured over some seconds with nobody on the page, with one watcher, and with a hundred: each a
connection that has read the whole table and follows its changes. While it is measured nobody comes or goes, so the
same work is done each time; the page's plots still grow.

The computations made meanwhile are counted by the server itself (``p2pim_operator_ticks_total`` in /metrics).

    python -m benchmarks.operator_page             # about three minutes
    python -m benchmarks.operator_page --connections 500 --rounds 1 --seconds 5
"""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.common import (
    Figures,
    Program,
    Rig,
    interleave,
    note,
    parser,
    patient,
    print_machine,
    print_table,
    print_targets,
    write_json,
)
from benchmarks.loadgen import Load, build, write_script
from benchmarks.p2pim_load import RECEIPT_MARKER, p2pim_connections
from benchmarks.p2pim_rig import Server
from p2pim.wire.messages import ALPN

GENERATORS = 32
WATCHERS = (0, 1, 100)
SETTLE = 7.0


class Page:
    """The operator's page, as a browser of this machine uses it."""

    def __init__(self, address: str) -> None:
        self.address = address
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        self.cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]

    def get(self, path: str) -> http.client.HTTPResponse:
        """An answer whose body is yet to be read."""
        connection = http.client.HTTPConnection(self.address, timeout=60)
        connection.request("GET", path, headers={"Cookie": self.cookie})
        return connection.getresponse()

    def ticks(self) -> float:
        """Computations made so far."""
        found = re.search(rb"(?m)^p2pim_operator_ticks_total (\S+)", self.get("/metrics").read())
        assert found is not None
        return float(found[1])


class Watchers:
    """So many followers of the changes, each of whom has read the table first."""

    def __init__(self, page: Page, number: int) -> None:
        self.table = 0
        self.read = 0
        self._answers: list[http.client.HTTPResponse] = []
        for _ in range(number):
            table = page.get("/api/1/table").read()
            self.table = len(table)
            after = table.partition(b'"id":"')[2].partition(b'"')[0].decode()
            answer = page.get(f"/api/1/changes?after={after}")
            self._answers.append(answer)
            threading.Thread(target=self._follow, args=(answer,), daemon=True).start()

    def _follow(self, answer: http.client.HTTPResponse) -> None:
        try:
            while part := answer.read1(65_536):
                self.read += len(part)
        except (OSError, ValueError, AttributeError):
            return

    def leave(self) -> None:
        """All of them go."""
        for answer in self._answers:
            answer.close()


def measure(page: Page, program: Program, number: int, seconds: float) -> Figures:
    """The server's share of its core with so many watchers, over ``seconds``."""
    watchers = Watchers(page, number)
    time.sleep(3.0)
    ticks, read, cpu, begin = page.ticks(), watchers.read, program.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    used, took = program.cpu_seconds() - cpu, time.monotonic() - begin
    figures = {
        "CPU %": 100 * used / took,
        "computations/s": (page.ticks() - ticks) / took,
        "B/s a watcher": (watchers.read - read) / took / max(1, number),
    }
    watchers.leave()
    time.sleep(20.0 if number else 0.5)  # until the server has seen that they left
    return figures


def fill(rig: Rig, server: Server, users: list[str]) -> list[Load]:
    """Everybody signs in, and stays."""
    connections = p2pim_connections(users)
    scripts: list[Path] = []
    for number in range(GENERATORS):
        scripts.append(rig.folder / f"{number}.script")
        write_script(scripts[-1], ALPN, RECEIPT_MARKER, connections[number::GENERATORS])
    loads = [Load(rig, str(number), script, server.port, 0) for number, script in enumerate(scripts)]
    signed_in = sum(load.greeting()["connections"] for load in loads)
    note(f"{signed_in:,.0f} signed in")
    time.sleep(SETTLE)
    return loads


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--connections", type=int, default=5_000)
    options.add_argument("--seconds", type=float, default=12.0)
    given = options.parse_args()
    users = [f"user{index:05}" for index in range(given.connections)]
    with patient(), Rig(given.folder) as rig:
        build(rig)
        server = Server(rig, cpu=1, users=users, web="auto")
        loads = fill(rig, server, users)
        assert server.web is not None
        page = Page(server.web)
        contenders: dict[str, Callable[[], Figures]] = {
            f"{number} watchers": partial(measure, page, server.program, number, given.seconds) for number in WATCHERS
        }
        medians = interleave(contenders, given.rounds)
        for load in loads:
            load.stop()
    print_machine()
    columns = ["watchers", "% of the server's core", "computations/s", "bytes/s a watcher"]
    rows = [[name, m["CPU %"], m["computations/s"], m["B/s a watcher"]] for name, m in medians.items()]
    print_table(f"The operator's page of a server with {given.connections:,} connections", columns, rows)
    none, one, many = (medians[f"{number} watchers"] for number in WATCHERS)
    print_targets(
        [
            ("% of the core that one watcher costs", one["CPU %"] - none["CPU %"], 2.0, False),
            ("computations/s for a hundred watchers", many["computations/s"], 1.05, False),
            ("computations/s for nobody", none["computations/s"], 0.0, False),
        ]
    )
    write_json(given.json, medians)


if __name__ == "__main__":
    main()
