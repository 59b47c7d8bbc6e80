"""A home's messages to groups: one envelope for all, for whom it is, and how far each member is with it.

As in `p2pim.storage.outbox`, a message is written in one transaction with the session that sealed it and the keys that
must go before it. It stays until every device for which it is has confirmed it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from twisted.internet.defer import Deferred

from p2pim.core.delivery import STORED, Outgoing, Target
from p2pim.core.groups import Given, GroupSealer
from p2pim.core.sealing import DeviceRef
from p2pim.errors import NoSession
from p2pim.storage.database import Database
from p2pim.storage.group_keys import GroupKeyRows, KeyLetter
from p2pim.storage.group_receipts import advance, confirm_in, reached, settle_in
from p2pim.storage.inbox import GroupReceipt
from p2pim.storage.outbox import MINE, SealIn
from p2pim.wire.signals import ChatMessage, GroupKey, Signal, encode_signal

WAITING = "waiting"
UNSEALED = -1


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message of mine sealed for all: what is sent, and the keys that go before it."""

    message: Outgoing
    version: int
    sealed: bytes
    letters: list[KeyLetter]


@dataclass(slots=True)
class UnsettledGroup:
    """A message as an earlier run left it; ``copies`` by device: waiting, stored, delivered."""

    group: str
    message: Outgoing
    version: int
    copies: dict[Target, str] = field(default_factory=dict)


class GroupOutboxStore:
    """The outbox for groups.

    :param seal: how keys are sealed for single devices.
    :param me: this device.
    :param new_id: makes ids for the letters in which keys go.
    """

    def __init__(
        self, database: Database, sealer: GroupSealer, seal: SealIn, me: DeviceRef, new_id: Callable[[], bytes]
    ) -> None:
        self._database = database
        self._sealer = sealer
        self._seal = seal
        self._me = me
        self._new_id = new_id

    # --- putting in

    def enqueue(
        self, message: Outgoing, group: str, version: int, members: Iterable[str], targets: Collection[Target],
        now: float,
    ) -> Deferred[Parcel]:  # fmt: skip
        """Put a message into the outbox, number it, and seal it for ``targets``; without any it is sealed later."""

        def work(db: sqlite3.Connection) -> Parcel:
            (seq,) = db.execute(
                "INSERT INTO sequences VALUES (?, 1) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
                ("#" + group,),
            ).fetchone()
            numbered = replace(message, seq=seq)
            db.execute(
                "INSERT INTO messages (id, user, device, seq, text, sent_at, route, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting')",
                (message.id, "#" + group, MINE, seq, message.text, message.sent_at, message.route),
            )
            db.execute("INSERT INTO group_envelopes VALUES (?, ?, ?, ?, '', x'')", (group, message.id, seq, UNSEALED))
            self._note_members(db, group, message.id, members)
            return self._seal_in(db, group, version, numbered, targets, now)

        return self._database.write(work)

    def seal_again(
        self, group: str, version: int, messages: Sequence[bytes], members: Collection[str],
        targets: Collection[Target], now: float,
    ) -> Deferred[list[Parcel]]:  # fmt: skip
        """Seal these for the group as it is now, for all who have not got them yet."""

        def work(db: sqlite3.Connection) -> list[Parcel]:
            parcels = []
            for id in messages:
                message = _outgoing_in(db, group, id)
                if message is not None:
                    self._drop_others(db, group, id, targets)
                    self._note_members(db, group, id, members)
                    _forget_members(db, group, id, members)
                    parcels.append(self._seal_in(db, group, version, message, targets, now))
                    settle_in(db, group, id)
            return parcels

        return self._database.write(work)

    def seal_signal(
        self, group: str, version: int, signal: Signal, message: bytes, targets: Collection[Target], now: float
    ) -> Deferred[tuple[bytes, list[KeyLetter]]]:
        """Seal what is not kept."""

        def work(db: sqlite3.Connection) -> tuple[bytes, list[KeyLetter]]:
            (last,) = db.execute(
                "SELECT coalesce(max(last), 0) FROM sequences WHERE user = ?", ("#" + group,)
            ).fetchone()
            refs = {DeviceRef(*target) for target in targets}
            sealed, given = self._sealer.seal(GroupKeyRows(db), group, version, refs, signal, message, last + 1, now)
            return encode_signal(sealed), self._post(db, given)

        return self._database.write(work)

    def _seal_in(
        self, db: sqlite3.Connection, group: str, version: int, message: Outgoing, targets: Collection[Target],
        now: float,
    ) -> Parcel:  # fmt: skip
        if not targets:
            return Parcel(message, UNSEALED, b"", [])
        db.executemany(
            "INSERT INTO group_copies VALUES (?, ?, ?, ?, 'waiting') ON CONFLICT DO NOTHING",
            [(group, message.id, *target) for target in targets],
        )
        (oldest,) = db.execute(
            "SELECT min(seq) FROM group_copies JOIN group_envelopes USING (group_name, message)"
            " WHERE group_name = ? AND state <> 'delivered'",
            (group,),
        ).fetchone()
        oldest = message.seq if oldest is None else min(oldest, message.seq)
        chat = ChatMessage(message.id, message.seq, message.text, message.sent_at, oldest, "#" + group)
        rows, refs = GroupKeyRows(db), {DeviceRef(*target) for target in targets}
        sealed, given = self._sealer.seal(rows, group, version, refs, chat, message.id, message.seq, now)
        body = encode_signal(sealed)
        db.execute(
            "UPDATE group_envelopes SET version = ?, session = ?, sealed = ? WHERE group_name = ? AND message = ?",
            (version, sealed.session, body, group, message.id),
        )
        return Parcel(message, version, body, self._post(db, given))

    def _post(self, db: sqlite3.Connection, given: Iterable[Given]) -> list[KeyLetter]:
        """Seal keys for their devices; one with which there is no session asks for it when it needs it."""
        letters = []
        for ref, key in given:
            letter = self._letter(db, ref, key)
            if letter is not None:
                letters.append(letter)
        return letters

    def _letter(self, db: sqlite3.Connection, ref: DeviceRef, key: GroupKey) -> KeyLetter | None:
        id = self._new_id()
        try:
            letter = KeyLetter(key.session, ref, id, self._seal(db, ref.user, ref.device, key, id))
        except NoSession:
            return None
        GroupKeyRows(db).post(letter)
        return letter

    def _note_members(self, db: sqlite3.Connection, group: str, message: bytes, members: Iterable[str]) -> None:
        db.executemany(
            "INSERT INTO group_receipts VALUES (?, ?, ?, 'sent', NULL) ON CONFLICT DO NOTHING",
            [(group, message, user) for user in members if user != self._me.user],
        )

    @staticmethod
    def _drop_others(db: sqlite3.Connection, group: str, message: bytes, targets: Collection[Target]) -> None:
        rows = db.execute(
            "SELECT user, device FROM group_copies WHERE group_name = ? AND message = ?", (group, message)
        ).fetchall()
        gone = [(row[0], row[1]) for row in rows if (row[0], row[1]) not in targets]
        db.executemany(
            "DELETE FROM group_copies WHERE group_name = ? AND message = ? AND user = ? AND device = ?",
            [(group, message, *target) for target in gone],
        )

    # --- keys

    def give_again(self, ref: DeviceRef, session: str, group: str, version: int) -> Deferred[KeyLetter | None]:
        """The key of a session of mine once more, for a device of a present member."""

        def work(db: sqlite3.Connection) -> KeyLetter | None:
            (last,) = db.execute(
                "SELECT coalesce(max(last), 0) FROM sequences WHERE user = ?", ("#" + group,)
            ).fetchone()
            key = self._sealer.give_again(GroupKeyRows(db), ref, session, group, version, last + 1)
            return None if key is None else self._letter(db, ref, key)

        return self._database.write(work)

    def group_of(self, session: str) -> Deferred[str]:
        """The group for which a session of mine is, or empty."""

        def work(db: sqlite3.Connection) -> str:
            kept = GroupKeyRows(db).outbound_of(session)
            return "" if kept is None else kept.group

        return self._database.read(work)

    def letters(self) -> Deferred[list[KeyLetter]]:
        """Keys that must go (again)."""
        return self._database.read(lambda db: GroupKeyRows(db).letters())

    def letter_safe(self, letter: KeyLetter) -> Deferred[None]:
        """The key is in the device's mailbox."""
        return self._database.write(lambda db: GroupKeyRows(db).arrived(letter.ref, message=letter.message))

    # --- reading

    def unsettled(self) -> Deferred[list[UnsettledGroup]]:
        """Everything in the outbox, in the order of each group's numbers."""

        def work(db: sqlite3.Connection) -> list[UnsettledGroup]:
            found: dict[tuple[str, bytes], UnsettledGroup] = {}
            rows = db.execute(
                "SELECT group_name, e.version, m.id, m.seq, m.text, m.sent_at, m.route FROM group_envelopes e"
                " JOIN messages m ON m.user = '#' || group_name AND m.device = x'' AND m.id = message ORDER BY 1, e.seq"
            )
            for row in rows:
                found[row[0], row[2]] = UnsettledGroup(row[0], Outgoing(*row[2:7]), row[1])
            for row in db.execute("SELECT group_name, message, user, device, state FROM group_copies"):
                if (row[0], row[1]) in found:
                    found[row[0], row[1]].copies[row[2], row[3]] = row[4]
            return list(found.values())

        return self._database.read(work)

    def envelopes(self, group: str, messages: Sequence[bytes]) -> Deferred[dict[bytes, tuple[int, bytes]]]:
        """Version and envelope of messages that were sealed before."""

        def work(db: sqlite3.Connection) -> dict[bytes, tuple[int, bytes]]:
            found = {}
            for id in messages:
                row = db.execute(
                    "SELECT version, sealed FROM group_envelopes WHERE group_name = ? AND message = ?", (group, id)
                ).fetchone()
                if row is not None and row[0] != UNSEALED:
                    found[id] = (row[0], row[1])
            return found

        return self._database.read(work)

    def members(self, group: str, message: bytes) -> Deferred[list[tuple[str, str, int | None]]]:
        """How far each member is with a message of mine: user, state, and since when (milliseconds since 1970)."""

        def work(db: sqlite3.Connection) -> list[tuple[str, str, int | None]]:
            rows = db.execute(
                "SELECT user, state, at FROM group_receipts WHERE group_name = ? AND message = ? ORDER BY user",
                (group, message),
            )
            return [(row[0], row[1], row[2]) for row in rows]

        return self._database.read(work)

    # --- settling

    def stored(
        self, group: str, message: bytes, targets: Sequence[Target], at: int, address: str
    ) -> Deferred[tuple[list[str], str]]:
        """These copies are safe at the server: whose state is news by that, and what all have reached."""

        def work(db: sqlite3.Connection) -> tuple[list[str], str]:
            db.executemany(
                "UPDATE group_copies SET state = 'stored' WHERE group_name = ? AND message = ? AND user = ?"
                " AND device = ? AND state = 'waiting'",
                [(group, message, *target) for target in targets],
            )
            users = dict.fromkeys(user for user, _ in targets if user != self._me.user)
            news = [user for user in users if advance(db, group, message, user, STORED, at)]
            return news, reached(db, group, message, "mailbox", address, at)

        return self._database.write(work)

    def confirm(self, ref: DeviceRef, messages: Sequence[bytes], state: str, at: int) -> Deferred[list[GroupReceipt]]:
        """A device has (or a person has read) these."""
        return self._database.write(lambda db: confirm_in(db, self._me.user, ref, messages, state, at))

    def went(self, group: str, message: bytes, route: str, address: str) -> Deferred[None]:
        """By which route it goes."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "UPDATE messages SET route = ?, address = ? WHERE user = ? AND device = x'' AND id = ?",
                (route, address, "#" + group, message),
            )

        return self._database.write(work)

    def fail(self, group: str, messages: Sequence[bytes]) -> Deferred[None]:
        """Give these messages up."""

        def work(db: sqlite3.Connection) -> None:
            for id in messages:
                db.execute("DELETE FROM group_envelopes WHERE group_name = ? AND message = ?", (group, id))
                db.execute(
                    "UPDATE messages SET state = 'failed', route = '', address = '' WHERE user = ? AND device = x''"
                    " AND id = ? AND state IN ('waiting', 'stored')",
                    ("#" + group, id),
                )

        return self._database.write(work)


def _forget_members(db: sqlite3.Connection, group: str, message: bytes, members: Collection[str]) -> None:
    """Nobody waits for who is no longer a member."""
    users = db.execute(
        "SELECT user FROM group_receipts WHERE group_name = ? AND message = ? AND state = 'sent'", (group, message)
    ).fetchall()
    for (user,) in users:
        if user not in members:
            db.execute(
                "DELETE FROM group_receipts WHERE group_name = ? AND message = ? AND user = ?", (group, message, user)
            )


def _outgoing_in(db: sqlite3.Connection, group: str, id: bytes) -> Outgoing | None:
    row = db.execute(
        "SELECT m.id, m.seq, m.text, m.sent_at, m.route FROM messages m JOIN group_envelopes e"
        " ON m.user = '#' || group_name AND m.device = x'' AND m.id = message WHERE group_name = ? AND message = ?",
        (group, id),
    ).fetchone()
    return None if row is None else Outgoing(*row)
