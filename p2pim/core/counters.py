"""What each user sent and received through the server, and which part of it is not yet on disk.

Only envelopes of kind MESSAGE are counted: heartbeats, signalling and everything that goes directly leave these numbers
untouched, which is how an operator sees that direct channels work. Counting is two additions on the way of a message;
times are set when the counts are taken for writing, so they are late by one interval at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Increase(NamedTuple):
    """What to add to a user's stored counts; ``at`` (seconds since 1970) is when."""

    user: str
    uploads: int
    upload_bytes: int
    downloads: int
    download_bytes: int
    spliced_bytes: int
    at: float


class Counters:
    """One user's counts since they were last written."""

    __slots__ = ("download_bytes", "downloads", "spliced_bytes", "upload_bytes", "uploads", "user")

    def __init__(self, user: str) -> None:
        self.user = user
        self.clear()

    def clear(self) -> None:
        """Begin at 0."""
        self.uploads = self.upload_bytes = self.downloads = self.download_bytes = self.spliced_bytes = 0

    def add(self, increase: Increase) -> None:
        """Count again what could not be written."""
        self.uploads += increase.uploads
        self.upload_bytes += increase.upload_bytes
        self.downloads += increase.downloads
        self.download_bytes += increase.download_bytes
        self.spliced_bytes += increase.spliced_bytes


class CounterTable:
    """The counters of everybody who was online since the last `take`."""

    def __init__(self) -> None:
        self._by_user: dict[str, Counters] = {}
        self.messages = 0
        """Messages relayed since the server started and written by `take`."""
        self.message_bytes = 0
        """And their bytes."""
        self.spliced_bytes = 0
        """Bytes relayed through splices since the server started and written by `take`."""

    def of(self, user: str) -> Counters:
        """The counters of ``user``: hold them only as long as the user is online."""
        counters = self._by_user.get(user)
        if counters is None:
            counters = self._by_user[user] = Counters(user)
        return counters

    def take(self, now: float, online: Iterable[str]) -> list[Increase]:
        """What has come since the last time, counted from 0 again. Who is not ``online`` is then forgotten."""
        increases = []
        for counters in self._by_user.values():
            if counters.uploads or counters.downloads or counters.spliced_bytes:
                increases.append(self._taken(counters, now))
        keep = set(online)
        for user in [user for user in self._by_user if user not in keep]:
            del self._by_user[user]
        return increases

    def put_back(self, increases: Iterable[Increase]) -> None:
        """The increases could not be written: count them again next time."""
        for increase in increases:
            self.of(increase.user).add(increase)
            self.messages -= increase.uploads
            self.message_bytes -= increase.upload_bytes
            self.spliced_bytes -= increase.spliced_bytes

    def forget(self, user: str) -> None:
        """The account is gone."""
        self._by_user.pop(user, None)

    def _taken(self, counters: Counters, now: float) -> Increase:
        increase = Increase(
            counters.user, counters.uploads, counters.upload_bytes, counters.downloads, counters.download_bytes,
            counters.spliced_bytes, now,
        )  # fmt: skip
        self.messages += counters.uploads
        self.message_bytes += counters.upload_bytes
        self.spliced_bytes += counters.spliced_bytes
        counters.clear()
        return increase
