"""The server's store: files kept, sealed, for people who are away.

A sender asks for a place (`OpenUpload`), a recipient for a file (`OpenDownload`); both get a **ticket**, good once and
for a short time. The bytes go over a second connection to the same port, so that they stand in nobody's way: TLS,
`Hello`, then `UseTicket` in the place of a sign-in. For an upload the server answers `BulkReady` with the offset from
which on it wants the sealed stream, the client sends it as `Chunk` messages in order, and the server says how far it is
committed (`Committed`), at the latest when all of it is. For a download it sends `BulkReady` with the offset asked
for and the `Chunk` messages up to the end. Either may close and come back with another ticket.

What a file is called, how large it is unsealed, and its key, the server never hears: that goes to the recipient in a
sealed `p2pim.wire.signals.FileLeft`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from p2pim.wire.fields import Label, Message, Name, RequestId

FileId = Annotated[bytes, Meta(min_length=16, max_length=16)]
"""A stored file, by the server's random choice."""
TransferId = Annotated[bytes, Meta(min_length=16, max_length=16)]
Ticket = Annotated[bytes, Meta(min_length=32, max_length=32)]
Size = Annotated[int, Meta(ge=0, le=2**53)]


# --- client to server


class OpenUpload(Message, frozen=True, tag=52):
    """A place for ``size`` sealed bytes for ``to``, or the one that my device has for this ``transfer`` already;
    answered by `UploadOpened`."""

    id: RequestId
    to: Name
    transfer: TransferId
    size: Annotated[int, Meta(ge=1, le=2**53)]


class OpenDownload(Message, frozen=True, tag=53):
    """``file`` from the sealed ``offset`` on; answered by `DownloadOpened`."""

    id: RequestId
    file: FileId
    offset: Size = 0


class DropStored(Message, frozen=True, tag=54):
    """``file`` is no longer needed: "fetched" or "rejected", says its recipient; "withdrawn", its sender.

    Answered by `Done`, also when it is gone already.
    """

    id: RequestId
    file: FileId
    outcome: Label


class UseTicket(Message, frozen=True, tag=55):
    """On a connection of its own, after `Hello`: this is for the upload or download of this ticket."""

    ticket: Ticket


class Chunk(Message, frozen=True, tag=56):
    """Sealed bytes from ``offset`` on. Also from the server, in a download."""

    offset: Size
    data: Annotated[bytes, Meta(min_length=1, max_length=96 * 1024)]


class AskStored(Message, frozen=True, tag=57):
    """What has become of these, of which I am sender or recipient? Answered by `StoredStates`."""

    id: RequestId
    files: Annotated[list[FileId], Meta(max_length=256)]


# --- server to client


class UploadOpened(Message, frozen=True, tag=71):
    """``offset`` bytes are there; the whole, when it is the size. ``ticket`` is good for ``seconds``."""

    id: RequestId
    file: FileId
    offset: Size
    ticket: Ticket
    seconds: float
    expires: float
    """When the file is deleted if nobody has fetched it, in seconds since 1970."""


class DownloadOpened(Message, frozen=True, tag=72):
    """``size`` bytes in all, sealed."""

    id: RequestId
    size: Size
    ticket: Ticket
    seconds: float


class BulkReady(Message, frozen=True, tag=73):
    """The ticket is good; bytes go from ``offset`` on."""

    offset: Size


class Committed(Message, frozen=True, tag=74):
    """An upload is on the server's disk up to ``offset``, whatever happens."""

    offset: Size


class StoredState(Struct, frozen=True, array_like=True, gc=False):
    """``state``: "uploading", "waiting", or how it ended: "fetched", "rejected", "withdrawn", "expired", "unknown"."""

    file: FileId
    state: Label


class StoredStates(Message, frozen=True, tag=75):
    """The answer to `AskStored`."""

    id: RequestId
    states: list[StoredState]


class StoredEnded(Message, frozen=True, tag=76):
    """A file that I have sent, or that waited for me, has ended so."""

    file: FileId
    outcome: Label
