"""Driving ``loadgen.c``: its script, its compilation, its commands."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import HERE, Program, Rig, find_program, run

MARKER = b"((message!))"
"""In each message, so that the generator can count; sent by nobody else."""
TEXT = MARKER + b"x" * (200 - len(MARKER))
"""The text of every message."""


@dataclass(frozen=True)
class Connection:
    """One connection of the load: how it signs in, and what it sends."""

    dialogue: Sequence[tuple[bytes, bytes]]
    """Send the first, then wait until the second has come (an empty one is not waited for)."""
    message: bytes
    """To the next connection in the ring, `MARKER` inside."""
    receipt: bytes
    """To the one before it, the receipt's marker inside."""
    heartbeat: bytes


def build(rig: Rig) -> Path:
    """Compiles the generator."""
    program = rig.folder / "loadgen"
    if not program.exists():
        run(find_program("gcc"), "-O2", "-o", program, HERE / "loadgen.c", "-lssl", "-lcrypto")
    return program


def _bytes(data: bytes) -> bytes:
    return struct.pack("=I", len(data)) + data


def write_script(path: Path, alpn: bytes, receipt_marker: bytes, connections: Sequence[Connection]) -> None:
    """The generator's input."""
    parts = [_bytes(alpn), _bytes(MARKER), _bytes(receipt_marker), struct.pack("=I", len(connections))]
    for connection in connections:
        parts.append(struct.pack("=I", len(connection.dialogue)))
        parts += [_bytes(say) + _bytes(wait) for say, wait in connection.dialogue]
        parts += [_bytes(connection.message), _bytes(connection.receipt), _bytes(connection.heartbeat)]
    path.write_bytes(b"".join(parts))


class Load:
    """A generator, its connections signing in to one server as soon as it is made."""

    def __init__(self, rig: Rig, name: str, script: Path, port: int, cpu: int) -> None:
        self._program: Program = rig.start(
            f"load-{name}", [build(rig), script, str(port)], cpu=cpu, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def greeting(self) -> dict[str, float]:
        """What it says when all its connections are signed in: waited for, to be asked for once and before any run."""
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._program.process.stdout is not None
        line = self._program.process.stdout.readline()
        if not line:
            self._program.process.wait(5)
            self._program.check()
        answer: dict[str, float] = json.loads(line)
        return answer

    def _ask(self, command: str) -> dict[str, float]:
        assert self._program.process.stdin is not None
        self._program.process.stdin.write(command.encode() + b"\n")
        self._program.process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """Ends it and its connections."""
        self._program.stop()

    def saturate(self, window: int, receipts: bool, seconds: float) -> dict[str, float]:
        """As much as goes through with ``window`` messages of each connection under way."""
        return self._ask(f"saturate {window} {int(receipts)} {seconds}")

    def paced(self, rate: float, seconds: float) -> dict[str, float]:
        """``rate`` messages/s in all."""
        return self._ask(f"paced {rate} {seconds}")
