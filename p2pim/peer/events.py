"""What happens to a peer, one frozen value per event; the names and keys of ``p2pim --json up``.

`Peer.subscribe` hands these to applications. `as_json` gives the documented form: ``event``, ``at`` (RFC 3339, UTC,
milliseconds) and the fields, with field names as in ``docs/cli.md``.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events. ``at`` is in seconds since 1970."""

    at: float
    event: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class SignedIn(Event):
    """The session stands. ``address`` is mine as the server sees it."""

    event: ClassVar[str] = "signed-in"
    user: str
    device: str
    server: str
    address: str
    p2p_server: str | None


@dataclass(frozen=True, kw_only=True)
class SessionInterrupted(Event):
    """The connection to the server ended; `Reconnecting` follows."""

    event: ClassVar[str] = "interrupted"
    reason: str


@dataclass(frozen=True, kw_only=True)
class Reconnecting(Event):
    """Another attempt begins."""

    event: ClassVar[str] = "reconnecting"
    reason: str


@dataclass(frozen=True, kw_only=True)
class SignedOut(Event):
    """Final: ``reason`` is "replaced", "refused", "kicked" or "logout"; there will be no attempt to come back."""

    event: ClassVar[str] = "signed-out"
    reason: str
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class PresenceChanged(Event):
    """A contact came, went or changed: ``status`` is "online", "away", "busy" or "offline"."""

    event: ClassVar[str] = "presence"
    user: str
    status: str


@dataclass(frozen=True, kw_only=True)
class ContactRequested(Event):
    """A user asks to be my contact."""

    event: ClassVar[str] = "contact-request"
    user: str


@dataclass(frozen=True, kw_only=True)
class ContactAccepted(Event):
    """A user whom I asked is my contact now."""

    event: ClassVar[str] = "contact-accepted"
    user: str


@dataclass(frozen=True, kw_only=True)
class Typing(Event):
    """A user is writing to me, or to a group that I am in."""

    event: ClassVar[str] = "typing"
    user: str
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class MessageReceived(Event):
    """A message for me, stored and shown once. ``route`` is "tcp", "udp", "relay" or "mailbox"."""

    event: ClassVar[str] = "message"
    id: str
    user: str
    text: str
    route: str
    address: str
    sent_at: str
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class MessageSent(Event):
    """A message that I sent from another ``device`` of mine to ``user``, stored here too."""

    event: ClassVar[str] = "sent"
    id: str
    user: str
    device: str
    text: str
    route: str
    address: str
    sent_at: str
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class MessageWritten(Event):
    """A message that I wrote at this device, by whichever program; it is in the outbox."""

    event: ClassVar[str] = "wrote"
    id: str
    user: str
    text: str
    sent_at: str
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class MessageUndelivered(Event):
    """A message of mine could not be delivered: for good, or (``waits``) it is tried again. ``reason`` is an error's
    code, ``message`` its words."""

    event: ClassVar[str] = "undelivered"
    id: str
    user: str
    reason: str
    message: str
    waits: bool
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReceiptReceived(Event):
    """A message of mine reached ``state``: "stored", "delivered" or "read"; one to a ``group``, with the member
    ``user``."""

    event: ClassVar[str] = "receipt"
    id: str
    user: str
    state: str
    route: str
    group: str | None = None


@dataclass(frozen=True, kw_only=True)
class GroupChange(Event):
    """``by`` did ``action`` ("create", "add", "remove", "leave", "role", "topic", "end", or "devices": a device
    of a member came or went) to ``users`` of ``group``; by nobody named while I was away ("changed").

    ``members`` are the present ones (user and role); none when I am in it no more.
    """

    event: ClassVar[str] = "group-changed"
    group: str
    by: str
    action: str
    users: tuple[str, ...]
    members: tuple[dict[str, str], ...]
    topic: str


@dataclass(frozen=True, kw_only=True)
class BroadcastReceived(Event):
    """An application at a device of ``user`` tells all of ``group`` something; ``body`` is base64 in JSON."""

    event: ClassVar[str] = "broadcast"
    user: str
    device: str
    group: str
    topic: str
    body: bytes


@dataclass(frozen=True, kw_only=True)
class ChannelOpened(Event):
    """A channel to a device of ``user`` stands."""

    event: ClassVar[str] = "channel-opened"
    user: str
    device: str
    kind: str
    address: str
    local_address: str
    same_lan: bool
    rtt_ms: float | None


@dataclass(frozen=True, kw_only=True)
class ChannelClosed(Event):
    """A channel ended."""

    event: ClassVar[str] = "channel-closed"
    user: str
    device: str
    kind: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ConnectFailed(Event):
    """No direct channel could be made; ``reasons`` are {"rung", "reason"} pairs in the order of the ladder."""

    event: ClassVar[str] = "connect-failed"
    user: str
    reasons: tuple[dict[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class RouteChanged(Event):
    """Messages to ``user`` go another way now: ``kind`` is "tcp", "udp", "relay" or "none"; ``reasons`` as in
    `ConnectFailed`: why they do not go directly."""

    event: ClassVar[str] = "route"
    user: str
    kind: str
    address: str
    rtt_ms: float | None
    same_lan: bool
    reasons: tuple[dict[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class ConversationRead(Event):
    """I have seen what came from ``user`` (or in ``#GROUP``), here or at another device of mine: fewer are unread."""

    event: ClassVar[str] = "conversation-read"
    user: str


@dataclass(frozen=True, kw_only=True)
class HistoryDeleted(Event):
    """Messages were taken out of the history with ``user`` (or in ``#GROUP``): these ``ids``, or all (None)."""

    event: ClassVar[str] = "history-deleted"
    user: str
    ids: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class SettingsChanged(Event):
    """How this peer behaves: ``settings`` as the method ``settings`` of the local API gives them."""

    event: ClassVar[str] = "settings"
    settings: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class DeviceAdded(Event):
    """A further device of a user (or of mine) showed its keys."""

    event: ClassVar[str] = "device-added"
    user: str
    device: str
    name: str


@dataclass(frozen=True, kw_only=True)
class IdentityChanged(Event):
    """A verified user has a device that was not there when they were verified, or a device shows other keys than it
    had (those are never used). Messages to them wait until it is ``accepted``."""

    event: ClassVar[str] = "identity-changed"
    user: str
    device: str
    accepted: bool


@dataclass(frozen=True, kw_only=True)
class ComparisonAsked(Event):
    """A user wants to compare keys: ``p2pim verify USER --sas`` on this side takes it up."""

    event: ClassVar[str] = "verify"
    user: str
    device: str


def rfc3339(seconds: float) -> str:
    """A time in seconds since 1970 as ``2026-01-31T12:00:00.123Z``."""
    whole, microseconds = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{_whole_second(whole)}.{microseconds // 1000:03d}Z"


@lru_cache(maxsize=8)
def _whole_second(seconds: int) -> str:
    """Many events have the same one."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def as_json(event: Event) -> dict[str, Any]:
    """The documented form of an event."""
    result: dict[str, Any] = {"event": event.event, "at": rfc3339(event.at)}
    for field in fields(event):
        value = getattr(event, field.name)
        if field.name != "at" and not (field.name == "group" and value is None):
            result[field.name] = base64.b64encode(value).decode() if isinstance(value, bytes) else value
    return result
