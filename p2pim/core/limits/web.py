"""Pages and APIs over HTTP: the agent's socket, the chat page, the operator's page."""

from __future__ import annotations

from typing import Final

from p2pim.core.limits.units import KIB, MIB

HTTP_HEAD: Final = 16 * KIB
"""Bytes of a request line with all its headers: cookies and the longest address that a browser makes."""
HTTP_HEADERS: Final = 64
"""Headers of one request; browsers send some twenty."""
HTTP_BODY: Final = 1 * MIB
"""The longest request: a message in JSON, every character escaped. Files go another way, straight to the disk."""
HTTP_OPEN_BODY: Final = 16 * KIB
"""The longest request of somebody who was not let in: a form with a password."""
HTTP_CONNECTIONS: Final = 256
"""Connections to one address of ours at once: forty pages, each with the six that a browser makes."""
HTTP_CONNECTIONS_PER_ADDRESS: Final = 32
"""Of them, those from one address beyond this machine (IPv6: /64): five pages, so that nobody holds all of them."""
HTTP_HEAD_TIME: Final = 15.0
"""Seconds for the head of a request, from its first byte; and for the first byte of the first one."""
HTTP_OPEN_BODY_TIME: Final = 20.0
"""Seconds for the whole body of a request of somebody who was not let in: 16 KiB over the slowest of lines."""
HTTP_IDLE: Final = 75
"""Seconds that a connection is kept between requests, and within a body that does not go on."""
HTTP_BACKLOG: Final = 8 * MIB
"""Bytes waiting for somebody who does not read what they asked for; then they are disconnected."""
HTTP_LINGER: Final = 5.0
"""Seconds that the rest of a refused body is thrown away: hung up on at once, the sender would not see the answer."""
HTTP_DISCARD: Final = 64 * KIB
"""Bytes of a refused body that are awaited before the answer."""
EVENTS_KEPT: Final = 4_096
"""Events that a page can still get when it comes back."""
EVENTS_KEPT_BYTES: Final = 8 * MIB
"""And their bytes; a message may have 64 KiB."""
EVENTS_PULSE: Final = 15.0
"""Seconds between signs of life in a silent stream of events: proxies and browsers give up after a minute."""
LINKS: Final = 32
"""One-time links at once; the oldest ends first."""
LINK_TIME: Final = 600.0
"""Seconds that a one-time link is good for: long enough to walk to the browser."""
PAGE_SESSIONS: Final = 64
"""Browsers that are let in at once; the one that was let in first goes first."""
PAGE_SESSION_TIME: Final = 30 * 86_400.0
"""Seconds after which a browser needs a new link."""
DROPS: Final = 32
"""Collections of files from pages that are being filled at once."""
DROP_IDLE: Final = 3_600.0
"""Seconds without a file after which one that was not sent is thrown away: its page is gone."""
DROP_BUFFER: Final = 4 * MIB
"""Bytes of one file that wait for the disk; then its sender waits."""
DROP_DEPTH: Final = 60
"""Folders inside one another, a little fewer than a transfer may have."""
PICTURE_KEPT: Final = 8 * MIB
"""Bytes of a picture that stays after it was sent from a page, so that the page can go on to show it."""
PICTURES_KEPT: Final = 128 * MIB
"""Bytes of all of those together; the oldest goes first."""
SENT_AT_ONCE: Final = 64 * KIB
"""Bytes of a file that are read for a page at a time."""
