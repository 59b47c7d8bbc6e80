"""What happens to files and folders on their way: events, as those in `p2pim.peer.events`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from p2pim.peer.events import Event


@dataclass(frozen=True, kw_only=True)
class TransferOffered(Event):
    """A file or folder is offered, to me (``direction`` "in") or by me ("out"). Sizes in bytes."""

    event: ClassVar[str] = "offer"
    transfer: str
    user: str
    name: str
    size: int
    files: int
    comment: str
    direction: str
    route: str = "auto"
    """How it should go: "mailbox" by way of the server's store."""


@dataclass(frozen=True, kw_only=True)
class TransferProgress(Event):
    """At most four a second per transfer. ``rate`` in bytes per second."""

    event: ClassVar[str] = "progress"
    transfer: str
    bytes: int
    total: int
    rate: float
    route: str


@dataclass(frozen=True, kw_only=True)
class TransferChanged(Event):
    """Where a transfer that has not ended stands now; the fields as in `p2pim.peer.transfer.TransferStatus`."""

    event: ClassVar[str] = "transfer"
    transfer: str
    user: str
    direction: str
    state: str
    paused: str
    reason: str
    message: str
    bytes: int
    total: int
    route: str


@dataclass(frozen=True, kw_only=True)
class TransferCompleted(Event):
    """All of it arrived and was verified. ``blake3`` in hexadecimal; for a folder, of its stream."""

    event: ClassVar[str] = "completed"
    transfer: str
    name: str
    path: str
    bytes: int
    seconds: float
    route: str
    blake3: str


@dataclass(frozen=True, kw_only=True)
class TransferStored(Event):
    """The server keeps all of it for ``user``, who is away, for ``expires_in`` seconds more at most."""

    event: ClassVar[str] = "stored"
    transfer: str
    user: str
    name: str
    bytes: int
    expires_in: float


@dataclass(frozen=True, kw_only=True)
class TransferDisrupted(Event):
    """The transfer ended without success; ``reason`` as in ``docs/cli.md``, ``message`` says more.

    When it ``waits`` it has not ended for good: it goes on by itself once that is possible.
    """

    event: ClassVar[str] = "disrupted"
    transfer: str
    reason: str
    bytes: int
    message: str = ""
    user: str = ""
    name: str = ""
    waits: bool = False
