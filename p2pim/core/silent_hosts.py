"""How many datagrams may go to hosts that have not answered, however often they are named."""

from __future__ import annotations

from collections import OrderedDict

from p2pim.core.limits import SILENT_HOST_BURST, SILENT_HOST_RATE, SILENT_HOSTS
from p2pim.core.rate import TokenBucket


class SilentHosts:
    """An allowance for each host and each user who names it, over all their negotiations and its ports.

    It is by user because otherwise one could use up what another needs. Those unused for longest are forgotten.
    """

    def __init__(self) -> None:
        self._allowances: OrderedDict[tuple[str, str], TokenBucket] = OrderedDict()

    def may_send(self, host: str, user: str, now: float) -> bool:
        """Whether one more datagram may go to ``host`` for ``user``; if so, it counts."""
        key = host, user
        allowance = self._allowances.pop(key, None) or TokenBucket(SILENT_HOST_RATE, SILENT_HOST_BURST, now)
        self._allowances[key] = allowance
        if len(self._allowances) > SILENT_HOSTS:
            self._allowances.popitem(last=False)
        return not allowance.take(now)
