"""The readable log: which channels were set up or failed and why, and by which route each message went.

One line each: time, kind, user, text. Never the text of a message. The file is renamed aside when it has grown to its
bound, so the log of years takes a few megabytes.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from twisted.logger import Logger

from p2pim.core.limits import JOURNAL_FILE, JOURNAL_FILES, JOURNAL_LINES
from p2pim.peer.events import rfc3339

_KIND_WIDTH, _USER_WIDTH = 10, 16


def plain(text: str) -> str:
    """``text`` on one line: whatever could move the cursor or end the line is shown as its code."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def read_line(line: str) -> dict[str, str] | None:
    """The parts of a line of the log, or None when it is none."""
    parts = line.rstrip("\n").split(None, 3)
    if len(parts) < 3 or not parts[0].endswith("Z"):
        return None
    return {"at": parts[0], "kind": parts[1], "user": "" if parts[2] == "-" else parts[2], "text": " ".join(parts[3:])}


class Journal:
    """The log in the file ``path``.

    :param wall: the time in seconds since 1970.
    """

    log = Logger()

    def __init__(self, path: Path, wall: Callable[[], float], limit: int = JOURNAL_FILE) -> None:
        self.path = path
        self._wall = wall
        self._limit = limit
        self._file: TextIO | None = None
        self._followers: list[Callable[[dict[str, str]], None]] = []

    def write(self, kind: str, user: str, text: str) -> None:
        """Add a line."""
        line = f"{rfc3339(self._wall())}  {kind:<{_KIND_WIDTH}} {user or '-':<{_USER_WIDTH}} {plain(text)}\n"
        try:
            self._append(line)
        except OSError as error:
            self.log.warn("cannot write {path}: {error}", path=str(self.path), error=str(error))
        if self._followers:
            self._tell(line)

    def _tell(self, line: str) -> None:
        entry = read_line(line)
        for follower in list(self._followers) if entry else ():
            follower(entry)  # type: ignore[arg-type]  # the loop is empty without an entry

    def _append(self, line: str) -> None:
        if self._file is None:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)
        self._file.write(line)
        if self._file.tell() > self._limit:
            self.close()
            self._rotate()

    def _rotate(self) -> None:
        for number in range(JOURNAL_FILES, 0, -1):
            older = self._aside(number - 1)
            if older.exists():
                os.replace(older, self._aside(number))

    def _aside(self, number: int) -> Path:
        return self.path if number == 0 else self.path.with_name(f"{self.path.name}.{number}")

    def last(self, count: int) -> list[dict[str, str]]:
        """The last ``count`` lines."""
        lines: deque[dict[str, str]] = deque(maxlen=max(0, min(count, JOURNAL_LINES)))
        lines.extend(self._all())
        return list(lines)

    def _all(self) -> Iterator[dict[str, str]]:
        for number in range(JOURNAL_FILES, -1, -1):
            path = self._aside(number)
            if path.exists():
                with path.open(encoding="utf-8", errors="replace") as file:
                    yield from (entry for line in file if (entry := read_line(line)) is not None)

    def follow(self, follower: Callable[[dict[str, str]], None]) -> Callable[[], None]:
        """Call ``follower`` with every line from now on; returns what ends that."""
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None
