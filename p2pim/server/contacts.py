"""Contact lists: asking, agreeing, parting, blocking; and who is told of it.

Whoever adds somebody asks them; they agree by adding in turn, and decline by removing. What is stored and what is known
of those online are changed together, after the commit. Somebody blocked may ask, and sees nothing of the block.
"""

from __future__ import annotations

from functools import partial

from twisted.internet.interfaces import IReactorTime

from p2pim.core.limits import CONTACT_REQUEST_BURST, CONTACT_REQUEST_INTERVAL, CONTACT_REQUEST_TABLE
from p2pim.core.presence import BLOCKED, NO_RELATION
from p2pim.core.rate import TokenBucket
from p2pim.errors import PeerRefused, RateLimited
from p2pim.server.names import canonical_user
from p2pim.server.presence import Announcer
from p2pim.server.sessions import Session
from p2pim.server.splices import SpliceDesk
from p2pim.server.store import Store
from p2pim.storage import accounts, contacts
from p2pim.wire.messages import AddContact, BlockUser, Done, Found, Message, RemoveContact


class ContactDesk:
    """Changes lists."""

    def __init__(self, clock: IReactorTime, store: Store, announcer: Announcer, splices: SpliceDesk) -> None:
        self._clock = clock
        self._store = store
        self._announcer = announcer
        self._graph = announcer.graph
        self._splices = splices
        self._asking: dict[str, TokenBucket] = {}

    async def add(self, session: Session, message: AddContact) -> Message:
        """Ask somebody to be a contact, or agree."""
        me, other = session.user.name, canonical_user(message.user)
        if me == other:
            raise PeerRefused("You need not be your own contact.")
        before = session.user.entry.relation(other)
        if before == BLOCKED:
            raise PeerRefused(f"You have blocked {other}; unblock them first.")
        if before == NO_RELATION:
            self._count_request(me)
        relation = await self._store.write(partial(contacts.add_contact, owner=me, contact=other))
        self._store.lists_changed(me, other)
        self._graph.relate(me, other, relation)
        if relation != before:
            self._tell(session, other)
        return Found(message.id, [self._announcer.person(other, me)])

    async def remove(self, session: Session, message: RemoveContact) -> Message:
        """Part, for both sides; or withdraw a request, or decline one."""
        me, other = session.user.name, canonical_user(message.user)
        before = session.user.entry.relation(other)
        await self._store.write(partial(contacts.remove_contact, owner=me, contact=other))
        self._store.lists_changed(me, other)
        self._graph.relate(me, other, NO_RELATION)
        if before != NO_RELATION:
            self._tell(session, other)
        return Done(message.id)

    async def block(self, session: Session, message: BlockUser) -> Message:
        """Have somebody reach me no more, or again."""
        me, other = session.user.name, canonical_user(message.user)
        if me == other:
            raise PeerRefused("You cannot block yourself.")
        await self._store.write(partial(accounts.set_blocked, owner=me, other=other, blocked=message.blocked))
        self._store.lists_changed(me, other)
        blocked = session.user.entry.blocked
        if (other in blocked) != message.blocked:
            (blocked.add if message.blocked else blocked.discard)(other)
            self._blocked(session, other, message.blocked)
        return Done(message.id)

    def _blocked(self, session: Session, other: str, blocked: bool) -> None:
        """The presence of the one who blocks ends, or comes back, for those who saw it."""
        me = session.user.name
        if blocked:
            self._splices.sever(me, other)
        self._announcer.tell_one(other, me, but=session)
        if self._graph.shows(me, other):
            self._announcer.tell_one(me, other)

    def _tell(self, session: Session, other: str) -> None:
        """The two stand in another relation now: my other devices, and the other side unless I blocked them."""
        me = session.user.name
        self._announcer.tell_one(other, me, but=session)
        if other not in session.user.entry.blocked and not self._graph.blocks(other, me):
            self._announcer.tell_one(me, other)

    def _count_request(self, me: str) -> None:
        """:raises RateLimited: too many requests lately."""
        now = self._clock.seconds()
        if len(self._asking) >= CONTACT_REQUEST_TABLE:
            self._asking = {name: each for name, each in self._asking.items() if not each.is_full(now)}
        bucket = self._asking.get(me)
        if bucket is None:
            bucket = self._asking[me] = TokenBucket(1 / CONTACT_REQUEST_INTERVAL, CONTACT_REQUEST_BURST, now)
        wait = bucket.take(now)
        if wait:
            raise RateLimited(
                "You have asked many people to be your contacts; ask the next a little later.", retry_after=wait
            )
