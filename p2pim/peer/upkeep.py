"""What a peer does about its channels without being asked.

After a sign-in it can connect to everyone in its own network; and while a conversation goes on over a relay, it tries
again and again for something better.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from p2pim.core.candidates import Endpoint, same_lan, split_address
from p2pim.core.limits import DIRECT_RETRY, LAN_CONNECTS, LAN_CONNECTS_AT_ONCE, USED_RECENTLY, USERS_IN_USE
from p2pim.errors import P2pimError
from p2pim.peer.interfaces import IChannel
from p2pim.wire.messages import Found, Message, WhoIsOnline


class UpkeptTable(Protocol):
    """The part of a channel table that is worked on."""

    def all(self) -> list[IChannel]: ...

    def channel_to(self, user: str, device: bytes | None = None) -> IChannel | None: ...

    def connect_soon(self, user: str) -> None: ...

    def connect_device(self, user: str, device: bytes) -> Deferred[Any]: ...


class AskingSession(Protocol):
    """The part of a session that answers questions."""

    async def request(self, message_factory: Callable[[int], Message]) -> Message: ...


class Upkeep:
    """See the module. ``lan``: connect to everyone in my network after each sign-in."""

    _log = Logger()

    def __init__(
        self,
        clock: Any,
        table: UpkeptTable,
        session: AskingSession,
        my_device: bytes,
        rng: Random,
        journal: Callable[[str, str, str], None],
        *,
        lan: bool,
    ) -> None:
        self._clock = clock
        self._table = table
        self._session = session
        self._device = my_device
        self._rng = rng
        self._journal = journal
        self._lan = lan
        self._used: OrderedDict[str, float] = OrderedDict()
        self._round: IDelayedCall | None = None

    # --- again and again

    def used(self, user: str) -> None:
        """A direct channel to ``user`` is wanted now."""
        self._used[user] = self._clock.seconds()
        self._used.move_to_end(user)
        if len(self._used) > USERS_IN_USE:
            self._used.popitem(last=False)

    def forget(self, user: str) -> None:
        """It is not wanted any more."""
        self._used.pop(user, None)

    def interrupted(self) -> None:
        """Without the server nothing can be tried."""
        if self._round is not None and self._round.active():
            self._round.cancel()
        self._round = None

    stop = interrupted

    def _schedule(self) -> None:
        self.interrupted()
        self._round = self._clock.callLater(DIRECT_RETRY * self._rng.uniform(0.9, 1.1), self._try_again)

    def _try_again(self) -> None:
        self._round = None
        self._schedule()
        self.try_now()

    def try_now(self) -> None:
        """Try for a direct channel to everyone who is talked to without one."""
        now = self._clock.seconds()
        for user, at in list(self._used.items()):
            if now - at > USED_RECENTLY:
                del self._used[user]
        relayed = {channel.user for channel in self._table.all() if channel.kind == "relay"}
        for user in {**dict.fromkeys(self._used), **dict.fromkeys(relayed)}:
            if self._table.channel_to(user) is None:
                self._table.connect_soon(user)

    # --- the local network

    def signed_in(self, seen_at: Endpoint) -> None:
        """The session stands; ``seen_at`` is my address as the server sees it."""
        self._schedule()
        if self._lan:
            done = Deferred.fromCoroutine(self._connect_lan(seen_at[0]))
            done.addErrback(lambda failure: self._log.failure("Connecting to the local network broke.", failure))

    async def _connect_lan(self, here: str) -> None:
        try:
            found = await self._session.request(WhoIsOnline)
        except P2pimError as error:
            self._journal("lan", "", f"nobody could be asked for: {error.message}")
            return
        near = self._near(found, here)
        self._journal("lan", "", f"{len(near)} devices in the same network")
        at_once = DeferredSemaphore(LAN_CONNECTS_AT_ONCE)
        for user, device in near[:LAN_CONNECTS]:
            call = at_once.run(self._table.connect_device, user, device)
            call.addErrback(lambda failure: self._log.failure("Connecting in the local network broke.", failure))

    def _near(self, found: Message, here: str) -> list[tuple[str, bytes]]:
        """The devices in my network, each with its user; in random order, so that not everyone begins with the same."""
        near: list[tuple[str, bytes]] = []
        for person in found.people if isinstance(found, Found) else []:
            for device in person.devices:
                address = split_address(device.address)
                if device.id != self._device and address is not None and same_lan(here, address[0]):
                    near.append((person.user, device.id))
        self._rng.shuffle(near)
        return near
