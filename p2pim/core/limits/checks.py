"""Connectivity checks."""

from __future__ import annotations

from typing import Final

PAIRS: Final = 16
"""Remote endpoints checked in one negotiation; what an offer names beyond that is ignored."""
PEER_REFLEXIVE: Final = 8
"""Further endpoints from which valid checks may come."""
CHECK_PACE: Final = 0.01
"""Between two checks (RFC 8445's Ta is at least 5 ms): a negotiation stays below 100 datagrams a second."""
CHECKS_AT_ONCE: Final = 3
"""Checks of one negotiation that need not wait for each other: a machine's own address and what the world sees of it,
in both families, which of two of them will work is not known beforehand."""
CHECK_RETRY: Final = 0.1
"""Before a check is sent again; grows by 1.6 each time up to `CHECK_RETRY_MAX`. Short, because the first check often
dies in front of the other NAT, and small, because checks are."""
CHECK_RETRY_MAX: Final = 1.0
CHECKS_PER_PAIR: Final = 8
"""Checks of about 100 bytes that go to an endpoint that never answers, whoever named it; and as many responses, when
checks come from there."""
CHECKS_TRIGGERED: Final = 4
"""Checks beyond `CHECKS_PER_PAIR` that those may trigger: whoever was late must still find somebody who asks."""
CHECKS_LINGER: Final = 5.0
"""For so long after a negotiation the other side's checks are still answered."""
SILENT_HOST_BURST: Final = 48.0
"""Checks and responses for one user that go at once to one host that has not answered, over all negotiations and ports:
four attempts at a peer who is behind the worst of NATs. After that it is `SILENT_HOST_RATE` per second."""
SILENT_HOST_RATE: Final = 1.0
SILENT_HOSTS: Final = 1_024
"""Hosts for which that is counted."""
CHECK_RUNS: Final = 256
"""Negotiations whose checks are answered; of those that are over, the oldest are forgotten first."""
CHECKS_TIME: Final = 8.0
"""After this the rung has failed; the relay has been carrying the conversation all along."""
