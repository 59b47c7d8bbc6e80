"""Routes and channels from one device to another."""

from __future__ import annotations

from p2pim.errors.base import P2pimError


class NoDirectPath(P2pimError):
    """No direct channel could be made; ``reasons`` tells for each rung why."""

    code = "no-direct-path"
    exit_status = 5
    default = "There is no direct path to this user."

    def __init__(self, message: str = "", *, reasons: tuple[tuple[str, str], ...] = (), retry_after: float = 0.0):
        super().__init__(message, retry_after=retry_after)
        self.reasons = reasons
        """(rung, reason) pairs, in the order of the ladder."""


class NoRoute(P2pimError):
    """The route asked for does not exist now."""

    code = "no-route"
    exit_status = 5
    default = "The route asked for is not there."


class ChannelClosed(P2pimError):
    """The channel ended while it was in use."""

    code = "channel-closed"
    exit_status = 5
    default = "The channel was closed."


class TimedOut(P2pimError):
    """Nothing came back in the time given."""

    code = "timed-out"
    exit_status = 6
    default = "There was no answer in time."


class NobodyAnswers(P2pimError):
    """No program at the other side answers queries of this topic."""

    code = "nobody-answers"
    exit_status = 4
    default = "Nothing at the other side answers this."


class QueryFailed(P2pimError):
    """The program at the other side could not answer; the message is its own."""

    code = "query-failed"
    default = "The other side could not answer."
