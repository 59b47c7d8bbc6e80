"""A site over HTTP/1.1 with bounds: coroutines behind paths, and nothing that a stranger could make grow.

Twisted's `HTTPChannel` reads the requests. What is refused (by its path, its method, its size, or by a `Gate`: who
asks) is refused when its head is there, before any of its body is kept. Every answer carries the headers that confine
a page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request

from p2pim.core.limits import (
    HTTP_BODY,
    HTTP_CONNECTIONS,
    HTTP_DISCARD,
    HTTP_HEAD,
    HTTP_HEAD_TIME,
    HTTP_HEADERS,
    HTTP_IDLE,
    HTTP_LINGER,
)
from p2pim.errors import TooLarge, Usage, WrongType
from p2pim.web.answers import Answer, failed
from p2pim.web.routing import Route, Routes


class Gate(Protocol):
    """Decides who may ask for what; see `p2pim.web.guard`."""

    def check(self, request: WebRequest, access: str) -> None:
        """Let ``request`` pass to something of this ``access``.

        :raises P2pimError: it may not.
        """


class Sink(Protocol):
    """Takes a body that is not kept in memory."""

    def write(self, data: bytes) -> None:
        """The next part of it. May call `WebRequest.pause_body` until it has room again."""

    def lost(self) -> None:
        """The connection ended before the whole body had come."""


ErrorPage = Callable[["WebRequest", BaseException], Answer]
"""Makes the page (or the object) that tells of an error."""


class WebRequest(Request):
    """One request. Its handler gets it when the whole body is there."""

    channel: WebChannel
    site: WebSite
    log = Logger()

    def __init__(self, channel: WebChannel, queued: object = False) -> None:
        super().__init__(channel, queued, parsePOSTFormSubmission=False)
        self.site = channel.site
        self.facts: dict[str, Any] = {}
        """What the gate and the routes know of it: named parts of the path, and who it is."""
        self.sink: Sink | None = None
        self._refusal: BaseException | None = None
        self._route: Route | None = None
        self._bytes = 0
        self._work: Deferred[Any] | None = None

    # --- what handlers use

    def header(self, name: str) -> str:
        """A header of the request, or empty; the last of several."""
        values = self.requestHeaders.getRawHeaders(name.encode()) or [b""]
        return values[-1].decode("latin-1")

    def query(self, name: str) -> str:
        """A parameter of the address, or empty."""
        values: list[bytes] = (self.args or {}).get(name.encode()) or [b""]
        return values[0].decode("utf-8", "replace")

    def cookie(self, name: str) -> str:
        """A cookie's value, or empty."""
        value: bytes = self.received_cookies.get(name.encode(), b"")
        return value.decode("latin-1")

    def json(self) -> dict[str, Any]:
        """The body: one JSON object.

        :raises WrongType: it says that it is something else.
        :raises Usage: it is none.
        """
        if self.header("content-type").partition(";")[0].strip().lower() != "application/json":
            raise WrongType
        assert self.content is not None
        try:
            value = msgspec.json.decode(self.content.read() or b"{}")
        except (msgspec.DecodeError, RecursionError) as error:
            raise Usage(f"The body is not JSON: {error}.") from None
        if not isinstance(value, dict):
            raise Usage("The body has to be a JSON object: the method's parameters.")
        return value

    def pause_body(self) -> None:
        """Take no more of the body for now: what reads it has no room."""
        if getattr(self, "channel", None) is not None:
            self.channel.pause_reading()

    def resume_body(self) -> None:
        """Go on."""
        if getattr(self, "channel", None) is not None:
            self.channel.resume_reading()

    def begin(self, answer: Answer) -> None:
        """Send the head of an answer whose body is written by and by: `write`, then `finish`."""
        self.setResponseCode(answer.status)
        for name, value in answer.all_headers(self.site.headers):
            self.responseHeaders.addRawHeader(name.encode(), value.encode())
        if answer.length is not None:
            self.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % answer.length])

    def send(self, answer: Answer) -> None:
        """Answer, and be done with it."""
        if self.finished or self._disconnected or self.startedWriting:
            return
        self.begin(answer)
        self.responseHeaders.setRawHeaders(b"Content-Length", [b"%d" % len(answer.body)])
        self.write(answer.body)  # type: ignore[no-untyped-call]
        self.finish()  # type: ignore[no-untyped-call]

    # --- what the channel calls

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's
        """The head is there."""
        self.content = BytesIO()
        self.method, self.uri, self.clientproto = self.channel.first_line()
        self.path, _, arguments = self.uri.partition(b"?")
        try:
            self.args = parse_qs(arguments, keep_blank_values=True, max_num_fields=64)
            self._admit(length)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            self._refusal = error

    def _admit(self, length: int | None) -> None:
        route, parts = self.site.routes.find(self.method.decode("latin-1"), unquote(self.path.decode("latin-1")))
        self.facts.update(parts)
        if self.site.gate is not None:
            self.site.gate.check(self, route.access)
        if route.sink is not None:
            self.sink = route.sink(self, length)
        elif (length or 0) > HTTP_BODY:
            raise TooLarge
        self._route = route

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 - Twisted's
        """A part of the body."""
        if self.finished:
            return
        self._bytes += len(data)
        try:
            if self._refusal is None:
                self._keep(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            self._refusal = error
        if self._bytes > HTTP_DISCARD:
            self.refuse_at_once()

    def refuse_at_once(self) -> bool:
        """If this request is refused, say so without waiting for its body."""
        if self._refusal is None:
            return False
        self.channel.answer_at_once()
        self._refuse(self._refusal)
        return True

    def _keep(self, data: bytes) -> None:
        assert self.content is not None
        if self.sink is not None:
            self.sink.write(data)
        elif self._bytes > HTTP_BODY:
            raise TooLarge
        else:
            self.content.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802 - Twisted's
        """All of it is there."""
        self.clientproto = version
        if self.finished:
            return
        assert self.content is not None
        self.content.seek(0)
        if self._refusal is not None or self._route is None:
            self._refuse(self._refusal or Usage())
            return
        self._work = Deferred.fromCoroutine(self._route.handler(self))
        self._work.addCallbacks(self._done, self._failed)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whoever asked has gone: nothing is done for nobody."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self._lose_sink()
        if self._work is not None:
            self._work.cancel()

    def _lose_sink(self) -> None:
        sink, self.sink = self.sink, None
        if sink is not None:
            sink.lost()

    # --- answers

    def _done(self, answer: Answer | None) -> None:
        self._work, self.sink = None, None
        if answer is not None:
            self.send(answer)

    def _failed(self, failure: Failure) -> None:
        self._work = None
        if self._disconnected or failure.check(CancelledError):
            if not self._disconnected and not self.finished:
                self.channel.abort()
            return
        self._refuse(failure.value)

    def _refuse(self, error: BaseException | None) -> None:
        self._lose_sink()
        if self.startedWriting:  # the head went out already: an end in the middle says that it failed
            self.channel.abort()
            return
        assert error is not None
        failed(error)
        self.send(self.site.error_page(self, error))


class WebChannel(HTTPChannel):
    """A connection, with times for what a stranger might draw out."""

    maxHeaders = HTTP_HEADERS  # noqa: N815 - Twisted's
    totalHeadersSize = HTTP_HEAD  # noqa: N815 - Twisted's
    requestFactory: type[Request] = WebRequest  # noqa: N815 - Twisted's
    requests: list[WebRequest]
    callLater: Callable[..., Any]
    _networkProducer: Any  # noqa: N815 - Twisted's
    site: WebSite
    factory: WebSite
    _head_time: Any = None
    _lingering = False

    def connectionMade(self) -> None:
        super().connectionMade()  # type: ignore[no-untyped-call]
        if not self.site.admit(self):
            self.abort()
            return
        self._watch_head()

    def dataReceived(self, data: bytes) -> None:
        if self._lingering:
            return
        if self._head_time is None and not self.requests:
            self._watch_head()
        super().dataReceived(data)  # type: ignore[no-untyped-call]

    def allHeadersReceived(self) -> None:  # noqa: N802 - Twisted's
        """The head of a request is there in time."""
        self._forget_head()
        super().allHeadersReceived()  # type: ignore[no-untyped-call]

    def allContentReceived(self) -> None:  # noqa: N802 - Twisted's
        """The whole request is there, or the rest of one that has been answered."""
        if self.requests:
            super().allContentReceived()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._forget_head()
        self.site.discharge(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def timeoutConnection(self) -> None:
        """Nothing came for too long."""
        self.loseConnection()
        self._abortingCall = self.callLater(HTTP_LINGER, self.forceAbortClient)

    def forceAbortClient(self) -> None:  # noqa: N802 - Twisted's
        """And it could not even be hung up in order."""
        self._abortingCall = None
        self.abort()

    def first_line(self) -> tuple[bytes, bytes, bytes]:
        """Method, address and version of the request whose head has just come."""
        return self._command, self._path, self._version

    def _send100Continue(self) -> None:  # noqa: N802 - Twisted's
        """The sender waits for leave to go on; who is refused is told so instead."""
        if not self.requests[-1].refuse_at_once():
            super()._send100Continue()  # type: ignore[no-untyped-call]

    def answer_at_once(self) -> None:
        """The body of this request is not wanted: the rest of it is thrown away while the answer goes out."""
        self.persistent = False
        self._lingering = True

    def loseConnection(self) -> None:
        """Hang up, once what was said has been written."""
        if self._lingering and hasattr(self.transport, "loseWriteConnection"):
            assert self.transport is not None
            self._networkProducer.unregisterProducer()
            self.transport.loseWriteConnection()
            if self._abortingCall is None:
                self._abortingCall = self.callLater(HTTP_LINGER, self.forceAbortClient)
            return
        super().loseConnection()  # type: ignore[no-untyped-call]

    def abort(self) -> None:
        """Hang up now."""
        transport: Any = self.transport
        transport.abortConnection()

    def pause_reading(self) -> None:
        """Take nothing from this connection for now."""
        self.setTimeout(None)  # type: ignore[no-untyped-call]
        self._networkProducer.pauseProducing()

    def resume_reading(self) -> None:
        """Go on."""
        self.setTimeout(self.timeOut)  # type: ignore[no-untyped-call]
        self._networkProducer.resumeProducing()

    def _watch_head(self) -> None:
        self._head_time = self.callLater(HTTP_HEAD_TIME, self._too_slow)

    def _too_slow(self) -> None:
        self._head_time = None
        self.abort()

    def _forget_head(self) -> None:
        call, self._head_time = self._head_time, None
        if call is not None and call.active():
            call.cancel()


@dataclass(eq=False)
class WebSite(ServerFactory["WebChannel"]):
    """What is served at an address.

    :param clock: for timeouts.
    :param routes: what is where.
    :param gate: who may ask; None: whoever can connect.
    :param error_page: how errors are shown.
    :param headers: on every answer, besides those of the answer itself; they override `p2pim.web.answers.CONFINED`.
    """

    clock: Any
    routes: Routes
    error_page: ErrorPage
    gate: Gate | None = None
    headers: dict[str, str] = field(default_factory=dict)
    connections: int = HTTP_CONNECTIONS
    noisy = False

    def __post_init__(self) -> None:
        self._channels: set[WebChannel] = set()

    def buildProtocol(self, addr: IAddress | None) -> WebChannel:
        channel = WebChannel()  # type: ignore[no-untyped-call]
        channel.site = channel.factory = self
        channel.callLater = self.clock.callLater
        channel.timeOut = HTTP_IDLE
        return channel

    def admit(self, channel: WebChannel) -> bool:
        """Whether there is room for one more."""
        if len(self._channels) >= self.connections:
            return False
        self._channels.add(channel)
        return True

    def discharge(self, channel: WebChannel) -> None:
        """``channel`` has gone."""
        self._channels.discard(channel)

    def log(self, request: Request) -> None:
        """Addresses may carry secrets (links), so none is written down."""

    def end(self) -> None:
        """Hang up on everyone, once what was said has been written."""
        for channel in list(self._channels):
            channel.loseConnection()
