"""The terminal while a conversation has it: raw keys in, drawings out, its size, and put back as it was."""

from __future__ import annotations

import os
import signal
import termios
from collections.abc import Callable
from typing import Any

from p2pim.cli.chat.input import Input
from p2pim.cli.chat.screen import ENTER, LEAVE


class Terminal:
    """A person's terminal while a conversation has it.

    :param read: gets the bytes of keys as they come; nothing at the end of the input.
    :param resized: called when the terminal has another size.
    """

    def __init__(
        self,
        reactor: Any,
        read: Callable[[bytes], None],
        resized: Callable[[], None],
        *,
        source: int = 0,
        sink: int = 1,
    ) -> None:
        self._reactor = reactor
        self._input = Input(reactor, read, source)
        self._resized = resized
        self._source = source
        self._sink = sink
        self._before: list[Any] | None = None
        self._old_handler: Any = None

    def open(self) -> None:
        """Take the terminal over: no echo, every key at once, the alternate screen."""
        self._before = termios.tcgetattr(self._source)
        raw = termios.tcgetattr(self._source)
        raw[0] &= ~(termios.ICRNL | termios.IXON)
        raw[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
        raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._source, termios.TCSADRAIN, raw)
        self._old_handler = signal.signal(signal.SIGWINCH, self._size_changed)
        self.write(ENTER)
        self._input.start()

    def close(self) -> None:
        """Give it back as it was."""
        if self._before is None:
            return
        self._input.pause()
        signal.signal(signal.SIGWINCH, self._old_handler or signal.SIG_DFL)
        self.write(LEAVE)
        termios.tcsetattr(self._source, termios.TCSADRAIN, self._before)
        self._before = None

    def write(self, text: str) -> None:
        """Draw, while it is open; a terminal that is gone ends the input, which is noticed there."""
        if self._before is None:
            return
        data = text.encode("utf-8", "replace")
        try:
            while data:
                data = data[os.write(self._sink, data) :]
        except OSError:
            return

    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        try:
            columns, rows = os.get_terminal_size(self._sink)
        except OSError:
            return 80, 24
        return columns or 80, rows or 24

    def _size_changed(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self._resized)
