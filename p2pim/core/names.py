"""Which user names exist. Names are compared in canonical form: NFKC, case-folded."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from p2pim.core.limits import USER_NAME
from p2pim.errors import BadClassicName, BadName

GUEST_SUFFIX: Final = "@classic"
"""Ends the name of every guest as the server's own users see it; no account's name can hold an ``@``."""

_NAME = re.compile(r"(?![_.\-])(?:[^\W\u115f\u1160]|[.\-])+", re.UNICODE)
"""The two exceptions are the Hangul fillers: letters to Unicode, and nobody sees them. (U+3164 and U+FFA0 are U+1160 in
NFKC.)"""


def canonical_name(name: str) -> str:
    """The form of ``name`` under which its account is known.

    Letters and digits of any script that can be seen, dots, hyphens and underscores; the first is a letter or digit.
    None of them can be mistaken for a separator, an option, a group (``#``) or a path.

    :raises BadName: it cannot be a user's name.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    if not 1 <= len(folded) <= USER_NAME or _NAME.fullmatch(folded) is None:
        raise BadName
    return folded


def canonical_conversation(name: str) -> str:
    """The form under which a conversation is known: with a user, in a group (``#`` and its name), or with a guest of
    the server's classic gateway (the name and `GUEST_SUFFIX`).

    :raises BadName: it cannot be the name of any.
    """
    if is_guest_user(name):
        return guest_user(guest_name(name))
    return f"#{canonical_name(name[1:])}" if name.startswith("#") else canonical_name(name)


def guest_user(name: str) -> str:
    """What the server's own users call the guest ``name``; empty: they cannot, since it would look like a group."""
    return "" if name.startswith("#") else name + GUEST_SUFFIX


def is_guest_user(user: str) -> bool:
    """Whether ``user`` is what a guest is called; a guest's name is not changed in any way."""
    return user.endswith(GUEST_SUFFIX) and not user.startswith("#")


def guest_name(user: str) -> str:
    """The guest's own name.

    :raises BadName: ``user`` is no guest's.
    """
    if is_guest_user(user):
        from p2pim.wire.classic import check_name  # commands that need no names of guests do without

        try:
            return check_name(user.removesuffix(GUEST_SUFFIX))
        except BadClassicName:
            pass
    raise BadName(f"{user!r} is no guest's name; such as bob{GUEST_SUFFIX}.")
