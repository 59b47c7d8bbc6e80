"""The messages to one group that are on their way: for whom each is, and how far it is with whom."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IDelayedCall

from p2pim.core.delivery import DELIVERED, SENT, STORED, Outgoing, Sending, Target
from p2pim.core.limits import GROUP_ENVELOPES
from p2pim.errors import P2pimError
from p2pim.storage.group_outbox import UNSEALED, WAITING, Parcel
from p2pim.wire.groups import Group
from p2pim.wire.messages import Message


class GroupRoutes(Protocol):
    """What is needed of `p2pim.peer.routes.Routes`."""

    def copy_ways(self, user: str, device: bytes) -> dict[str, Hashable]: ...
    def is_there(self, user: str) -> bool: ...
    def send_direct(self, user: str, device: bytes, sealed: bytes) -> tuple[str, str] | None: ...


class Recipients(Protocol):
    """What is needed of `p2pim.peer.seals.Seals`."""

    async def ready(self, user: str) -> list[bytes]: ...
    def devices(self, user: str) -> Sequence[Any]: ...
    def blocked_by_change(self, user: str) -> bool: ...


class NumberedSession(Protocol):
    """The part of a session that carries messages to groups."""

    @property
    def connected(self) -> bool: ...
    def send_numbered(
        self,
        message: Callable[[int], Message],
        on_failed: Callable[[P2pimError], None] | None = None,
        on_stored: Callable[[], None] | None = None,
    ) -> None: ...


@dataclass(slots=True)
class Letter:
    """A message.

    ``version``: of the group for which it is sealed. ``copies``: waiting, stored or delivered, by device. ``members``:
    sent, stored, delivered or read, by user, without me. ``went``: route and address, once it went.
    """

    message: Outgoing
    version: int
    copies: dict[Target, str]
    members: dict[str, str]
    went: tuple[str, str] | None = None

    def is_stale(self, group: Group) -> bool:
        """Whether it must be sealed for the group as it is now: somebody is to get it who has not."""
        return self.version != group.version and (self.version == UNSEALED or WAITING in self.copies.values())

    @property
    def done(self) -> bool:
        """Whether every device for which it is has it."""
        return self.version != UNSEALED and all(state == DELIVERED for state in self.copies.values())

    def seal_for(self, version: int, targets: Sequence[Target], members: Sequence[str], me: str) -> list[Target]:
        """It is sealed anew for these; gives those for whom it is no more."""
        self.version = version
        for user in [user for user, state in self.members.items() if state == SENT and user not in members]:
            del self.members[user]
        for user in members:
            if user != me:
                self.members.setdefault(user, SENT)
        for target in targets:
            self.copies.setdefault(target, WAITING)
        gone = [target for target in self.copies if target not in targets]
        for target in gone:
            del self.copies[target]
        return gone


@dataclass(slots=True)
class Traffic:
    """All of one group; ``queue`` holds what goes as soon as its envelope is read: id, directly to, by upload to."""

    name: str
    me: str
    sending: Sending = field(default_factory=Sending)
    letters: OrderedDict[bytes, Letter] = field(default_factory=OrderedDict)
    fresh: OrderedDict[bytes, bytes] = field(default_factory=OrderedDict)
    queue: deque[tuple[bytes, list[Target], list[Target]]] = field(default_factory=deque)
    timer: IDelayedCall | None = None
    retry: IDelayedCall | None = None
    reading: bool = False
    renewing: bool = False
    stopped: bool = False
    coming: int = 0
    order: DeferredLock = field(default_factory=DeferredLock)

    def add(self, letter: Letter) -> None:
        """One more message."""
        id, members = letter.message.id, letter.members.values()
        self.letters[id] = letter
        left = [target for target, state in letter.copies.items() if state != DELIVERED]
        theirs = [target for target in left if self._counts(letter, target)]
        state = DELIVERED if any(each in (DELIVERED, "read") for each in members) else SENT
        self.sending.add(letter.message, theirs, [target for target in left if target not in theirs], state=state)
        for target in left:
            if letter.copies[target] == STORED:
                self.sending.in_mailbox(target, id)

    def _counts(self, letter: Letter, target: Target) -> bool:
        return target[0] != self.me or not letter.members

    def sealed_again(self, parcel: Parcel, targets: Sequence[Target], members: Sequence[str]) -> None:
        """A message was sealed anew: it goes to whoever of ``targets`` has not got it."""
        letter = self.letters.get(parcel.message.id)
        if letter is None:
            return
        gone = letter.seal_for(parcel.version, targets, members, self.me)
        for target, state in letter.copies.items():
            if state == WAITING:
                self.sending.add_copy(target, parcel.message.id, mine=not self._counts(letter, target))
        for target in gone:
            self.sending.remove_copy(target, parcel.message.id)

    def keep_fresh(self, parcel: Parcel) -> None:
        """What was just sealed need not be read from the disk."""
        if parcel.sealed:
            self.fresh[parcel.message.id] = parcel.sealed
            if len(self.fresh) > GROUP_ENVELOPES:
                self.fresh.popitem(last=False)

    def forget(self, id: bytes) -> None:
        """A message is settled, or given up."""
        self.sending.remove(id)
        self.letters.pop(id, None)
        self.fresh.pop(id, None)

    def disarm(self) -> None:
        """Nothing is to be sent again by the clock."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        self.timer = None

    def stop(self) -> None:
        """Nothing at all is."""
        self.stopped = True
        self.disarm()
        if self.retry is not None and self.retry.active():
            self.retry.cancel()
