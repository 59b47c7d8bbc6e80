"""What all benchmarks share: starting and stopping programs, running contenders in turn, and the table in the end.

Everything listens on loopback only, lives in one temporary directory, and is stopped by its process id.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE / ".peers"
"""Where ``peers/install.sh`` puts what Debian has no package for."""
BIN = Path(sys.executable).parent


class Missing(Exception):
    """A program to compare with is not installed; its message says how to get it."""


def find_program(name: str) -> str:
    """The path of a program, also of those that only root has in the path.

    :raises Missing: it is not there.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin")
    if found is None:
        raise Missing(f"{name} is not installed: run benchmarks/peers/install.sh")
    return found


def free_port() -> int:
    """A TCP port of loopback that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(true: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Polls until ``true()`` is.

    :raises TimeoutError: it is not in time; ``what`` says what was awaited.
    """
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)


def accepts(port: int) -> bool:
    """Whether somebody takes connections on a port of loopback."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


class Program:
    """A running program; its output goes to ``log``."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_port(self, port: int, seconds: float = 30.0) -> None:
        """Waits until the program takes connections on ``port``."""

        def ready() -> bool:
            self.check()
            return accepts(port)

        wait_until(ready, f"{self.name} on port {port}", seconds)

    def check(self) -> None:
        """Raises with the end of its log when the program has ended."""
        if self.process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{tail}")

    def cpu_seconds(self) -> float:
        """User and system time used so far, by the program and those of its children that have ended."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")

    def rss_kib(self) -> int:
        """Resident memory, in KiB."""
        return self._status("VmRSS:")

    def peak_kib(self) -> int:
        """The most that was ever resident, in KiB."""
        return self._status("VmHWM:")

    def _status(self, key: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1])
        raise RuntimeError(f"{self.name} has no memory")

    def stop(self) -> None:
        """Ends the program and what it started, which is in the session made for it."""
        for number, patience in ((signal.SIGTERM, 8.0), (signal.SIGKILL, 5.0)):
            if self.process.poll() is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        with contextlib.suppress(ProcessLookupError):  # children that outlived it
            os.killpg(self.pid, signal.SIGKILL)


class Rig:
    """A temporary directory and the programs started in it; leaving it stops and removes them all."""

    def __init__(self, folder: Path | None = None) -> None:
        self._parent = folder
        self._programs: list[Program] = []

    def __enter__(self) -> Rig:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.folder = Path(tempfile.mkdtemp(prefix="p2pim-bench-", dir=self._parent))
        return self

    def __exit__(self, *_: object) -> None:
        for program in reversed(self._programs):
            program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        cpu: int | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
    ) -> Program:
        """Starts a program, on the core ``cpu`` alone when one is named."""
        log = self.folder / f"{name}.log"
        pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*pin, *map(str, argv)],
                stdin=stdin,
                stdout=output if stdout is None else stdout,
                stderr=output,
                env={**os.environ, **(env or {})},
                cwd=self.folder,
                start_new_session=True,
            )
        program = Program(name, process, log)
        self._programs.append(program)
        return program

    def make_certificate(self) -> tuple[Path, Path]:
        """A self-signed P-256 certificate for localhost and its key."""
        certificate, key = self.folder / "localhost.crt", self.folder / "localhost.key"
        if not certificate.exists():
            run(
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", "/CN=localhost", "-days", "30", "-keyout", key, "-out", certificate,
            )  # fmt: skip
        return certificate, key


def run(*argv: str | Path, timeout: float = 120.0, env: Mapping[str, str] | None = None) -> str:
    """Runs a command to its end and gives its standard output.

    :raises RuntimeError: it failed; with what it said.
    """
    done = subprocess.run(
        [str(part) for part in argv],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-1500:]}")
    return done.stdout


Figures = Mapping[str, float]
"""What one run of one contender gave: figures by name."""


def interleave(contenders: Mapping[str, Callable[[], Figures]], rounds: int) -> dict[str, dict[str, float]]:
    """Runs all contenders in turn, ``rounds`` times, and gives the median of each figure of each."""
    results: dict[str, list[Figures]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, measure in contenders.items():
            figures = measure()
            results[name].append(figures)
            shown = "  ".join(f"{key} {value:,.4g}" for key, value in figures.items())
            note(f"[{number + 1}/{rounds}] {name:<24} {shown}")
    return {name: medians(runs) for name, runs in results.items()}


def medians(runs: Sequence[Figures]) -> dict[str, float]:
    """The median of each figure over several runs."""
    return {key: statistics.median(figures[key] for figures in runs) for key in runs[0]}


def note(text: str) -> None:
    """Progress, for whoever watches."""
    print(text, file=sys.stderr, flush=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table in Markdown, ready for README.md."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(columns) + " |")
    print("|---" + "|---:" * (len(columns) - 1) + "|")
    for row in rows:
        print("| " + " | ".join(_cell(value) for value in row) + " |")
    sys.stdout.flush()


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
    return str(value)


def print_targets(targets: Sequence[tuple[str, float, float, bool]]) -> bool:
    """Prints what was to be reached: (what, reached, wanted, more is better). True when all were."""
    print()
    met = True
    for what, reached, wanted, more in targets:
        good = reached >= wanted if more else reached <= wanted
        met = met and good
        bound = "at least" if more else "at most"
        print(f"- {'met' if good else 'MISSED'}: {what}: {reached:,.2f} ({bound} {wanted:,g})")
    sys.stdout.flush()
    return met


def print_machine() -> None:
    """What the figures were measured on."""
    model = "unknown processor"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    print(
        f"\n{time.strftime('%Y-%m-%d')}; {os.cpu_count()} cores of {model}; {platform.system()} {platform.release()};"
        f" Python {platform.python_version()}; load {os.getloadavg()[0]:.1f}"
    )


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Options that every benchmark has."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=5, help="runs of each contender; medians are printed (default 5)")
    made.add_argument("--only", default="", help="contenders to run, separated by commas (default all)")
    made.add_argument("--json", type=Path, help="also write the medians to this file")
    made.add_argument("--folder", type=Path, help="make the temporary directory in this one")
    return made


def chosen(names: Sequence[str], only: str) -> list[str]:
    """The contenders that ``--only`` leaves."""
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    unknown = set(wanted) - set(names)
    if unknown:
        raise SystemExit(f"--only: no such contender: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    return [name for name in names if not wanted or name in wanted]


def write_json(path: Path | None, results: object) -> None:
    """Keeps the medians in a file."""
    if path is not None:
        path.write_text(json.dumps(results, indent=2) + "\n")


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """Turns what a reader of the terminal can do something about into one line."""
    try:
        yield
    except (Missing, TimeoutError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from None
