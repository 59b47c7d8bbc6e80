"""What a process sets for itself."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from p2pim.net.process import keep_freed_memory

FAULTS = """
import resource
from p2pim.net.process import keep_freed_memory
keep_freed_memory()
def round():
    held = [bytes(1 << 20) for _ in range(6)]
round()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    round()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


class MemoryTests(SynchronousTestCase):
    def test_memory_that_is_needed_again_is_not_given_back(self) -> None:
        """120 MiB come and go without a fault for each of their 30,000 pages."""
        if not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
            return
        faults = int(subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, check=True, text=True).stdout)
        self.assertLess(faults, 3_000)

    def test_other_libraries_are_left_alone(self) -> None:
        """There the numbers would mean something else."""
        called: list[Any] = []
        self.patch(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=lambda *args: called.append(args)))
        keep_freed_memory()
        self.assertEqual(called, [])
