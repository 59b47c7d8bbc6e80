"""What a conversation looks like: a title, the lines said, the line being written. No I/O: `draw` returns text.

The whole terminal is drawn from the model each time and only rows that changed are sent, so whatever arrives, the line
being written stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rich.cells import cell_len

from p2pim.cli.text import clock_text, printable, state_mark

LINES_KEPT: Final = 2_000
"""Lines of a conversation held for scrolling back; the history has the rest."""

_BOLD: Final = "\x1b[1m"
_DIM: Final = "\x1b[2m"
_REVERSE: Final = "\x1b[7m"
_PLAIN: Final = "\x1b[0m"
ENTER: Final = "\x1b[?1049h\x1b[?2004h\x1b[2J"
"""Take the terminal over: the alternate screen, with pastes marked as such."""
LEAVE: Final = "\x1b[?2004l\x1b[?1049l\x1b[?25h"
"""Give the terminal back as it was."""


@dataclass
class Line:
    """Something in the conversation: a message, or a remark when ``who`` is empty."""

    who: str
    text: str
    at: object = None
    state: str = ""
    route: str = ""


@dataclass
class Screen:
    """The model of what is shown."""

    title: str = ""
    lines: list[Line] = field(default_factory=list)
    notice: str = ""
    input: str = ""
    cursor: int = 0
    scroll: int = 0
    """Rows scrolled back from the newest."""

    at_top: bool = True
    """Whether the oldest line was in sight when it was drawn last."""

    def __post_init__(self) -> None:
        self._drawn: list[str] = []
        self._size = (0, 0)

    def add(self, line: Line) -> None:
        """Another line at the end; the oldest beyond `LINES_KEPT` are let go."""
        self.lines.append(line)
        del self.lines[:-LINES_KEPT]

    def add_older(self, lines: list[Line]) -> None:
        """More lines before the first; what is in sight stays in sight."""
        self.lines[:0] = lines

    @property
    def room_for_older(self) -> int:
        """How many lines can be added before the first."""
        return LINES_KEPT - len(self.lines)

    def show_oldest(self) -> None:
        """Scroll back to the first line."""
        self.scroll = sys.maxsize

    def forget_drawn(self) -> None:
        """Draw all of it next time: something else wrote to the terminal."""
        self._drawn = []

    def draw(self, width: int, height: int) -> str:
        """What to send to a terminal of that size to bring it up to date."""
        width, height = max(width, 10), max(height, 3)
        rows, column = self._rows(width, height)
        if (width, height) != self._size or not self._drawn:
            self._size, self._drawn = (width, height), [""] * height
            out = ["\x1b[2J"]
        else:
            out = []
        for number, (row, drawn) in enumerate(zip(rows, self._drawn, strict=True), start=1):
            if row != drawn:
                out.append(f"\x1b[{number};1H\x1b[2K{row}")
        self._drawn = rows
        return "\x1b[?25l" + "".join(out) + f"\x1b[{height};{column}H\x1b[?25h"

    def _rows(self, width: int, height: int) -> tuple[list[str], int]:
        room = height - 2
        body = [row for line in self.lines for row in line_rows(line, width)]
        self.scroll = max(0, min(self.scroll, len(body) - room))
        self.at_top = self.scroll >= len(body) - room
        end = len(body) - self.scroll
        shown = body[max(0, end - room) : end]
        shown = [*[""] * (room - len(shown)), *shown]
        typed, column = input_row(self.input, self.cursor, width)
        return [self._title_row(width), *shown, typed], column

    def _title_row(self, width: int) -> str:
        more = "  ↓ more below" if self.scroll else ""
        text = f" {printable(self.title)}{more}"
        notice = printable(self.notice)
        gap = width - cell_len(text) - cell_len(notice) - 1
        text = f"{text}{' ' * gap}{notice} " if notice and gap > 0 else text
        text = fit(text, width)
        return f"{_REVERSE}{text}{' ' * (width - cell_len(text))}{_PLAIN}"


def line_rows(line: Line, width: int) -> Iterator[str]:
    """The rows of one line: time, who, the text wrapped under itself, and a message's state and route behind it."""
    if not line.who:
        for part in wrap(printable(line.text, keep="\n"), width):
            yield f"{_DIM}{part}{_PLAIN}"
        return
    head = f"{clock_text(line.at)[:5]} {printable(line.who)}: "
    tail = " ".join(part for part in (printable(line.route), state_mark(line.state)) if part)
    start, indent = f"{_DIM}{head[:6]}{_PLAIN}{_BOLD}{head[6:]}{_PLAIN}", cell_len(head)
    if indent > width // 2:
        yield fit(head, width)
        start, indent = "  ", 2
    *parts, last = wrap(printable(line.text, keep="\n"), width - indent)
    for part in parts:
        yield start + part
        start = " " * indent
    if tail and indent + cell_len(last) + cell_len(tail) + 2 <= width:
        yield f"{start}{last}  {_DIM}{tail}{_PLAIN}"
        return
    yield start + last
    if tail:
        yield f"{' ' * indent}{_DIM}{fit(tail, width - indent)}{_PLAIN}"


def wrap(text: str, width: int) -> list[str]:
    """``text`` in rows of at most ``width`` cells, broken at spaces where there are any."""
    rows: list[str] = []
    for paragraph in text.split("\n"):
        rest = paragraph
        while cell_len(rest) > width:
            piece = fit(rest, width) or rest[:1]
            space = piece.rfind(" ")
            if space > 0 and rest[len(piece) : len(piece) + 1] != " ":
                piece = piece[:space]
            rows.append(piece.rstrip(" "))
            rest = rest[len(piece) :].lstrip(" ")
        rows.append(rest)
    return rows


def fit(text: str, width: int) -> str:
    """The longest beginning of ``text`` that takes at most ``width`` cells."""
    if cell_len(text) <= width:
        return text
    used = 0
    for index, character in enumerate(text):
        used += cell_len(character)
        if used > width:
            return text[:index]
    return text


def input_row(text: str, cursor: int, width: int) -> tuple[str, int]:
    """The row with the line being written, and the column (from 1) of its cursor, which is always in sight."""
    prompt = "> "
    shown, room = printable(text).replace("\u240a", "↵"), width - len(prompt) - 1
    at = len(printable(text[:cursor]))
    start = 0
    while cell_len(shown[start:at]) > room:
        start += 1
    column = len(prompt) + cell_len(shown[start:at]) + 1
    return prompt + fit(shown[start:], room), column
