"""What all methods of the local API are made of; see `p2pim.peer.local_api`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred

from p2pim.peer.api import Peer

Item = Callable[[dict[str, Any]], None]
"""Takes what a method yields before its result."""
Method = Callable[[Peer, Any, Item], Coroutine[Deferred[Any], Any, dict[str, Any]]]
Table = dict[str, tuple[type[Struct], Method]]
"""Methods by name, each with the class of its parameters."""


class Params(Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all parameters; itself: none."""


class OfUser(Params, frozen=True):
    """Of one user, or of a conversation."""

    user: str
