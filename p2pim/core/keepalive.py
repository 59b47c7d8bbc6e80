"""When to send a heartbeat over a UDP path, and when to stop trusting it.

A path in use is probed whenever `UDP_HEARTBEAT` seconds have passed without an answer to something of ours; an idle one
every `UDP_KEEPALIVE`, which is what NATs need. Both are shortened at random, so that many peers behind one NAT do not
probe in step.

Only an answer counts: an acknowledgement of what we have sent. It shows that the path carries in our direction and that
the other side consents to receive (RFC 7675, section 5.1). What else comes in shows neither: a path may die in one
direction only, and then one side hears the other for ever without being heard itself. When a probe stays unanswered,
more follow, the path is doubted after `UDP_DOUBTED` seconds without an answer and dead after `UDP_DEAD`. On an idle
path, where their absence is no sign of anything, the same times run as if the last answer had come one heartbeat before
the first unanswered probe.

There is no clock in here: every call is given ``now``.
"""

from __future__ import annotations

import random
from enum import Enum
from typing import Final

from p2pim.core import limits

_SHORTEST: Final = 0.8
"""The shortest interval between probes, as a part of the longest."""


class Trust(Enum):
    """How far a path can be trusted."""

    GOOD = "good"
    DOUBTED = "doubted"
    DEAD = "dead"


class KeepAlive:
    """The life of one path.

    :param now: when it was found to work.
    :param rng: for the intervals; need not be secret.
    """

    def __init__(self, now: float, rng: random.Random) -> None:
        self._rng = rng
        self._answered_at = now
        self._used_at = now
        self._unanswered_since: float | None = None
        self._probe_at = now + self._interval(now)

    def answered(self, now: float) -> None:
        """Something that we have sent over the path was acknowledged."""
        self._answered_at = now
        self._unanswered_since = None

    def used(self, now: float) -> None:
        """The path carries something of a person's."""
        if now - self._used_at > limits.UDP_IN_USE:
            self._probe_at = min(self._probe_at, now + self._shortened(limits.UDP_HEARTBEAT))
        self._used_at = now

    def probe_due(self, now: float) -> bool:
        """Whether a heartbeat is to be sent now. Having said yes, it counts it as sent."""
        if now < self._probe_at:
            return False
        if self._unanswered_since is None:
            quiet_until = self._answered_at + self._interval(now)
            if now < quiet_until:  # something was answered meanwhile
                self._probe_at = quiet_until
                return False
            self._unanswered_since = now
        self._probe_at = now + limits.UDP_PROBE_AGAIN
        return True

    def trust(self, now: float) -> Trust:
        """What to think of the path."""
        silence = self._silence(now)
        if silence >= limits.UDP_DEAD:
            return Trust.DEAD
        return Trust.DOUBTED if silence >= limits.UDP_DOUBTED else Trust.GOOD

    def next_time(self, now: float) -> float:
        """When to ask again, at the latest."""
        if self._unanswered_since is None:
            return self._probe_at
        silent_from = now - self._silence(now)
        changes = (silent_from + limits.UDP_DOUBTED, silent_from + limits.UDP_DEAD)
        return min((self._probe_at, *(time for time in changes if time > now)))

    def _silence(self, now: float) -> float:
        if self._unanswered_since is None:
            return 0.0
        return now - max(self._answered_at, self._unanswered_since - limits.UDP_HEARTBEAT)

    def _interval(self, now: float) -> float:
        in_use = now - self._used_at <= limits.UDP_IN_USE
        return self._shortened(limits.UDP_HEARTBEAT if in_use else limits.UDP_KEEPALIVE)

    def _shortened(self, longest: float) -> float:
        return longest * self._rng.uniform(_SHORTEST, 1.0)
