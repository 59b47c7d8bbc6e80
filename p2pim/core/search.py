"""What a search for text means, wherever it is made: parts of messages, whatever the case, and nothing is syntax.

Two characters are the same when Unicode's simple case folding makes them so (character by character: "ß" is not "ss"),
which is what SQLite's FTS5 does, too. No I/O.
"""

from __future__ import annotations

from functools import cache
from itertools import product

INDEXED = 3
"""Characters of the shortest text that an index of trigrams can find."""
LAST_WITH_CASE = 0x1F000
"""From here on no character has a case."""


def fold(text: str) -> str:
    """``text`` with its case folded, each character still at its place."""
    folded = text.casefold()
    return folded if len(folded) == len(text) else "".join(map(_fold_one, text))


def _fold_one(character: str) -> str:
    for folded in (character.casefold(), character.lower()):
        if len(folded) == 1:
            return folded
    return character


def spans(text: str, wanted: str) -> list[tuple[int, int]]:
    """Where ``wanted`` is in ``text``: beginnings and ends, in characters, from left to right and never overlapping."""
    found: list[tuple[int, int]] = []
    if not wanted:
        return found
    text, wanted = fold(text), fold(wanted)
    at = text.find(wanted)
    while at >= 0:
        found.append((at, at + len(wanted)))
        at = text.find(wanted, at + len(wanted))
    return found


def contains(text: str, wanted: str) -> bool:
    """Whether ``wanted`` is in ``text``."""
    return fold(wanted) in fold(text)


def spellings(wanted: str) -> list[str]:
    """``wanted``, which is short, in every mix of cases."""
    return ["".join(each) for each in product(*(_same(fold(character)) for character in wanted))]


def _same(folded: str) -> list[str]:
    return [folded, *_folding_to().get(folded, ())]


@cache
def _folding_to() -> dict[str, list[str]]:
    """For each folded character the others that fold to it."""
    found: dict[str, list[str]] = {}
    for character in map(chr, range(LAST_WITH_CASE)):
        folded = _fold_one(character)
        if folded != character:
            found.setdefault(folded, []).append(character)
    return found
