"""Everything of an account that has to do with groups, put together."""

from __future__ import annotations

from collections.abc import Sequence

from p2pim.core.groups import GroupSealer
from p2pim.core.message_ids import make_message_id
from p2pim.core.sealing import DeviceRef
from p2pim.errors import P2pimError
from p2pim.peer.account_context import AccountContext
from p2pim.peer.background import Background
from p2pim.peer.events import BroadcastReceived
from p2pim.peer.group_broadcast import GroupBroadcast
from p2pim.peer.group_keys import GroupKeyPost
from p2pim.peer.group_outbox import GroupOutbox
from p2pim.peer.group_receipts import GroupReceipts
from p2pim.peer.group_recipients import GroupRecipients
from p2pim.peer.groups import MyGroups
from p2pim.peer.look_ups import LookUps
from p2pim.peer.routes import Routes
from p2pim.peer.seals import Seals
from p2pim.peer.session import Session
from p2pim.storage.database import Database
from p2pim.storage.group_inbox import GroupInbox
from p2pim.storage.group_outbox import GroupOutboxStore
from p2pim.storage.inbox import GroupReceipt
from p2pim.wire.groups import GroupChanged
from p2pim.wire.signals import AnySignal, AskGroupKey, Query, Signal


class GroupParts:
    """Groups, their outbox and their keys.

    :param ask: sends a signal as mail: user, device, signal.
    """

    def __init__(
        self,
        context: AccountContext,
        database: Database,
        session: Session,
        seals: Seals,
        routes: Routes,
        look_ups: LookUps,
        background: Background,
    ) -> None:
        self._context = context
        self._seals = seals
        self._background = background
        me, clock, journal = DeviceRef(context.user, context.device), context.reactor, context.journal.write
        sealer = GroupSealer(me, context.home.pickle_key(), seals.own_identity)
        self.known = MyGroups(context.wall, database, session, context.emit, journal, context.user)
        self.known.changed = self._changed
        self.arrivals = GroupInbox(sealer, context.user, lambda user: user in self.known.fellows)
        self.store = GroupOutboxStore(database, sealer, seals.seal_in, me, self._new_id)
        self.keys = GroupKeyPost(
            clock, database, self.store, session, self.known, seals, routes.send_mail, journal, background
        )
        recipients = GroupRecipients(clock, seals, journal, (context.user, context.device))
        receipts = GroupReceipts(
            clock, context.wall, context.emit, journal, routes.may_be_there, look_ups.ask_once, background,
            str(context.server),
        )  # fmt: skip
        self.outbox = GroupOutbox(
            clock, context.wall, self.store, self.known, self.keys, routes, recipients, receipts, session, journal,
            self._new_id, background, str(context.server), context.user,
        )  # fmt: skip
        broadcast = GroupBroadcast(
            clock, context.wall, self.store, self.known, self.keys, routes, recipients, session, self._new_id
        )
        self.broadcast = broadcast.send

    def _new_id(self) -> bytes:
        return make_message_id(round(self._context.wall() * 1000), self._context.random_bytes(10))

    # --- life

    async def load(self) -> None:
        """Take up what earlier runs left."""
        await self.known.load()
        await self.outbox.load()

    def stop(self) -> None:
        """Send and ask for nothing any more."""
        self.keys.stop()
        self.outbox.stop()

    def signed_in(self) -> None:
        """A session stands: learn what changed meanwhile, and send what waits."""
        self._background.run(self._catch_up(), "catching up with groups")

    async def _catch_up(self) -> None:
        try:
            await self.keys.signed_in()
            await self.known.ask()
        except P2pimError as error:
            self._context.journal.write("group", "", f"groups are not known for certain: {error.message}")
        self.outbox.refresh_all()

    # --- what is heard

    def told(self, news: GroupChanged) -> None:
        """The server tells of a change."""
        self.known.told(news)

    def _changed(self, name: str, users: Sequence[str]) -> None:
        for user in users:
            self._seals.directory.forget(user)
        self.outbox.changed(name)

    def receipt(self, user: str, device: bytes, ids: Sequence[bytes], state: str, route: str) -> None:
        """A receipt came over a channel, or unkept through the server."""
        self.outbox.receipt(user, device, ids, state, route)

    def confirmed(self, receipts: Sequence[GroupReceipt], route: str) -> None:
        """Receipts came by mail, and are noted."""
        self.outbox.confirmed(receipts, route)

    def signal(self, user: str, device: bytes, signal: AnySignal) -> bool:
        """A signal came by mail; whether it was one for here."""
        if isinstance(signal, AskGroupKey):
            self.keys.asked(user, device, signal)
            return True
        return False

    def sealed_for_group(self, user: str, device: bytes, group: str, signal: Signal) -> None:
        """Something that is no message of a person came to a group."""
        if isinstance(signal, Query):
            self._context.emit(
                BroadcastReceived(
                    at=self._context.wall(), user=user, device=device.hex(), group="#" + group, topic=signal.topic,
                    body=signal.body,
                )
            )  # fmt: skip
