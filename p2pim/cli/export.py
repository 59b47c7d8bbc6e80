"""Where an export of the history goes: stdout, or a file that was not there before and that only its owner can read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from p2pim.cli.output import Output, as_line
from p2pim.cli.text import message_line


class Export:
    """A context in which `write` takes the messages, one after the other.

    :param form: "text", a line each and made safe for a terminal; or "json", an object a line.
    :param to: the file; None: what is written are results of the command.
    :param everyone: whether the messages are of several conversations.
    :raises FileExistsError: (on entering) there is something at ``to`` already.
    """

    def __init__(self, form: str, to: Path | None, output: Output, *, everyone: bool) -> None:
        self.count = 0
        self.bytes = 0
        self._form = form
        self._to = to
        self._output = output
        self._everyone = everyone
        self._file: BinaryIO | None = None

    def __enter__(self) -> Export:
        if self._to is not None:
            descriptor = os.open(self._to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Half an export is none: the file goes when something went wrong."""
        if self._file is None or self._to is None:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            if error is None:
                self._to.unlink(missing_ok=True)
                raise
        finally:
            with contextlib.suppress(OSError):
                self._file.close()
            if error is not None:
                self._to.unlink(missing_ok=True)

    def write(self, message: Mapping[str, Any]) -> None:
        """One message."""
        self.count += 1
        if self._file is not None:
            line = self._line(message) + b"\n"
            self._file.write(line)
            self.bytes += len(line)
        elif self._form == "json":
            self._output.json = True
            self._output.item(message)
        else:
            self._output.result(message_line(message, everyone=self._everyone))

    def _line(self, message: Mapping[str, Any]) -> bytes:
        if self._form == "json":
            return as_line(message)
        return message_line(message, everyone=self._everyone).encode("utf-8", "backslashreplace")
