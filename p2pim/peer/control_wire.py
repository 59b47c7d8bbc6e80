"""What every program at the control socket needs: the socket's name, and errors as they were sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from p2pim.errors import NoDirectPath, P2pimError, from_wire

_LONGEST_PATH = 100
"""Bytes that every system takes as the path of a Unix socket."""


class AgentGone(P2pimError):
    """The agent ended, or dropped the connection, before it had answered."""

    code = "agent-gone"
    default = "The agent ended before it had answered."


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name for ``path`` that fits into the address of a Unix socket, however deep the home is."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


def rebuild(report: dict[str, Any]) -> P2pimError:
    """The error that the agent reported."""
    code, message = str(report.get("error", "error")), str(report.get("message", ""))
    if code == NoDirectPath.code:
        pairs = tuple((str(r.get("rung", "")), str(r.get("reason", ""))) for r in report.get("reasons", ()))
        return NoDirectPath(message, reasons=pairs)
    return from_wire(code, message, float(report.get("retry_after", 0.0)))
