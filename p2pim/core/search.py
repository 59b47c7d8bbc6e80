"""What a search for text means, wherever it is made: parts of messages, whatever the case, and nothing is syntax.

Two characters are the same when their lower-case forms are (character by character: "ß" is not "ss"), which is how
SQLite's FTS5 folds case, too. No I/O.
"""

from __future__ import annotations

from itertools import product

INDEXED = 3
"""Characters of the shortest text that an index of trigrams can find."""


def fold(text: str) -> str:
    """``text`` in lower case, each character still at its place."""
    lower = text.lower()
    if len(lower) == len(text) and "Σ" not in text:  # at the end of a word its lower case is another one
        return lower
    return "".join(low if len(low := character.lower()) == 1 else character for character in text)


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
    choices = (
        sorted({character, *(c for c in (character.lower(), character.upper()) if len(c) == 1 and fold(c) == low)})
        for character in wanted
        for low in (fold(character),)
    )
    return ["".join(each) for each in product(*choices)]
