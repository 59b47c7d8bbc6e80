"""A conversation without a screen: lines of stdin are messages, what the other side says are lines of stdout."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from p2pim.cli.backend import LiveBackend, ignore_item
from p2pim.cli.chat.input import Input
from p2pim.cli.event_text import event_line
from p2pim.cli.invocation import Invocation
from p2pim.cli.text import conversation_title
from p2pim.core.limits import MESSAGE_TEXT
from p2pim.core.names import is_guest_user


class Lines:
    """Stdin, a line at a time: more is read when the lines before have been dealt with."""

    def __init__(self, reactor: Any, said: Callable[[str], Coroutine[Deferred[Any], Any, None]]) -> None:
        self.ended: Deferred[None] = Deferred()
        self._said = said
        self._rest = b""
        self._input = Input(reactor, self._read)
        self._input.start()

    def _read(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = b"" if not data else lines.pop()
        if len(self._rest) > MESSAGE_TEXT:
            lines.append(self._rest[:MESSAGE_TEXT])
            self._rest = self._rest[MESSAGE_TEXT:]
        self._input.pause()
        Deferred.fromCoroutine(self._say(lines, last=not data)).addErrback(self.fail)

    async def _say(self, lines: list[bytes], *, last: bool) -> None:
        for line in lines:
            text = line.decode("utf-8", "replace").strip()
            if text:
                await self._said(text)
        if last and not self.ended.called:
            self.ended.callback(None)
        elif not last:
            self._input.start()

    def fail(self, failure: Failure) -> None:
        """Something went wrong: the conversation ends with it."""
        if not self.ended.called:
            self.ended.errback(failure)

    def stop(self) -> None:
        """Read no more."""
        self._input.pause()
        self.ended.addErrback(lambda failure: None)


async def chat_by_lines(reactor: Any, backend: LiveBackend, invocation: Invocation, user: str) -> None:
    """Send every line of stdin to ``user`` and print what they say, until stdin ends."""
    output = invocation.output

    def heard(event: dict[str, Any]) -> None:
        if (event.get("group") or event.get("user")) != user:
            return
        if event.get("event") in ("channel-opened", "channel-closed"):
            output.item(event, conversation_title(user, event if event["event"] == "channel-opened" else None))
        elif event.get("event") != "receipt" or output.json:
            output.item(event, event_line(event, invocation.command_prefix))

    async def send(text: str) -> None:
        params = {"user": user, "text": text, "route": "auto", "wait": True}
        output.item(await backend.call("msg", params, ignore_item))

    lines = Lines(reactor, send)
    listening = backend.call("events", {}, heard)
    listening.addErrback(lines.fail)
    connecting: Deferred[Any] = Deferred()
    if not user.startswith("#") and not is_guest_user(user):
        connecting = backend.call("connect", {"user": user}, ignore_item)
    connecting.addErrback(lambda failure: None)  # the event tells it, and relaying goes on
    try:
        await lines.ended
    finally:
        lines.stop()
        listening.cancel()
        connecting.cancel()
