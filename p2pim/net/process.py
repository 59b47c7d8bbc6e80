"""What a process of ours sets for itself before anything runs: whoever starts the reactor calls these, no library."""

from __future__ import annotations

import ctypes
import time
from typing import Any, Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Of glibc's mallopt(3)."""
_KEPT: Final = 16 * 1024 * 1024
_MAPPED: Final = 8 * 1024 * 1024


def use_steady_clock(reactor: Any) -> None:
    """Make ``reactor`` measure time by `time.monotonic`. To be called before its first ``callLater``.

    Twisted's timers follow the wall clock: set back an hour, every timer stops for an hour.
    """
    reactor.seconds = time.monotonic


def keep_freed_memory() -> None:
    """Let glibc keep a few freed MiB instead of giving them back to the kernel and asking for them again.

    A transfer frees and allocates a MiB for every MiB that it moves; each page of it would be a fault, which took a
    sixth of all its time. Elsewhere than on glibc nothing happens.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_MMAP_THRESHOLD, _MAPPED)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT)
