"""Envelopes that must not be lost: forwarded and held until they are confirmed, or put into the recipient's mailbox.

The way of a letter: it is forwarded at once when its device is connected, reads, and has an empty mailbox; what was
forwarded is held in memory until the device says `Got`, and goes to the mailbox when the session ends first or too much
is held. Everything else goes to the mailbox, all of a turn in one commit, and its sender hears `Stored` after that.
A letter forwarded and held is not acknowledged by the server: only the device can say that it has it.

Whether a mailbox is empty is decided here, in one place, by what the database says after a removal or a count (which
queue behind the letters handed in before) and by the number of letters handed in since (`_under_way`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.counters import CounterTable
from p2pim.core.limits import (
    HELD_BYTES,
    HELD_BYTES_IN_ALL,
    HELD_MESSAGES,
    MAIL_QUEUE,
    MAIL_QUEUE_BYTES,
    MAIL_RETRY,
    SEND_BACKLOG,
)
from p2pim.core.names import canonical_name
from p2pim.errors import BadMessage, BadName, Blocked, DatabaseDown, NoSuchUser, P2pimError
from p2pim.server.post import Pending
from p2pim.server.sessions import Directory, Session
from p2pim.server.store import Store
from p2pim.storage import mail
from p2pim.storage.mail import Letter, Outcome, Quota
from p2pim.wire.mail import Got, MailWaiting, Stored
from p2pim.wire.messages import MESSAGE, Failed, Incoming, Send

_log = Logger()
_Device = tuple[str, bytes]

BLOCKED_BY_ME = "You have blocked this user; unblock them first."


def _incoming(letter: Letter) -> Incoming:
    return Incoming(letter.sender, letter.device, letter.kind, letter.payload, letter.message, letter.group)


class Mail:
    """Takes letters, forwards them, and puts them into mailboxes.

    :param wall: the time in seconds since 1970.
    :param quota: what may wait for one account, as the settings are now.
    """

    def __init__(
        self,
        clock: IReactorTime,
        store: Store,
        directory: Directory,
        counters: CounterTable,
        wall: Callable[[], float],
        quota: Callable[[], Quota],
    ) -> None:
        self._clock = clock
        self._store = store
        self._directory = directory
        self._counters = counters
        self._wall = wall
        self._quota = quota
        self._queue: list[Pending] = []
        self._queued = self._queued_bytes = 0
        self._under_way: dict[_Device, int] = {}
        self._doubtful: dict[Session, None] = {}
        self._held_bytes = 0

    # --- taking

    def take(self, sender: Session, envelope: Send) -> None:
        """Forward or store an envelope that carries a message id, or tell ``sender`` why not.

        :raises BadMessage: its message id is none.
        """
        if len(envelope.message) != 16:
            raise BadMessage("A message id has 16 bytes.")
        try:
            name = envelope.to if envelope.to in self._directory.users else canonical_name(envelope.to)
        except BadName as error:
            self._fail(sender, envelope.id, NoSuchUser(error.message))
            return
        me = sender.user
        letter = Letter(
            name, envelope.device, me.name, sender.device, envelope.kind, envelope.message, envelope.payload,
            self._wall(),
        )  # fmt: skip
        if name in me.entry.blocked:
            self._fail(sender, envelope.id, Blocked(BLOCKED_BY_ME))
        else:
            self.post(Pending(letter, sender, envelope.id))

    def post(self, pending: Pending) -> None:
        """Send a letter on its way: at once, or by the mailbox."""
        letter = pending.letter
        user = self._directory.users.get(letter.to)
        if user is not None and letter.sender in user.entry.blocked:
            self._refuse(pending, Blocked())
            return
        target = user.sessions.get(letter.to_device) if user is not None else None
        if target is not None:
            self._hand_over(target, pending)
        elif self._has_room(pending):
            self._put(pending)

    def _hand_over(self, target: Session, pending: Pending) -> None:
        post, letter = target.post, pending.letter
        before = post.held.get(pending.key)
        if before is not None:  # forwarded before and not confirmed: the device may have been unable to store it then
            post.held[pending.key] = before._replace(sender=pending.sender, id=pending.id, fan=pending.fan)
            if target.client.output_bytes < SEND_BACKLOG:
                target.send(_incoming(before.letter))
        elif self._may_forward(target, len(letter.payload)):
            post.hold(self._count(pending))
            self._held_bytes += len(letter.payload)
            target.send(_incoming(letter))
        elif self._has_room(pending):
            self._put_held(target)
            post.waiting = True
            self._put(pending)

    def _may_forward(self, target: Session, size: int) -> bool:
        post = target.post
        return (
            not post.waiting
            and target.client.output_bytes < SEND_BACKLOG
            and len(post.held) < HELD_MESSAGES
            and post.held_bytes + size <= HELD_BYTES
            and self._held_bytes + size <= HELD_BYTES_IN_ALL
        )

    def _count(self, pending: Pending) -> Pending:
        """Among its sender's uploads, once."""
        if pending.fan is not None and not pending.counted:
            pending.fan.count()
        elif pending.letter.kind == MESSAGE and not pending.counted:
            counters = self._counters.of(pending.letter.sender)
            counters.uploads += 1
            counters.upload_bytes += len(pending.letter.payload)
        return pending._replace(counted=True)

    # --- what was forwarded

    def got(self, session: Session, message: Got) -> None:
        """The device has stored these."""
        for item in message.items:
            pending = session.post.confirmed((item.sender, item.device, item.message))
            if pending is not None:
                size = len(pending.letter.payload)
                self._held_bytes -= size
                self.count_downloads(session, [(pending.letter.kind, size)])
                if pending.fan is not None:
                    pending.fan.settled()

    @staticmethod
    def count_downloads(session: Session, handed_over: Iterable[tuple[int, int]]) -> None:
        """Count what a device has, by kind and size."""
        counters = session.user.counters
        for kind, size in handed_over:
            if kind == MESSAGE:
                counters.downloads += 1
                counters.download_bytes += size

    def left(self, session: Session) -> None:
        """The session has ended: what it has not confirmed waits in the mailbox."""
        self._doubtful.pop(session, None)
        self._put_held(session)

    def _put_held(self, session: Session) -> None:
        self._held_bytes -= session.post.held_bytes
        for pending in session.post.take_all():
            self._put(pending)

    # --- into the mailbox

    def _has_room(self, pending: Pending) -> bool:
        """Whether the queue takes another letter; the sender is told when not."""
        if self._queued < MAIL_QUEUE and self._queued_bytes < MAIL_QUEUE_BYTES:
            return True
        error = DatabaseDown(
            "The server's database is behind; the message is kept and sent again.", retry_after=MAIL_RETRY
        )
        self._refuse(pending, error)
        return False

    def _put(self, pending: Pending) -> None:
        device = pending.letter.to, pending.letter.to_device
        self._under_way[device] = self._under_way.get(device, 0) + 1
        self._queued += 1
        self._queued_bytes += len(pending.letter.payload)
        if not self._queue:
            self._clock.callLater(0, self.flush)
        self._queue.append(pending)

    def flush(self) -> None:
        """Hand what was collected to the database."""
        if self._queue:
            batch, self._queue = self._queue, []
            written = Deferred.fromCoroutine(self._write(batch))
            written.addErrback(lambda failure: _log.failure("putting mail into mailboxes failed", failure))

    async def _write(self, batch: list[Pending]) -> None:
        letters, quota = [pending.letter for pending in batch], self._quota()
        outcomes: list[Outcome]
        try:
            outcomes = await self._store.write(lambda db: mail.keep(db, letters, quota))
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing was kept and the senders must know
            _log.error("{count} messages could not be stored: {reason}", count=len(batch), reason=str(error))
            outcomes = [DatabaseDown(retry_after=MAIL_RETRY)] * len(batch)
        self._settle(batch, outcomes)

    def _settle(self, batch: list[Pending], outcomes: list[Outcome]) -> None:
        stored: dict[Session, list[int]] = {}
        landed: dict[_Device, int] = {}
        for pending, outcome in zip(batch, outcomes, strict=True):
            device = pending.letter.to, pending.letter.to_device
            landed[device] = landed.get(device, 0) + (outcome is True)
            self._off_the_way(device, pending)
            if isinstance(outcome, P2pimError):
                self._refuse(pending, outcome)
                continue
            if outcome:
                self._count(pending)
            if pending.fan is not None:
                pending.fan.settled()
            else:
                stored.setdefault(pending.sender, []).append(pending.id)
        for sender, ids in stored.items():
            if self._is_there(sender):
                sender.send(Stored(ids))
        for device, count in landed.items():
            self._landed(device, count)

    def _off_the_way(self, device: _Device, pending: Pending) -> None:
        self._queued -= 1
        self._queued_bytes -= len(pending.letter.payload)
        left = self._under_way[device] - 1
        if left:
            self._under_way[device] = left
        else:
            del self._under_way[device]

    def _landed(self, device: _Device, count: int) -> None:
        """So much has come into the mailbox of ``device``."""
        session = self._directory.find(*device)
        if session is None:
            return
        if count:
            self._tell(session, count)
        elif not session.post.told:  # nothing may be there at all
            self._doubtful[session] = None

    # --- the mailbox and the session

    def arrived(self, session: Session, waiting: int) -> None:
        """A device signed in, and was told that so much mail waits."""
        session.post.told, session.post.caught_up = waiting > 0, waiting == 0
        if not waiting:
            self.look(session)

    def look(self, session: Session) -> None:
        """Find out how much mail waits for the session."""
        looked = Deferred.fromCoroutine(self._look(session))
        looked.addErrback(lambda failure: _log.failure("looking into a mailbox failed", failure))

    async def _look(self, session: Session) -> None:
        try:
            left = await self._store.write(partial(mail.waiting, user=session.user.name, device=session.device))
        except DatabaseDown:
            if self._is_there(session):
                self._doubtful[session] = None
            return
        self.know(session, left)

    def know(self, session: Session, left: int) -> None:
        """So much is left in the session's mailbox by what the writer saw just now."""
        if not self._is_there(session):
            return
        post = session.post
        if left:
            if post.caught_up:
                self._tell(session, left)
            return
        post.told = False
        post.waiting = (session.user.name, session.device) in self._under_way

    def _tell(self, session: Session, count: int) -> None:
        post = session.post
        post.waiting = True
        if post.caught_up or not post.told:
            post.told, post.caught_up = True, False
            session.send(MailWaiting(count))

    def sweep(self) -> None:
        """Look again where it was not to be found out whether mail waits."""
        doubtful, self._doubtful = self._doubtful, {}
        for session in doubtful:
            self.look(session)

    # --- answers

    def _is_there(self, session: Session) -> bool:
        return self._directory.find(session.user.name, session.device) is session

    def _refuse(self, pending: Pending, error: P2pimError) -> None:
        if pending.fan is not None:
            pending.fan.failed(error)
        else:
            self._fail(pending.sender, pending.id, error)

    def _fail(self, sender: Session, id: int, error: P2pimError) -> None:
        if self._is_there(sender):
            sender.send(Failed(id, error.code, error.message, error.retry_after))
