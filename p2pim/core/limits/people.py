"""Bounds of requests between people, of what they tell of themselves, and of queries between their programs."""

from __future__ import annotations

from typing import Final

from p2pim.core.limits.units import KIB

CONTACT_REQUESTS_PENDING: Final = 200
"""Requests of one account that nobody has answered yet."""
CONTACT_REQUESTS_WAITING: Final = 256
"""Requests that wait for the answer of one account; further ones are refused until some are answered."""
CONTACT_REQUEST_BURST: Final = 60.0
"""Requests that one account makes at once: everybody of an office on the first day; then one every
`CONTACT_REQUEST_INTERVAL`, so that nobody goes through a directory of names."""
CONTACT_REQUEST_INTERVAL: Final = 60.0
CONTACT_REQUEST_TABLE: Final = 10_000
"""Accounts whose requests are counted; those that made none for long are forgotten."""
LIST_REVISIONS: Final = 1_024
"""Counters of changes to lists, shared by the names that fall on one: a sign-in that runs into one reads again."""
AWAY_AFTER: Final = 600.0
"""Without anything that a person did for so long, an agent says that they are away."""
TYPING_EVERY: Final = 3.0
"""Between two notices of one writer to one reader."""
GROUP_TYPING: Final = 32
"""Members of the largest group that is told who is writing: each notice goes to each device there by itself."""
TYPING_LEAST: Final = 1.0
"""Notices of one writer that come sooner after one another are not told."""
TYPING_SHOWN: Final = 6.0
"""For so long a notice is shown: twice the time between two, so that one may be lost."""
QUERIES_WAITING: Final = 256
"""Queries of this device that wait for an answer."""
QUERIES_ANSWERED: Final = 64
"""Queries of others that are being answered here, and `QUERIES_ANSWERED_PER_USER` of one user's: each may be holding
64 KiB and whatever its handler needs."""
QUERIES_ANSWERED_PER_USER: Final = 8
QUERY_BODY: Final = 64 * KIB
"""Bytes of a query or an answer."""
QUERY_TIME: Final = 30.0
"""What a query waits for an answer, if its asker does not say."""
QUERY_TOPICS: Final = 1_024
"""Topics that one peer answers."""
