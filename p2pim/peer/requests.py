"""What was asked of the server and is not answered yet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from p2pim.core.limits import ENVELOPES_REMEMBERED, REQUEST_TIME, REQUESTS_WAITING
from p2pim.errors import P2pimError, RateLimited, TimedOut
from p2pim.wire.messages import Message

OnFailed = Callable[[P2pimError], None]
OnStored = Callable[[], None]


class Requests:
    """Ids given out to requests and envelopes, and who waits for what comes back under them.

    A request ends with its answer, with a failure, or after `REQUEST_TIME`. An envelope is answered only when it
    failed, so the last `ENVELOPES_REMEMBERED` are kept in mind.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._id = 0
        self._waiting: dict[int, tuple[Deferred[Message], IDelayedCall]] = {}
        self._envelopes: OrderedDict[int, tuple[OnFailed | None, OnStored | None]] = OrderedDict()

    def open(self) -> tuple[int, Deferred[Message]]:
        """An id for a request, and its answer.

        :raises RateLimited: too many wait already.
        """
        if len(self._waiting) >= REQUESTS_WAITING:
            raise RateLimited("Too many requests wait for the server; try again in a moment.")
        number = self.next_id()
        answer: Deferred[Message] = Deferred(lambda _: self._given_up(number))
        late = self._clock.callLater(
            REQUEST_TIME, self.failed, number, TimedOut("The server did not answer the request in time.")
        )
        self._waiting[number] = answer, late
        return number, answer

    def next_id(self) -> int:
        """An id that is used nowhere else now."""
        self._id = (self._id + 1) & 0xFFFFFFFF
        return self._id

    def remember(self, number: int, on_failed: OnFailed | None, on_stored: OnStored | None = None) -> None:
        """``on_failed`` hears that the envelope ``number`` was not taken, ``on_stored`` that it is in a mailbox."""
        self._envelopes[number] = on_failed, on_stored
        if len(self._envelopes) > ENVELOPES_REMEMBERED:
            self._envelopes.popitem(last=False)

    def answered(self, number: int, message: Message) -> None:
        """``message`` came back; an answer that nobody waits for any more is dropped."""
        answer = self._forget(number)
        if answer is not None:
            answer.callback(message)

    def failed(self, number: int, error: P2pimError) -> None:
        """The request or envelope ``number`` came to nothing."""
        answer = self._forget(number)
        if answer is not None:
            answer.errback(error)
        on_failed, _ = self._envelopes.pop(number, (None, None))
        if on_failed is not None:
            on_failed(error)

    def stored(self, number: int) -> None:
        """The envelope ``number`` is committed to a mailbox."""
        _, on_stored = self._envelopes.pop(number, (None, None))
        if on_stored is not None:
            on_stored()

    def fail_all(self, error: P2pimError) -> None:
        """The connection is gone: nothing will be answered. Whether an envelope arrived is not known."""
        self._envelopes.clear()
        for number in list(self._waiting):
            self.failed(number, error)

    def _given_up(self, number: int) -> None:
        self._forget(number)

    def _forget(self, number: int) -> Deferred[Message] | None:
        answer, late = self._waiting.pop(number, (None, None))
        if late is not None and late.active():
            late.cancel()
        return answer
