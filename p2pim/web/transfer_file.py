"""``GET /api/1/transfers/ID/file``: a file that was received or sent, for the page to show or save.

Only pictures are shown, told by their first bytes: anything else in it could be a page that runs as ours.
"""

from __future__ import annotations

import os
import stat
from typing import BinaryIO, Final
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from p2pim.core.limits import SENT_AT_ONCE
from p2pim.core.transfer import State
from p2pim.errors import FileUnreadable, NoSuchTransfer
from p2pim.peer.api import Peer
from p2pim.web.answers import Answer
from p2pim.web.http import WebRequest
from p2pim.web.routing import API, Routes

ALONE: Final = ("Content-Security-Policy", "sandbox; default-src 'none'")
"""Even if a browser took it for a page, that could do nothing."""


class TransferFiles:
    """Serves those of ``peer``."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def serve(self, routes: Routes) -> None:
        """Put them where the API has them."""
        routes.add("GET", "/api/1/transfers/{id}/file", self._get, API)

    async def _get(self, request: WebRequest) -> None:
        await self._peer.opened()
        status = self._peer.transfers.get(request.facts["id"]).status()
        if status.folder or (status.direction == "in" and status.state != State.COMPLETED):
            raise NoSuchTransfer("Only a single file that is complete can be shown.")
        file, size = _open(status.path)
        try:
            kind = picture_kind(file.read(32)) if not request.query("download") else ""
            file.seek(0)
            request.begin(_head(kind, status.name, size))
            await _Sender(request, file, size).sent
        finally:
            file.close()


def picture_kind(head: bytes) -> str:
    """The type of a picture that begins with ``head`` (32 bytes); empty: it is none that is shown."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return "image/avif"
    return ""


def _head(kind: str, name: str, size: int) -> Answer:
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " ._-()+") else "_" for c in name)[:150]
    shown = "inline" if kind else "attachment"
    disposition = f"{shown}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    headers = (ALONE, ("Content-Disposition", disposition), ("Cache-Control", "private, no-cache"))
    return Answer(kind=kind or "application/octet-stream", headers=headers, length=size)


def _open(path: str) -> tuple[BinaryIO, int]:
    """The file at ``path`` and its size; nothing but a plain file is opened, and no pipe is waited for."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise FileUnreadable(f"The file is not there any more: {error.strerror}.") from None
    known = os.fstat(handle)
    if not stat.S_ISREG(known.st_mode):
        os.close(handle)
        raise FileUnreadable("There is no file any more.")
    return os.fdopen(handle, "rb"), known.st_size


@implementer(IPullProducer)
class _Sender:
    """Sends as much as the reader takes."""

    def __init__(self, request: WebRequest, file: BinaryIO, size: int) -> None:
        self._request = request
        self._file = file
        self._left = size
        self.sent: Deferred[None] = Deferred(lambda _: self._stop())
        request.registerProducer(self, False)  # type: ignore[no-untyped-call]

    def resumeProducing(self) -> None:
        """There is room."""
        data = self._file.read(min(SENT_AT_ONCE, self._left)) if self._left else b""
        self._left -= len(data)
        if data:
            self._request.write(data)  # type: ignore[no-untyped-call]
        if not data or not self._left:
            self._finish(complete=not self._left)

    def stopProducing(self) -> None:
        """The reader has gone; the request tells."""

    def _finish(self, *, complete: bool) -> None:
        self._request.unregisterProducer()  # type: ignore[no-untyped-call]
        if complete:
            self._request.finish()  # type: ignore[no-untyped-call]
        else:
            self._request.channel.abort()
        self.sent.callback(None)

    def _stop(self) -> None:
        self._left = 0
