"""A connection over HTTP/1.1, with times for what a stranger might draw out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from p2pim.core.limits import HTTP_HEAD, HTTP_HEAD_TIME, HTTP_HEADERS, HTTP_LINGER, HTTP_OPEN_BODY_TIME

if TYPE_CHECKING:
    from p2pim.web.http import WebRequest, WebSite


class WebChannel(HTTPChannel):
    """One connection to a `WebSite`, which makes it."""

    maxHeaders = HTTP_HEADERS  # noqa: N815 - Twisted's
    totalHeadersSize = HTTP_HEAD  # noqa: N815 - Twisted's
    requests: list[WebRequest]
    callLater: Callable[..., Any]
    _networkProducer: Any  # noqa: N815 - Twisted's
    site: WebSite
    factory: WebSite
    _head_time: Any = None
    _body_time: Any = None
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
        if self.requests and self.requests[-1].is_strangers:
            self._body_time = self.callLater(HTTP_OPEN_BODY_TIME, self._body_too_slow)

    def allContentReceived(self) -> None:  # noqa: N802 - Twisted's
        """The whole request is there, or the rest of one that has been answered."""
        self._forget_body()
        if self.requests:
            super().allContentReceived()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._forget_head()
        self._forget_body()
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
        self._forget_body()
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

    def _body_too_slow(self) -> None:
        self._body_time = None
        if not self.requests or not self.requests[-1].refuse_at_once():
            self.abort()

    def _forget_body(self) -> None:
        call, self._body_time = self._body_time, None
        if call is not None and call.active():
            call.cancel()
