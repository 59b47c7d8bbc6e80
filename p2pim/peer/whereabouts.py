"""Who came and who went, and what of an account must know: what waits for them goes, or waits."""

from __future__ import annotations

from collections.abc import Callable

from p2pim.errors import P2pimError
from p2pim.peer.background import Background
from p2pim.peer.delivery import Delivery
from p2pim.peer.look_ups import LookUps
from p2pim.peer.people import People
from p2pim.peer.routes import Routes
from p2pim.peer.transfers import Transfers


class Whereabouts:
    """See the module."""

    def __init__(
        self,
        people: People,
        look_ups: LookUps,
        routes: Routes,
        delivery: Delivery,
        transfers: Transfers,
        journal: Callable[[str, str, str], None],
        background: Background,
    ) -> None:
        self._people = people
        self._look_ups = look_ups
        self._routes = routes
        self._delivery = delivery
        self._transfers = transfers
        self._journal = journal
        self._background = background
        self._doubted: set[str] = set()

    def gone(self, user: str, device: bytes) -> None:
        """The server says that a device is not there."""
        self._people.gone(user, device)
        self._delivery.refresh(user)
        if not self._people.devices(user):
            self.away(user)

    def doubt(self, user: str) -> None:
        """The server stored something for ``user``, who seemed to be there: find out whether they are."""
        if user not in self._doubted:
            self._doubted.add(user)
            self._background.run(self._look_again(user), "asking whether somebody is there")

    async def _look_again(self, user: str) -> None:
        try:
            await self._look_ups.look_up(user)
        except P2pimError as error:
            self._journal("error", user, f"presence is unknown: {error.message}")
        finally:
            self._doubted.discard(user)
        self.away(user)

    def away(self, user: str) -> None:
        """``user`` may be away: if there is no way to them, whoever waits for them is told."""
        if not self._routes.is_there(user):
            self._delivery.outbox.nobody_there(user)
            self._transfers.peer_offline(user)

    def appeared(self, user: str, before: set[bytes]) -> None:
        """What is known of the devices of ``user`` has changed; those not in ``before`` are new."""
        self._delivery.refresh(user)
        for device in set(self._people.devices(user)) - before:
            self._transfers.route_appeared(user, device)
