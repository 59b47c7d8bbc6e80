"""The little of HTTP/1.1 (RFC 9112) that a program needs for asking its agent: one request, and the lines of an answer.

The agent answers with JSON, a value a line (``application/x-ndjson``), or one value for an error.
"""

from __future__ import annotations

import json
from typing import Any, Final

from p2pim.errors import BadMessage

_PLAIN, _SIZE, _CHUNK, _AFTER_CHUNK, _TRAILER = range(5)
_LONGEST_SIZE: Final = 16


def encode_request(method: str, params: dict[str, Any]) -> bytes:
    """A call of the local API's ``method``."""
    body = json.dumps(params, separators=(",", ":")).encode()
    head = (
        f"POST /api/1/{method} HTTP/1.1\r\nHost: agent\r\nContent-Type: application/json\r\n"
        f"Accept: application/x-ndjson\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class AnswerReader:
    """Reads one answer.

    ``started``: its head is there. ``ended``: all of it is. ``reusable``: then the connection takes another request.

    :param longest: bytes of a line that are accepted.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self.started = False
        self.ended = False
        self.reusable = True
        self._data = b""
        self._line: list[bytes] = []
        self._size = 0
        self._state = _PLAIN
        self._left = 0

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The values that are complete with ``data``.

        :raises BadMessage: that is no such answer.
        """
        self._data += data
        values: list[dict[str, Any]] = []
        try:
            if not self.started and not self._read_head():
                return values
            while not self.ended and self._data and self._read_body(values):
                pass
            if self.started and self._state == _PLAIN and not self._left:
                self._end(values)
        except (ValueError, LookupError, RecursionError) as error:
            raise BadMessage(f"The agent's answer makes no sense: {error}") from None
        return values

    def _read_head(self) -> bool:
        head, end, rest = self._data.partition(b"\r\n\r\n")
        if not end:
            if len(self._data) > self._longest:
                raise ValueError("too long a head")
            return False
        self.started, self._data = True, rest
        first, *lines = head.decode("latin-1").split("\r\n")
        if not first.startswith("HTTP/1.1 "):
            raise ValueError("it is not HTTP/1.1")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.reusable = headers.get("connection", "").lower() != "close"
        if headers.get("transfer-encoding", "").lower() == "chunked":
            self._state = _SIZE
        else:
            self._left = int(headers["content-length"])
        return True

    def _read_body(self, values: list[dict[str, Any]]) -> bool:
        """Take one part of the body; whether there may be another."""
        if self._state in (_PLAIN, _CHUNK):
            part, self._data = self._data[: self._left], self._data[self._left :]
            self._left -= len(part)
            self._take(part, values)
            if self._state == _CHUNK and not self._left:
                self._state = _AFTER_CHUNK
            return bool(self._left == 0 and self._state != _PLAIN)
        line, end, rest = self._data.partition(b"\r\n")
        if not end:
            if len(line) > _LONGEST_SIZE:
                raise ValueError("a chunk has no size")
            return False
        self._data = rest
        self._read_line(line, values)
        return True

    def _read_line(self, line: bytes, values: list[dict[str, Any]]) -> None:
        if self._state == _SIZE:
            self._left = int(line, 16)
            self._state = _CHUNK if self._left else _TRAILER
        elif self._state == _AFTER_CHUNK:
            self._state = _SIZE
        elif not line:
            self._end(values)

    def _take(self, part: bytes, values: list[dict[str, Any]]) -> None:
        self._line.append(part)
        self._size += len(part)
        if self._size > self._longest:
            raise ValueError("too long a line")
        if b"\n" in part:
            *lines, rest = b"".join(self._line).split(b"\n")
            self._line, self._size = [rest], len(rest)
            values.extend(_value(line) for line in lines if line)

    def _end(self, values: list[dict[str, Any]]) -> None:
        self.ended = True
        line, self._line = b"".join(self._line), []
        if line:
            values.append(_value(line))


def _value(line: bytes) -> dict[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("a line is no object")
    return value
