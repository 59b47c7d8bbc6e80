"""Which of several channels is the better one, and what was said when there was none."""

from __future__ import annotations

from collections import OrderedDict

from p2pim.core.candidates import same_lan, split_address
from p2pim.core.keepalive import Trust
from p2pim.core.limits import USERS_IN_USE
from p2pim.core.rungs import Reasons
from p2pim.net.links import Link
from p2pim.net.quic import QuicChannel


class LastReasons:
    """Why the last attempt at each user failed; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._reasons: OrderedDict[str, Reasons] = OrderedDict()

    def get(self, user: str) -> Reasons:
        """Of the last attempt at ``user``; empty when it did not fail."""
        return self._reasons.get(user, ())

    def users(self) -> list[str]:
        """At whom the last attempt failed."""
        return list(self._reasons)

    def keep(self, user: str, reasons: Reasons) -> None:
        """An attempt failed."""
        self._reasons[user] = reasons
        self._reasons.move_to_end(user)
        if len(self._reasons) > USERS_IN_USE:
            self._reasons.popitem(last=False)

    def forget(self, user: str) -> None:
        """An attempt succeeded."""
        self._reasons.pop(user, None)


def cost(channel: Link) -> tuple[bool, bool, float]:
    """The smaller, the better: same network, then TCP, then the quicker."""
    rtt = channel.rtt if channel.rtt is not None else 1.0
    return not channel.same_lan, channel.kind != "tcp", rtt


def doubted(channel: Link) -> bool:
    """Whether nothing was answered over its path for so long that the other routes are better meanwhile."""
    return isinstance(channel, QuicChannel) and channel.trust_in_path is not Trust.GOOD


def one_lan(channel: Link) -> bool:
    """Whether both ends are in one local network."""
    here, there = split_address(channel.local_address), split_address(channel.address)
    return here is not None and there is not None and same_lan(here[0], there[0])
