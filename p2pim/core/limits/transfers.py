"""Transfers."""

from __future__ import annotations

from typing import Final

from p2pim.core.limits.units import MIB

PIECE: Final = 1 * MIB
"""What is requested, hashed and written at once."""
PIECES_IN_FLIGHT: Final = 4
"""Pieces requested at once on a fast path; grows with the path's delay up to `PIECES_IN_FLIGHT_MAX`."""
PIECES_IN_FLIGHT_MAX: Final = 16
MANIFEST: Final = 64 * MIB
"""The largest list of files in a folder: about half a million files."""
OFFERS_WAITING: Final = 256
"""Offers of one user that wait for an answer."""
FREE_SPACE_KEPT: Final = 64 * MIB
"""A transfer never takes the last of a disk."""
FILE_NAME: Final = 200
"""Bytes (UTF-8) in a stored file name: with the partial's suffix and a number it stays below the usual 255."""
MANIFEST_ENTRIES: Final = 500_000
"""Files and folders in one manifest; each costs the receiver some hundred bytes of memory."""
MANIFEST_DEPTH: Final = 64
"""Folders inside one another; the receiver holds one descriptor for each level."""
MANIFEST_PATH: Final = 3_072
"""Bytes in the path of one file of a folder, which leaves room for the folder's own place below 4,096."""
CHECKPOINT_INTERVAL: Final = 0.5
"""Between two entries of a transfer's journal: what a kill -9 makes it fetch again took no longer than this to
fetch."""
CHECKPOINT_BYTES: Final = 8 * 1024 * 1024
"""The same, counted in bytes, for a fast way: half a second of it may be 400 MB."""
CHECKPOINTS_KEPT: Final = 8
"""Journal entries per transfer: earlier ones help when the newest prefix did not survive a power cut."""
PROGRESS_INTERVAL: Final = 0.25
"""Between two progress events of one transfer."""
TRANSFERS_RUNNING: Final = 32
"""Transfers received at once, and `TRANSFERS_RUNNING_PER_USER` from one user: each holds its pieces in flight in
memory."""
TRANSFERS_RUNNING_PER_USER: Final = 4
TRANSFER_STALL: Final = 30.0
"""Without a byte for so long, what was asked for is asked for again by another route."""
TRANSFER_STALLS: Final = 4
"""Stalls in succession, without one byte between them, after which the other side is too slow."""
TRANSFER_REHASH_RATE: Final = 50 * MIB
"""Bytes a second at which the slowest sender is expected to hash what the receiver has already; stalls wait for it."""
TRANSFER_MISMATCHES: Final = 3
"""Pieces or prefixes that differed, in succession, after which a transfer has failed."""
TRANSFER_RETRY_FIRST: Final = 2.0
"""The first wait after no route was found; doubles up to `TRANSFER_RETRY_MAX`. A route that appears ends the wait."""
TRANSFER_RETRY_MAX: Final = 60.0
TRANSFER_TICK: Final = 5.0
"""Between looks for stalls and for offers that nobody answered."""
OFFER_LIFETIME: Final = 7 * 86_400.0
"""An offer that nobody has answered for so long is withdrawn."""
PARTIAL_LIFETIME: Final = 7 * 86_400.0
"""The partial file of a failed transfer is kept so long for a new offer of the same content to go on with."""
TRANSFERS_KEPT: Final = 1_000
"""Ended transfers that are remembered; the oldest are forgotten first."""
