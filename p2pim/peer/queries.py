"""Questions between the programs at two peers: an application asks, one at the other side answers.

A query goes by the best way there is, to the device with which a direct channel stands, else to all devices of the
user; the first answer counts. Nothing is kept: who is not there now does not answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.limits import QUERIES_ANSWERED, QUERIES_ANSWERED_PER_USER, QUERIES_WAITING, QUERY_BODY, QUERY_TOPICS
from p2pim.errors import NobodyAnswers, Offline, P2pimError, QueryFailed, RecipientBusy, TimedOut, TooMany, Usage
from p2pim.wire.signals import Query, Reply, Signal

Handler = Callable[[str, bytes], "bytes | Awaitable[bytes]"]
"""Takes who asks, and the question; gives the answer, now or later. A `P2pimError` that it raises is told to the asker,
anything else only that it failed."""

NO_HANDLER, BUSY, FAILED = "no-handler", "busy", "failed"
TOPIC = 128
"""Characters of a topic, the bound of `p2pim.wire.signals.Query`."""
REASON = 300


class QueryRoutes(Protocol):
    """What is needed of `p2pim.peer.routes.Routes`."""

    def direct_devices(self, user: str) -> list[bytes]: ...
    async def devices_of(self, user: str) -> list[bytes]: ...
    def send(
        self, user: str, device: bytes, signal: Signal, on_failed: Callable[[P2pimError], None] | None = None
    ) -> None: ...


@dataclass
class _Asked:
    """A query of mine, and from which devices there is no answer yet."""

    user: str
    topic: str
    waiting: set[bytes]
    result: Deferred[bytes] = field(default_factory=Deferred)
    error: P2pimError | None = None


class Queries:
    """Asks and answers.

    :param number: an unpredictable number of 62 bits, for the queries to be counted from.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, routes: QueryRoutes, number: int) -> None:
        self._clock = clock
        self._routes = routes
        self._number = number
        self._asked: dict[int, _Asked] = {}
        self._handlers: dict[str, Handler] = {}
        self._answering: Counter[str] = Counter()

    def stop(self) -> None:
        """Nobody is asked or answered any more."""
        self._handlers.clear()
        for asked in list(self._asked.values()):
            if not asked.result.called:
                asked.result.errback(Offline("This peer is stopping."))

    # --- asking

    async def ask(self, user: str, topic: str, body: bytes, timeout: float) -> bytes:
        """The answer of ``user``.

        :raises Offline: nobody is there.
        :raises NobodyAnswers: nothing there answers this topic.
        :raises QueryFailed: it could not be answered; the message is the other side's.
        :raises TimedOut: no answer within ``timeout`` seconds.
        """
        if not 0 < len(topic) <= TOPIC or len(body) > QUERY_BODY:
            raise Usage(f"A topic has 1 to {TOPIC} characters, and a query at most {QUERY_BODY} bytes.")
        if len(self._asked) >= QUERIES_WAITING:
            raise TooMany(f"{QUERIES_WAITING} queries wait for an answer already.")
        devices = self._routes.direct_devices(user)[:1] or await self._routes.devices_of(user)
        if not devices:
            raise Offline(f"{user} is not online.")
        self._number += 1
        number, asked = self._number, _Asked(user, topic, set(devices))
        self._asked[number] = asked
        late = TimedOut(f"{user} did not answer {topic!r} within {timeout:g} s.")
        timer = self._clock.callLater(timeout, self._settle, asked, late)
        try:
            for device in devices:
                self._send(number, asked, device, Query(number, topic, body))
            return await asked.result
        finally:
            del self._asked[number]
            if timer.active():
                timer.cancel()

    def _send(self, number: int, asked: _Asked, device: bytes, query: Query) -> None:
        def failed(error: P2pimError) -> None:
            if self._asked.get(number) is asked:
                self._without(asked, device, error)

        self._routes.send(asked.user, device, query, failed)

    def replied(self, user: str, device: bytes, reply: Reply) -> None:
        """An answer came; one that nobody waits for, or from a device that was not asked, is dropped."""
        asked = self._asked.get(reply.number)
        if asked is None or asked.user != user or device not in asked.waiting:
            return
        if reply.error:
            self._without(asked, device, _error(asked, reply.error))
        elif not asked.result.called:
            asked.result.callback(reply.body)

    def _without(self, asked: _Asked, device: bytes, error: P2pimError) -> None:
        """No answer from this device; the others may have one. What a program said outranks that none was there."""
        asked.waiting.discard(device)
        if asked.error is None or (isinstance(asked.error, Offline | NobodyAnswers) and not isinstance(error, Offline)):
            asked.error = error
        if not asked.waiting:
            self._settle(asked, asked.error)

    @staticmethod
    def _settle(asked: _Asked, error: P2pimError) -> None:
        if not asked.result.called:
            asked.result.errback(error)

    # --- answering

    def answer(self, topic: str, handler: Handler) -> Callable[[], None]:
        """Have ``handler`` answer ``topic`` from now on; gives what ends it.

        :raises Usage: the topic is answered already, or is none.
        """
        if not 0 < len(topic) <= TOPIC or topic in self._handlers:
            raise Usage(f"{topic!r} is answered already, or is no topic of 1 to {TOPIC} characters.")
        if len(self._handlers) >= QUERY_TOPICS:
            raise TooMany(f"{QUERY_TOPICS} topics are answered here already.")
        self._handlers[topic] = handler

        def end() -> None:
            if self._handlers.get(topic) is handler:
                del self._handlers[topic]

        return end

    def asked(self, user: str, device: bytes, query: Query) -> None:
        """A query came."""
        handler = self._handlers.get(query.topic)
        if handler is None:
            self._reply(user, device, Reply(query.number, error=NO_HANDLER))
        elif self._answering.total() >= QUERIES_ANSWERED or self._answering[user] >= QUERIES_ANSWERED_PER_USER:
            self._reply(user, device, Reply(query.number, error=BUSY))
        else:
            self._answering[user] += 1
            done = Deferred.fromCoroutine(self._answer(user, device, query, handler))
            done.addErrback(lambda failure: self._log.failure("an answer could not be sent", failure))

    async def _answer(self, user: str, device: bytes, query: Query, handler: Handler) -> None:
        try:
            body = handler(user, query.body)
            if not isinstance(body, bytes):
                body = await body
            reply = Reply(query.number, body) if len(body) <= QUERY_BODY else Reply(query.number, error=FAILED)
        except P2pimError as error:
            reply = Reply(query.number, error=error.message[:REASON] or FAILED)
        except Exception:  # noqa: BLE001 - an application's mistake is its own
            self._log.failure("the handler of {topic} failed", topic=query.topic)
            reply = Reply(query.number, error=FAILED)
        finally:
            self._answering[user] -= 1
            self._answering += Counter()  # forgets those at zero
        self._reply(user, device, reply)

    def _reply(self, user: str, device: bytes, reply: Reply) -> None:
        self._routes.send(user, device, reply)


def _error(asked: _Asked, reason: str) -> P2pimError:
    if reason == NO_HANDLER:
        return NobodyAnswers(f"Nothing at {asked.user} answers {asked.topic!r}.")
    if reason == BUSY:
        return RecipientBusy(f"{asked.user} is answering too many queries; try again in a moment.", retry_after=1.0)
    return QueryFailed("The other side could not answer." if reason == FAILED else reason)
