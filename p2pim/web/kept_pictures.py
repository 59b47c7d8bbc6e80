"""Pictures that were sent from a page stay after they have arrived, so that the conversation still shows them."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Final

from p2pim.core.limits import PICTURE_KEPT, PICTURES_KEPT
from p2pim.web.transfer_file import picture_kind

MARK: Final = "kept"
"""The name of an empty file in the folders that stay."""


def keep_or_remove(folder: Path) -> None:
    """What becomes of the drop ``folder`` after all of it has arrived; blocks."""
    if _picture_bytes(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        (folder / MARK).touch(0o600)
    _make_room(folder.parent)


def is_kept(folder: Path) -> bool:
    """Whether it stays, although nothing of it is to be sent any more."""
    return (folder / MARK).exists()


def _make_room(above: Path) -> None:
    """Remove the oldest of the kept while they are too large together."""
    kept = [(each.stat().st_mtime, _picture_bytes(each) or 0, each) for each in above.iterdir() if is_kept(each)]
    room = PICTURES_KEPT
    for _, size, folder in sorted(kept, reverse=True):
        room -= size
        if room < 0:
            shutil.rmtree(folder, ignore_errors=True)


def _picture_bytes(folder: Path) -> int | None:
    """The size of the one picture in it; None: there is something else in it, or more, or it is too large."""
    try:
        (entry,) = os.scandir(folder / "files")
        size = entry.stat(follow_symlinks=False).st_size
        if not entry.is_file(follow_symlinks=False) or size > PICTURE_KEPT:
            return None
        with Path(entry.path).open("rb") as file:
            return size if picture_kind(file.read(32)) else None
    except (OSError, ValueError):
        return None
