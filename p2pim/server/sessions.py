"""Who is signed in: users, their devices, and the way to each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from p2pim.core.counters import Counters
from p2pim.core.presence import Entry, shown_status
from p2pim.core.rate import TokenBucket
from p2pim.server.post import Post
from p2pim.wire.messages import Device, Message, encode


class IClient(Protocol):
    """The connection of a signed-in device, as the rest of the server sees it."""

    output_bytes: int
    """What waits because the client does not read."""

    def send_frame(self, body: bytes) -> None:
        """Send an encoded message."""

    def sign_out(self, reason: str, message: str) -> None:
        """Tell the client why its session ends, and close."""


class OnlineUser:
    """A user with at least one device signed in."""

    __slots__ = ("counters", "entry", "name", "sessions")

    def __init__(self, entry: Entry, counters: Counters) -> None:
        self.name = entry.name
        self.entry = entry
        self.counters = counters
        self.sessions: dict[bytes, Session] = {}

    @property
    def status(self) -> str:
        """What others see."""
        return shown_status(session.status for session in self.sessions.values())


class Session:
    """One device that is signed in.

    :ivar id: random, for the operator's log.
    :ivar address: the device's, as the server sees it.
    :ivar since: when it signed in, in seconds since 1970.
    :ivar bucket: how many requests it may make.
    :ivar post: how mail stands with it.
    """

    __slots__ = (
        "address", "bucket", "client", "device", "device_name", "id", "post", "since", "status", "user",
    )  # fmt: skip

    def __init__(
        self,
        user: OnlineUser,
        device: bytes,
        client: IClient,
        *,
        id: bytes,
        device_name: str,
        status: str,
        address: str,
        since: float,
        bucket: TokenBucket,
    ) -> None:
        self.user = user
        self.device = device
        self.client = client
        self.id = id
        self.device_name = device_name
        self.status = status
        self.address = address
        self.since = since
        self.bucket = bucket
        self.post = Post()

    def send(self, message: Message) -> None:
        """Send a message to the device."""
        self.client.send_frame(encode(message))

    def as_device(self) -> Device:
        """What those who may see this device know of it."""
        return Device(self.device, self.device_name, self.address, self.since)


class Directory:
    """All sessions, by user and device."""

    def __init__(self) -> None:
        self.users: dict[str, OnlineUser] = {}
        """By canonical name. The relay looks in here for every message."""
        self.sessions = 0

    def find(self, user: str, device: bytes) -> Session | None:
        """The session of a device, or None."""
        online = self.users.get(user)
        return online.sessions.get(device) if online is not None else None

    def add(self, session: Session) -> None:
        """A device is signed in."""
        user = session.user
        assert session.device not in user.sessions
        user.sessions[session.device] = session
        self.users[user.name] = user
        self.sessions += 1

    def remove(self, session: Session) -> bool:
        """A device is signed out; whether its user is thereby offline. Nothing happens when another took its place."""
        user = session.user
        if user.sessions.get(session.device) is not session:
            return False
        del user.sessions[session.device]
        self.sessions -= 1
        if user.sessions:
            return False
        del self.users[user.name]
        return True

    def of(self, user: str) -> list[Session]:
        """The sessions of a user."""
        online = self.users.get(user)
        return list(online.sessions.values()) if online is not None else []

    def all(self) -> Iterator[Session]:
        """Every session."""
        for user in list(self.users.values()):
            yield from list(user.sessions.values())
