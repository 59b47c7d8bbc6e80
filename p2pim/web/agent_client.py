"""Calls of an agent on a reactor, many at once: a few connections to its socket, one call on each at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from p2pim.core.limits import AGENT_LINKS, CONTROL_ANSWER
from p2pim.errors import P2pimError
from p2pim.peer.control_wire import AgentGone as AgentGone
from p2pim.peer.control_wire import rebuild, short_path
from p2pim.peer.local_calls import Item
from p2pim.web.local_http import ENDLESS
from p2pim.wire.local_http import AnswerReader, encode_request


class _Call:
    """One call, waiting for a connection or on it."""

    def __init__(self, method: str, params: dict[str, Any], item: Item, cancel: Callable[[_Call], None]) -> None:
        self.method = method
        self.request = encode_request(method, params)
        self.item = item
        self.link: _Link | None = None
        self.done: Deferred[dict[str, Any]] = Deferred(lambda _: cancel(self))
        self.again = False
        """It was sent on a connection that the agent was just closing, and goes once more."""

    @property
    def endless(self) -> bool:
        """Whether it stays until its caller has had enough."""
        return self.method in ENDLESS


class _Link(Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.client: AgentClient | None = None
        self.call: _Call | None = None
        self.used = False
        self._answer = AnswerReader(CONTROL_ANSWER)
        self._outcome: dict[str, Any] | None = None

    def begin(self, call: _Call) -> None:
        """Send the request."""
        self.call, call.link = call, self
        self._answer, self._outcome = AnswerReader(CONTROL_ANSWER), None
        assert self.transport is not None
        self.transport.write(call.request)

    def dataReceived(self, data: bytes) -> None:
        call, client = self.call, self.client
        if call is None or client is None:
            self.abort()
            return
        waited = not self._answer.started
        try:
            values = self._answer.feed(data)
        except P2pimError:
            self.abort()
            return
        if waited and self._answer.started:
            client.started(call)
        for value in values:
            if "item" in value:
                call.item(value["item"])
            else:
                self._outcome = value
        if self._answer.ended and self.call is call:
            self._end(client, call)

    def _end(self, client: AgentClient, call: _Call) -> None:
        outcome, self.call, self.used = self._outcome, None, True
        client.free(self, keep=self._answer.reusable)
        if outcome is not None and "result" in outcome:
            call.done.callback(outcome["result"])
        else:
            call.done.errback(rebuild(outcome) if outcome is not None else AgentGone())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        call, self.call = self.call, None
        if self.client is not None:
            self.client.lost(self, call, answered=self._answer.started)

    def abort(self) -> None:
        """Hang up now: what was asked for ends there, too."""
        transport: Any = self.transport
        transport.abortConnection()


class AgentClient:
    """The agent, as far as programs see it.

    What is asked for while an endless call (such as ``events``) begins is sent when that has begun: its items tell of
    everything that comes after it.

    :param dial: makes a connection.
    """

    def __init__(self, dial: Callable[[], Deferred[_Link]], first: _Link) -> None:
        self.gone: Deferred[None] = Deferred()
        """Fires when this end was closed and all its connections have ended."""
        self._dial = dial
        self._closed = False
        self._waiting: deque[_Call] = deque()
        self._beginning: _Call | None = None
        self._links: set[_Link] = set()
        self._idle: list[_Link] = []
        self._dialling = 0
        self._adopt(first)
        self._idle.append(first)

    def call(self, method: str, params: dict[str, Any], item: Item) -> Deferred[dict[str, Any]]:
        """The same as `LocalApi.call`, done by the agent.

        :raises AgentGone: (through the Deferred) the agent ended before it had answered.
        """
        call = _Call(method, params, item, self._cancel)
        if self._closed:
            call.done.errback(AgentGone())
        else:
            self._waiting.append(call)
            self._next()
        return call.done

    def close(self) -> None:
        """Hang up."""
        if self._closed:
            return
        self._closed = True
        for link in list(self._links):
            assert link.transport is not None
            link.transport.loseConnection()
        self._fail_waiting()
        self._check_gone()

    # --- which call goes on which connection

    def _next(self) -> None:
        while self._waiting and self._beginning is None:
            if not self._idle:
                self._dial_more()
                return
            call, link = self._waiting.popleft(), self._idle.pop()
            if call.endless:
                self._beginning = call
            link.begin(call)

    def _dial_more(self) -> None:
        ordinary = sum(link.call is not None and not link.call.endless for link in self._links)
        if self._dialling >= len(self._waiting) or ordinary + self._dialling >= AGENT_LINKS:
            return
        self._dialling += 1
        self._dial().addCallbacks(self._dialled, self._not_dialled)

    def _dialled(self, link: _Link) -> None:
        self._dialling -= 1
        self._adopt(link)
        if self._closed:
            link.abort()
            return
        self._idle.append(link)
        self._next()

    def _not_dialled(self, failure: Failure) -> None:
        self._dialling -= 1
        if not any(link.call is not None for link in self._links):
            self._fail_waiting()
        self._check_gone()

    def _adopt(self, link: _Link) -> None:
        link.client = self
        self._links.add(link)

    # --- what connections say

    def started(self, call: _Call) -> None:
        """The agent has begun with ``call``."""
        if self._beginning is call:
            self._beginning = None
            self._next()

    def free(self, link: _Link, *, keep: bool) -> None:
        """``link`` has no call any more."""
        if keep and not self._closed:
            self._idle.append(link)
            self._next()
        else:
            assert link.transport is not None
            link.transport.loseConnection()

    def lost(self, link: _Link, call: _Call | None, *, answered: bool) -> None:
        """``link`` has ended, perhaps with ``call`` on it."""
        self._links.discard(link)
        if link in self._idle:
            self._idle.remove(link)
        if call is not None:
            if self._beginning is call:
                self._beginning = None
            if link.used and not answered and not call.again and not self._closed:
                call.again, call.link = True, None
                self._waiting.appendleft(call)
            elif not call.done.called:
                call.done.errback(AgentGone())
            self._next()
        self._check_gone()

    # --- ends

    def _cancel(self, call: _Call) -> None:
        with suppress(ValueError):
            self._waiting.remove(call)
        link, call.link = call.link, None
        if link is not None and link.call is call:
            link.call = None
            if self._beginning is call:
                self._beginning = None
            link.abort()
        call.done.errback(CancelledError())

    def _fail_waiting(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for call in waiting:
            if not call.done.called:
                call.done.errback(AgentGone())

    def _check_gone(self) -> None:
        if self._closed and not self._links and not self._dialling and not self.gone.called:
            self.gone.callback(None)


async def connect_agent(reactor: Any, home: Path) -> AgentClient | None:
    """The agent that runs under ``home``, or None when none does."""
    path = Path(home).expanduser().absolute() / "agent.sock"

    async def dial() -> _Link:
        with short_path(path) as name:  # needed until the connection is made
            link: _Link = await UNIXClientEndpoint(reactor, name).connect(Factory.forProtocol(_Link))
            return link

    if not path.exists():
        return None
    try:
        return AgentClient(lambda: Deferred.fromCoroutine(dial()), await dial())
    except (ConnectError, ConnectionDone, OSError):
        return None
