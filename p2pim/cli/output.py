"""What goes to whom: results to stdout, notes for people beside them, failures as one line on stderr.

With ``--json`` stdout carries one JSON object per line and nothing else; notes go to stderr then. Everything that came
from other people passes `p2pim.cli.text.printable` before it reaches a terminal; JSON escapes what a terminal could
take for a command.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Any

from p2pim.cli.text import printable
from p2pim.errors import NoDirectPath, P2pimError, UnknownRemoteError

_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON lets through unescaped although terminals obey it: C1 controls, direction marks, line separators."""


def as_line(value: Mapping[str, Any]) -> bytes:
    """``value`` as one line of JSON, UTF-8, without its line feed. Unpaired surrogates become their escapes."""
    text = json.dumps(value, ensure_ascii=False, separators=(", ", ": "), default=str)
    safe = _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return safe.encode("utf-8", "backslashreplace")


def error_fields(error: P2pimError) -> dict[str, Any]:
    """An error as ``--json`` prints it: ``error``, ``message`` and what else this error knows."""
    fields: dict[str, Any] = {"error": error_code(error), "message": error.message}
    if isinstance(error, NoDirectPath):
        fields["reasons"] = [{"rung": rung, "reason": reason} for rung, reason in error.reasons]
    if error.retry_after:
        fields["retry_after"] = round(error.retry_after, 3)
    return fields


def error_code(error: P2pimError) -> str:
    """The code under which people and scripts know this error."""
    return error.wire_code if isinstance(error, UnknownRemoteError) else error.code


class Output:
    """The standard streams of one command.

    :param json: whether stdout is for a program.
    """

    def __init__(self, *, json: bool = False, stdout: IO[str] | None = None, stderr: IO[str] | None = None) -> None:
        self.json = json
        self._stdout = stdout
        self._stderr = stderr

    @property
    def stdout(self) -> IO[str]:
        """Looked up late: whoever replaces ``sys.stdout`` gets what is printed after that."""
        return self._stdout or sys.stdout

    @property
    def stderr(self) -> IO[str]:
        return self._stderr or sys.stderr

    def item(self, value: Mapping[str, Any], text: str | None = None, *, safe: bool = False) -> None:
        """One result: the object with ``--json``, else ``text``, or nothing when None.

        :param safe: ``text`` is safe for a terminal already; otherwise it is made so.
        """
        if self.json:
            self._write_bytes(as_line(value) + b"\n")
        elif text is not None:
            self._write(self.stdout, text, safe=safe)

    def result(self, line: str) -> None:
        """A line of a result that is text even with ``--json``; it must be safe for a terminal already."""
        self._write(self.stdout, line, safe=True)

    def note(self, text: str) -> None:
        """A remark for people; no program needs it."""
        self._write(self.stderr if self.json else self.stdout, text)

    def aside(self, text: str) -> None:
        """A remark that must not mix with results even without ``--json``."""
        self._write(self.stderr, text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> None:
        """Rows under headings for people; nothing with ``--json``. ``right`` names the columns aligned to the right."""
        if self.json:
            return
        from p2pim.cli.tables import render_table

        width = terminal_width(self.stdout)
        for line in render_table(columns, rows, right=right, width=width):
            self._write(self.stdout, line, safe=True)

    def failure(self, error: P2pimError) -> None:
        """The line on stderr, and with ``--json`` the object on stdout."""
        if self.json:
            self._write_bytes(as_line(error_fields(error)) + b"\n")
        self._write(self.stderr, f"p2pim: {error_code(error)}: {one_line(error.message)}")

    def _write_bytes(self, line: bytes) -> None:
        stream = self.stdout
        binary = getattr(stream, "buffer", None)
        if binary is None:
            stream.write(line.decode("utf-8"))
        else:
            stream.flush()
            binary.write(line)
        stream.flush()

    @staticmethod
    def _write(stream: IO[str], text: str, *, safe: bool = False) -> None:
        shown = text if safe else printable(text, keep="\n")
        try:
            stream.write(f"{shown}\n")
        except UnicodeEncodeError:
            encoding: str = getattr(stream, "encoding", None) or "ascii"
            stream.write(shown.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()


def one_line(text: str) -> str:
    """``text`` with its line breaks as spaces."""
    return " ".join(text.split())


def terminal_width(stream: IO[str]) -> int | None:
    """Columns of the terminal behind ``stream``, or None when it is none."""
    import os

    try:
        if stream.isatty():
            return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        pass
    return None
