"""Every pair of NATs, as real processes among kernel NATs: which channel comes, how soon, and why none comes.

    python -m tests.natlab.matrix                         every pair
    python -m tests.natlab.matrix --kinds public,symmetric
    python -m tests.natlab.matrix --links                 with delays of a wide area: A 20 ms, B 30 ms, server 5 ms
    python -m tests.natlab.matrix --both                  each pair from both sides

Prints a line per pair and the matrix, and ends with 1 when a pair differs from what is expected of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.natlab.laboratory import KINDS, Laboratory, missing, pairs, processes
from tests.natlab.scene import Scene, SceneError

LAN = "same-LAN"
LINKS = {"A": "--delay 0.02", "B": "--delay 0.03", "S": "--delay 0.005"}
CLOSED = ("port-restricted", "public-fw", "double")
"""Behind these only answers are let in: only what comes from the very address and port that was sent to."""

BLOCKED_HERE = "this network lets no UDP through"
BLOCKED_THERE = "the other side's network lets no UDP through"
BOTH_SCATTER = "both NATs map every destination to a new port"
HERE_SCATTERS = "the NAT here maps every destination to a new port"
THERE_SCATTERS = "the other side's NAT maps every destination to a new port"


@dataclass(frozen=True)
class Expected:
    """What is to come of a pair: a kind of channel, or "relay" for this reason on the rung of UDP."""

    kind: str
    reason: str = ""


@dataclass(frozen=True)
class Result:
    """What came of it. ``seconds`` as the command took, ``opened`` from its start to the channel."""

    here: str
    there: str
    kind: str
    seconds: float
    reasons: dict[str, str] = field(default_factory=dict)
    address: str = ""
    trouble: str = ""

    def differs(self) -> str:
        """How it is not as expected; empty when it is."""
        wanted = expected(self.here, self.there)
        if self.kind != wanted.kind:
            return f"expected {wanted.kind}"
        said = self.reasons.get("udp", "")
        if wanted.reason and wanted.reason not in said:
            return f"expected the reason {wanted.reason!r}, not {said!r}"
        return ""


def expected(here: str, there: str) -> Expected:
    """What comes of a call from ``here`` to ``there``."""
    both = (here, there)
    if LAN in both or "public" in both:
        return Expected("tcp")
    if here == "udp-blocked":
        return Expected("relay", BLOCKED_HERE)
    if there == "udp-blocked":
        return Expected("relay", BLOCKED_THERE)
    if both == ("symmetric", "symmetric"):
        return Expected("relay", BOTH_SCATTER)
    if here == "symmetric" and there in CLOSED:
        return Expected("relay", HERE_SCATTERS)
    if there == "symmetric" and here in CLOSED:
        return Expected("relay", THERE_SCATTERS)
    return Expected("udp")


def try_pair(here: str, there: str, folder: Path, links: dict[str, str]) -> Result:
    """Set up alice behind ``here`` and bob behind ``there`` (or in alice's LAN), and let her connect to him."""
    kinds = {"A": here, "B": "public" if there == LAN else there}
    with Laboratory(kinds, same_lan=there == LAN, links=links) as lab, processes() as running:
        scene = Scene(lab, folder, running)
        try:
            scene.set()
            scene.wait_gathered()
            begun = time.monotonic()
            answer = scene.p2pim("A", "connect", "bob")
        except SceneError as error:
            return Result(here, there, "nothing", 0.0, trouble=str(error))
        seconds = time.monotonic() - begun
        said = answer.last
        if answer.status == 0:
            return Result(here, there, str(said.get("kind")), seconds, address=str(said.get("address")))
        reasons = {each["rung"]: each["reason"] for each in said.get("reasons", [])}
        relayed = scene.p2pim("A", "msg", "bob", "still there?")
        kind = relayed.last.get("route", "nothing") if relayed.last.get("state") == "delivered" else "nothing"
        return Result(here, there, str(kind), seconds, reasons, trouble="" if reasons else answer.complaint)


def all_pairs(kinds: Sequence[str], *, both: bool) -> Iterable[tuple[str, str]]:
    """The pairs of ``kinds``, where `LAN` stands for bob in the LAN of alice, whatever she is behind."""
    wanted = pairs([kind for kind in kinds if kind != LAN])
    yield from wanted
    if both:
        yield from ((there, here) for here, there in wanted if here != there)
    if LAN in kinds:
        behind = [kind for kind in kinds if kind != LAN and not kind.startswith("public")] or ["port-restricted"]
        yield from ((kind, LAN) for kind in behind)


def line(result: Result) -> str:
    """A pair in one line."""
    why = result.reasons.get("udp", "")
    difference = result.differs()
    text = f"{result.here:16} {result.there:16} {result.kind:8} {result.seconds:6.2f} s  {why or result.address}"
    return f"{text}   <-- {difference}" if difference else text


def matrix(results: Sequence[Result]) -> str:
    """The pairs as a table: who called downwards, who was called across."""
    names = list(dict.fromkeys([*(each.here for each in results), *(each.there for each in results)]))
    cells = {(each.here, each.there): f"{each.kind} {each.seconds:.2f}" for each in results}
    width = max(len(name) for name in names) + 1
    rows = [" " * width + "".join(f"{name:>{width}}" for name in names)]
    for here in names:
        row = [cells.get((here, there), cells.get((there, here), "")) for there in names]
        if any(row):
            rows.append(f"{here:{width}}" + "".join(f"{cell:>{width}}" for cell in row))
    return "\n".join(rows)


def run(kinds: Sequence[str], *, links: dict[str, str], both: bool) -> list[Result]:
    """All pairs, one after another, told as they come."""
    results: list[Result] = []
    for here, there in all_pairs(kinds, both=both):
        with tempfile.TemporaryDirectory(prefix="natlab-") as folder:
            result = try_pair(here, there, Path(folder), links)
        results.append(result)
        print(line(result), flush=True)
        if result.trouble:
            print(result.trouble, flush=True)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default=",".join((*KINDS, LAN)), help="comma-separated; default: all")
    parser.add_argument("--links", action="store_true", help="with the delays of a wide area")
    parser.add_argument("--both", action="store_true", help="each pair of different kinds from both sides")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    given = parser.parse_args()
    if missing():
        print(f"no laboratory here: {missing()}", file=sys.stderr)
        return 2
    results = run(given.kinds.split(","), links=LINKS if given.links else {}, both=given.both)
    print(matrix(results))
    if given.json:
        given.json.write_text(json.dumps([asdict(each) for each in results], indent=1))
    different = [each for each in results if each.differs()]
    print(f"{len(results)} pairs, {len(different)} not as expected")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
