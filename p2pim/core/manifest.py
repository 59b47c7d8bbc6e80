"""The list of a folder's files: what goes before their bytes in the transfer's stream.

A MessagePack array of ``[path, size, modified_ns, kind]``: the path relative to the folder, its parts joined by ``/``,
as the bytes of the sender's file system (UTF-8 nearly everywhere); ``kind`` 0 a file, 1 a file that its owner may
execute, 2 a folder. Folders are listed so that empty ones arrive too and all keep their times. The files' bytes follow
in the manifest's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from p2pim.core.filenames import SafeTree
from p2pim.core.limits import MANIFEST, MANIFEST_DEPTH, MANIFEST_ENTRIES, MANIFEST_PATH
from p2pim.errors import ContentMismatch, UnsafeName

FILE: Final = 0
EXECUTABLE: Final = 1
FOLDER: Final = 2


class ManifestEntry(Struct, frozen=True, array_like=True, gc=False):
    """One file or folder."""

    path: Annotated[bytes, Meta(min_length=1, max_length=MANIFEST_PATH)]
    size: Annotated[int, Meta(ge=0, le=2**62)]
    modified_ns: Annotated[int, Meta(ge=-(2**62), le=2**62)]
    kind: Annotated[int, Meta(ge=0, le=2)] = FILE


EntryList = Annotated[list[ManifestEntry], Meta(max_length=MANIFEST_ENTRIES)]

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[ManifestEntry]] = msgspec.msgpack.Decoder(EntryList)


def encode_manifest(entries: Sequence[ManifestEntry]) -> bytes:
    """The manifest's bytes.

    :raises UnsafeName: too many entries, too deep or too long paths: nobody would take it.
    """
    if len(entries) > MANIFEST_ENTRIES:
        raise UnsafeName(f"The folder has {len(entries)} entries; {MANIFEST_ENTRIES} can be sent at once.")
    for entry in entries:
        _check(entry)
    body = _encoder.encode(entries)
    if len(body) > MANIFEST:
        raise UnsafeName("The list of the folder's files is too long; send it in parts.")
    return body


def decode_manifest(body: bytes, size: int, files: int) -> list[ManifestEntry]:
    """The entries of a manifest whose offer spoke of ``files`` files with ``size`` bytes together.

    :raises ContentMismatch: it is no manifest, or not that one.
    :raises UnsafeName: a path that cannot be stored.
    """
    try:
        entries = _decoder.decode(body)
    except (msgspec.MsgspecError, OverflowError) as error:
        raise ContentMismatch(f"The folder's list of files cannot be read: {error}") from None
    for entry in entries:
        _check(entry)
    if any(entry.kind == FOLDER and entry.size for entry in entries):
        raise ContentMismatch("The folder's list of files gives a folder a size.")
    if sum(entry.size for entry in entries) != size or sum(entry.kind != FOLDER for entry in entries) != files:
        raise ContentMismatch("The folder's list of files is not the one that was offered.")
    return entries


def _check(entry: ManifestEntry) -> None:
    if len(entry.path) > MANIFEST_PATH or entry.path.count(b"/") >= MANIFEST_DEPTH:
        raise UnsafeName("A path in the folder is too long or too deep.")


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an entry is to be stored: safe names, from the folder downwards."""

    parts: tuple[str, ...]
    size: int
    modified_ns: int
    kind: int


def place(entries: Sequence[ManifestEntry]) -> list[Placed]:
    """Safe, distinct places for all entries, in their order."""
    tree = SafeTree()
    return [_placed(tree, entry) for entry in entries]


def _placed(tree: SafeTree, entry: ManifestEntry) -> Placed:
    path = entry.path.decode("utf-8", "replace")
    parts = tree.folder(path) if entry.kind == FOLDER else tree.file(path)
    return Placed(parts, entry.size, entry.modified_ns, entry.kind)


def starts(sizes: Sequence[int], first: int) -> list[int]:
    """Where each file's bytes begin in the stream, the first at ``first``, and after them where the last ends."""
    return list(accumulate(sizes, initial=first))
