"""How mail stands with one session: what was forwarded and not confirmed, and whether more is in the mailbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from p2pim.errors import P2pimError
from p2pim.storage.mail import Letter

if TYPE_CHECKING:
    from p2pim.server.sessions import Session


class Fan(Protocol):
    """The copies of one message to a group: they are counted, and their sender is answered, once for all."""

    def count(self) -> None:
        """One of them was forwarded, or put into a mailbox, for the first time."""

    def settled(self) -> None:
        """One more is safe: its device has it, or its mailbox."""

    def failed(self, error: P2pimError) -> None:
        """One could not be taken."""


Key = tuple[str, bytes, bytes]
"""The sender, their device and the message id."""


class Pending(NamedTuple):
    """A letter, and who wants to hear what became of it under which number.

    ``counted``: it is among the sender's uploads already. ``fan``: the message to a group of which it is a copy.
    """

    letter: Letter
    sender: Session
    id: int
    counted: bool = False
    fan: Fan | None = None

    @property
    def key(self) -> Key:
        """As its recipient names it."""
        return self.letter.sender, self.letter.device, self.letter.message


class Post:
    """The mail of one session.

    :ivar held: forwarded and not confirmed, oldest first.
    :ivar waiting: the mailbox is not empty, or may not be: whatever comes goes to its end.
    :ivar told: the device knows that there is mail to fetch.
    :ivar caught_up: it has seen the end of its mailbox, and will not look again by itself.
    """

    __slots__ = ("caught_up", "held", "held_bytes", "told", "waiting")

    def __init__(self) -> None:
        self.held: dict[Key, Pending] = {}
        self.held_bytes = 0
        self.waiting = True
        self.told = False
        self.caught_up = True

    def hold(self, pending: Pending) -> None:
        """It was forwarded."""
        self.held[pending.key] = pending
        self.held_bytes += len(pending.letter.payload)

    def confirmed(self, key: Key) -> Pending | None:
        """The device has it; None when that is no news."""
        pending = self.held.pop(key, None)
        if pending is not None:
            self.held_bytes -= len(pending.letter.payload)
        return pending

    def take_all(self) -> list[Pending]:
        """What was held, oldest first; nothing is held afterwards."""
        held, self.held, self.held_bytes = list(self.held.values()), {}, 0
        return held
