"""A site over HTTP/1.1 with bounds: coroutines behind paths, and nothing that a stranger could make grow.

Twisted's `HTTPChannel` reads the requests. What is refused (by its path, its method, its size, or by a `Gate`: who
asks) is refused when its head is there, before any of its body is kept. Every answer carries the headers that confine
a page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Protocol, cast
from urllib.parse import parse_qs, unquote

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request

from p2pim.core.addresses import host_key, is_loopback, normal_host
from p2pim.core.limits import (
    HTTP_BODY,
    HTTP_CONNECTIONS,
    HTTP_CONNECTIONS_PER_ADDRESS,
    HTTP_DISCARD,
    HTTP_IDLE,
    HTTP_OPEN_BODY,
)
from p2pim.errors import TooLarge, Usage, WrongType
from p2pim.web.answers import Answer, failed
from p2pim.web.connection import WebChannel
from p2pim.web.routing import OPEN, Route, Routes


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

    @property
    def is_strangers(self) -> bool:
        """Whether nobody was let in for it: it is open to everybody, or refused."""
        return self._route is None or self._route.access == OPEN

    def gotLength(self, length: int | None) -> None:  # noqa: N802 - Twisted's
        """The head is there."""
        self.content = BytesIO()
        self.method, self.uri, self.clientproto = self.channel.first_line()
        self.path, _, arguments = self.uri.partition(b"?")
        try:
            self.args = _arguments(arguments)
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
        elif (length or 0) > self._most(route):
            raise TooLarge
        self._route = route

    @staticmethod
    def _most(route: Route) -> int:
        """Bytes of a body that is kept."""
        return HTTP_OPEN_BODY if route.access == OPEN else HTTP_BODY

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
        elif self._route is None or self._bytes > self._most(self._route):
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


def _arguments(text: bytes) -> dict[bytes, list[bytes]]:
    """What stands after the ``?`` of an address.

    :raises Usage: too much does: whoever asked is told, and nothing is written down.
    """
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=64)
    except ValueError:
        raise Usage("The address has too many parameters.") from None


def _address_key(transport: Any) -> str:
    """Under what connections of one address are counted; empty: not at all, they come from this machine."""
    host: str | None = getattr(transport.getPeer(), "host", None)
    if host is None or is_loopback(host := normal_host(host)):
        return ""
    return host_key(host)


@dataclass(eq=False)
class WebSite(ServerFactory["WebChannel"]):
    """What is served at an address.

    :param clock: for timeouts.
    :param routes: what is where.
    :param gate: who may ask; None: whoever can connect.
    :param error_page: how errors are shown.
    :param connections: at once; of one address beyond this machine, `HTTP_CONNECTIONS_PER_ADDRESS`.
    :param trusted: tells of a new connection whether anything is said on it.
    :param headers: on every answer, besides those of the answer itself; they override `p2pim.web.answers.CONFINED`.
    """

    clock: Any
    routes: Routes
    error_page: ErrorPage
    gate: Gate | None = None
    headers: dict[str, str] = field(default_factory=dict)
    connections: int = HTTP_CONNECTIONS
    trusted: Callable[[Any], bool] = lambda transport: True
    noisy = False

    def __post_init__(self) -> None:
        self._channels: dict[WebChannel, str] = {}
        """Everyone who is connected, by the key of their address: empty for programs of this machine."""

    def buildProtocol(self, addr: IAddress | None) -> WebChannel:
        channel = WebChannel()  # type: ignore[no-untyped-call]
        channel.site = channel.factory = self
        channel.callLater = self.clock.callLater
        channel.requestFactory = cast("type[Request]", WebRequest)
        channel.timeOut = HTTP_IDLE
        return channel

    def admit(self, channel: WebChannel) -> bool:
        """Whether there is room for one more, and it may be there."""
        if len(self._channels) >= self.connections or not self.trusted(channel.transport):
            return False
        key = _address_key(channel.transport)
        if key and list(self._channels.values()).count(key) >= HTTP_CONNECTIONS_PER_ADDRESS:
            return False
        self._channels[channel] = key
        return True

    def discharge(self, channel: WebChannel) -> None:
        """``channel`` has gone."""
        self._channels.pop(channel, None)

    def log(self, request: Request) -> None:
        """Addresses may carry secrets (links), so none is written down."""

    def end(self) -> None:
        """Hang up on everyone, once what was said has been written."""
        for channel in list(self._channels):
            channel.loseConnection()
