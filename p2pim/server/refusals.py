"""Who was not let in lately, and why: for the operator's page.

A ring of bounded length, so that whoever knocks for hours fills no memory; and repeated knocks of one address, under
one name, for one reason, are one entry that counts them, so that they push nobody else out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from p2pim.core.limits import REFUSALS, REFUSED_NAME, REFUSED_REASON


@dataclass(slots=True)
class Refusal:
    """``times`` it happened, first and last in seconds since 1970; ``user`` is what they called themselves, if they got
    so far; ``code`` is an error's, or says how far they came."""

    number: int
    host: str
    user: str
    code: str
    reason: str
    first: float
    last: float
    times: int = 1


class Refusals:
    """The newest ones.

    :param wall: seconds since 1970.
    :ivar total: how many there were since the server started.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._newest: OrderedDict[tuple[str, str, str], Refusal] = OrderedDict()
        self.total = 0
        self.by_code: dict[str, int] = {}

    def add(self, host: str, user: str, code: str, reason: str) -> None:
        """One more."""
        now, user = self._wall(), shorten(user, REFUSED_NAME)
        self.total += 1
        self.by_code[code] = self.by_code.get(code, 0) + 1
        key = host, user, code
        known = self._newest.pop(key, None)
        if known is None:
            known = Refusal(self.total, host, user, code, shorten(reason, REFUSED_REASON), now, now)
        else:
            known.number, known.last, known.times = self.total, now, known.times + 1
        self._newest[key] = known
        while len(self._newest) > REFUSALS:
            self._newest.popitem(last=False)

    def newest(self, after: int = 0) -> list[Refusal]:
        """Those whose number is greater than ``after``, newest first."""
        found = []
        for refusal in reversed(self._newest.values()):
            if refusal.number <= after:
                break
            found.append(refusal)
        return found


def shorten(text: str, most: int) -> str:
    """``text`` in one line of at most so many characters."""
    line = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[: most + 1])
    return line if len(line) <= most else line[: most - 1] + "…"
