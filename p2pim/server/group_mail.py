"""Messages to groups: uploaded once, and copied here to every device of every member.

Each copy is mail like any other (`p2pim.server.mail`): forwarded and held, or put into a mailbox. The sender hears
`Stored` when all copies are safe, that is, when each device has confirmed its own or its mailbox has it, or `Failed`
with what went wrong with some: then the message comes again, and who has it already is not given it twice.

A message that was sealed for another version of the group is refused. That is decided on the members and devices as
they are remembered here (`Rosters`), which are forgotten at the moment in which a change is told to the members.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.counters import CounterTable
from p2pim.core.limits import (
    GROUP_COPIES_PER_SECOND,
    GROUP_COPY_BURST,
    GROUP_QUEUE,
    GROUP_ROSTERS,
    MAIL_RETRY,
)
from p2pim.core.names import canonical_name
from p2pim.errors import (
    BadName,
    Blocked,
    DatabaseDown,
    GroupChangedMeanwhile,
    NoDevices,
    NoSuchDevice,
    NoSuchGroup,
    NoSuchUser,
    P2pimError,
    RateLimited,
)
from p2pim.server.buckets import Buckets
from p2pim.server.mail import Mail
from p2pim.server.post import Pending
from p2pim.server.sessions import Directory, Session
from p2pim.server.store import Store
from p2pim.storage import groups
from p2pim.storage.groups import Roster
from p2pim.storage.mail import Letter
from p2pim.wire.groups import SendToGroup
from p2pim.wire.mail import Stored
from p2pim.wire.messages import MESSAGE, Failed

_log = Logger()

_NO_MATTER = (NoSuchDevice, NoDevices, NoSuchUser, Blocked)
"""A copy that this befalls is not missed: its device is gone, or its user does not want to hear from the sender."""


class _Waiting(NamedTuple):
    sender: Session
    message: SendToGroup


class Rosters:
    """Members and devices of the groups that are written to, `GROUP_ROSTERS` at most.

    While one is being read, the messages to its group wait, in order.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[str, Roster] = OrderedDict()
        self._waiting: dict[str, list[_Waiting]] = {}
        self._changes = 0

    def forget(self, name: str) -> None:
        """The group is another from now on."""
        self._known.pop(name, None)
        self._changes += 1

    def get(self, name: str) -> Roster | None:
        """What is known, unless somebody waits for better."""
        if name in self._waiting or name not in self._known:
            return None
        self._known.move_to_end(name)
        return self._known[name]

    def queue(self, name: str) -> list[_Waiting]:
        """What waits for this group; what is appended goes when it is read."""
        return self._waiting.setdefault(name, [])

    async def load(self, name: str) -> Roster | None:
        """Read it, as often as it changes meanwhile.

        :raises DatabaseDown: that is not possible now.
        """
        while True:
            before = self._changes
            roster = await self._store.read(lambda db: groups.roster(db, name))
            if self._changes == before:
                break
        if roster is not None:
            self._known[name] = roster
            while len(self._known) > GROUP_ROSTERS:
                self._known.popitem(last=False)
        return roster

    def release(self, name: str) -> list[_Waiting]:
        """Nothing waits for it any more."""
        return self._waiting.pop(name, [])


class GroupMail:
    """Takes `SendToGroup`.

    :param wall: the time in seconds since 1970.
    """

    def __init__(
        self,
        clock: IReactorTime,
        store: Store,
        directory: Directory,
        counters: CounterTable,
        mail: Mail,
        wall: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._directory = directory
        self._counters = counters
        self._mail = mail
        self._wall = wall
        self.rosters = Rosters(store)
        self._copies = Buckets(GROUP_COPIES_PER_SECOND, GROUP_COPY_BURST)

    def take(self, sender: Session, message: SendToGroup) -> None:
        """Copy the message to everybody, or tell ``sender`` why not."""
        try:
            name = canonical_name(message.group)
        except BadName:
            self._fail(sender, message.id, NoSuchGroup())
            return
        roster = self.rosters.get(name)
        if roster is not None:
            self._copy(sender, message, name, roster)
            return
        queue = self.rosters.queue(name)
        if len(queue) >= GROUP_QUEUE:
            self._fail(sender, message.id, RateLimited(retry_after=MAIL_RETRY))
            return
        queue.append(_Waiting(sender, message))
        if len(queue) == 1:
            loaded = Deferred.fromCoroutine(self._load(name))
            loaded.addErrback(lambda failure: _log.failure("looking up the members of a group failed", failure))

    async def _load(self, name: str) -> None:
        error: P2pimError = NoSuchGroup()
        roster = None
        try:
            roster = await self.rosters.load(name)
        except DatabaseDown as down:
            error = DatabaseDown(down.message, retry_after=MAIL_RETRY)
        for sender, message in self.rosters.release(name):
            if roster is None:
                self._fail(sender, message.id, error)
            elif self._is_there(sender):
                self._copy(sender, message, name, roster)

    def _copy(self, sender: Session, message: SendToGroup, name: str, roster: Roster) -> None:
        me = sender.user.name
        if me not in roster.members:
            self._fail(sender, message.id, NoSuchGroup())
            return
        if message.version != roster.version:
            self._fail(sender, message.id, GroupChangedMeanwhile())
            return
        skip = {sender.device, *message.skip}
        targets = [(user, device) for user, device in roster.devices if device not in skip]
        wait = self._copies.take(me, self._clock.seconds(), max(1, len(targets)))
        if wait:
            self._fail(sender, message.id, RateLimited(retry_after=wait))
            return
        fan = _Fan(self, sender, message, len(targets))
        now = self._wall()
        for user, device in targets:
            letter = Letter(user, device, me, sender.device, MESSAGE, message.message, message.payload, now, name)
            self._mail.post(Pending(letter, sender, message.id, fan=fan))
        fan.sent()

    # --- answers

    def count(self, sender: Session, size: int) -> None:
        """An upload of ``sender``."""
        counters = self._counters.of(sender.user.name)
        counters.uploads += 1
        counters.upload_bytes += size

    def answer(self, sender: Session, id: int, error: P2pimError | None) -> None:
        """All copies are safe, or something went wrong with some."""
        if error is not None:
            self._fail(sender, id, error)
        elif self._is_there(sender):
            sender.send(Stored([id]))

    def _is_there(self, sender: Session) -> bool:
        return self._directory.find(sender.user.name, sender.device) is sender

    def _fail(self, sender: Session, id: int, error: P2pimError) -> None:
        if self._is_there(sender):
            sender.send(Failed(id, error.code, error.message, error.retry_after))


class _Fan:
    """One message on its way to all; see `p2pim.server.post.Fan`."""

    __slots__ = ("_counted", "_desk", "_error", "_left", "_message", "_sender")

    def __init__(self, desk: GroupMail, sender: Session, message: SendToGroup, copies: int) -> None:
        self._desk = desk
        self._sender = sender
        self._message = message
        self._left = copies + 1
        self._counted = False
        self._error: P2pimError | None = None

    def count(self) -> None:
        if not self._counted:
            self._counted = True
            self._desk.count(self._sender, len(self._message.payload))

    def sent(self) -> None:
        """All copies are on their way."""
        self._one_less()

    def settled(self) -> None:
        self._one_less()

    def failed(self, error: P2pimError) -> None:
        if not isinstance(error, _NO_MATTER):
            self._error = error
        self._one_less()

    def _one_less(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._desk.answer(self._sender, self._message.id, self._error)
