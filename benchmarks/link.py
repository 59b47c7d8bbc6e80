"""How much of a wide-area link does the ``udp`` channel fill, and how long does a chat message wait beside bulk?

Two network namespaces joined by a link of 100 Mbit/s with 20 ms each way and a queue of one bandwidth-delay product, as
routers are customarily given (tests/natlab/link.py), without loss and with 1 % of the packets lost at random. Bulk goes
from memory over the ``udp`` channel, and over plain TCP with the kernel's CUBIC. Payload is what counts, so headers are
on the channel's account. Pings over the channel's control stream, which chat messages take, are timed before and during
the bulk. Needs root.

    python -m benchmarks.link            # about seven minutes
    python -m benchmarks.link --rounds 1
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.common import (
    Figures,
    Rig,
    chosen,
    interleave,
    parser,
    patient,
    print_machine,
    print_table,
    print_targets,
    write_json,
)
from benchmarks.quic_channel import SCRIPTS, fingerprint
from tests.natlab.laboratory import missing

MIB = 1024 * 1024
RATE = 100e6
"""Bits per second."""
DELAY = 0.020
HOSTS = ("10.99.0.1", "10.99.0.2")
PORT = "45000"
SIZES = {("udp", 0.0): 96, ("tcp", 0.0): 96, ("udp", 0.01): 12, ("tcp", 0.01): 4}
"""MiB: about ten seconds each."""


@contextlib.contextmanager
def link(loss: float) -> Iterator[tuple[str, str]]:
    """Two namespaces with a link between them."""
    mark = secrets.token_hex(3)
    spaces = (f"link-{mark}-a", f"link-{mark}-b")
    for space in spaces:
        subprocess.run(["ip", "netns", "add", space], check=True)
        subprocess.run(["ip", "-n", space, "link", "set", "lo", "up"], check=True)
    words = [
        spaces[0],
        "wide0",
        spaces[1],
        "wide0",
        "--delay",
        DELAY,
        "--rate",
        RATE,
        "--queue",
        2 * DELAY,
        "--loss",
        loss,
    ]
    command = [sys.executable, "-m", "tests.natlab.link", *map(str, words)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        for space, host in zip(spaces, HOSTS, strict=True):
            subprocess.run(["ip", "-n", space, "address", "add", f"{host}/24", "dev", "wide0"], check=True)
        yield spaces
    finally:
        process.communicate()
        for space in spaces:
            subprocess.run(["ip", "netns", "delete", space], check=True)


def inside(space: str, *command: str | Path) -> list[str | Path]:
    """``command`` in a namespace."""
    return ["ip", "netns", "exec", space, *command]


def copy(rig: Rig, kind: str, loss: float) -> Figures:
    """One copy from the first to the second; its speed, and the channel's pings."""
    mib = SIZES[kind, loss]
    certificate, key = rig.make_certificate()
    environment = {**os.environ, "BENCH_HOST": HOSTS[1], "BENCH_PINGS": "1"}
    script = SCRIPTS / ("udp_channel.py" if kind == "udp" else "tcp_copy.py")
    taking: list[str | Path] = [PORT, certificate, key] if kind == "udp" else [HOSTS[1], PORT]
    giving = [PORT, str(mib), fingerprint(certificate)] if kind == "udp" else [HOSTS[1], PORT, str(mib)]
    with link(loss) as (one, other):
        receiver = subprocess.Popen(
            inside(other, sys.executable, script, "receive", *taking), env={**environment, "BENCH_BIND": HOSTS[1]}
        )
        time.sleep(1.5)
        sent = subprocess.run(
            inside(one, sys.executable, script, "send", *giving),
            capture_output=True, text=True, timeout=120, check=False, env={**environment, "BENCH_BIND": HOSTS[0]},
        )  # fmt: skip
        receiver.terminate()
        receiver.wait()
    if sent.returncode or not sent.stdout:
        raise RuntimeError(f"{kind}: {sent.stderr[-1000:]}")
    seconds, *pings = map(float, sent.stdout.split())
    figures = {"Mbit/s": mib * MIB * 8 / seconds / 1e6}
    if pings:
        figures |= {"ping idle, ms": pings[0] * 1000, "ping beside bulk, ms": pings[1] * 1000}
    return figures


def main() -> int:
    options = parser(__doc__)
    given = options.parse_args()
    if missing():
        raise SystemExit(f"no network namespaces here: {missing()}")
    with patient(), Rig(given.folder) as rig:
        contenders: dict[str, Callable[[], Figures]] = {
            f"{kind}, {loss:.0%} lost": partial(copy, rig, kind, loss) for kind, loss in SIZES
        }
        results = interleave({name: contenders[name] for name in chosen(list(contenders), given.only)}, given.rounds)
    print_machine()
    columns = ["Mbit/s", "ping idle, ms", "ping beside bulk, ms"]
    rows = [[name, *(figures.get(column, "") for column in columns)] for name, figures in results.items()]
    print_table("A link of 100 Mbit/s and 40 ms", ["", *columns], rows)
    clean, lossy = results.get("udp, 0% lost"), results.get("udp, 1% lost")
    targets: list[tuple[str, float, float, bool]] = []
    if clean:
        targets.append(("share of the link", clean["Mbit/s"] * 1e6 / RATE, 0.9, True))
        more = clean["ping beside bulk, ms"] - clean["ping idle, ms"]
        targets.append(("ms that a message waits more beside bulk", more, 2000 * DELAY, False))
    if lossy and "tcp, 1% lost" in results:
        targets.append(("with loss, times TCP's", lossy["Mbit/s"] / results["tcp, 1% lost"]["Mbit/s"], 2.0, True))
    write_json(given.json, results)
    return 0 if print_targets(targets) else 1


if __name__ == "__main__":
    sys.exit(main())
