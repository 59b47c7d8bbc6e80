"""How soon is there a direct path between two NATs, and how soon is somebody reached?

In the laboratory of kernel NATs (tests/natlab), with one-way delays of 20 ms to A, 30 ms to B and 5 ms to the server,
so a round trip takes 50 ms from A to the server and 100 ms between the peers. p2pim runs as its real commands, with
agents that have just started; aioice gets the same P2P server for its STUN server and exchanges its candidates over a
plain TCP relay on the server's machine, its connections made beforehand. Needs root.

    python -m benchmarks.path_finding            # about six minutes
    python -m benchmarks.path_finding --rounds 3 --pairs port-restricted/port-restricted,symmetric/symmetric

For p2pim: from the request to connect, and to send a message directly, until the first packet from the other side has
come at both ends, the channel is open at both, and the message is there; in another run from the request to send a
message until it has arrived by the relay. For aioice: from the start at both ends at once (it needs no offer to begin
at the other end) until the first packet has come at both, and an application's first datagram, which nothing encrypts.
"""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.common import Figures, chosen, interleave, parser, print_machine, print_table, print_targets, write_json
from p2pim.cli.agent_socket import connect, drive
from p2pim.errors import P2pimError
from tests.natlab.laboratory import OUTSIDE, SERVER, Laboratory, missing, processes
from tests.natlab.matrix import LINKS
from tests.natlab.scene import NAMES, Scene

PEERS = Path(__file__).resolve().parent / "peers"
PAIRS = (
    "port-restricted/port-restricted",
    "full-cone/port-restricted",
    "public-fw/port-restricted",
    "double/double",
    "symmetric/full-cone",
    "symmetric/addr-restricted",
    "public/port-restricted",
    "symmetric/symmetric",
)
SERVER_ROUND_TRIP, PEER_ROUND_TRIP = 0.050, 0.100
BEST_KNOWN = 0.34
"""Seconds that aioice takes in a pair that it connects, on a quiet machine."""
NEVER = math.inf
COLUMNS = {
    "packet": "first packet at both ends",
    "open": "channel open at both",
    "message": "first direct message there",
    "relayed": "first message there by relay",
    "aioice packet": "aioice: first packet at both ends",
    "aioice": "aioice: first datagram of an application at both",
}


class Agent:
    """An agent, without a command's start in between."""

    def __init__(self, scene: Scene, host: str) -> None:
        agent = connect(scene.home(host))
        if agent is None:
            raise RuntimeError(f"no agent runs on {host}")
        self._agent = agent

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """Ask, and wait for the result or the error."""
        try:
            return drive(self._agent.call(method, params, lambda item: None))
        except P2pimError as error:
            return {"error": error.code, "message": error.message}

    def close(self) -> None:
        drive(self._agent.close())


def at(event: dict[str, Any]) -> float:
    """When an event happened, in seconds since 1970."""
    return datetime.fromisoformat(event["at"]).timestamp()


class Bench:
    """A laboratory with one pair of NATs, the server and the helpers; each run begins with new agents."""

    def __init__(self, lab: Laboratory, folder: Path, running: list[subprocess.Popen[str]]) -> None:
        self.lab, self.running = lab, running
        self.scene = Scene(lab, folder, running)
        self.scene.serve()
        self.scene.register("AB")
        self.sniffers = {"A": self._sniff("A", "B"), "B": self._sniff("B", "A")}
        self.scene.start("S", "relay", sys.executable, str(PEERS / "lines_relay.py"), SERVER[0], "4600")
        self._befriend()

    def _sniff(self, host: str, other: str) -> Path:
        name = f"packets-{host}"
        self.scene.start(host, name, sys.executable, str(PEERS / "first_packet.py"), OUTSIDE[other])
        return self.scene.folder / f"{name}.log"

    def _befriend(self) -> None:
        with self.agents() as (alice, bob):
            alice.call("add", user="bob")
            bob.call("add", user="alice")

    @contextlib.contextmanager
    def agents(self) -> Iterator[tuple[Agent, Agent]]:
        """New agents, that know how their NATs map."""
        started = []
        for host in "AB":
            (self.scene.folder / f"agent-{host}.log").unlink(missing_ok=True)
            (self.scene.home(host) / "log.txt").unlink(missing_ok=True)
            started.append(self.scene.up(host))
        for host in "AB":
            self.scene.wait_for(host, "signed-in")
        self.scene.wait_gathered()
        time.sleep(0.7)
        ends = Agent(self.scene, "A"), Agent(self.scene, "B")
        try:
            yield ends
        finally:
            for end, process in zip(ends, started, strict=True):
                end.close()
                process.terminate()
                process.wait(20)

    # --- what is measured

    def direct(self) -> Figures:
        """A message that goes directly or not at all, from nothing."""
        with self.agents() as (alice, _):
            begun = time.time()
            answer = alice.call("msg", user="bob", text="hello", route="direct")
            if "error" in answer:
                return {"packet": NEVER, "open": NEVER, "message": NEVER}
            opened = [self.scene.wait_for(host, "channel-opened") for host in "AB"]
            message = self.scene.wait_for("B", "message")
            return {
                "packet": max(self._packet(host, begun) for host in "AB") - begun,
                "open": max(map(at, opened)) - begun,
                "message": at(message) - begun,
            }

    def _packet(self, host: str, since: float) -> float:
        times = [float(line) for line in self.sniffers[host].read_text().split() if line != "ready"]
        return min((time for time in times if time >= since), default=NEVER)

    def relayed(self) -> Figures:
        """The first message of a conversation."""
        with self.agents() as (alice, _):
            begun = time.time()
            alice.call("msg", user="bob", text="hello", route="auto")
            return {"relayed": at(self.scene.wait_for("B", "message")) - begun}

    def aioice(self) -> Figures:
        """Both ends of aioice, begun in the same moment."""
        ends = []
        for host, role in (("A", "controlling"), ("B", "controlled")):
            words = (sys.executable, str(PEERS / "aioice_path.py"), role, SERVER[0], "4600", SERVER[0], "4531")
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            ends.append(subprocess.Popen(self.lab.command(host, *words), text=True, **pipes))  # type: ignore[call-overload]
        for end in ends:
            end.stdout.readline()
        begun = time.time()
        said = []
        for end in ends:
            end.stdin.write("go\n")
            end.stdin.flush()
        for end in ends:
            said.append(json.loads(end.communicate()[0]))
        return {
            "aioice packet": max(self._packet(host, begun) for host in "AB") - begun,
            "aioice": max(each.get("came", NEVER) for each in said) - begun,
        }


def measure_pair(pair: str, rounds: int, only: str, folder: Path | None) -> dict[str, float]:
    """The medians of all figures of one pair."""
    here, there = pair.split("/")
    with (
        tempfile.TemporaryDirectory(prefix="paths-", dir=folder) as scratch,
        Laboratory({"A": here, "B": there}, links=LINKS) as lab,
        processes() as running,
    ):
        bench = Bench(lab, Path(scratch), running)
        contenders: dict[str, Callable[[], Figures]] = {
            "direct": bench.direct,
            "relayed": bench.relayed,
            "aioice": bench.aioice,
        }
        wanted = {f"{name} {pair}": contenders[name] for name in chosen(list(contenders), only)}
        medians: dict[str, float] = {}
        for figures in interleave(wanted, rounds).values():
            medians.update(figures)
        if "--logs" in sys.argv:
            print("\n".join(bench.scene.journal(host) for host in NAMES))
        return medians


def report(results: dict[str, dict[str, float]]) -> bool:
    """The table, and whether the targets were met."""
    rows = [[pair, *(_cell(figures.get(key)) for key in COLUMNS)] for pair, figures in results.items()]
    print_table("Seconds until a path, medians", ["pair", *COLUMNS.values()], rows)
    targets: list[tuple[str, float, float, bool]] = []
    bound = 5 * SERVER_ROUND_TRIP + 3 * PEER_ROUND_TRIP
    for pair, figures in results.items():
        if figures.get("message", NEVER) < NEVER:
            targets.append((f"{pair}, first direct message", figures["message"], bound, False))
        if figures.get("aioice", NEVER) < NEVER and figures.get("packet", NEVER) < NEVER:
            targets.append((f"{pair}, path found", figures["packet"], max(figures["aioice"], BEST_KNOWN), False))
        if "relayed" in figures:
            targets.append((f"{pair}, message by relay", figures["relayed"], 2 * SERVER_ROUND_TRIP, False))
    return print_targets(targets)


def _cell(value: float | None) -> str:
    if value is None:
        return ""
    return "never" if value == NEVER else f"{value:.3f}"


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--pairs", default=",".join(PAIRS), help="HERE/THERE, separated by commas")
    options.add_argument("--logs", action="store_true", help="print the agents' logs of the last run")
    given = options.parse_args()
    if missing():
        raise SystemExit(f"no laboratory here: {missing()}")
    results = {pair: measure_pair(pair, given.rounds, given.only, given.folder) for pair in given.pairs.split(",")}
    met = report(results)
    print_machine()
    write_json(given.json, results)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
