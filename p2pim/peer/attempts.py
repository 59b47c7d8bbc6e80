"""Who waits for which channel.

A `Try` is one attempt at one device, by one negotiation after another when offers cross; an `Attempt` is what
somebody who named only a user waits for: a try at each of their devices, of which the first that succeeds is enough.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from p2pim.core.rungs import Reasons
from p2pim.errors import NoDirectPath, P2pimError
from p2pim.net.links import Link
from p2pim.peer.negotiator import Negotiator

Outcome = Link | P2pimError


class Waiters:
    """Those who wait for one outcome, told in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[Outcome], None]] = []
        self._outcome: Outcome | None = None

    @property
    def over(self) -> bool:
        """Whether it is decided."""
        return self._outcome is not None

    def wait(self) -> Deferred[Link]:
        """The channel, once there is one; fails with the error otherwise. Cancelling only stops the waiting."""

        def told(outcome: Outcome) -> None:
            if isinstance(outcome, P2pimError):
                result.errback(outcome)
            else:
                result.callback(outcome)

        result: Deferred[Link] = Deferred(lambda _: self._waiting.remove(told))
        self.tell_me(told)
        return result

    def tell_me(self, told: Callable[[Outcome], None]) -> None:
        """``told`` is called with the outcome: at once when it is decided already."""
        if self._outcome is not None:
            told(self._outcome)
        else:
            self._waiting.append(told)

    def settle(self, outcome: Outcome) -> None:
        """It is decided; further calls change nothing."""
        if self._outcome is not None:
            return
        self._outcome = outcome
        waiting, self._waiting = self._waiting, []
        for told in waiting:
            told(outcome)


class Try(Waiters):
    """One attempt at a channel to one device. `negotiator` is None until there is one."""

    def __init__(self, user: str, device: bytes, *, relay: bool) -> None:
        super().__init__()
        self.user, self.device, self.relay = user, device, relay
        self.negotiator: Negotiator | None = None


class Attempt(Waiters):
    """One attempt at a direct channel to any device of a user."""

    def __init__(self, user: str) -> None:
        super().__init__()
        self.user = user
        self._left = 0
        self._failures: list[P2pimError] = []

    def follow(self, tries: list[Try]) -> None:
        """Decided by the first of ``tries`` that succeeds, or by all of them failing."""
        self._left = len(tries)
        for each in tries:
            each.tell_me(self._one_done)

    def _one_done(self, outcome: Outcome) -> None:
        self._left -= 1
        if not isinstance(outcome, P2pimError):
            self.settle(outcome)
            return
        self._failures.append(outcome)
        if self._left == 0:
            self.settle(worst_first(self._failures))


def worst_first(failures: list[P2pimError]) -> P2pimError:
    """The failure that says most: one with reasons per rung, else the first."""
    for failure in failures:
        if isinstance(failure, NoDirectPath) and failure.reasons:
            return failure
    return failures[0]


def no_direct_path(user: str, reasons: Reasons) -> NoDirectPath:
    """The error for ``reasons``."""
    return NoDirectPath(f"There is no direct path to {user}: {in_words(reasons)}", reasons=reasons)


def in_words(reasons: Reasons) -> str:
    """The reasons in one line."""
    return "; ".join(f"{rung}: {reason}" for rung, reason in reasons)
