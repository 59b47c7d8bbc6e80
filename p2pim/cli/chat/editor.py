"""One line of text being written, with a cursor and what was written before. No I/O."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from p2pim.core.limits import MESSAGE_TEXT

_REMEMBERED: Final = 200
"""Earlier lines that the arrow keys bring back."""


class LineEditor:
    """Takes keys as `p2pim.cli.chat.keys.KeyReader` names them; `text` and `cursor` are what to draw.

    Line breaks in a paste are kept; the screen draws a sign for them.
    """

    def __init__(self) -> None:
        self.text = ""
        self.cursor = 0
        self._past: list[str] = []
        self._at = 0
        self._draft = ""

    def key(self, key: str) -> str | None:
        """Apply ``key``; the finished line when it was Enter and there is one."""
        if key.startswith(("text:", "paste:")):
            self._insert(key.partition(":")[2])
        elif key == "enter":
            return self._finish()
        else:
            action = _ACTIONS.get(key)
            if action is not None:
                action(self)
        return None

    def _insert(self, text: str) -> None:
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
        text = "".join(c for c in text if c == "\n" or unicodedata.category(c) != "Cc")
        if len(self.text) + len(text) > MESSAGE_TEXT:
            text = text[: max(0, MESSAGE_TEXT - len(self.text))]
        self.text = self.text[: self.cursor] + text + self.text[self.cursor :]
        self.cursor += len(text)

    def _finish(self) -> str | None:
        line, self.text, self.cursor = self.text.strip(), "", 0
        if not line:
            return None
        if not self._past or self._past[-1] != line:
            self._past = [*self._past[-_REMEMBERED + 1 :], line]
        self._at = len(self._past)
        return line

    def left(self) -> None:
        self.cursor = self._step_back()

    def right(self) -> None:
        self.cursor = self._step_on()

    def home(self) -> None:
        self.cursor = 0

    def end(self) -> None:
        self.cursor = len(self.text)

    def word_left(self) -> None:
        before = re.search(r"\S+\s*$", self.text[: self.cursor])
        self.cursor = before.start() if before else 0

    def word_right(self) -> None:
        after = re.match(r"\s*\S+", self.text[self.cursor :])
        self.cursor += after.end() if after else 0

    def backspace(self) -> None:
        self._cut(self._step_back(), self.cursor)

    def delete(self) -> None:
        self._cut(self.cursor, self._step_on())

    def kill_word(self) -> None:
        end = self.cursor
        self.word_left()
        self._cut(self.cursor, end)

    def kill_start(self) -> None:
        self._cut(0, self.cursor)

    def kill_end(self) -> None:
        self._cut(self.cursor, len(self.text))

    def up(self) -> None:
        self._recall(self._at - 1)

    def down(self) -> None:
        self._recall(self._at + 1)

    def _recall(self, index: int) -> None:
        if not 0 <= index <= len(self._past):
            return
        if self._at == len(self._past):
            self._draft = self.text
        self._at = index
        self.text = self._draft if index == len(self._past) else self._past[index]
        self.cursor = len(self.text)

    def _cut(self, start: int, end: int) -> None:
        self.text = self.text[:start] + self.text[end:]
        self.cursor = start

    def _step_back(self) -> int:
        at = max(0, self.cursor - 1)
        while at > 0 and unicodedata.combining(self.text[at]):
            at -= 1
        return at

    def _step_on(self) -> int:
        at = min(len(self.text), self.cursor + 1)
        while at < len(self.text) and unicodedata.combining(self.text[at]):
            at += 1
        return at


_ACTIONS: Final = {
    "left": LineEditor.left,
    "right": LineEditor.right,
    "home": LineEditor.home,
    "end": LineEditor.end,
    "word-left": LineEditor.word_left,
    "word-right": LineEditor.word_right,
    "backspace": LineEditor.backspace,
    "delete": LineEditor.delete,
    "kill-word": LineEditor.kill_word,
    "kill-start": LineEditor.kill_start,
    "kill-end": LineEditor.kill_end,
    "up": LineEditor.up,
    "down": LineEditor.down,
}
