"""How fast is bulk over the ``udp`` channel, on loopback?

From memory to memory and from disk to disk (where the channel's sender and receiver hash every byte), beside qh3 with
nothing around it (the same offloads, one stream, no verification), aioquic, aiortc's data channel and iroh, where
benchmarks/.peers has virtual environments with them (benchmarks/peers/install.sh). One process a side; runs take turns.

    python -m benchmarks.quic_channel            # about two minutes, and 1 GiB of disk
    python -m benchmarks.quic_channel --mib 256 --rounds 3 --only bare,udp
"""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.common import (
    PEERS,
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

SCRIPTS = Path(__file__).resolve().parent / "peers"
MIB = 1024 * 1024
FOREIGN = {"aioquic": 32, "aiortc": 16, "iroh": 512}
"""Optional contenders, and how many MiB are enough for their speed."""
TIMES = {"aioquic": 10.0, "aiortc": 10.0, "iroh": 1.0}
"""How many times as fast the channel should be, at least."""
PORTS = iter(range(45_100, 45_900))


def fingerprint(certificate: Path) -> str:
    """Of a certificate in PEM, in hexadecimal."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()


def copy(rig: Rig, script: str, python: Path, mib: int, files: tuple[Path, Path] | None) -> Figures:
    """One copy by ``script``; its speed."""
    certificate, key = rig.make_certificate()
    port = str(next(PORTS))
    into, out_of = ([str(files[1])], [str(files[0])]) if files else ([], [])
    trust = [fingerprint(certificate)] if script == "udp_channel" else []
    path = SCRIPTS / f"{script}.py"
    receiver = rig.start(f"{script}-receive", [python, path, "receive", port, certificate, key, *into])
    time.sleep(1.0)  # until it listens: UDP has nothing to connect to
    receiver.check()
    sent = subprocess.run(
        [str(python), str(path), "send", port, str(mib), *trust, *out_of],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ},
    )  # fmt: skip
    receiver.stop()
    if sent.returncode or not sent.stdout:
        raise RuntimeError(f"{script}: {sent.stderr[-1000:]}")
    if files and files[0].read_bytes() != files[1].read_bytes():
        raise RuntimeError(f"{script}: the copy differs")
    return {"MB/s": mib * MIB / float(sent.stdout) / 1e6}


def contenders(rig: Rig, mib: int, source: Path) -> dict[str, Callable[[], Figures]]:
    """Everybody that is there."""
    here = Path(sys.executable)
    target = rig.folder / "copy"
    made: dict[str, Callable[[], Figures]] = {}
    for name, script in (("bare", "bare_quic"), ("udp", "udp_channel")):
        made[f"{name} memory"] = partial(copy, rig, script, here, mib, None)
        made[f"{name} disk"] = partial(copy, rig, script, here, mib, (source, target))
    for name, size in FOREIGN.items():
        python = PEERS / name / "bin" / "python"
        if python.exists():
            made[f"{name} memory"] = partial(copy, rig, f"{name}_copy", python, size, None)
        else:
            note(f"{name} is not installed under {PEERS}: left out")
    return made


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--mib", type=int, default=512, help="size of a copy (default 512)")
    arguments = options.parse_args()
    with patient(), Rig(arguments.folder) as rig:
        source = rig.folder / "source"
        source.write_bytes(os.urandom(arguments.mib * MIB))
        everybody = contenders(rig, arguments.mib, source)
        names = chosen(sorted({name.split()[0] for name in everybody}), arguments.only)
        results = interleave(
            {name: run for name, run in everybody.items() if name.split()[0] in names}, arguments.rounds
        )
    print_machine()
    rows = [(name, figures["MB/s"]) for name, figures in results.items()]
    print_table("Bulk over QUIC on loopback", ("", "MB/s"), rows)
    targets = [
        (f"{name} against a bare copy", results[f"udp {name}"]["MB/s"] / results[f"bare {name}"]["MB/s"], 0.8, True)
        for name in ("memory", "disk")
        if f"udp {name}" in results and f"bare {name}" in results
    ]
    for name in FOREIGN:
        if f"{name} memory" in results and "udp memory" in results:
            ratio = results["udp memory"]["MB/s"] / results[f"{name} memory"]["MB/s"]
            targets.append((f"memory against {name}", ratio, TIMES[name], True))
    print_targets(targets)
    write_json(arguments.json, results)


if __name__ == "__main__":
    main()
