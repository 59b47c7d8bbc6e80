"""People: contacts and who is there, as the server tells it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from p2pim.wire.fields import Address, DeviceId, Label, Message, Name, RequestId

# --- client to server


class SetStatus(Message, frozen=True, tag=5):
    """My presence from now on: online, away, busy or invisible."""

    status: Label


class AddContact(Message, frozen=True, tag=6):
    """Ask ``user`` to be my contact, or agree to be theirs; answered by `Found` with what I may know of them then."""

    id: RequestId
    user: Name


class RemoveContact(Message, frozen=True, tag=7):
    """Be contacts no more, for both sides; or withdraw my request, or decline theirs."""

    id: RequestId
    user: Name


class BlockUser(Message, frozen=True, tag=8):
    """``blocked``: ``user`` reaches me no more; not ``blocked``: they may again."""

    id: RequestId
    user: Name
    blocked: bool


class LookUp(Message, frozen=True, tag=9):
    """Presence and devices of the users named; answered by `Found`, or `Failed` when one does not exist.

    Of somebody who is no contact only the ids of all their devices, signed in or not, so that they can be written to.
    """

    id: RequestId
    users: Annotated[list[Name], Meta(max_length=64)]


class WhoIsOnline(Message, frozen=True, tag=10):
    """Everyone online whom I may see, with addresses; answered by `Found`."""

    id: RequestId


# --- server to client


class Device(Message, frozen=True):
    """One signed-in device of a user, as others may see it."""

    id: DeviceId
    name: Label
    address: Address = ""
    """As the server sees it; empty where the asker may not know."""
    since: float = 0.0
    """When it signed in, in seconds since 1970."""


class Person(Message, frozen=True):
    """A user and what may be known of their presence: ``status`` is online, away, busy or offline; or empty: it is not
    for the asker to know."""

    user: Name
    status: Label
    devices: list[Device] = field(default_factory=list)
    relation: Label = ""
    """How the asker stands to this user: "contact" (both have agreed), "requested" (the asker has asked), "asks" (this
    user has), "blocked", or empty."""


class Found(Message, frozen=True, tag=34):
    """The answer to `LookUp`, `WhoIsOnline` and `AddContact`."""

    id: RequestId
    people: list[Person]


class PresenceChanged(Message, frozen=True, tag=37):
    """Someone I may see came, went, or changed; or stands to me in another relation."""

    person: Person
