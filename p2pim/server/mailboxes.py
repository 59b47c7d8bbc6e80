"""What a device does with its mailbox: fetch it in pages, acknowledge what it has stored. And what time does: expiry.

Pages are read by the readers' connections while the writer goes on, and are bounded in bytes, so that somebody with ten
thousand messages waiting costs the others a millisecond at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.limits import MAIL_SWEEP
from p2pim.errors import DatabaseDown
from p2pim.server.mail import Mail
from p2pim.server.sessions import Session
from p2pim.server.store import Store
from p2pim.storage import mail
from p2pim.wire.mail import AckMail, FetchMail
from p2pim.wire.mail import Mail as MailPage
from p2pim.wire.messages import Done, Message

_log = Logger()


class Mailboxes:
    """Answers `FetchMail` and `AckMail`, and drops what has expired.

    :param wall: the time in seconds since 1970.
    :param lifetime: seconds for which mail waits, as the settings are now.
    """

    def __init__(
        self, clock: IReactorTime, store: Store, mail: Mail, wall: Callable[[], float], lifetime: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._store = store
        self._mail = mail
        self._wall = wall
        self._lifetime = lifetime
        self._next_sweep = clock.seconds() + 1.0

    async def fetch(self, session: Session, message: FetchMail) -> Message:
        """A page of the device's mail."""
        page = await self._store.read(
            partial(
                mail.page,
                user=session.user.name, device=session.device, after=message.after, limit=message.limit,
            )
        )  # fmt: skip
        session.post.caught_up = not page.more
        if not page.items:  # nothing to acknowledge: perhaps there is nothing at all
            self._mail.look(session)
        return MailPage(message.id, page.items, page.more)

    async def acknowledge(self, session: Session, message: AckMail) -> Message:
        """The device has stored its mail up to a number."""
        work = partial(mail.acknowledge, user=session.user.name, device=session.device, up_to=message.up_to)
        more = True
        while more:
            removed, left, more = await self._store.write(work)
            self._mail.count_downloads(session, removed)
        self._mail.know(session, left)
        return Done(message.id)

    # --- from time to time

    def sweep(self) -> None:
        """Drop what has expired; a bounded part at a time, and the next one a second later."""
        now = self._clock.seconds()
        if now >= self._next_sweep:
            self._next_sweep = now + MAIL_SWEEP
            swept = Deferred.fromCoroutine(self._expire())
            swept.addErrback(lambda failure: _log.failure("dropping expired mail failed", failure))

    async def _expire(self) -> None:
        now, lifetime = self._wall(), self._lifetime()
        try:
            dropped, more = await self._store.write(lambda db: mail.expire(db, now, lifetime))
        except DatabaseDown as error:
            _log.error("expired mail could not be dropped: {reason}", reason=error.message)
            return
        if dropped:
            _log.info("{count} messages that nobody fetched have expired", count=dropped)
        if more:
            self._next_sweep = self._clock.seconds()
