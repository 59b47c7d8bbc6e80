"""What a terminal sends for a key, told apart. No I/O: bytes go in, keys come out."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Final

_NAMES: Final = {
    "\x01": "home", "\x02": "left", "\x03": "interrupt", "\x04": "eof", "\x05": "end", "\x06": "right",
    "\x08": "backspace", "\x0b": "kill-end", "\x0c": "redraw", "\r": "enter", "\n": "enter", "\x0e": "down",
    "\x10": "up", "\x15": "kill-start", "\x17": "kill-word", "\x7f": "backspace",
    "\x1b[A": "up", "\x1b[B": "down", "\x1b[C": "right", "\x1b[D": "left", "\x1b[H": "home", "\x1b[F": "end",
    "\x1bOA": "up", "\x1bOB": "down", "\x1bOC": "right", "\x1bOD": "left", "\x1bOH": "home", "\x1bOF": "end",
    "\x1b[1~": "home", "\x1b[3~": "delete", "\x1b[4~": "end", "\x1b[5~": "page-up", "\x1b[6~": "page-down",
    "\x1b[7~": "home", "\x1b[8~": "end", "\x1b[1;5C": "word-right", "\x1b[1;5D": "word-left",
    "\x1bf": "word-right", "\x1bb": "word-left", "\x1b\x7f": "kill-word",
}  # fmt: skip

_PASTE_BEGINS: Final = "\x1b[200~"
_PASTE_ENDS: Final = "\x1b[201~"
_SEQUENCE: Final = re.compile(r"\x1b(?:\[[0-9;:<=>?]*[ -/]*[@-~]|O[@-~]|[^\[O\x1b])", re.DOTALL)
"""A whole escape sequence: CSI, SS3, or Escape and one character (Alt)."""
_PENDING_LIMIT: Final = 64
"""An escape sequence that is still open after so many characters is none."""


class KeyReader:
    """Turns what a terminal sends into keys: a name from the table, or ``text:`` and the characters themselves.

    Sequences and characters that arrive in parts wait for the rest. A pasted text comes as one ``paste:`` key, so that
    its line breaks send nothing.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._pasted: list[str] | None = None

    def feed(self, data: bytes) -> list[str]:
        """The keys that are complete now."""
        self._pending += self._decoder.decode(data)
        return list(self._keys())

    def _keys(self) -> Iterator[str]:
        while self._pending:
            if self._pasted is not None:
                key = self._paste()
                if key is None:
                    return
                yield key
            elif self._pending[0] == "\x1b":
                sequence = self._sequence()
                if sequence is None:
                    return
                if sequence == _PASTE_BEGINS:
                    self._pasted = []
                elif sequence in _NAMES:
                    yield _NAMES[sequence]
            else:
                yield from self._plain()

    def _plain(self) -> Iterator[str]:
        character = self._pending[0]
        if character < " " or character == "\x7f":
            self._pending = self._pending[1:]
            if character in _NAMES:
                yield _NAMES[character]
            return
        text = re.match(r"[^\x00-\x1f\x7f]+", self._pending)
        assert text is not None
        self._pending = self._pending[text.end() :]
        yield f"text:{text[0]}"

    def _sequence(self) -> str | None:
        found = _SEQUENCE.match(self._pending)
        if found is None:
            if len(self._pending) > _PENDING_LIMIT or self._pending.startswith("\x1b\x1b"):
                self._pending = self._pending[1:]
                return ""
            return None
        self._pending = self._pending[found.end() :]
        return found[0]

    def _paste(self) -> str | None:
        assert self._pasted is not None
        text, ended, rest = self._pending.partition(_PASTE_ENDS)
        if not ended:
            held = next((n for n in range(len(_PASTE_ENDS) - 1, 0, -1) if text.endswith(_PASTE_ENDS[:n])), 0)
            self._pasted.append(text[: len(text) - held])
            self._pending = text[len(text) - held :]
            return None
        self._pasted.append(text)
        whole, self._pasted, self._pending = "".join(self._pasted), None, rest
        return f"paste:{whole}"
