"""Delivery on this device: outbox, inbox and mailbox, and what goes between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from p2pim.core.limits import RECEIPTS_KEPT, RECEIPTS_REPEATED
from p2pim.peer.account_context import AccountContext
from p2pim.peer.group_parts import GroupParts
from p2pim.peer.inbox import Inbox, InboxWays
from p2pim.peer.mailbox import Mailbox
from p2pim.peer.outbox import Outbox
from p2pim.peer.people import People
from p2pim.peer.routes import Routes
from p2pim.peer.seals import Seals
from p2pim.peer.session import Session
from p2pim.storage.database import Database
from p2pim.storage.inbox import GroupReceipt, InboxStore
from p2pim.storage.outbox import Confirmed, OutboxStore
from p2pim.wire import messages as m
from p2pim.wire import signals as s
from p2pim.wire.mail import MailId


class Delivery:
    """See the module.

    :param gone: told when the server says that a device of a user is not there.
    :param doubted: told when it stores for a user who seemed to be there.
    :param signal: hears signals, other than receipts, that came by mail.
    :param full: told why nothing that comes can be stored; until `Inbox.resume` nothing is taken.
    """

    def __init__(
        self,
        context: AccountContext,
        database: Database,
        session: Session,
        seals: Seals,
        routes: Routes,
        people: People,
        groups: GroupParts,
        *,
        gone: Callable[[str, bytes], None],
        doubted: Callable[[str], None],
        signal: Callable[[str, bytes, s.AnySignal], None],
        full: Callable[[str], None],
    ) -> None:
        clock, wall, journal = context.reactor, context.wall, context.journal.write
        self._clock = clock
        self._session = session
        self._seals = seals
        self._routes = routes
        self._signal = signal
        self._groups = groups
        self._me, self._device = context.user, context.device
        self._receipts: deque[tuple[float, str, bytes, s.Receipt]] = deque(maxlen=RECEIPTS_KEPT)
        outgoing = OutboxStore(database, seals.seal_in, self._me)
        self.outbox = Outbox(
            clock, wall, outgoing, routes, seals, context.emit, journal, context.random_bytes, gone, doubted,
            (self._me, self._device),
        )  # fmt: skip
        self.arrived = InboxStore(database, seals.open_in, self._me, groups.arrivals)
        ways = InboxWays(self._send_receipt, self._got, seals.cannot_open, full)
        self.inbox = Inbox(clock, wall, self.arrived, ways, self, context.emit, journal, self._me)
        self.mailbox = Mailbox(clock, session, self.inbox, str(context.server), people.is_blocked, journal)

    async def load(self) -> None:
        """Take up what earlier runs left."""
        await self.outbox.load()
        await self._groups.load()
        await self.inbox.load()

    def stop(self) -> None:
        """Send and take nothing any more."""
        self.mailbox.stop()
        self.inbox.stop()
        self._groups.stop()
        self.outbox.stop()

    def signed_in(self, welcome: m.Welcome) -> None:
        """A session stands."""
        self.outbox.refresh_all()
        self.mailbox.signed_in(welcome.mail)
        self._groups.signed_in()
        self._repeat_receipts()

    def refresh(self, user: str) -> None:
        """The ways to ``user`` may have changed: what is for them goes by those that there are now."""
        self.outbox.refresh(user)
        self._groups.outbox.refresh(user)

    def refresh_all(self) -> None:
        """The same for everybody."""
        self.outbox.refresh_all()
        self._groups.outbox.refresh_all()

    def interrupted(self) -> None:
        """It ended."""
        self.mailbox.interrupted()

    # --- what the inbox wants said, and heard

    def _send_receipt(self, user: str, device: bytes, receipt: s.Receipt, by_mail: bool) -> None:
        if not by_mail:
            self._routes.send(user, device, receipt)
            return
        self._receipts.append((self._clock.seconds(), user, device, receipt))
        self._routes.send_surely(user, device, receipt)

    def _repeat_receipts(self) -> None:
        """The server may have died with what it had not stored yet: what was said just before goes once more."""
        since = self._clock.seconds() - RECEIPTS_REPEATED
        receipts, self._receipts = self._receipts, deque(maxlen=RECEIPTS_KEPT)
        for at, user, device, receipt in receipts:
            if at >= since:
                self._routes.send_surely(user, device, receipt)

    def _got(self, items: list[MailId]) -> None:
        if self._session.connected:
            self._session.send(m.Got(items))

    def tell_my_devices(self, signal: s.Signal) -> None:
        """Send a signal to the other devices of this account, now or when they come."""
        for device in self._seals.devices(self._me):
            if device.id != self._device:
                self._routes.send_mail(self._me, device.id, signal)

    def confirmed(self, user: str, device: bytes, receipts: Sequence[tuple[str, Confirmed]]) -> None:
        """Receipts came, and are noted."""
        self.outbox.confirmed(user, device, receipts)

    def read(self, user: str, ids: Sequence[bytes], route: str) -> None:
        """A person has read what I wrote, which is noted."""
        self.outbox.read(user, ids, route)

    def group_confirmed(self, receipts: Sequence[GroupReceipt], route: str) -> None:
        """Receipts for messages to groups came, and are noted."""
        self._groups.confirmed(receipts, route)

    def group_signal(self, user: str, device: bytes, group: str, signal: s.AnySignal) -> None:
        """A signal came that was sealed for a group."""
        self._groups.sealed_for_group(user, device, group, signal)

    def group_key_missing(self, user: str, device: bytes, session: str) -> None:
        """A message to a group waits for its key."""
        self._groups.keys.missing(user, device, session)

    def signal(self, user: str, device: bytes, signal: s.AnySignal) -> None:
        """A signal came by mail."""
        if isinstance(signal, s.AskAgain):
            self._seals.asked_again(user, device, signal)
        elif isinstance(signal, s.Sas):
            self._seals.hear_sas(user, device, signal)
        elif not self._groups.signal(user, device, signal):
            self._signal(user, device, signal)
