"""What messages of the server connection are made of: their base, and the fields that several of them share."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=128)]
"""A user's name as typed; `p2pim.core.names.canonical_name` decides whether it is one."""
DeviceId = Annotated[bytes, Meta(min_length=16, max_length=16)]
"""A device's identity: 16 random bytes made when its home was."""
Label = Annotated[str, Meta(max_length=128)]
Password = Annotated[str, Meta(max_length=1024)]
Token = Annotated[bytes, Meta(max_length=64)]
RequestId = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Payload = Annotated[bytes, Meta(max_length=96 * 1024)]
"""What one device tells another; see `p2pim.wire.signals`."""
Address = Annotated[str, Meta(max_length=64)]
"""``host:port``, or ``[host]:port`` for IPv6."""
P2pAddress = Annotated[str, Meta(max_length=264)]
"""The same with a name for the host, or ``:port``: at the address at which the client has reached the server."""
MessageId = Annotated[bytes, Meta(min_length=16, max_length=16)]
"""A UUIDv7 made by the sending device."""
NoMessageId = Annotated[bytes, Meta(max_length=16)]
"""A `MessageId`, or nothing where the envelope is one that may be lost."""


class Message(Struct, frozen=True, array_like=True, gc=False):
    """Base of all messages."""
