"""What the operator's page shows, but for the table of who is signed in: put together from the server's parts."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any

from p2pim import __version__
from p2pim.core.limits import OPERATOR_DISABLED, OPERATOR_MAILBOXES
from p2pim.core.series import SPANS
from p2pim.server.house import House
from p2pim.storage import accounts, mail, stored_files

Json = dict[str, Any]


@dataclass(frozen=True)
class Stored:
    """What only the database knows; read seldom."""

    accounts: int = 0
    mail: Json = field(default_factory=dict)
    files: Json = field(default_factory=dict)
    mailboxes: list[Json] = field(default_factory=list)
    disabled: list[str] = field(default_factory=list)


def read_stored(db: sqlite3.Connection) -> Stored:
    """As it is now."""
    return Stored(
        accounts.count(db),
        mail.totals(db),
        stored_files.totals(db),
        mail.largest(db, OPERATOR_MAILBOXES),
        accounts.list_disabled(db, OPERATOR_DISABLED),
    )


class View:
    """Looks at ``house``."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.stored = Stored()

    async def look(self) -> None:
        """Ask the database.

        :raises DatabaseDown: it does not answer.
        """
        self.stored = await self._house.store.read(read_stored)

    def overview(self) -> Json:
        """The figures above the table."""
        house, stored = self._house, self.stored
        reading = house.read_counters()
        return {
            "listening": house.listening,
            "since": house.started,
            "software": __version__,
            "connections": reading.connections,
            "strangers": house.gate.strangers,
            "sessions": house.directory.sessions,
            "most": house.settings.limits.max_connections,
            "online": len(house.directory.users),
            "accounts": stored.accounts,
            "splices": sum(1 for splice in house.splices.splices if splice.joined),
            "messages": reading.messages,
            "relayed": reading.relayed,
            "direct_messages": reading.direct_messages,
            "direct": reading.direct,
            "p2p": self._p2p(),
            "share": {span.name: self._share(span.name) for span in SPANS},
            "mail": stored.mail,
            "files": stored.files,
            "refused": house.refusals.total,
            "failing": house.store.failing,
        }

    def _p2p(self) -> Json | None:
        counted = self._house.beside.counters()
        keys = ("address", "requests", "answers", "refused", "ignored")
        return {key: counted[key] for key in keys} if counted is not None else None

    def _share(self, span: str) -> Json:
        share = self._house.meter.share(span)
        return {"direct": share.direct, "relayed": share.relayed, "off": share.off}

    def series(self) -> Json:
        """The steps of each span, oldest first, as `p2pim.core.series.Point` has them."""
        now, rings = self._house.wall(), self._house.meter.rings
        return {name: {"step": ring.span.step, "points": ring.since(now)} for name, ring in rings.items()}

    def newest_points(self) -> Json:
        """The last two steps of each."""
        rings = self._house.meter.rings
        return {name: list(ring.points)[-2:] if ring.points else [] for name, ring in rings.items()}

    def refusals(self, after: int = 0) -> list[Json]:
        """Who was refused after the refusal of this number, newest first."""
        return [
            {
                "number": each.number, "host": each.host, "user": each.user, "code": each.code,
                "reason": each.reason, "first": each.first, "last": each.last, "times": each.times,
            }
            for each in self._house.refusals.newest(after)
        ]  # fmt: skip
