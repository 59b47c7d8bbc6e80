"""How fast does a large file get from one machine's disk to another's, over the loopback?

A file of 1 GiB of random bytes, from disk to disk (through the page cache, as always), by `p2pim send` between two
running agents over the direct TCP channel and over the server's splice; by a bare copy over Twisted's TLS (the best
that a stream channel could do: no verification, no journal, no protocol); by scp with its default cipher and with
AES-GCM; by magic-wormhole with a mailbox server of its own; by rsync to its daemon, for reference, since that encrypts
nothing. Every receiving side runs already. Each copy is compared with the original in the first round.

Two speeds: "whole" counts the time from typing the command to its end; "bytes" leaves out what the same command takes
for a file of one byte (interpreters that start, handshakes, passwords). The targets are about "bytes". "CPU" is
that of both sides and, for p2pim, of its server, for the whole command.

    python -m benchmarks.file_direct      # about three minutes, and 3 GiB of disk
    python -m benchmarks.file_direct --size 64 --rounds 1 --only p2pim,bare-tls
"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import (
    Figures,
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
from benchmarks.p2pim_rig import Sending, Server, two_friends
from benchmarks.peers.copying import BareTls, Copier, Rsync, Scp, Wormhole

MIB = 1024 * 1024
MAKERS: dict[str, Callable[[Rig], Copier]] = {
    "bare-tls": BareTls,
    "scp": Scp,
    "scp-aes-gcm": lambda rig: Scp(rig, "aes128-gcm@openssh.com"),
    "magic-wormhole": Wormhole,
    "rsync-daemon": Rsync,
}
OURS = {"p2pim": "direct", "p2pim-relay": "relay"}


def make_file(path: Path, mib: int) -> Path:
    """Random bytes, so that nobody compresses or deduplicates them."""
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
    return path


def make_copiers(rig: Rig, names: list[str]) -> dict[str, Copier]:
    """The contenders, their receiving sides running."""
    copiers: dict[str, Copier] = {}
    if any(name in OURS for name in names):
        server = Server(rig)
        alice, bob = two_friends(rig, server)
        copiers |= {name: Sending(server, alice, bob, route) for name, route in OURS.items() if name in names}
    return copiers | {name: make(rig) for name, make in MAKERS.items() if name in names}


def measure(copier: Copier, big: Path, small: Path) -> Figures:
    """One copy of either file."""
    size = big.stat().st_size
    overhead = _copied(copier, small)
    before = copier.cpu_seconds()
    whole = _copied(copier, big)
    return {
        "bytes MB/s": size / max(whole - overhead, 1e-3) / 1e6,
        "whole MB/s": size / whole / 1e6,
        "start s": overhead,
        "CPU s/GB": (copier.cpu_seconds() - before) / size * 1e9,
    }


_compared: set[tuple[Copier, Path]] = set()


def _copied(copier: Copier, source: Path) -> float:
    copier.forget()
    os.sync()  # what others left dirty is not written during our time
    seconds = copier.copy(source)
    if (copier, source) not in _compared:
        _compared.add((copier, source))
        if not filecmp.cmp(source, copier.received, shallow=False):
            raise RuntimeError(f"{copier.received} is not what {source} is")
    copier.forget()
    return seconds


def report(medians: dict[str, dict[str, float]], mib: int) -> None:
    """The table and the targets."""
    print_machine()
    ours = medians.get("p2pim", {}).get("bytes MB/s", 0.0)
    rows: list[list[object]] = []
    for name, m in medians.items():
        ratio = ours / m["bytes MB/s"] if ours else "-"
        rows.append([name, m["bytes MB/s"], m["whole MB/s"], m["start s"], m["CPU s/GB"], ratio])
    columns = ["", "bytes, MB/s", "whole command, MB/s", "command for 1 byte, s", "CPU s/GB", "p2pim's speed / this"]
    print_table(f"A file of {mib} MiB, disk to disk", columns, rows)
    targets = []
    for name, wanted in (("bare-tls", 0.8), ("scp", 1.5), ("magic-wormhole", 1.5)):
        if ours and name in medians:
            targets.append((f"p2pim's speed, times {name}", ours / medians[name]["bytes MB/s"], wanted, True))
    if ours and "p2pim-relay" in medians:
        targets.append(("through the splice, times direct", medians["p2pim-relay"]["bytes MB/s"] / ours, 0.6, True))
    print_targets(targets)


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--size", type=int, default=1024, help="of the file, in MiB (default 1024)")
    given = options.parse_args()
    names = chosen([*OURS, *MAKERS], given.only)
    with patient(), Rig(given.folder) as rig:
        note(f"in {rig.folder}")
        big, small = make_file(rig.folder / "big", given.size), rig.folder / "small"
        small.write_bytes(b"x")
        copiers = make_copiers(rig, names)
        contenders = {name: lambda c=copier: measure(c, big, small) for name, copier in copiers.items()}
        medians = interleave(contenders, given.rounds)
        memory = [copier.memory() for copier in copiers.values() if isinstance(copier, Sending)]
    report(medians, given.size)
    if memory:
        print(f"\np2pim's agents: {memory[0]}")
    write_json(given.json, medians)


if __name__ == "__main__":
    main()
