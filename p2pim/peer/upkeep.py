"""What a peer does about its channels without being asked.

After a sign-in it can connect to everyone in its own network; and while a conversation goes on over a relay, it tries
again and again for something better. A direct channel that broke is missed at once: the first attempt at another one
begins in that moment, and further ones follow at growing intervals.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from p2pim.core.backoff import Backoff
from p2pim.core.candidates import Endpoint, same_lan, split_address
from p2pim.core.limits import (
    DIRECT_RETRY,
    DIRECT_RETRY_FIRST,
    DIRECT_STOOD,
    LAN_CONNECTS,
    LAN_CONNECTS_AT_ONCE,
    USED_RECENTLY,
    USERS_IN_USE,
)
from p2pim.errors import P2pimError
from p2pim.peer.attempts import Outcome, Waiters
from p2pim.peer.interfaces import IChannel
from p2pim.wire.messages import Found, Message, WhoIsOnline


class UpkeptTable(Protocol):
    """The part of a channel table that is worked on."""

    def all(self) -> list[IChannel]: ...

    def channel_to(self, user: str, device: bytes | None = None) -> IChannel | None: ...

    def connect_soon(self, user: str) -> Waiters | None: ...

    def connect_device(self, user: str, device: bytes) -> Deferred[Any]: ...


class AskingSession(Protocol):
    """The part of a session that answers questions."""

    async def request(self, message_factory: Callable[[int], Message]) -> Message: ...


class _Missing:
    """A direct channel that broke. ``looking``: until it is replaced; ``found_at``: when it last was."""

    def __init__(self, backoff: Backoff) -> None:
        self.backoff = backoff
        self.looking = False
        self.found_at: float | None = None
        self.call: IDelayedCall | None = None

    def cancel(self) -> None:
        if self.call is not None and self.call.active():
            self.call.cancel()
        self.call = None


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
        self._missing: OrderedDict[str, _Missing] = OrderedDict()
        self._there = False

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
        self._forget_missing(user)

    def lost(self, user: str) -> None:
        """A direct channel to ``user`` has broken, or is doubted: find another one. At once, unless it was only just
        found: channels that break as soon as they stand are made ever less often."""
        self.used(user)
        now = self._clock.seconds()
        missing = self._missing.pop(user, None) or _Missing(Backoff(self._rng, DIRECT_RETRY_FIRST, DIRECT_RETRY))
        self._missing[user] = missing
        if len(self._missing) > USERS_IN_USE:
            self._forget_missing(next(iter(self._missing)))
        if missing.looking:
            return
        missing.looking = True
        if missing.found_at is not None and now - missing.found_at < DIRECT_STOOD:
            self._look_later(missing, user)
        else:
            missing.backoff = Backoff(self._rng, DIRECT_RETRY_FIRST, DIRECT_RETRY)
            self._look_for(user)

    def found(self, user: str) -> None:
        """There is one."""
        missing = self._missing.get(user)
        if missing is not None and missing.looking:
            missing.cancel()
            missing.looking = False
            missing.found_at = self._clock.seconds()

    def _forget_missing(self, user: str) -> None:
        missing = self._missing.pop(user, None)
        if missing is not None:
            missing.cancel()

    def _look_for(self, user: str) -> None:
        """Begin an attempt, and another one some time after it has failed."""
        missing = self._missing.get(user)
        if missing is None or not missing.looking or not self._there:
            return
        if self._table.channel_to(user) is not None:
            self.found(user)
            return
        if user not in self._wanted():
            self._forget_missing(user)
            return
        missing.cancel()
        attempt = self._table.connect_soon(user)
        if attempt is None:
            self._look_later(missing, user)
        else:
            attempt.tell_me(lambda outcome: self._looked(user, outcome))

    def _looked(self, user: str, outcome: Outcome) -> None:
        missing = self._missing.get(user)
        if missing is not None and missing.looking and isinstance(outcome, P2pimError):
            self._look_later(missing, user)

    def _look_later(self, missing: _Missing, user: str) -> None:
        missing.cancel()
        if self._there:
            missing.call = self._clock.callLater(missing.backoff.next(), self._look_for, user)

    def interrupted(self) -> None:
        """Without the server nothing can be tried."""
        self._there = False
        for missing in self._missing.values():
            missing.cancel()
        self._cancel_round()

    def _cancel_round(self) -> None:
        if self._round is not None and self._round.active():
            self._round.cancel()
        self._round = None

    def stop(self) -> None:
        """Try nothing more."""
        self.interrupted()
        self._missing.clear()

    def _schedule(self) -> None:
        self._cancel_round()
        self._round = self._clock.callLater(DIRECT_RETRY * self._rng.uniform(0.9, 1.1), self._try_again)

    def _try_again(self) -> None:
        self._round = None
        self._schedule()
        self.try_now()

    def try_now(self) -> None:
        """Try for a direct channel to everyone who is talked to without one."""
        for user in self._wanted():
            if not self._is_looked_for(user) and self._table.channel_to(user) is None:
                self._table.connect_soon(user)

    def wants(self, user: str) -> bool:
        """Whether a conversation or a transfer with ``user`` goes on."""
        return user in self._wanted()

    def _is_looked_for(self, user: str) -> bool:
        return user in self._missing and self._missing[user].looking

    def _wanted(self) -> dict[str, None]:
        """Those with whom a conversation or a transfer goes on."""
        now = self._clock.seconds()
        for user, at in list(self._used.items()):
            if now - at > USED_RECENTLY:
                del self._used[user]
        relayed = {channel.user for channel in self._table.all() if channel.kind == "relay"}
        return {**dict.fromkeys(self._used), **dict.fromkeys(relayed)}

    # --- the local network

    def signed_in(self, seen_at: Endpoint) -> None:
        """The session stands; ``seen_at`` is my address as the server sees it."""
        self._there = True
        self._schedule()
        for user in list(self._missing):
            self._look_for(user)
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
