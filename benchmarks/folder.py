"""How fast does a folder of many small files get from one disk to another, over the loopback?

A folder of 10,000 files of 4 KiB, a hundred to a subfolder, by `p2pim send` between two running agents over the direct
TCP channel, by rsync to its daemon (no encryption, files one after another in one stream), and by ``scp -r`` for
reference.
The time is that of the whole command; "files only" leaves out what the same command takes for a folder with one file.
Names and contents are compared in the first round.

    python -m benchmarks.folder           # about two minutes
    python -m benchmarks.folder --files 500 --rounds 1
"""

from __future__ import annotations

import os
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
from benchmarks.p2pim_rig import Sending, Server, two_friends
from benchmarks.peers.copying import Copier, Rsync, Scp

NAMES = ("p2pim", "rsync-daemon", "scp")


def make_folder(path: Path, files: int) -> Path:
    """``files`` files of 4 KiB of random bytes."""
    for number in range(files):
        folder = path / f"folder {number // 100:03}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file {number:05}.bin").write_bytes(os.urandom(4096))
    return path


def contents(path: Path) -> dict[str, bytes]:
    """Every file below ``path`` by its relative name."""
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def copied(copier: Copier, source: Path, compare: bool) -> float:
    """The seconds of one copy, which is removed again."""
    copier.forget()
    os.sync()
    seconds = copier.copy(source)
    if compare and contents(source) != contents(copier.received):
        raise RuntimeError(f"{copier.received} is not what {source} is")
    copier.forget()
    return seconds


class Contender:
    """One way to copy the folder."""

    def __init__(self, copier: Copier, big: Path, small: Path) -> None:
        self._copier, self._big, self._small = copier, big, small
        self._compared = False

    def measure(self) -> Figures:
        """One copy of either folder."""
        overhead = copied(self._copier, self._small, not self._compared)
        whole = copied(self._copier, self._big, not self._compared)
        self._compared = True
        return {"whole s": whole, "files s": whole - overhead}


def make_copiers(rig: Rig, names: list[str]) -> dict[str, Copier]:
    """The contenders, their receiving sides running."""
    copiers: dict[str, Copier] = {}
    if "p2pim" in names:
        server = Server(rig)
        copiers["p2pim"] = Sending(server, *two_friends(rig, server), "direct")
    if "rsync-daemon" in names:
        copiers["rsync-daemon"] = Rsync(rig)
    if "scp" in names:
        copiers["scp"] = Scp(rig)
    return copiers


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--files", type=int, default=10_000)
    given = options.parse_args()
    with patient(), Rig(given.folder) as rig:
        big, small = make_folder(rig.folder / "big", given.files), make_folder(rig.folder / "small", 1)
        copiers = make_copiers(rig, chosen(NAMES, given.only))
        contenders = {name: Contender(copier, big, small).measure for name, copier in copiers.items()}
        medians = interleave(contenders, given.rounds)
    print_machine()
    rows = [[name, m["whole s"], m["files s"], given.files / m["files s"]] for name, m in medians.items()]
    columns = ["", "whole command, s", "files only, s", "files/s"]
    print_table(f"A folder of {given.files:,} files of 4 KiB, disk to disk", columns, rows)
    if {"p2pim", "rsync-daemon"} <= set(medians):
        ratio = medians["p2pim"]["whole s"] / medians["rsync-daemon"]["whole s"]
        print_targets([("p2pim's time, times rsync's", ratio, 2.0, False)])
    write_json(given.json, medians)


if __name__ == "__main__":
    main()
