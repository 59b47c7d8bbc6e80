"""What `p2pim doctor` says behind each kind of kernel NAT, as real processes with the real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.natlab.laboratory import OUTSIDE, SERVER, Laboratory, missing, processes

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
TWISTD = str(Path(sys.executable).with_name("twistd"))
P2P_SERVER = f"{SERVER[0]}:4531"
WAIT = 30.0

EI, AD, APD = "endpoint-independent", "address-dependent", "address-and-port-dependent"
WORDS = {
    "public": ("none", EI),
    "public-fw": ("none", APD),
    "full-cone": (EI, EI),
    "addr-restricted": (EI, AD),
    "port-restricted": (EI, APD),
    "double": (EI, APD),
    "symmetric": (APD, APD),
    "udp-blocked": ("blocked", "blocked"),
}
WORKS: dict[str, dict[str, bool | str]] = {
    "public": {"tcp-direct": True, "udp": True},
    "public-fw": {"tcp-direct": "unknown", "udp": True},
    "symmetric": {"tcp-direct": "unknown", "udp": "unknown", "tcp-lan": True},
    "udp-blocked": {"udp": False, "relay": "unknown"},
}


class DoctorInTheLaboratory(SynchronousTestCase):
    """Each with one server and one machine."""

    skip = missing() or None
    timeout = 120

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def doctor(self, lab: Laboratory, *options: str) -> dict[str, Any]:
        """What it says on machine A."""
        command = [sys.executable, "-m", "p2pim.cli.main", "--home", str(self.folder / "home"), "--json", "doctor"]
        done = subprocess.run(
            lab.command("A", *command, *options), env=ENVIRONMENT, capture_output=True, text=True, timeout=WAIT
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        (line,) = done.stdout.splitlines()
        result: dict[str, Any] = json.loads(line)
        return result

    def serve(self, lab: Laboratory, running: list[subprocess.Popen[str]], *options: str) -> dict[str, Any]:
        """Start the server, and what its ready.json says."""
        data = self.folder / "data"
        command = [TWISTD, "-n", "--pidfile=", f"--logfile={self.folder / 'log'}", "p2pim-server", "--data", str(data)]
        running.append(subprocess.Popen(lab.command("S", *command, *options), env=ENVIRONMENT, text=True))
        end = time.monotonic() + WAIT
        while not (data / "ready.json").exists():
            self.assertLess(time.monotonic(), end, "the server did not start")
            time.sleep(0.05)
        ready: dict[str, Any] = json.loads((data / "ready.json").read_text())
        return ready

    def check_kind(self, kind: str) -> None:
        """The words, the public address and the rungs for one kind of NAT."""
        with Laboratory({"A": kind, "B": "public"}) as lab, processes() as running:
            self.serve(lab, running)
            said = self.doctor(lab, "--p2p-server", P2P_SERVER)
        self.assertEqual((said["mapping"], said["filtering"]), WORDS[kind])
        self.assertEqual(said["public_address"], None if kind == "udp-blocked" else OUTSIDE["A"])
        self.assertEqual((said["p2p_server"], said["port_mapping"]), (P2P_SERVER, None))
        rungs = {rung["rung"]: rung for rung in said["rungs"]}
        self.assertEqual(list(rungs), ["tcp-lan", "tcp-direct", "udp", "relay"])
        for rung, works in WORKS.get(kind, {"tcp-direct": "unknown", "udp": True}).items():
            self.assertEqual(rungs[rung]["works"], works, rungs[rung])
        self.assertTrue(all(rung["why"] for rung in said["rungs"]))

    def test_with_one_address_of_the_server_less_is_claimed(self) -> None:
        """The port alone can be changed: whether the address matters stays open."""
        for kind, words in (
            ("full-cone", ("port-independent", "port-independent")),
            ("port-restricted", ("port-independent", APD)),
            ("symmetric", (APD, APD)),
        ):
            with Laboratory({"A": kind, "B": "public"}) as lab, processes() as running:
                self.serve(lab, running, "--interface", SERVER[0], "--config", str(self.one_address()))
                said = self.doctor(lab, "--p2p-server", P2P_SERVER)
                self.assertEqual((said["mapping"], said["filtering"]), words)
            (self.folder / "data" / "ready.json").unlink(missing_ok=True)

    def one_address(self) -> Path:
        """A configuration without a second address."""
        config = self.folder / "one.toml"
        config.write_text('[p2p]\nalternate_address = "none"\n')
        return config

    def test_an_account_learns_of_the_integrated_server_across_a_nat(self) -> None:
        """The wildcard server says ":PORT", which is where the client reached it; no option is needed."""
        with Laboratory({"A": "port-restricted", "B": "public"}) as lab, processes() as running:
            ready = self.serve(lab, running)
            home = ["--home", str(self.folder / "home")]
            subprocess.run(
                lab.command("A", sys.executable, "-m", "p2pim.cli.main", *home, "register", f"alice@{SERVER[0]}",
                            "--fingerprint", ready["fingerprint"]),
                env={**ENVIRONMENT, "P2PIM_PASSWORD": "correct horse"}, check=True, capture_output=True, timeout=WAIT,
            )  # fmt: skip
            said = self.doctor(lab)
        self.assertEqual((said["p2p_server"], said["mapping"]), (P2P_SERVER, EI))
        self.assertIs({rung["rung"]: rung["works"] for rung in said["rungs"]}["relay"], True)


def _add(kind: str) -> None:
    def test(self: DoctorInTheLaboratory) -> None:
        self.check_kind(kind)

    test.__doc__ = f"Mapping, filtering and rungs behind {kind}."
    setattr(DoctorInTheLaboratory, f"test_{kind.replace('-', '_')}_is_recognised", test)


for _kind in WORDS:
    _add(_kind)
