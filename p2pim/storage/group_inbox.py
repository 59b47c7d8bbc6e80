"""A home's inbox, as far as groups go: what was sealed for them, the keys for it, and what waits for its key."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from p2pim.core.groups import GroupSealer
from p2pim.core.megolm import MEGOLM
from p2pim.core.sealing import DeviceRef
from p2pim.errors import BadMessage, NoGroupKey, NotMeant
from p2pim.storage.group_keys import GroupKeyRows
from p2pim.storage.group_receipts import confirm_in
from p2pim.storage.inbox import Envelope, GroupReceipt, Taken
from p2pim.wire.signals import AnySignal, ChatMessage, GroupKey, Query, Receipt, Sealed, decode_signal


class GroupInbox:
    """See the module; `p2pim.storage.inbox.IGroupArrivals`.

    :param me: my own user name.
    :param member: whether a user is with me in some group, as far as is known: whose messages wait for their keys.
    """

    def __init__(self, sealer: GroupSealer, me: str, member: Callable[[str], bool] = lambda user: True) -> None:
        self._sealer = sealer
        self._me = me
        self._member = member

    # --- envelopes

    def known_in(self, db: sqlite3.Connection, envelope: Envelope) -> Taken | None:
        """What is to be said of an envelope that came before: confirmed once more, or that its key is missing still."""
        sender, device, id = envelope.sender, envelope.device, envelope.message
        waits = db.execute(
            "SELECT session FROM group_waiting WHERE user = ? AND device = ? AND message = ?", (sender, device, id)
        ).fetchone()
        if waits is not None:
            return Taken(known=True, waits=waits[0])
        kept = GroupKeyRows(db).inbound(DeviceRef(sender, device), envelope.sealed.session)
        if kept is None:
            return None
        if sender == self._me:
            found = db.execute("SELECT 1 FROM own_copies WHERE device = ? AND id = ?", (device, id)).fetchone()
        else:
            found = db.execute(
                "SELECT 1 FROM messages WHERE user = ?1 AND device = ?2 AND id = ?3"
                " UNION ALL SELECT 1 FROM early WHERE user = ?4 AND device = ?2 AND id = ?3"
                " UNION ALL SELECT 1 FROM forgotten WHERE user = ?1 AND device = ?2 AND id = ?3",
                ("#" + kept.group, device, id, sender),
            ).fetchone()
        return Taken(known=True, chat=True) if found is not None else None

    def open_in(self, db: sqlite3.Connection, envelope: Envelope) -> AnySignal | None:
        """The signal that a device sealed for a group; None when it is put aside until its key comes.

        :raises CannotOpen: (of some kind) nothing can be done about it.
        """
        rows, ref = GroupKeyRows(db), DeviceRef(envelope.sender, envelope.device)
        try:
            group, body = self._sealer.open(rows, ref, envelope.sealed)
        except NoGroupKey:
            if not envelope.message or not self._member(envelope.sender):
                raise NotMeant("A message to a group came from somebody who is in no group with me.") from None
            self._put_aside(db, envelope)
            return None
        try:
            signal = decode_signal(body)
        except BadMessage as error:
            raise NotMeant(f"What was sealed makes no sense: {error.message}") from None
        if isinstance(signal, ChatMessage):
            if signal.conversation != "#" + group:
                raise NotMeant("A message to a group names another one.")
        elif not isinstance(signal, Query):
            raise NotMeant("What was sealed for a group is nothing that a group is told.")
        return signal

    @staticmethod
    def group_in(db: sqlite3.Connection, envelope: Envelope) -> str:
        """For which group an envelope was sealed that was opened just now."""
        kept = GroupKeyRows(db).inbound(DeviceRef(envelope.sender, envelope.device), envelope.sealed.session)
        return "" if kept is None else kept.group

    @staticmethod
    def _put_aside(db: sqlite3.Connection, envelope: Envelope) -> None:
        sealed = envelope.sealed
        db.execute(
            "INSERT INTO group_waiting (user, device, session, message, body, route, address, received_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                envelope.sender, envelope.device, sealed.session, envelope.message, sealed.body, envelope.route,
                envelope.address, envelope.received_at,
            ),
        )  # fmt: skip
        GroupKeyRows(db).tidy_waiting(DeviceRef(envelope.sender, envelope.device))

    # --- keys

    def key_in(self, db: sqlite3.Connection, sender: str, device: bytes, key: GroupKey) -> list[Envelope]:
        """Take a key; what had waited for it, in the order in which it came."""
        rows, ref = GroupKeyRows(db), DeviceRef(sender, device)
        self._sealer.take_key(rows, ref, key)
        rows.came(ref, key.session)
        if key.seq > 1:  # whoever reads from here on need not wait for what was before
            db.execute(
                "INSERT INTO arrivals (user, device, conversation, expected) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (sender, device, "#" + key.group, key.seq),
            )
        waited = db.execute(
            "DELETE FROM group_waiting WHERE user = ? AND device = ? AND session = ?"
            " RETURNING number, message, body, route, address, received_at",
            (sender, device, key.session),
        ).fetchall()
        return [
            Envelope(sender, device, Sealed(MEGOLM, row[2], b"", row[1], key.session), row[1], row[3], row[4], row[5])
            for row in sorted(waited, key=lambda row: int(row[0]))
        ]

    # --- receipts

    def confirm_in(
        self, db: sqlite3.Connection, user: str, device: bytes, receipt: Receipt, at: int
    ) -> list[GroupReceipt]:
        """Note a receipt for messages of mine to groups."""
        return confirm_in(db, self._me, DeviceRef(user, device), receipt.ids, receipt.state, at)
