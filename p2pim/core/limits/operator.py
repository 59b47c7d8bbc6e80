"""What the operator is shown: series, refusals, watchers; and what peers report of their direct traffic."""

from __future__ import annotations

from typing import Final

from p2pim.core.limits.units import MIB

# --- the past

SERIES_SAMPLE: Final = 2.0
"""Between two looks at the counters; a step of the shortest series is told as exactly as that."""
SERIES_WRITE: Final = 60.0
"""Between commits of the series: a server that is killed forgets as much of its plots, and an idle disk can sleep."""
SERIES_MOST: Final = 2**53
"""No sum in a series grows beyond this: every language that reads JSON still counts exactly up to here."""
REFUSALS: Final = 200
"""The newest refusals, for the operator's eyes; those of one address, for one reason, are told as one."""
REFUSED_NAME: Final = 32
"""Characters of the name that a refused stranger claims to have; what they typed there may be a password."""
REFUSED_REASON: Final = 160

# --- reports of direct traffic

DIRECT_REPORT: Final = 60.0
"""Between a client's reports of what it sent directly."""
DIRECT_RATE: Final = 1_250 * MIB
"""Bytes per second (10 Gbit/s) that are believed of one user; what it claims beyond that is not counted."""
DIRECT_MESSAGE_RATE: Final = 20_000
"""Messages per second that are believed of one user."""
DIRECT_ALLOWANCE: Final = 600.0
"""Seconds of traffic that a user's report may be about at most, and the first one is: what went directly while the
server was away is among it. Whoever reports more often, or signs in anew for it, is believed no more."""
DIRECT_REPORTERS: Final = 10_000
"""Users remembered who have used some of their allowance: honest ones have it all back within a second. When there
are more, those who have used the least are forgotten."""

# --- the page

OPERATOR_TICK: Final = 1.0
"""Between two looks at what has changed, once for all watchers, and not at all when there are none."""
OPERATOR_PEOPLE: Final = 5_000
"""Changed rows told to watchers by one tick; what is more is told by the next ones."""
OPERATOR_LOOK: Final = 10.0
"""Between two questions to the database about mailboxes, files and accounts, while somebody watches."""
OPERATOR_LEASE: Final = 15.0
"""Whoever has been shown everything has so long to begin to watch what changes."""
OPERATOR_MAILBOXES: Final = 20
"""The fullest mailboxes are shown one by one."""
OPERATOR_DISABLED: Final = 500
"""Accounts shown as switched off."""
SOCKET_OWNER_CHECKS: Final = 1.0
"""Looks per second at who owns the other end of a connection, on average: each reads a list of all connections."""
SOCKET_OWNER_BURST: Final = 20.0
METRICS_TOKEN_FILE: Final = 4_096
"""Bytes read of the file with the scrapers' token."""
HEALTH_FRESH: Final = 1.0
"""Seconds for which an answer about health is repeated: asking often costs the database nothing."""
HEALTH_PATIENCE: Final = 5.0
"""A database that has not answered for so long is said to be down."""
