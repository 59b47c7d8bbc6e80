"""The fault program, small: kill -9 of everybody while messages flow."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

HERE = Path(__file__).resolve().parents[2]


class FaultTests(TestCase):
    """What was acknowledged arrives, once, in order."""

    timeout = 180

    async def test_kill_9_of_server_sender_and_receiver_loses_doubles_and_disorders_nothing(self) -> None:
        """Each of them once, at a random instant."""
        result = Path(self.mktemp()).absolute()
        arguments = ["-m", "benchmarks.faults", "--only", "kills", "--messages", "150", "--kills", "1"]
        places = ["--json", str(result), "--folder", os.getcwd()]
        out, err, status = await getProcessOutputAndValue(sys.executable, [*arguments, *places], os.environ, str(HERE))
        self.assertEqual(status, 0, f"{out.decode()}{err.decode()}")
        ((_, verdict),) = json.loads(result.read_text()).items()
        self.assertGreaterEqual(verdict["accepted"], 150)
        self.assertEqual((verdict["lost"], verdict["twice"], verdict["out_of_order"]), ([], [], []))
