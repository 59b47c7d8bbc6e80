"""Server-sent events (WHATWG HTML 9.2): one encoding for all who watch, resumed where a reader broke off."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from p2pim.core.limits import EVENTS_KEPT, EVENTS_KEPT_BYTES, EVENTS_PULSE, HTTP_BACKLOG
from p2pim.web.answers import Answer, encode
from p2pim.web.http import WebRequest

Write = Callable[[bytes], None]
PULSE = b": \n\n"
"""A comment: readers pass over it, but see that there is somebody."""


def frame(value: Any, id_: str = "") -> bytes:
    """One event on the wire; JSON has no line breaks in it."""
    head = b"id: %s\n" % id_.encode() if id_ else b""
    return head + b"data: " + encode(value) + b"\n\n"


class EventLog:
    """The last events, numbered, and those who watch.

    Ids are ``EPOCH-NUMBER``: the epoch differs from one run to the next, in which numbers begin again.

    :param epoch: a text without "-" at its end that no earlier run had.
    """

    def __init__(self, epoch: str, keep: int = EVENTS_KEPT, keep_bytes: int = EVENTS_KEPT_BYTES) -> None:
        self._epoch = epoch
        self._keep = keep
        self._keep_bytes = keep_bytes
        self._number = 0
        self._size = 0
        self._frames: deque[bytes] = deque()
        self._watchers: dict[object, Write] = {}

    @property
    def last_id(self) -> str:
        """The id of the latest event."""
        return f"{self._epoch}-{self._number}"

    def add(self, value: dict[str, Any]) -> None:
        """Something happened: told to everyone who watches, and kept for who comes back."""
        self._number += 1
        told = frame(value, self.last_id)
        self._frames.append(told)
        self._size += len(told)
        while len(self._frames) > self._keep or (self._size > self._keep_bytes and len(self._frames) > 1):
            self._size -= len(self._frames.popleft())
        for write in list(self._watchers.values()):
            write(told)

    def watch(self, write: Write, after: str = "") -> Callable[[], None]:
        """Give ``write`` what came after the event ``after`` (empty: from now on), and all that comes. Returns the end.

        When some of it is no longer known, the first is ``{"event": "reset"}``: what was shown may be out of date.
        """
        missed = self._since(after)
        if missed is None:
            write(frame({"event": "reset"}, self.last_id))
        elif missed:
            write(b"".join(missed))
        else:
            write(b"id: %s\n\n" % self.last_id.encode())  # no event: only where to go on from
        key = object()
        self._watchers[key] = write
        return lambda: self._watchers.pop(key, None) and None

    def _since(self, after: str) -> list[bytes] | None:
        if not after:
            return []
        epoch, _, number = after.rpartition("-")
        if epoch != self._epoch or not number.isdecimal() or len(number) > 18:
            return None
        gap = self._number - int(number)
        if gap < 0 or gap > len(self._frames):
            return None
        return [self._frames[position] for position in range(len(self._frames) - gap, len(self._frames))]


class Ticker:
    """A computation done once per tick for all who watch, and not at all while nobody does.

    :param clock: where ticks come from.
    :param interval: seconds between them.
    :param compute: what a watcher is told; it may take its time, and then the next tick waits for it.
    """

    log = Logger()

    def __init__(self, clock: Any, interval: float, compute: Callable[[], Any]) -> None:
        self._clock = clock
        self._interval = interval
        self._compute = compute
        self._watchers: dict[object, Write] = {}
        self._call: Any = None
        self._busy = False
        self._latest: bytes | None = None

    @property
    def watchers(self) -> int:
        """How many there are."""
        return len(self._watchers)

    def watch(self, write: Write, after: str = "") -> Callable[[], None]:
        """Give ``write`` the latest and every further one. Returns the end."""
        key = object()
        self._watchers[key] = write
        if self._latest is not None:
            write(self._latest)
        if self._call is None and not self._busy:
            self._tick()
        return lambda: self._leave(key)

    def _leave(self, key: object) -> None:
        self._watchers.pop(key, None)
        if not self._watchers:
            self._latest = None
            call, self._call = self._call, None
            if call is not None:
                call.cancel()

    def _tick(self) -> None:
        self._call, self._busy = None, True
        done: Deferred[None] = Deferred.fromCoroutine(self._round())
        done.addErrback(self._failed)
        done.addBoth(self._after)

    async def _round(self) -> None:
        value = self._compute()
        if isinstance(value, Awaitable):
            value = await value
        self._latest = frame(value) if self._watchers else None
        for write in list(self._watchers.values()):
            if self._latest is not None:
                write(self._latest)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("a tick failed", failure)

    def _after(self, _: object) -> None:
        self._busy = False
        if self._watchers:
            self._call = self._clock.callLater(self._interval, self._tick)


@implementer(IPushProducer)
class Stream:
    """The body of an answer that goes on: bounded, whoever reads it."""

    def __init__(self, request: WebRequest) -> None:
        self._request = request
        self._paused = False
        self._backlog = 0
        self.ended = False

    def start(self, answer: Answer) -> None:
        """Send the head."""
        self._request.begin(answer)
        self._request.write(b"")  # type: ignore[no-untyped-call]
        self._request.registerProducer(self, True)  # type: ignore[no-untyped-call]

    def write(self, data: bytes) -> None:
        """Send ``data``. A reader who does not read is hung up on, once `HTTP_BACKLOG` bytes wait for them."""
        if self.ended:
            return
        if self._paused:
            self._backlog += len(data)
            if self._backlog > HTTP_BACKLOG:
                self.ended = True
                self._request.channel.abort()
                return
        self._request.write(data)  # type: ignore[no-untyped-call]

    def finish(self) -> None:
        """That was all."""
        if not self.ended:
            self.ended = True
            self._request.unregisterProducer()  # type: ignore[no-untyped-call]
            self._request.finish()  # type: ignore[no-untyped-call]

    def abandon(self) -> None:
        """The connection is gone, or ends in the middle."""
        self.ended = True

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused, self._backlog = False, 0

    def stopProducing(self) -> None:
        self._paused = True


async def serve_events(request: WebRequest, watch: Callable[[Write, str], Callable[[], None]], clock: Any) -> None:
    """Answer ``request`` with events until its reader goes; ``watch`` is that of an `EventLog` or a `Ticker`.

    A reader who comes back names the last event it has seen: ``Last-Event-ID``, or ``?after=``.
    """
    stream = Stream(request)
    stream.start(Answer(kind="text/event-stream", headers=(("X-Accel-Buffering", "no"),)))
    if request.method == b"HEAD":
        stream.finish()
        return
    unwatch = watch(stream.write, request.header("last-event-id") or request.query("after"))
    pulse = _Pulse(clock, stream)
    try:
        endless: Deferred[None] = Deferred()
        await endless
    finally:
        unwatch()
        pulse.stop()
        stream.abandon()


class _Pulse:
    """A comment now and then."""

    def __init__(self, clock: Any, stream: Stream) -> None:
        self._clock = clock
        self._stream = stream
        self._beat()

    def _beat(self) -> None:
        self._call = self._clock.callLater(EVENTS_PULSE, self._again)

    def _again(self) -> None:
        self._stream.write(PULSE)
        self._beat()

    def stop(self) -> None:
        if self._call.active():
            self._call.cancel()
