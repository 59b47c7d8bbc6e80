"""A home's inbox: what arrives is opened, put in order and stored in one transaction with the ratchet that opened it.

So a message is never lost with the key that opens it, and one that comes again, which can be opened no more, is known
by its sender's device and its id. Times are in milliseconds since 1970, but for ``now``, in seconds of any clock that
does not jump.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from twisted.internet.defer import Deferred

from p2pim.core.arrivals import Arrivals
from p2pim.core.limits import REORDER_WAIT
from p2pim.core.megolm import MEGOLM
from p2pim.errors import CannotOpen, NotMeant
from p2pim.storage.database import Database
from p2pim.storage.left_files import keep_offer
from p2pim.storage.outbox import MINE, Confirmed, confirm_in, confirm_read_in
from p2pim.wire.signals import AnySignal, ChatMessage, FileLeft, GroupKey, ReadMark, Receipt, Sealed

OpenIn = Callable[[sqlite3.Connection, str, bytes, Sealed], AnySignal]
"""Opens what a device of a user sealed, inside a transaction. Raises `CannotOpen`."""

CLOCK_AHEAD = 86_400_000
"""Milliseconds by which a sender's clock is believed to be ahead of mine."""
_KNOWN = (
    "SELECT 1 FROM messages WHERE user = ?1 AND device = ?2 AND id = ?3"
    " UNION ALL SELECT 1 FROM early WHERE user = ?1 AND device = ?2 AND id = ?3"
    " UNION ALL SELECT 1 FROM forgotten WHERE user = ?1 AND device = ?2 AND id = ?3"
)
_KNOWN_OF_MINE = (
    "SELECT 1 FROM own_copies WHERE device = ?2 AND id = ?3"
    " UNION ALL SELECT 1 FROM early WHERE user = ?1 AND device = ?2 AND id = ?3"
    " UNION ALL SELECT 1 FROM forgotten WHERE user = ?1 AND device = ?2 AND id = ?3"
)
_SHOW = (
    "INSERT INTO messages (id, user, device, seq, text, sent_at, received_at, route, address, state, author)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1"
)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message as it came from ``device`` of ``sender``, by ``route``, from ``address``.

    ``conversation`` is as the message names it: empty for that of sender and recipient.
    """

    id: bytes
    sender: str
    device: bytes
    conversation: str
    seq: int
    text: str
    sent_at: int
    received_at: int
    route: str
    address: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """What came: ``message`` is the id outside of the seal, empty for what may be lost."""

    sender: str
    device: bytes
    sealed: Sealed
    message: bytes
    route: str
    address: str
    received_at: int


@dataclass(frozen=True, slots=True)
class GroupReceipt:
    """A device of ``user`` confirmed a message of mine to ``group``: ``state`` is "delivered" or "read".

    ``news``: no other device of theirs had. ``all``: by now the message has reached ``all`` with every member, or "".
    """

    group: str
    id: bytes
    user: str
    device: bytes
    state: str
    news: bool
    all: str


class IGroupArrivals(Protocol):
    """What `InboxStore` needs of `p2pim.storage.group_inbox.GroupInbox`, inside a transaction."""

    def known_in(self, db: sqlite3.Connection, envelope: Envelope) -> Taken | None:
        """What is to be said of an envelope to a group that came before."""

    def open_in(self, db: sqlite3.Connection, envelope: Envelope) -> AnySignal | None:
        """The signal that a device sealed for a group; None when it waits for its key."""

    def group_in(self, db: sqlite3.Connection, envelope: Envelope) -> str:
        """For which group it was sealed."""

    def key_in(self, db: sqlite3.Connection, sender: str, device: bytes, key: GroupKey) -> list[Envelope]:
        """Take a key; what had waited for it."""

    def confirm_in(
        self, db: sqlite3.Connection, user: str, device: bytes, receipt: Receipt, at: int
    ) -> list[GroupReceipt]:
        """Note a receipt."""


@dataclass(slots=True)
class Taken:
    """What became of an envelope, all of it committed.

    ``known`` or new, it may be confirmed; ``shown`` are the messages whose turn came by it, this one or earlier ones.
    """

    known: bool = False
    chat: bool = False
    shown: list[Arrived] = field(default_factory=list)
    early_until: float | None = None
    """When the early ones of this device should be shown at last."""
    confirmed: list[tuple[str, Confirmed]] = field(default_factory=list)
    """It was a "delivered" receipt: conversations and what is news of it."""
    read: list[tuple[bytes, str]] = field(default_factory=list)
    """It was a "read" receipt: ids and routes for which that is news."""
    groups: list[GroupReceipt] = field(default_factory=list)
    """It was a receipt, and this is what is news of it for messages to groups."""
    waits: str = ""
    """It was for a group, and waits for the key of this session."""
    later: list[tuple[Envelope, Taken]] = field(default_factory=list)
    """It was a key, and this is what had waited for it."""
    signal: AnySignal | None = None
    """Whatever else it was."""
    group: str = ""
    """For which group the signal was sealed."""
    error: CannotOpen | None = None
    """It could not be opened."""


class InboxStore:
    """The inbox.

    :param open_: how envelopes are opened.
    :param me: my own user name.
    :param groups: takes what is for groups.
    """

    def __init__(self, database: Database, open_: OpenIn, me: str, groups: IGroupArrivals) -> None:
        self._database = database
        self._open = open_
        self._me = me
        self._groups = groups

    def take(self, envelopes: list[Envelope], now: float) -> Deferred[list[Taken]]:
        """Open, sort and store; fires once all of it is committed. Each is undone by itself when it breaks."""
        return self._database.write(lambda db: [self._take_in(db, envelope, now) for envelope in envelopes])

    def expire(self, now: float) -> Deferred[tuple[list[Arrived], float | None]]:
        """Show what has been held until ``now``; fires with it, and with when there is more to show."""

        def work(db: sqlite3.Connection) -> tuple[list[Arrived], float | None]:
            shown: list[Arrived] = []
            due = db.execute("SELECT DISTINCT user, device, conversation FROM early WHERE until <= ?", (now,))
            for user, device, conversation in due.fetchall():
                order = _Order(db, user, device, conversation)
                shown += order.finish(order.arrivals.expire(now), self._me)
            (until,) = db.execute("SELECT min(until) FROM early").fetchone()
            return shown, until

        return self._database.write(work)

    def begin(self, now: float) -> Deferred[bool]:
        """What an earlier run held is held for a little longer; fires with whether there is any."""

        def work(db: sqlite3.Connection) -> bool:
            return db.execute("UPDATE early SET until = ?", (now + REORDER_WAIT,)).rowcount > 0

        return self._database.write(work)

    def mark_read(self, conversation: str, at: int) -> Deferred[list[tuple[bytes, bytes]]]:
        """All of ``conversation`` has been seen; fires with (device, id) of those for which that is new."""
        return self._database.write(lambda db: mark_read_in(db, conversation, at))

    # --- one envelope, in a transaction

    def _take_in(self, db: sqlite3.Connection, envelope: Envelope, now: float) -> Taken:
        to_group = envelope.sealed.scheme == MEGOLM
        if to_group:
            known = self._groups.known_in(db, envelope)
        else:
            known = Taken(known=True, chat=True) if self._known_in(db, envelope) else None
        if known is not None:
            return known
        db.execute("SAVEPOINT envelope")
        try:
            if to_group:
                taken = self._to_group_in(db, envelope, now)
            else:
                signal = self._open(db, envelope.sender, envelope.device, envelope.sealed)
                taken = self._opened_in(db, envelope, signal, now)
        except (sqlite3.OperationalError, sqlite3.InternalError):
            raise  # nothing can be stored
        except Exception as error:  # noqa: BLE001 - whatever a stranger sends must not keep the rest from being stored
            db.execute("ROLLBACK TO envelope")
            taken = Taken(error=error if isinstance(error, CannotOpen) else CannotOpen(f"It broke: {error!r}"))
        db.execute("RELEASE envelope")
        return taken

    def _to_group_in(self, db: sqlite3.Connection, envelope: Envelope, now: float) -> Taken:
        signal = self._groups.open_in(db, envelope)
        if signal is None:
            return Taken(waits=envelope.sealed.session)
        if isinstance(signal, ChatMessage):
            return self._chat_in(db, envelope, signal, now)
        return Taken(signal=signal, group=self._groups.group_in(db, envelope))

    def _known_in(self, db: sqlite3.Connection, envelope: Envelope) -> bool:
        sender, device, id = envelope.sender, envelope.device, envelope.message
        if not id:
            return False
        query = _KNOWN_OF_MINE if sender == self._me else _KNOWN
        return db.execute(query, (sender, device, id)).fetchone() is not None

    def _opened_in(self, db: sqlite3.Connection, envelope: Envelope, signal: AnySignal, now: float) -> Taken:
        if isinstance(signal, ChatMessage):
            return self._chat_in(db, envelope, signal, now)
        sender, device, at = envelope.sender, envelope.device, envelope.received_at
        if isinstance(signal, Receipt) and signal.state == "delivered":
            confirmed = confirm_in(db, self._me, (sender, device), signal.ids, at, envelope.address)
            return Taken(confirmed=confirmed, groups=self._groups.confirm_in(db, sender, device, signal, at))
        if isinstance(signal, Receipt) and signal.state == "read":
            read = confirm_read_in(db, sender, signal.ids, at)
            return Taken(read=read, groups=self._groups.confirm_in(db, sender, device, signal, at))
        if isinstance(signal, GroupKey):
            waited = self._groups.key_in(db, sender, device, signal)
            return Taken(later=[(each, self._take_in(db, each, now)) for each in waited])
        if isinstance(signal, ReadMark) and sender == self._me:
            mark_read_in(db, signal.conversation, at, signal.message)
        if isinstance(signal, FileLeft):
            keep_offer(db, sender, device, signal)
        return Taken(signal=signal)

    def _chat_in(self, db: sqlite3.Connection, envelope: Envelope, chat: ChatMessage, now: float) -> Taken:
        sender, device = envelope.sender, envelope.device
        if chat.id != envelope.message or not self._may_say(envelope, chat.conversation):
            raise NotMeant("A sealed message is not what it says outside, or not for this conversation.")
        sent_at = max(0, min(chat.sent_at, envelope.received_at + CLOCK_AHEAD))
        arrived = Arrived(
            chat.id, sender, device, chat.conversation, chat.seq, chat.text, sent_at, envelope.received_at,
            envelope.route, envelope.address,
        )  # fmt: skip
        order = _Order(db, sender, device, chat.conversation)
        shown = order.finish(order.arrivals.arrived(chat.seq, chat.oldest, arrived, now), self._me, arrived)
        return Taken(chat=True, shown=shown, early_until=order.arrivals.due())

    def _may_say(self, envelope: Envelope, conversation: str) -> bool:
        """My own devices name the conversation of which theirs is a copy; others do not. What is for a group is sealed
        for it (and `IGroupArrivals` has seen to it that it is that group)."""
        if envelope.sealed.scheme == MEGOLM or conversation.startswith("#"):
            return envelope.sealed.scheme == MEGOLM and conversation.startswith("#")
        return not conversation or envelope.sender == self._me


class _Order:
    """The order of one device's messages in one conversation, read from the tables and written back."""

    def __init__(self, db: sqlite3.Connection, user: str, device: bytes, conversation: str) -> None:
        self._db = db
        self._key = (user, device, conversation)
        row = db.execute(
            "SELECT expected, early FROM arrivals WHERE user = ? AND device = ? AND conversation = ?", self._key
        ).fetchone()
        expected: int = 1 if row is None else row[0]
        self._early: int = 0 if row is None else row[1]
        held = self._read() if self._early else {}
        self.arrivals: Arrivals[Arrived] = Arrivals(expected, held)

    def _read(self) -> dict[int, tuple[float, Arrived]]:
        rows = self._db.execute(
            "SELECT id, user, device, conversation, seq, text, sent_at, received_at, route, address, until FROM early"
            " WHERE user = ? AND device = ? AND conversation = ?",
            self._key,
        )
        return {row[4]: (row[10], Arrived(*row[:10])) for row in rows}

    def finish(self, ready: list[Arrived], me: str, new: Arrived | None = None) -> list[Arrived]:
        """Store what is ``ready`` as messages, and ``new`` among the early ones if it is not; those that were new."""
        early = len(self.arrivals)
        if new is not None and not any(each is new for each in ready):
            self._hold(new)
        shown = [message for message in ready if self._show(message, me)]
        self._db.execute(
            "INSERT INTO arrivals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET expected = max(expected, excluded.expected), early = excluded.early",
            (*self._key, self.arrivals.expected, early),
        )
        return shown

    def _hold(self, new: Arrived) -> None:
        n = new
        until = self.arrivals.until(n.seq)
        self._db.execute(
            "INSERT INTO early VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                n.sender,
                n.device,
                n.conversation,
                n.seq,
                n.id,
                n.text,
                n.sent_at,
                n.received_at,
                n.route,
                n.address,
                until,
            ),
        )

    def _show(self, message: Arrived, me: str) -> bool:
        """Put it into the history; whether it was not there yet."""
        m = message
        if self._early:
            self._db.execute("DELETE FROM early WHERE user = ? AND device = ? AND id = ?", (m.sender, m.device, m.id))
        came = (m.seq, m.text, m.sent_at, m.received_at, m.route, m.address)
        values = (m.id, m.conversation or m.sender, m.device, *came, "received", m.sender if m.conversation else "")
        if m.conversation and m.sender == me:
            if not self._own_copy(m):
                return False
            values = (m.id, m.conversation, MINE, *came, "sent", "")
        row = self._db.execute(_SHOW, values).fetchone()
        return row is not None

    def _own_copy(self, m: Arrived) -> bool:
        row = self._db.execute(
            "INSERT INTO own_copies VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING 1", (m.device, m.id)
        ).fetchone()
        return row is not None


def mark_read_in(
    db: sqlite3.Connection, conversation: str, at: int, up_to: bytes | None = None
) -> list[tuple[bytes, bytes]]:
    """What came in ``conversation``, until the message ``up_to``, has been seen; (device, id) where that is new."""
    query, values = "SELECT max(number) FROM messages WHERE user = ?", list[str | bytes]([conversation])
    if up_to is not None:
        query, values = f"{query} AND id = ?", [conversation, up_to]
    (number,) = db.execute(query, values).fetchone()
    rows = db.execute(
        "UPDATE messages SET state = 'read', read_at = ? WHERE user = ? AND state = 'received' AND number <= ?"
        " RETURNING device, id",
        (at, conversation, number or 0),
    ).fetchall()
    return [(row[0], row[1]) for row in rows]
