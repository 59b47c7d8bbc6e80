"""A transfer across two NATs whose UDP is cut in the middle and comes back, and that arrives whole all the same.

    python -m tests.natlab.survive --size 1024            MiB, over links of 100 Mbit/s

It begins over punched UDP, goes on by relay while UDP is cut, returns to UDP, and what arrived is compared by hash.
Ends with 1 when any of this did not happen.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from tests.natlab.laboratory import Laboratory, missing, processes
from tests.natlab.scene import Scene, SceneError, wait_until

MIB = 1024 * 1024
NAT = "port-restricted"


@dataclass(frozen=True)
class Plan:
    """``size`` bytes over links of ``rate`` bits a second; UDP is cut after the share ``cut_at``, and mended when the
    relay has carried the share ``relayed``."""

    size: int
    rate: float
    cut_at: float = 0.2
    relayed: float = 0.1
    patience: float = 180.0

    @property
    def links(self) -> dict[str, str]:
        """Both NATs' ways to the bridge, with a little delay."""
        return dict.fromkeys("AB", f"--delay 0.005 --rate {self.rate:g}")


@dataclass(frozen=True)
class Survived:
    """What happened: routes in order, seconds from the cut to the relay's first byte and from the mending to UDP's."""

    routes: list[str]
    to_relay: float
    to_udp: float
    seconds: float
    whole: bool
    messages: list[str]
    """The route of each message that was sent in the three phases."""
    arrived: int
    """Messages that the other side has shown."""

    @property
    def good(self) -> bool:
        """Whether all went as it should."""
        alternates = self.routes[:3] == ["udp", "relay", "udp"]
        return alternates and self.whole and self.messages == ["udp", "relay", "udp"] and self.arrived == 3


def make_file(path: Path, size: int) -> str:
    """Write ``size`` bytes that do not repeat, and give their BLAKE3."""
    block = secrets.token_bytes(MIB)
    hasher = blake3()
    with path.open("wb") as file:
        for number in range(0, size, MIB):
            data = (number.to_bytes(8) + block[8:])[: size - number]
            hasher.update(data)
            file.write(data)
    return hasher.hexdigest()


def hash_file(path: Path) -> str:
    """The BLAKE3 of a file."""
    return blake3().update_mmap(path).hexdigest()


class _Watch:
    """The progress of the one transfer at bob's."""

    def __init__(self, scene: Scene, patience: float) -> None:
        self.scene = scene
        self.patience = patience

    def progress(self) -> list[dict[str, Any]]:
        return self.scene.events("B", "progress")

    @property
    def bytes(self) -> int:
        told = self.progress()
        return int(told[-1]["bytes"]) if told else 0

    def until(self, what: str, true: Callable[[dict[str, Any]], bool]) -> float:
        """Wait for progress of which ``true`` holds; the time when it was seen."""

        def look() -> bool:
            if self.scene.events("B", "completed"):
                raise SceneError(f"{what}: it was complete before")
            told = self.progress()
            return bool(told) and true(told[-1])

        try:
            wait_until(look, what, self.patience)
        except SceneError as error:
            raise SceneError(f"{error}\n{self.scene.told()}") from None
        return time.monotonic()

    def routes(self) -> list[str]:
        found: list[str] = []
        for each in self.progress():
            if not found or found[-1] != each["route"]:
                found.append(str(each["route"]))
        return found


def _say(scene: Scene, text: str) -> str:
    """The route by which a message is delivered."""
    said = scene.p2pim("A", "msg", "bob", text).last
    return str(said.get("route")) if said.get("state") == "delivered" else "nothing"


def survive(scene: Scene, plan: Plan, tell: Callable[[str], None] = lambda text: None) -> Survived:
    """Set the scene, send, cut, mend, and compare.

    :raises SceneError: something was waited for in vain.
    """
    source = scene.folder / "big"
    digest = make_file(source, plan.size)
    scene.set()
    scene.wait_gathered()
    opened = scene.p2pim("A", "connect", "bob").last
    if opened.get("kind") != "udp":
        raise SceneError(f"no udp channel to begin with: {opened}\n{scene.told()}")
    begun = time.monotonic()
    scene.p2pim("A", "send", "bob", str(source), "--no-wait")
    watch = _Watch(scene, plan.patience)
    watch.until("the cut", lambda it: it["route"] == "udp" and it["bytes"] > plan.cut_at * plan.size)
    messages = [_say(scene, "over udp")]
    scene.lab.cut_udp("A")
    cut_at = time.monotonic()
    tell(f"UDP cut after {watch.bytes / MIB:.0f} MiB")
    to_relay = watch.until("the relay", lambda it: it["route"] == "relay") - cut_at
    tell(f"by relay after {to_relay:.1f} s")
    messages.append(_say(scene, "over the relay"))
    level = watch.bytes + plan.relayed * plan.size
    watch.until("progress by relay", lambda it: it["bytes"] > level)
    scene.lab.cut_udp("A", cut=False)
    mended_at = time.monotonic()
    tell(f"UDP mended after {watch.bytes / MIB:.0f} MiB")
    to_udp = watch.until("the return to udp", lambda it: it["route"] == "udp") - mended_at
    tell(f"by udp again after {to_udp:.1f} s, at {watch.bytes / MIB:.0f} MiB")
    messages.append(_say(scene, "over udp again"))
    done = scene.wait_for("B", "completed", plan.patience + 8 * plan.size / plan.rate)
    seconds = time.monotonic() - begun
    whole = done["blake3"] == digest == hash_file(Path(done["path"]))
    scene.wait_for("A", "completed")
    arrived = len(scene.events("B", "message"))
    return Survived(watch.routes(), to_relay, to_udp, seconds, whole, messages, arrived)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, help="MiB")
    parser.add_argument("--rate", type=float, default=100e6, help="bits per second of each link")
    given = parser.parse_args()
    if missing():
        print(f"no laboratory here: {missing()}", file=sys.stderr)
        return 2
    plan = Plan(given.size * MIB, given.rate)
    with (
        tempfile.TemporaryDirectory(prefix="natlab-") as folder,
        Laboratory(dict.fromkeys("AB", NAT), links=plan.links) as lab,
        processes() as running,
    ):
        try:
            survived = survive(Scene(lab, Path(folder), running), plan, lambda text: print(text, flush=True))
        except SceneError as error:
            print(error, file=sys.stderr)
            return 1
    print(survived)
    print("as it should be" if survived.good else "NOT as it should be")
    return 0 if survived.good else 1


if __name__ == "__main__":
    sys.exit(main())
