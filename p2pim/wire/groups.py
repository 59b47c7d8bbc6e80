"""Groups: their membership, which the server keeps, and messages to all their members.

A group's ``version`` counts the changes of its membership. A message says for which version it was sealed: when the
group has changed meanwhile the server refuses it (`GroupChangedMeanwhile`), so that nothing that a former member could
read goes out after they were removed.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from p2pim.wire.fields import DeviceId, Label, Message, MessageId, Name, Payload, RequestId

GroupName = Annotated[str, Meta(min_length=1, max_length=64)]
"""Without the ``#``; unique on a server, by the rules of user names."""
Version = Annotated[int, Meta(ge=0, le=2**53)]


class Member(Struct, frozen=True, array_like=True, gc=False):
    """``role`` is "owner", "admin" or "member"."""

    user: Name
    role: Label


class Group(Struct, frozen=True, array_like=True, gc=False):
    """A group as its members see it. Nobody is a member of a group that was ended, or that one was removed from."""

    name: GroupName
    version: Version
    members: Annotated[list[Member], Meta(max_length=1024)]
    topic: Label = ""


# --- client to server


class ChangeGroup(Message, frozen=True, tag=49):
    """``action``: "create" (with ``users``), "add", "remove", "leave", "role" (``users`` to ``role``), "topic"
    (``role`` is the text), "end"; answered by `GroupState`."""

    id: RequestId
    group: GroupName
    action: Label
    users: Annotated[list[Name], Meta(max_length=256)] = field(default_factory=list)
    role: Label = ""


class ListGroups(Message, frozen=True, tag=50):
    """The groups of which I am a member; answered by `Groups`."""

    id: RequestId


class SendToGroup(Message, frozen=True, tag=51):
    """One sealed envelope for every device of every member, mine excepted, and ``skip``, which have it already.

    It is mail; `Stored` or `Failed` comes back once for all of them.
    """

    id: RequestId
    group: GroupName
    version: Version
    message: MessageId
    payload: Payload
    skip: Annotated[list[DeviceId], Meta(max_length=1024)] = field(default_factory=list)


# --- server to client


class GroupState(Message, frozen=True, tag=68):
    """The answer to `ChangeGroup`."""

    id: RequestId
    group: Group


class Groups(Message, frozen=True, tag=69):
    """The answer to `ListGroups`."""

    id: RequestId
    groups: list[Group]


class GroupChanged(Message, frozen=True, tag=70):
    """The membership changed: ``by`` did ``action``. Those who are members no longer get it with ``members`` empty."""

    group: Group
    by: Name
    action: Label
    users: list[Name]
