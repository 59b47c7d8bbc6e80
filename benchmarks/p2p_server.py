"""How many STUN questions does one core answer, and does the server stay as large as it is?

Each server has a core to itself; the load has the other: one process that asks plain Binding questions (20 bytes) from
64 and then from 10,000 addresses of loopback, 192 under way at a time (`benchmarks.stun_load`). "answers/s" is what
came back; "a CPU second" is by the CPU time that the server used, which tells more where others use the machine too.
coturn keeps something for each address, so it is compared where it is at its best, with 64.

Then p2pim alone is asked a million times from 100,000 addresses, and its resident memory is compared before and after;
the first 100,000 questions are not counted, since the tables are touched for the first time by them.

Compared with coturn, on one thread and as bare as it goes: UDP and STUN only.

    python -m benchmarks.p2p_server       # about a minute
    python -m benchmarks.p2p_server --rounds 1 --seconds 1 --questions 200000
"""

from __future__ import annotations

import json
import socket
import sys
from functools import partial

from benchmarks.common import (
    BIN,
    HERE,
    Figures,
    Program,
    Rig,
    chosen,
    find_program,
    interleave,
    parser,
    patient,
    print_machine,
    print_table,
    print_targets,
    run,
    wait_until,
    write_json,
)

NAMES = ("p2pim", "coturn")
SERVER_CPU, LOAD_CPU = 0, 1
FEW_ADDRESSES = 64
ADDRESSES = 10_000
MANY_ADDRESSES = 100_000


def free_udp_port() -> int:
    """A UDP port of loopback that nobody has at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody answers a question there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(0.2)
        try:
            udp.sendto(b"\0\1\0\0\x21\x12\xa4\x42transaction!", ("127.0.0.1", port))
            return udp.recv(2048)[:2] == b"\1\1"
        except OSError:
            return False


def command(rig: Rig, name: str, port: int) -> list[str]:
    """How a server is started."""
    if name == "p2pim":
        options = ["--data", str(rig.folder / f"p2pim-{port}"), "--interface", "127.0.0.1", "--port", str(port)]
        return [str(BIN / "twistd"), "-n", "--pidfile=", "p2pim-p2p", *options]
    bare = [
        "--stun-only",
        "--no-cli",
        "--no-tcp",
        "--no-tls",
        "--no-dtls",
        "--no-stdout-log",
        "--log-file",
        "/dev/null",
    ]
    place = ["-L", "127.0.0.1", "-p", str(port), "--pidfile", str(rig.folder / "coturn.pid")]
    return [find_program("turnserver"), "-n", "-m", "0", *place, *bare]


def start(rig: Rig, name: str) -> tuple[Program, int]:
    """A server on a core of its own."""
    port = free_udp_port()
    program = rig.start(name, command(rig, name, port), cpu=SERVER_CPU)

    def ready() -> bool:
        program.check()
        return answers(port)

    wait_until(ready, f"{name} on UDP port {port}")
    return program, port


def load(port: int, *options: object) -> dict[str, float]:
    """What the generator of load reports."""
    argv = ["taskset", "-c", str(LOAD_CPU), sys.executable, str(HERE / "stun_load.py"), str(port)]
    said: dict[str, float] = json.loads(run(*argv, *map(str, options)))
    if not said["right"]:
        raise RuntimeError("the answers are wrong")
    return said


def measure(rig: Rig, name: str, seconds: float) -> Figures:
    """One server, from its start to its end."""
    program, port = start(rig, name)
    figures: dict[str, float] = {}
    for addresses in (FEW_ADDRESSES, ADDRESSES):
        load(port, "--seconds", 0.3, "--addresses", addresses)
        used = program.cpu_seconds()
        said = load(port, "--seconds", seconds, "--addresses", addresses)
        used = program.cpu_seconds() - used
        figures |= {f"answers/s, {addresses}": said["rate"], f"a CPU second, {addresses}": said["answered"] / used}
    program.stop()
    return figures


def measure_memory(rig: Rig, questions: int) -> tuple[float, float]:
    """Resident MiB of p2pim before and after so many questions."""
    program, port = start(rig, "p2pim")
    options = "--seconds", 600, "--addresses", MANY_ADDRESSES
    load(port, *options, "--total", MANY_ADDRESSES)
    before = program.rss_kib() / 1024
    load(port, *options, "--total", questions)
    after = program.rss_kib() / 1024
    program.stop()
    return before, after


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--questions", type=int, default=1_000_000)
    given = options.parse_args()
    with patient(), Rig(given.folder) as rig:
        contenders = {name: partial(measure, rig, name, given.seconds) for name in chosen(NAMES, given.only)}
        medians = interleave(contenders, given.rounds)
        before, after = measure_memory(rig, given.questions)
    print_machine()
    columns = ["from so many addresses", *next(iter(medians.values()))]
    rows = [[name, *figures.values()] for name, figures in medians.items()]
    print_table("STUN Binding questions answered by one core", columns, rows)
    print_table(
        f"Resident memory of p2pim under {given.questions:,} questions from {MANY_ADDRESSES:,} addresses",
        ["", "before, MiB", "after, MiB"],
        [["p2pim", before, after]],
    )
    targets = [("MiB by which p2pim has grown", after - before, 1.0, False)]
    if len(medians) == len(NAMES):
        ours, theirs = medians["p2pim"], medians["coturn"]
        for what in ("answers/s", "a CPU second"):
            key = f"{what}, {FEW_ADDRESSES}"
            targets.append((f"{what} beside coturn's", ours[key] / theirs[key], 1.0, True))
    print_targets(targets)
    write_json(given.json, medians)


if __name__ == "__main__":
    main()
