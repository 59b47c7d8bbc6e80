"""Relayed channels: tickets, the two ends that wait for each other, and the splices that stand."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.core.counters import CounterTable
from p2pim.core.limits import (
    SPLICE_HALF_CLOSED,
    SPLICE_IDLE,
    SPLICE_LIFETIME,
    SPLICE_TICKET,
    SPLICES,
    SPLICES_PENDING_PER_ACCOUNT,
    SPLICES_PER_ACCOUNT,
)
from p2pim.errors import Blocked, Offline, TooMany
from p2pim.net.splice import SpliceEnd, join
from p2pim.server.gate import Admission
from p2pim.server.sessions import Directory, Session
from p2pim.storage.accounts import hash_secret
from p2pim.wire.channel import TICKET_BYTES

_log = Logger()


class Splice:
    """One relayed channel between ``users`` (who asked for it first), from its tickets to its end."""

    def __init__(self, users: tuple[str, str], tickets: tuple[bytes, bytes], now: float) -> None:
        self.users = users
        self.tickets = tickets
        """The hashes of the two tickets; whoever finds them in memory cannot use them."""
        self.ends: list[SpliceEnd | None] = [None, None]
        self.began = now
        self.moved = now
        self.half_closed: float | None = None
        self.joined = False
        self.bytes = 0

    def overdue(self, now: float) -> str:
        """Why this splice must end now, or nothing."""
        if not self.joined:
            return "the other end did not come" if now - self.began > SPLICE_TICKET else ""
        if now - self.began > SPLICE_LIFETIME:
            return "it has lasted as long as a splice may"
        if self.half_closed is not None and now - self.half_closed > SPLICE_HALF_CLOSED:
            return "one end had finished and the other did not"
        return "nothing went over it for too long" if now - self.moved > SPLICE_IDLE else ""


class SpliceDesk:
    """Hands out tickets, joins who shows them, and watches over the splices.

    :param random_bytes: a source of secrets, as `os.urandom`.
    """

    def __init__(
        self,
        clock: IReactorTime,
        directory: Directory,
        counters: CounterTable,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._clock = clock
        self._directory = directory
        self._counters = counters
        self._random_bytes = random_bytes
        self._by_ticket: dict[bytes, tuple[Splice, int]] = {}
        self.splices: dict[Splice, None] = {}
        """Pending and joined, oldest first."""

    # --- tickets

    def open(self, session: Session, user: str, device: bytes) -> tuple[bytes, bytes, float]:
        """My ticket, theirs, and the seconds for which they are good.

        :raises Blocked: one of the two has blocked the other.
        :raises Offline: the device is not connected.
        :raises TooMany: as many splices stand or wait as may.
        """
        me = session.user
        target = self._directory.users.get(user)
        if target is None or device not in target.sessions:
            raise Offline
        if user in me.entry.blocked or me.name in target.entry.blocked:
            raise Blocked
        self._check_room(me.name)
        mine, theirs = self._random_bytes(TICKET_BYTES), self._random_bytes(TICKET_BYTES)
        splice = Splice((me.name, user), (hash_secret(mine), hash_secret(theirs)), self._clock.seconds())
        self.splices[splice] = None
        for side, hashed in enumerate(splice.tickets):
            self._by_ticket[hashed] = splice, side
        return mine, theirs, SPLICE_TICKET

    def _check_room(self, user: str) -> None:
        of_user = [splice for splice in self.splices if splice.users[0] == user]
        pending = sum(1 for splice in of_user if not splice.joined)
        if len(self.splices) >= SPLICES or len(of_user) >= SPLICES_PER_ACCOUNT:
            raise TooMany("Too many relayed channels at once; close some and try again.")
        if pending >= SPLICES_PENDING_PER_ACCOUNT:
            raise TooMany("Too many relayed channels are being set up; wait a moment.")

    # --- ends

    def take(self, ticket: bytes, admission: Admission) -> SpliceEnd | None:
        """The protocol for a connection that shows ``ticket``, which is thereby used up; None when it is no good."""
        splice, side = self._by_ticket.pop(hash_secret(ticket), (None, 0))
        if splice is None or splice.overdue(self._clock.seconds()):
            return None

        def ready(end: SpliceEnd) -> None:
            splice.ends[side] = end
            admission.authenticated()
            self._join_when_complete(splice)

        def ended(end: SpliceEnd) -> None:
            admission.release()
            self._end_lost(splice, end)

        return SpliceEnd(ready, ended)

    def _join_when_complete(self, splice: Splice) -> None:
        one, two = splice.ends
        if one is not None and two is not None:
            splice.joined = True
            splice.moved = self._clock.seconds()
            _log.info("relaying a channel of {one} and {two}", one=splice.users[0], two=splice.users[1])
            join(one, two)

    def _end_lost(self, splice: Splice, end: SpliceEnd) -> None:
        for side, each in enumerate(splice.ends):
            if each is not None:
                self._count(splice, side, each)
        if splice in self.splices:
            self._forget(splice)
            _log.info(
                "relayed channel of {one} and {two} ended after {bytes} bytes",
                one=splice.users[0], two=splice.users[1], bytes=splice.bytes,
            )  # fmt: skip
            if not splice.joined:
                self._close(splice)

    def _forget(self, splice: Splice) -> None:
        self.splices.pop(splice, None)
        for hashed in splice.tickets:
            self._by_ticket.pop(hashed, None)

    # --- watching

    def sweep(self, now: float) -> None:
        """Count what went over, and end what is overdue."""
        for splice in list(self.splices):
            for side, end in enumerate(splice.ends):
                if end is not None and self._count(splice, side, end):
                    splice.moved = now
                if end is not None and end.finished and splice.half_closed is None:
                    splice.half_closed = now
            reason = splice.overdue(now)
            if reason:
                self._cut(splice, reason)

    def sever(self, user: str, other: str | None = None) -> None:
        """End the splices of ``user`` (with ``other``): they were blocked, or the account is no more."""
        for splice in list(self.splices):
            if user in splice.users and (other is None or other in splice.users):
                self._cut(splice, "its users may not speak any more")

    def stop(self) -> None:
        """End all of them."""
        for splice in list(self.splices):
            self._forget(splice)
            self._close(splice)

    def _cut(self, splice: Splice, reason: str) -> None:
        _log.info(
            "closing the relayed channel of {one} and {two}: {reason}",
            one=splice.users[0], two=splice.users[1], reason=reason,
        )  # fmt: skip
        self._forget(splice)
        self._close(splice)

    @staticmethod
    def _close(splice: Splice) -> None:
        for end in splice.ends:
            if end is not None:
                end.close()

    def _count(self, splice: Splice, side: int, end: SpliceEnd) -> int:
        """Add what came in at ``end`` to the counters of its user; how much it was."""
        moved, end.received = end.received, 0
        if moved:
            splice.bytes += moved
            self._counters.of(splice.users[side]).spliced_bytes += moved
        return moved
