"""A steady clock for the reactor.

Twisted's timers follow the wall clock: set back an hour, every timer stops for an hour. Timers here follow
`time.monotonic`, which nobody sets.
"""

from __future__ import annotations

import time
from typing import Any


def use_steady_clock(reactor: Any) -> None:
    """Make ``reactor`` measure time by `time.monotonic`. To be called before its first ``callLater``."""
    reactor.seconds = time.monotonic
