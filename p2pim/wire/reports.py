"""What a client reports to its server for the operator's eyes.

The server sees nothing of what goes directly. Each client tells it now and then how much that was, so that an operator
can see which share of the traffic stays off the server. Each side reports what it sent and not what it received:
nothing is counted twice. Figures are all that is told: not with whom, not by which path.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from p2pim.wire.fields import Message

DIRECT_REPORTS: Final = "direct-reports"
"""The feature in `Welcome` of a server that takes `DirectReport`."""

MOST_MESSAGES: Final = 2**32
MOST_BYTES: Final = 2**50
"""What one report may claim; whoever has more to tell tells the rest in the next one."""


class DirectReport(Message, frozen=True, tag=77):
    """What this device sent over direct channels since its last report: ``messages``, and ``bytes`` in all."""

    messages: Annotated[int, Meta(ge=0, le=MOST_MESSAGES)]
    bytes: Annotated[int, Meta(ge=0, le=MOST_BYTES)]
