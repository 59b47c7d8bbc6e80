"""What becomes of messages to groups: receipts of every member, and who waits to hear of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from p2pim.core.delivery import DELIVERED, RELAY, SENT, STORED
from p2pim.core.limits import GROUP_RECEIPT_WAIT, LOOK_UPS_AT_ONCE
from p2pim.core.message_ids import show_message_id
from p2pim.errors import P2pimError
from p2pim.peer.background import Background
from p2pim.peer.events import Event, MessageUndelivered, ReceiptReceived
from p2pim.peer.group_traffic import Letter
from p2pim.peer.waiters import Settled, Waiters


class GroupReceipts:
    """Tells what is settled.

    :param wall: the time in seconds since 1970.
    :param is_there: whether a user is there, for all that is known.
    :param ask_for: finds that out of one of whom it is not known.
    :param server: its address, as reports show it.
    """

    def __init__(
        self,
        clock: IReactorTime,
        wall: Callable[[], float],
        emit: Callable[[Event], None],
        journal: Callable[[str, str, str], None],
        is_there: Callable[[str], bool],
        ask_for: Callable[[str], Awaitable[object]],
        background: Background,
        server: str,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._emit = emit
        self._journal = journal
        self._is_there = is_there
        self._ask_for = ask_for
        self._background = background
        self._server = server
        self._waiters = Waiters()
        self._stored: set[bytes] = set()
        self._grace: dict[bytes, IDelayedCall] = {}
        self._stopped = False

    def stop(self) -> None:
        """Nobody is told anything any more."""
        self._stopped = True
        for call in self._grace.values():
            call.cancel()
        self._grace.clear()
        self._waiters.stop()

    def wait(self, message: bytes) -> Deferred[Settled]:
        """Fires when all members have the message, or when it is in the mailboxes of those who are away."""
        return self._waiters.add(message)

    def given_up(self, group: str, message: bytes, error: P2pimError) -> None:
        """It will never arrive."""
        self._waiters.fail(message, error)
        self._emit(
            MessageUndelivered(
                at=self._wall(), id=show_message_id(message), user="#" + group, reason=error.code,
                message=error.message, waits=False, group="#" + group,
            )
        )  # fmt: skip

    def say(self, group: str, message: bytes, user: str, state: str, route: str) -> None:
        """A member has come so far."""
        self._emit(
            ReceiptReceived(
                at=self._wall(), id=show_message_id(message), user=user, state=state, route=route, group="#" + group
            )
        )

    def stored(self, group: str, letter: Letter, users: list[str]) -> None:
        """For these members it is safe at the server."""
        for user in users:
            if letter.members.get(user) == SENT:
                letter.members[user] = STORED
                self.say(group, letter.message.id, user, STORED, "mailbox")

    def see(self, letter: Letter) -> None:
        """Something is news about this message: perhaps somebody waited for just that."""
        id, states = letter.message.id, set(letter.members.values())
        if not states & {SENT, STORED} and (states or DELIVERED in letter.copies.values()):
            self._resolve(letter, DELIVERED)
        elif SENT not in states and id not in self._stored:
            self._stored.add(id)
            self._background.run(self._wait_for_those_who_are_there(letter), "waiting for receipts")

    async def _wait_for_those_who_are_there(self, letter: Letter) -> None:
        """Everybody has it or will get it; who is there will say so in a moment."""
        id = letter.message.id
        away = [user for user, state in letter.members.items() if state == STORED]
        for user in away[:LOOK_UPS_AT_ONCE]:
            try:
                await self._ask_for(user)
            except P2pimError as error:
                self._journal("message", user, f"presence is unknown: {error.message}")
        if id in self._stored and not self._stopped:
            wait = GROUP_RECEIPT_WAIT if any(map(self._is_there, away)) else 0.0
            self._grace[id] = self._clock.callLater(wait, self._resolve, letter, STORED)

    def _resolve(self, letter: Letter, state: str) -> None:
        id = letter.message.id
        self._stored.discard(id)
        grace = self._grace.pop(id, None)
        if grace is not None and grace.active():
            grace.cancel()
        route, address = letter.went or (RELAY, self._server)
        self._waiters.resolve(id, Settled(state, "mailbox" if state == STORED else route, address))
