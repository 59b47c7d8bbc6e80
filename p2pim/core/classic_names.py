"""Names in the classic protocol: when two are too much alike."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from p2pim.core.names import canonical_name
from p2pim.errors import BadName

_LOOK_ALIKES: Final = str.maketrans(
    "аеорсухікјѕһԁԛԝѵοανρτυιкмтвнзı",
    "aeopcyxikjshdqwvoavptuikmtbh3i",
)
"""Small letters of other scripts that cannot be told from Latin ones, after case folding."""

_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""What Unicode counts as letters, marks and symbols, and nobody sees (Default_Ignorable_Code_Point, and the empty
Braille pattern)."""


def likeness(name: str) -> str:
    """What is left of ``name`` when everything is taken away that people do not see: names with one likeness are taken
    for each other. Empty when nobody sees anything of it.

    >>> likeness("Ａlice\\u200b ") == likeness("alice") == likeness("аlice")
    True
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(c for c in folded if _seen(c)).translate(_LOOK_ALIKES)


def _seen(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] not in "ZC" and not _INVISIBLE.fullmatch(character)


def account_names(name: str) -> tuple[str, ...]:
    """The names of accounts that a guest called ``name`` could be mistaken for, in canonical form."""
    found: dict[str, None] = {}
    for each in (name, likeness(name)):
        try:
            found[canonical_name(each)] = None
        except BadName:
            continue
    return tuple(found)
