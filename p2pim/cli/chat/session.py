"""A conversation at work: keys and events come in, messages go out, the screen follows."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from p2pim.cli.backend import LiveBackend, ignore_item
from p2pim.cli.chat.conversation import Conversation
from p2pim.cli.chat.editor import LineEditor
from p2pim.cli.chat.keys import KeyReader
from p2pim.cli.chat.screen import Line, Screen
from p2pim.core.limits import HISTORY_PAGE, TYPING_EVERY, TYPING_SHOWN
from p2pim.core.names import is_guest_user
from p2pim.errors import Interrupted, NoSuchUser, P2pimError

HISTORY_SHOWN = 50
HELP = (
    "/send PATH offers a file or folder, /accept ID and /reject ID answer an offer, /quit (or Ctrl-D) ends,\n"
    "//x says /x, PageUp and PageDown scroll, /history N brings N older messages.\n"
    "Marks: · on its way, ✓ sent or in a mailbox, ✓✓ delivered, ✓✓ read, ✗ failed."
)


class ChatSession:
    """The conversation with ``user`` through ``backend``.

    :param draw: called whenever the screen has changed.
    """

    def __init__(
        self,
        clock: Any,
        backend: LiveBackend,
        user: str,
        prefix: str,
        draw: Callable[[], None],
        wall: Callable[[], float],
    ) -> None:
        self.screen = Screen()
        self.ended: Deferred[None] = Deferred()
        self._clock = clock
        self._backend = backend
        self._user = user
        self._draw = draw
        self._wall = wall
        self._keys = KeyReader()
        self._editor = LineEditor()
        self._conversation = Conversation(user, self.screen, prefix)
        self._running: set[Deferred[Any]] = set()
        self._typed = float("-inf")
        self._writing: Any = None
        self._fetching = False
        self._unseen = False

    def start(self) -> None:
        """Show what was said, listen, and try for a direct channel meanwhile."""
        self._begin(self._listen())
        self._begin(self._open())

    async def _open(self) -> None:
        history = await self._call("history", user=self._user, limit=HISTORY_SHOWN)
        self._conversation.show_history(history["messages"])
        self._conversation.remark("/help shows what else can be typed.")
        await self._show_channels()
        self._seen()
        if not self._user.startswith("#") and not is_guest_user(self._user):
            self._begin(self._connect())
        self._draw()

    def stop(self) -> None:
        """End what is under way; messages that were sent stay sent."""
        self.ended.addErrback(lambda failure: None)  # whoever waited for it has been told
        for running in list(self._running):
            running.cancel()
        if self._writing is not None and self._writing.active():
            self._writing.cancel()

    def keys(self, data: bytes) -> None:
        """What the terminal sent; nothing is its end."""
        if not data:
            self._end()
            return
        for key in self._keys.feed(data):
            self._key(key)
        self.screen.input, self.screen.cursor = self._editor.text, self._editor.cursor
        self._draw()
        if self._unseen and not self.screen.scroll:
            self._seen()

    def _key(self, key: str) -> None:
        match key:
            case "interrupt":
                self._end(Interrupted())
            case "eof" if not self._editor.text:
                self._end()
            case "redraw":
                self.screen.forget_drawn()
            case "page-up":
                self._scroll_back()
            case "page-down":
                self.screen.scroll -= 5
            case _:
                line = self._editor.key(key)
                if line is not None:
                    self._line(line)
                elif key.startswith(("text:", "paste:")) and not self._editor.text.startswith("/"):
                    self._typing()

    def _scroll_back(self) -> None:
        """Five rows up; at the top older messages are fetched."""
        if self.screen.at_top:
            self._begin(self._show_older(HISTORY_SHOWN))
        self.screen.scroll += 5

    async def _show_older(self, count: int) -> None:
        """Fetch up to ``count`` messages from before what is shown, one request at a time."""
        before, room = self._conversation.oldest, self.screen.room_for_older
        if before is None or self._fetching:
            return
        if room <= 0:
            self.screen.notice = "`p2pim history` has what is older"
            return
        self._fetching = True
        try:
            found = await self._call("history", user=self._user, limit=min(count, room), before=before)
        finally:
            self._fetching = False
        self._conversation.show_history(found["messages"])
        self.screen.notice = "" if found["messages"] else "nothing was said before this"
        self._draw()

    async def _show_history(self, count: str) -> None:
        if count and not (count.isdecimal() and 1 <= int(count[:5]) <= HISTORY_PAGE):
            self._conversation.remark(f"/history takes a number from 1 to {HISTORY_PAGE}.")
            return
        await self._show_older(int(count or HISTORY_SHOWN))
        self.screen.show_oldest()
        self._draw()

    def _seen(self) -> None:
        """What they said last is before my eyes: they get read receipts."""
        self._unseen = False
        self._begin(self._call("read", user=self._user))

    def _typing(self) -> None:
        now = self._clock.seconds()
        if now - self._typed >= TYPING_EVERY:
            self._typed = now
            self._begin(self._call("typing", user=self._user))

    def _line(self, text: str) -> None:
        if text.startswith("/") and not text.startswith("//"):
            self._slash(*text.partition(" ")[::2])
            return
        text = text[1:] if text.startswith("//") else text
        line = self._conversation.writing(text, self._wall())
        self._begin(self._send(line))

    def _slash(self, command: str, argument: str) -> None:
        match command:
            case "/quit" | "/exit":
                self._end()
            case "/send" if argument:
                self._begin(self._offer(argument.strip()))
            case "/history":
                self._begin(self._show_history(argument.strip()))
            case "/accept" | "/reject" if argument:
                self._begin(self._shown(self._call(command[1:], id=argument.strip())))
            case _:
                self._conversation.remark(HELP)

    async def _send(self, line: Line) -> None:
        try:
            result = await self._call("msg", user=self._user, text=line.text, route="auto", timeout=None, wait=True)
        except P2pimError as error:
            line.state = "failed"
            self._conversation.remark(error.message)
        else:
            self._conversation.settled(line, result)
        self._draw()

    async def _offer(self, path: str) -> None:
        absolute = Path(path).expanduser().absolute()
        params = {"user": self._user, "paths": [str(absolute)], "comment": "", "route": "auto", "wait": False}
        await self._shown(self._call("send", **params))

    async def _shown(self, work: Coroutine[Deferred[Any], Any, Any]) -> None:
        """Do ``work``; its failure is a remark."""
        try:
            await work
        except P2pimError as error:
            self._conversation.remark(error.message)
        self._draw()

    async def _connect(self) -> None:
        """Opening a conversation tries for a direct channel; its failure is told by an event, and relaying goes on."""
        try:
            await self._call("connect", user=self._user)
        except P2pimError as error:
            if error.exit_status == NoSuchUser.exit_status:
                self._end(error)
            return
        await self._show_channels()
        self._draw()

    async def _show_channels(self) -> None:
        self._conversation.show_channels((await self._call("channels"))["channels"])

    async def _listen(self) -> None:
        """Hear what happens; a conversation that hears nothing more has ended."""
        try:
            await self._backend.call("events", {}, self._event)
        except P2pimError as error:
            self._end(error)

    def _event(self, event: dict[str, Any]) -> None:
        if self._conversation.event(event):
            self._unseen = True
        if event.get("event") == "typing" and (event.get("group") or event.get("user")) == self._user:
            self._notice_for_a_while()
        self._draw()
        if self._unseen and not self.screen.scroll:
            self._seen()
        if event.get("event") == "signed-out":
            self._end(P2pimError(f"Signed out: {event.get('message') or event.get('reason')}"))

    def _notice_for_a_while(self) -> None:
        if self._writing is not None and self._writing.active():
            self._writing.cancel()
        self._writing = self._clock.callLater(TYPING_SHOWN, self._writes_no_more)

    def _writes_no_more(self) -> None:
        self._conversation.writes_no_more()
        self._draw()

    async def _call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self._backend.call(method, params, ignore_item)

    def _begin(self, work: Coroutine[Deferred[Any], Any, Any]) -> None:
        """Do ``work`` beside everything else; what it raises is shown, but for the end of the conversation."""
        running = Deferred.fromCoroutine(work)
        self._running.add(running)
        running.addErrback(self._failed)
        running.addBoth(lambda result: self._running.discard(running))

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        error = failure.value
        if isinstance(error, P2pimError):
            self._conversation.remark(error.message)
            self._draw()
        else:
            self._end(error)

    def _end(self, error: BaseException | None = None) -> None:
        if self.ended.called:
            return
        if error is None:
            self.ended.callback(None)
        else:
            self.ended.errback(error)


def wall_time() -> float:
    """Seconds since 1970."""
    return time.time()
