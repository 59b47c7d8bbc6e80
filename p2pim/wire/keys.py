"""Keys of devices: what the server keeps so that anybody may seal for a device, and hands out.

A device's **identity** is two public keys of its vodozemac account, Curve25519 and Ed25519, bound to its account's name
and its id by a signature (`p2pim.core.sealing` makes and checks it). It never changes: another identity is another
device. **One-time keys** are handed out exactly once each; when none is left the **fallback key** is, as often as
needed. All keys are 32 raw bytes, signatures 64.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from p2pim.wire.fields import DeviceId, Label, Message, Name, RequestId

Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]


class _Part(Struct, frozen=True, array_like=True, gc=False):
    """Base of what stands inside messages."""


class Identity(_Part, frozen=True):
    """A device's identity keys; ``signature`` by ``ed25519`` over the user, the device and both keys."""

    ed25519: Key
    curve25519: Key
    signature: Signature


class OneTimeKey(_Part, frozen=True):
    """A Curve25519 key to begin one session with; ``signature`` by the device's Ed25519 identity key."""

    id: Annotated[str, Meta(max_length=32)]
    key: Key
    signature: Signature
    fallback: bool = False


class KnownDevice(_Part, frozen=True):
    """A device of a user, signed in or not. ``identity`` is None until it has published keys."""

    id: DeviceId
    name: Label
    identity: Identity | None
    added: float
    """When, in seconds since 1970."""
    used: float = 0.0
    """When it signed in last; told to its own account only."""


class DeviceList(_Part, frozen=True):
    """All devices of ``user``."""

    user: Name
    devices: Annotated[list[KnownDevice], Meta(max_length=64)]


class ClaimedKey(_Part, frozen=True):
    """What is needed to begin a session with ``device``; ``key`` is None when it has published none."""

    user: Name
    device: DeviceId
    identity: Identity | None
    key: OneTimeKey | None


class Claim(_Part, frozen=True):
    """A wish for a key of ``device`` of ``user``."""

    user: Name
    device: DeviceId


# --- client to server


class PublishKeys(Message, frozen=True, tag=41):
    """My identity (as before, if it was published before) and further keys; answered by `KeysLeft`."""

    id: RequestId
    identity: Identity
    one_time: Annotated[list[OneTimeKey], Meta(max_length=100)] = field(default_factory=list)
    fallback: OneTimeKey | None = None


class ClaimKeys(Message, frozen=True, tag=42):
    """One key of each device named; answered by `ClaimedKeys`."""

    id: RequestId
    claims: Annotated[list[Claim], Meta(max_length=64)]


class ListDevices(Message, frozen=True, tag=43):
    """All devices of the users named (who have not blocked me); answered by `DeviceLists`."""

    id: RequestId
    users: Annotated[list[Name], Meta(max_length=64)]


class RenameDevice(Message, frozen=True, tag=44):
    """Call my device ``device`` so; answered by `Done`."""

    id: RequestId
    device: DeviceId
    name: Label


class RemoveDevice(Message, frozen=True, tag=45):
    """End my device ``device``: its token, keys and mailbox; its session ends. Answered by `Done`."""

    id: RequestId
    device: DeviceId


# --- server to client


class KeysLeft(Message, frozen=True, tag=61):
    """So many one-time keys of mine are left: the answer to `PublishKeys`, and (``id`` 0) news when they run low."""

    id: RequestId
    left: int


class ClaimedKeys(Message, frozen=True, tag=62):
    """The answer to `ClaimKeys`, in its order."""

    id: RequestId
    keys: list[ClaimedKey]


class DeviceLists(Message, frozen=True, tag=63):
    """The answer to `ListDevices`, in its order."""

    id: RequestId
    lists: list[DeviceList]


class DevicesChanged(Message, frozen=True, tag=64):
    """A device was added to, named, removed from ``list.user``: for their contacts and their own devices."""

    list: DeviceList
