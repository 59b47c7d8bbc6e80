"""Which names exist, remembered: an envelope to somebody who is away should not cost a query each time."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from p2pim.core.limits import KNOWN_NAMES
from p2pim.core.names import canonical_name
from p2pim.errors import BadName, NoSuchUser
from p2pim.server.store import Store
from p2pim.storage import accounts


def canonical_user(name: str) -> str:
    """A name in a request.

    :raises NoSuchUser: one that cannot exist belongs to no user.
    """
    try:
        return canonical_name(name)
    except BadName:
        raise NoSuchUser(f"There is no user {name!r} on this server.") from None


class KnownNames:
    """Answers whether a name has an account. Only names that exist are remembered: strangers cannot push them out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[str, None] = OrderedDict()

    def remembered(self, name: str) -> bool:
        """Whether ``name`` is known to exist without looking it up."""
        return name in self._known

    async def exists(self, name: str) -> bool:
        """Whether ``name`` exists.

        :raises DatabaseDown: the database does not answer.
        """
        if name in self._known:
            return True
        revocations = self._store.revocations
        found = await self._store.read(partial(accounts.exists, name=name))
        if found and revocations == self._store.revocations:  # nobody was deleted meanwhile
            self.learn(name)
        return found

    def learn(self, name: str) -> None:
        """``name`` exists."""
        self._known[name] = None
        self._known.move_to_end(name)
        if len(self._known) > KNOWN_NAMES:
            self._known.popitem(last=False)

    def forget(self, name: str) -> None:
        """The account of ``name`` was deleted."""
        self._known.pop(name, None)
