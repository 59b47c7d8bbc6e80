"""Mail: envelopes that the server keeps for a device until the device has them.

An envelope (`p2pim.wire.messages.Send`) that carries a ``message`` id is **mail**: it is forwarded at once to a device
that is connected and kept until the device says `Got`; otherwise, or when the connection ends first, it goes to the
device's **mailbox**, and the sender hears `Stored` once that is committed. (recipient device, sender, sender's device,
id) is unique: what is, or lately was, in the mailbox is not stored twice, and is answered `Stored` again.

A device empties its mailbox itself: `FetchMail` in pages, `AckMail` when it has stored them. While its mailbox is not
empty, new mail for it goes to the mailbox's end, so that order is kept; `MailWaiting` tells it.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from p2pim.wire.fields import DeviceId, Message, MessageId, Name, Payload, RequestId

Sequence = Annotated[int, Meta(ge=0, le=2**62)]
"""Counts a device's mail from 1, without gaps when it was committed."""


class MailId(Struct, frozen=True, array_like=True, gc=False):
    """One envelope, as its recipient names it."""

    sender: Name
    device: DeviceId
    message: MessageId


class MailItem(Struct, frozen=True, array_like=True, gc=False):
    """One envelope out of the mailbox. ``at`` is when the server took it, in seconds since 1970."""

    number: Sequence
    sender: Name
    device: DeviceId
    kind: int
    message: MessageId
    payload: Payload
    at: float
    group: str = ""


# --- client to server


class Got(Message, frozen=True, tag=46):
    """I have stored these, which came as `Incoming`. There is no answer."""

    items: Annotated[list[MailId], Meta(max_length=256)]


class FetchMail(Message, frozen=True, tag=47):
    """The mail after the number ``after``, at most ``limit``; answered by `Mail`."""

    id: RequestId
    after: Sequence
    limit: Annotated[int, Meta(ge=1, le=256)] = 256


class AckMail(Message, frozen=True, tag=48):
    """I have stored my mail up to this number; answered by `Done` once it is deleted."""

    id: RequestId
    up_to: Sequence


# --- server to client


class Stored(Message, frozen=True, tag=65):
    """These envelopes of mine (by the ids that I gave them in `Send`) are committed to a mailbox."""

    ids: list[RequestId]


class Mail(Message, frozen=True, tag=66):
    """The answer to `FetchMail`. ``more``: there is more after these."""

    id: RequestId
    items: list[MailItem]
    more: bool


class MailWaiting(Message, frozen=True, tag=67):
    """There is mail in my mailbox (again): ``count`` at least."""

    count: int
