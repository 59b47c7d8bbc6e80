"""Names that strangers choose, made safe to store.

`safe_name` turns any text into one name that stays inside its folder on every file system p2pim may meet: no
separators, no NUL or control characters, nothing invisible or turning the direction of writing (``gpj.exe`` shown as
``exe.jpg``), no Windows device, no trailing dot or space, a bounded length, and never a partial file's suffix. What is
harmless is left as it is; `safe_name` of a safe name is that name.

`SafeTree` does it for the paths of a whole folder, where two names may not become one, not even on a file system that
ignores case.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Final

from p2pim.core.limits import FILE_NAME

PART_SUFFIX: Final = ".p2pim-part"
"""What the name of an unfinished file or folder ends with."""

_PLAIN = re.compile(r"[A-Za-z0-9_.,+=@#~() -]*[A-Za-z0-9_+=@#~()-]")
_FORBIDDEN = frozenset('/\\<>:"|?*')
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])\s*(?:\.|$)", re.IGNORECASE)
_DROPPED = frozenset({"Cf", "Cs", "Zl", "Zp"})
"""Format characters (bidirectional controls among them), lone surrogates, line and paragraph separators."""
_LONGEST_SUFFIX: Final = 24
_ENDS: Final = " ."


def safe_name(name: str) -> str:
    """``name`` as it may be stored: 1 to `FILE_NAME` bytes of UTF-8 without a separator, whatever came in."""
    if _PLAIN.fullmatch(name) is None or len(name) > FILE_NAME:
        name = _shown(name)
    name = name.strip(" ").rstrip(_ENDS)
    if not name:
        return "_"
    if _DEVICE.match(name) is not None:
        name = _shortened("_" + name)
    if name.casefold().endswith(PART_SUFFIX):
        name = _shortened(name + "_", keep=len(PART_SUFFIX) + 1)
    return name


def _shown(name: str) -> str:
    """Only characters that show as themselves, and not too many."""
    kept = "".join(_replaced(character) for character in name)
    return _shortened(unicodedata.normalize("NFC", kept).strip().rstrip(_ENDS))


def _replaced(character: str) -> str:
    if character in _FORBIDDEN:
        return "_"
    category = unicodedata.category(character)
    if category in _DROPPED:
        return ""
    if category == "Zs":
        return " "
    return "_" if category == "Cc" else character


def _shortened(name: str, *, keep: int = 0) -> str:
    """At most `FILE_NAME` bytes, keeping the end (``keep`` bytes, or the extension)."""
    if len(name.encode()) <= FILE_NAME:
        return name
    tail = name[-keep:] if keep else split_extension(name)[1]
    if len(tail.encode()) > _LONGEST_SUFFIX:
        tail = ""
    room = FILE_NAME - len(tail.encode())
    stem = name[: len(name) - len(tail)].encode()[:room].decode("utf-8", "ignore")
    return (stem + tail).rstrip(_ENDS) if tail else stem.rstrip(_ENDS)


def split_extension(name: str) -> tuple[str, str]:
    """The name before its extension, and the extension with its dot; ``.tar.gz`` and its like are one."""
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem.strip("."):
        return name, ""
    inner, dot2, before = stem.rpartition(".")
    if dot2 and inner and before.lower() == "tar":
        return inner, f".{before}.{extension}"
    return stem, f".{extension}"


def numbered(name: str, number: int, *, folder: bool = False) -> str:
    """The ``number``-th name beside ``name``: ``report (1).pdf``. Number 0 is the name itself."""
    if number == 0:
        return name
    stem, extension = (name, "") if folder else split_extension(name)
    return f"{stem} ({number}){extension}"


def folded(name: str) -> str:
    """Equal for two names that some file system takes for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


@dataclass(slots=True)
class _Folder:
    path: tuple[str, ...]
    folders: dict[str, _Folder] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    next_number: dict[str, int] = field(default_factory=dict)

    def place(self, original: str, *, folder: bool) -> str:
        """A safe name for ``original`` that nothing here has yet."""
        name = safe_name(original)
        key = folded(name)
        number = self.next_number.get(key, 0)
        while True:
            chosen = numbered(name, number, folder=folder)
            number += 1
            if folded(chosen) not in self.taken:
                break
        self.next_number[key] = number
        self.taken.add(folded(chosen))
        return chosen


class SafeTree:
    """Places for the paths of a folder, the same ones whenever the same paths are asked for in the same order."""

    def __init__(self) -> None:
        self._root = _Folder(())

    def folder(self, path: str) -> tuple[str, ...]:
        """Where the folder ``path`` is to be; the same place for the same path, like any file's parent."""
        return self._folder([part for part in path.split("/") if part]).path

    def file(self, path: str) -> tuple[str, ...]:
        """Where the file ``path`` is to be; a place of its own for each call."""
        parts = [part for part in path.split("/") if part] or [""]
        parent = self._folder(parts[:-1])
        return (*parent.path, parent.place(parts[-1], folder=False))

    def _folder(self, parts: list[str]) -> _Folder:
        at = self._root
        for part in parts:
            inner = at.folders.get(part)
            if inner is None:
                inner = at.folders[part] = _Folder((*at.path, at.place(part, folder=True)))
            at = inner
        return at
