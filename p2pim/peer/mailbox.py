"""Emptying this device's mailbox at the server: page by page, each acknowledged when it is on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from p2pim.core.limits import MAIL_PAGE, MAILBOX_RETRY
from p2pim.errors import BadMessage, DatabaseDown, NotSignedIn, P2pimError
from p2pim.peer.inbox import Inbox
from p2pim.wire.mail import AckMail, FetchMail, Mail, MailItem
from p2pim.wire.messages import Message
from p2pim.wire.signals import Sealed, decode_signal


class MailSession(Protocol):
    """The part of a session that asks."""

    async def request(self, message_factory: Callable[[int], Message]) -> Message: ...


class Mailbox:
    """This device's mailbox.

    The next page is asked for when the one before is stored, confirmed and acknowledged: so the server is never ahead
    by more than one, and what a crash makes come again is one page.

    :param server: its address, as reports show it.
    :param unwanted: says whether mail of this user is dropped unread.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        session: MailSession,
        inbox: Inbox,
        server: str,
        unwanted: Callable[[str], bool],
        journal: Callable[[str, str, str], None],
    ) -> None:
        self._clock = clock
        self._session = session
        self._inbox = inbox
        self._server = server
        self._unwanted = unwanted
        self._journal = journal
        self._busy = False
        self._more = False
        self._connected = False
        self._retry: IDelayedCall | None = None

    def signed_in(self, waiting: int) -> None:
        """A session stands, and so much mail waits."""
        self._connected = True
        if waiting:
            self.waiting()

    def interrupted(self) -> None:
        """It ended: what was not acknowledged comes again."""
        self._connected = self._more = False
        self._cancel_retry()

    stop = interrupted

    def waiting(self) -> None:
        """There is mail (again)."""
        self._more = True
        if self._busy or not self._connected:
            return
        self._busy = True
        self._inbox.emptying(True)
        emptying = Deferred.fromCoroutine(self._empty())
        emptying.addErrback(self._failed)
        emptying.addCallback(lambda _: self._finished())
        emptying.addErrback(lambda failure: self.log.failure("while emptying the mailbox", failure))

    async def _empty(self) -> None:
        self._cancel_retry()
        while self._more and self._connected:
            self._more = False
            page = await self._session.request(_next_page)
            if isinstance(page, Mail) and page.items:
                up_to = await self._take(page.items)
                self._inbox.send_receipts()
                await self._session.request(partial(_acknowledge, up_to))
                self._more = self._more or page.more or up_to < page.items[-1].number

    async def _take(self, items: list[MailItem]) -> int:
        """Store a page; the number up to which it may be acknowledged.

        :raises DatabaseDown: not even its first could be stored.
        """
        self._journal("mailbox", "", f"{len(items)} out of the mailbox")
        taken = [(item.number, self._one(item)) for item in items]
        up_to = 0
        whole = True
        for number, done in taken:
            whole = await done and whole
            up_to = number if whole else up_to
        if not up_to:
            raise DatabaseDown("Nothing of the mailbox could be stored here.")
        return up_to

    def _one(self, item: MailItem) -> Deferred[bool]:
        done: Deferred[bool] = Deferred()
        try:
            signal = decode_signal(item.payload)
        except BadMessage as error:
            self._journal("error", item.sender, f"an envelope could not be read: {error.message}")
            signal = None
        if not isinstance(signal, Sealed) or self._unwanted(item.sender):
            done.callback(True)
            return done
        return self._inbox.mail(item.sender, item.device, signal, item.message, self._server)

    def _failed(self, failure: Failure) -> None:
        if failure.check(P2pimError) is None:
            self.log.failure("the mailbox cannot be emptied", failure)
        elif failure.check(NotSignedIn) is None:
            self._journal("mailbox", "", f"cannot be emptied now: {failure.getErrorMessage()}")
        if self._connected:
            self._retry = self._clock.callLater(MAILBOX_RETRY, self.waiting)

    def _finished(self) -> None:
        self._busy = False
        self._inbox.emptying(False)
        if self._more and self._connected and self._retry is None:
            self.waiting()

    def _cancel_retry(self) -> None:
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        self._retry = None


def _next_page(number: int) -> FetchMail:
    return FetchMail(number, 0, MAIL_PAGE)


def _acknowledge(up_to: int, number: int) -> AckMail:
    return AckMail(number, up_to)
