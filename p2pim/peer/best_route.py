"""The route by which a conversation goes now, and who is told when it becomes another."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from p2pim.core.limits import ROUTE_SETTLES, USERS_IN_USE
from p2pim.peer import events
from p2pim.peer.account import Account
from p2pim.peer.states import milliseconds, reason_pairs

NONE = "none"


@dataclass(frozen=True)
class BestRoute:
    """How a message to ``user`` goes now.

    ``kind``: "tcp" and "udp" directly, "relay" by the server, "none" when it waits for one of the two; "classic" in
    plain text to a guest. ``reasons``: why it does not go directly.
    """

    user: str
    kind: str
    address: str = ""
    rtt_ms: float | None = None
    same_lan: bool = False
    reasons: tuple[dict[str, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The documented form, without the user."""
        return {
            "kind": self.kind,
            "address": self.address,
            "rtt_ms": self.rtt_ms,
            "same_lan": self.same_lan,
            "reasons": list(self.reasons),
        }

    @property
    def essence(self) -> tuple[object, ...]:
        """What makes it another route: not the round-trip time, which is another each time."""
        return self.kind, self.address, self.same_lan, self.reasons


def best_route(account: Account, user: str) -> BestRoute:
    """The route to ``user``, as far as it is known without asking anybody."""
    channel = account.channels.channel_to(user)
    if channel is not None:
        rtt = milliseconds(channel.rtt)
        return BestRoute(user, channel.kind, channel.address, rtt, channel.same_lan)
    reasons = account.channels.reasons_for(user)
    if not reasons and account.settings.channel == NONE:
        reasons = (("channel", "direct channels are switched off"),)
    person = account.people.get(user)
    if not account.people.connected:
        return BestRoute(user, NONE, reasons=reason_pairs((("server", "there is no connection to the server"),)))
    if person is not None and person.status == "offline":
        return BestRoute(user, NONE, reasons=reason_pairs((("presence", f"{user} is not online"),)))
    relays = [c for c in account.channels.all() if c.user == user and c.kind == "relay"]
    rtt = milliseconds(relays[0].rtt) if relays else None
    return BestRoute(user, "relay", str(account.server), rtt, reasons=reason_pairs(reasons))


class RouteWatch:
    """Tells of each change of a best route, once it has held for a moment: while paths race it changes often.

    :param route_of: what the route to a user is now; None while there is no account.
    """

    def __init__(
        self,
        clock: Any,
        wall: Callable[[], float],
        route_of: Callable[[str], BestRoute | None],
        emit: Callable[[events.Event], None],
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._route_of = route_of
        self._emit = emit
        self._known: OrderedDict[str, tuple[object, ...]] = OrderedDict()
        self._changed: set[str] = set()
        self._call: Any = None

    def watch(self, route: BestRoute) -> None:
        """Somebody was told of this route: they want to hear of the next."""
        self._known[route.user] = route.essence
        self._known.move_to_end(route.user)
        if len(self._known) > USERS_IN_USE:
            self._known.popitem(last=False)

    def event(self, event: events.Event) -> None:
        """Something happened that may change routes."""
        match event:
            case events.SignedIn() | events.SessionInterrupted() | events.SignedOut():
                self.changed(*self._known)
            case events.ChannelOpened() | events.ChannelClosed() | events.ConnectFailed():
                self.changed(event.user)
            case events.PresenceChanged() if event.user in self._known:
                self.changed(event.user)

    def changed(self, *users: str) -> None:
        """The route to these may be another."""
        self._changed.update(users)
        if self._changed and self._call is None:
            self._call = self._clock.callLater(ROUTE_SETTLES, self._look)

    def stop(self) -> None:
        """Tell nothing more."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()
        self._changed.clear()

    def _look(self) -> None:
        self._call = None
        users, self._changed = self._changed, set()
        for user in sorted(users):
            route = self._route_of(user)
            if route is None or route.essence == self._known.get(user):
                continue
            self.watch(route)
            self._emit(
                events.RouteChanged(
                    at=self._wall(), user=user, kind=route.kind, address=route.address, rtt_ms=route.rtt_ms,
                    same_lan=route.same_lan, reasons=route.reasons,
                )
            )  # fmt: skip
