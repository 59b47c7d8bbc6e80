"""What a peer tells of itself: frozen values, complete enough to draw a screen from, with no secrets in them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from p2pim.core.p2p_choice import choose_p2p_server
from p2pim.peer.events import rfc3339
from p2pim.peer.interfaces import IChannel


@dataclass(frozen=True, kw_only=True)
class PeerSettings:
    """How a peer behaves; every field has a default that suits a person at a desk."""

    accept: str = "ask"
    """Offered files: "always", "contacts", "ask" or "never"."""
    downloads: Path | None = None
    """Where accepted files go; None: the platform's folder for downloads."""
    p2p_server: str | None = None
    """``HOST:PORT`` of a P2P server, "none", or None for the one that the server names."""
    channel: str = "auto"
    """Which direct channels may be made: "auto", "tcp", "udp" or "none"."""
    connect: str = "chat"
    """When: with the first message ("chat"), to the whole LAN after signing in ("lan"), or on demand only ("never")."""
    away_after: float = 0.0
    """Seconds without anything that a person did, after which others see them as away; 0: never."""
    quota: int | None = None
    """Bytes above which an offered file is refused; None: the disk decides."""

    def __post_init__(self) -> None:
        """:raises BadP2pServer: that is no P2P server."""
        choose_p2p_server(self.p2p_server, None, "")


@dataclass(frozen=True, kw_only=True)
class SentMessage:
    """What became of a message.

    ``state`` is "delivered" (a device of the recipient has stored it) or "sent"; when ``queued``, the recipient is away
    and the message waits in this home's outbox. ``ms`` is the time until the receipt, or None.
    """

    id: str
    state: str
    route: str
    address: str
    ms: float | None
    queued: bool = False
    note: str = ""
    members: tuple[dict[str, str], ...] | None = None
    """Of a message to a group: how far each member is with it (``user`` and ``state``)."""

    def as_json(self) -> dict[str, Any]:
        """The documented form."""
        result = asdict(self)
        if not self.queued:
            del result["queued"]
        if not self.note:
            del result["note"]
        if self.members is None:
            del result["members"]
        return result


@dataclass(frozen=True, kw_only=True)
class ChannelState:
    """A channel, seen from outside. Times in milliseconds, ``since`` as RFC 3339."""

    user: str
    device: str
    kind: str
    address: str
    local_address: str
    same_lan: bool
    rtt_ms: float | None
    sent: int
    received: int
    since: str
    reasons: tuple[dict[str, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The documented form."""
        return {**asdict(self), "reasons": list(self.reasons)}

    @property
    def title(self) -> str:
        """For the title of a conversation: ``bob — direct TCP 192.168.1.7:50122``."""
        if self.kind == "relay":
            return f"{self.user} — relayed"
        return f"{self.user} — direct {self.kind.upper()} {self.address}"


def channel_state(channel: IChannel, reasons: tuple[tuple[str, str], ...] = ()) -> ChannelState:
    """``channel`` as it is now; ``reasons`` why there is none better."""
    return ChannelState(
        user=channel.user,
        device=channel.device.hex(),
        kind=channel.kind,
        address=channel.address,
        local_address=channel.local_address,
        same_lan=channel.same_lan,
        rtt_ms=milliseconds(channel.rtt),
        sent=channel.sent,
        received=channel.received,
        since=rfc3339(channel.since),
        reasons=reason_pairs(reasons),
    )


def reason_pairs(reasons: tuple[tuple[str, str], ...]) -> tuple[dict[str, str], ...]:
    """Why each rung of the ladder failed, in the documented form."""
    return tuple({"rung": rung, "reason": reason} for rung, reason in reasons)


def milliseconds(seconds: float | None) -> float | None:
    """Rounded to the microsecond, as reports show it."""
    return None if seconds is None else round(seconds * 1000, 3)
