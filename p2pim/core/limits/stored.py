"""Files that the server keeps for people who are away."""

from __future__ import annotations

from typing import Final

from p2pim.core.limits.units import KIB, MIB

SEALED_CHUNK: Final = 64 * KIB
"""Bytes of content in one sealed chunk; with its seal it fits into a frame, and no more than it is held unproved."""
STORE_BYTES: Final = 20 * 1024 * MIB
"""The whole store, unless the operator says otherwise."""
STORE_PER_SENDER: Final = 1024 * MIB
"""What files of one sender may take up together; half of what one recipient may have, so that nobody fills another's
share alone."""
STORE_PER_RECIPIENT: Final = 2 * 1024 * MIB
STORE_DAYS: Final = 14.0
"""After so many days a file that nobody has fetched is deleted: longer than most holidays."""
STORE_FREE_KEPT: Final = 512 * MIB
"""The store never takes the last of the server's disk: the database lives there, too."""
STORED_FILES_PER_SENDER: Final = 1_000
"""Files of one sender that wait, however small: each is a row and an inode."""
STORED_ASKED: Final = 256
"""Files asked about in one request."""
STORE_TICKET: Final = 30.0
"""How long the ticket of an upload or download is good."""
STORE_TICKETS_PER_USER: Final = 16
"""Tickets and connections for bulk of one user at once."""
STORE_CONNECTIONS: Final = 256
"""Uploads and downloads at once; each holds up to `STORE_PENDING` in memory."""
STORE_PENDING: Final = 1 * MIB
"""Bytes of an upload that have come and are not written yet, and of a download that are read and not sent: then the
other side has to wait."""
STORE_COMMIT: Final = 8 * MIB
"""An upload is synchronised to the disk and committed after so many bytes: so much a kill -9 costs at most."""
STORE_STALL: Final = 60.0
"""An upload or download over which nothing has gone for so long is cut; it goes on where it was."""
STORE_IDLE_UPLOAD: Final = 3 * 86_400.0
"""An upload that has not grown for so long is given up, and its quota with it."""
STORE_OUTCOME_KEPT: Final = 30 * 86_400.0
"""How long the server remembers what became of a file, for a sender who is away himself."""
STORE_SWEEP: Final = 60.0
"""Between looks for what has expired."""
