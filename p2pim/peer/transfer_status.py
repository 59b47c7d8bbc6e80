"""A transfer as it is shown to people and programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from p2pim.core.transfer import State
from p2pim.peer.events import rfc3339
from p2pim.storage.transfers import TransferRecord


@dataclass(frozen=True, slots=True)
class TransferStatus:
    """A transfer as it is now. Sizes in bytes of content, ``rate`` in bytes a second, 0 while nothing moves.

    ``state``: "offered", "waiting" (for a route, or its turn), "running", "paused", "stored", "finishing", "completed"
    or "disrupted". ``reason`` says why it waits, is paused or was disrupted; ``message`` says more, for people.
    ``paused`` says by whom: "me", "peer", "both" or nobody (empty). ``created`` and ``expires`` are seconds since 1970;
    ``expires``, when the server deletes what was left there, is None for what is not.
    """

    transfer: str
    user: str
    name: str
    direction: str
    state: str
    bytes: int
    total: int
    rate: float
    route: str
    reason: str
    message: str
    path: str
    comment: str
    files: int
    folder: bool
    paused: str
    created: float
    expires: float | None

    def as_json(self) -> dict[str, Any]:
        """All of it under the names of ``docs/cli.md``, times as RFC 3339."""
        expires = None if self.expires is None else rfc3339(self.expires)
        return {**asdict(self), "created": rfc3339(self.created), "expires": expires}


def paused_by(record: TransferRecord) -> str:
    """Who holds it: "me", "peer", "both", or nobody (empty)."""
    if record.state is not State.PAUSED:
        return ""
    return {(True, True): "both", (False, True): "peer"}.get((record.paused_here, record.paused_there), "me")
