"""Which user names exist. Names are compared in canonical form: NFKC, case-folded."""

from __future__ import annotations

import re
import unicodedata

from p2pim.core.limits import USER_NAME
from p2pim.errors import BadName

_NAME = re.compile(r"[^\W_][\w.\-]*", re.UNICODE)


def canonical_name(name: str) -> str:
    """The form of ``name`` under which its account is known.

    Letters and digits of any script, dots, hyphens and underscores; the first is a letter or digit. None of them can be
    mistaken for a separator, an option, a group (``#``) or a path.

    :raises BadName: it cannot be a user's name.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    if not 1 <= len(folded) <= USER_NAME or _NAME.fullmatch(folded) is None:
        raise BadName
    return folded


def canonical_conversation(name: str) -> str:
    """The form under which a conversation is known: with a user, or in a group (``#`` and its name).

    :raises BadName: it cannot be the name of either.
    """
    return f"#{canonical_name(name[1:])}" if name.startswith("#") else canonical_name(name)
