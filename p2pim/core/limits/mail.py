"""What the server keeps for devices: their mail and their keys."""

from __future__ import annotations

from typing import Final

from p2pim.core.limits.units import KIB, MIB

# --- mail on its way

HELD_MESSAGES: Final = 1_024
"""Mail forwarded to one session that it has not confirmed: 20,000 a second over a round trip of 50 ms. What goes beyond
waits in the mailbox with all of these before it."""
HELD_BYTES: Final = 1 * MIB
"""And the bytes of their payloads."""
HELD_BYTES_IN_ALL: Final = 128 * MIB
"""The same of all sessions together, so that many slow readers do not fill the memory."""
MAIL_QUEUE: Final = 32_768
"""Mail that waits for the commit under way; about a second's worth. More is refused, and its senders keep it."""
MAIL_QUEUE_BYTES: Final = 64 * MIB
MAIL_RETRY: Final = 1.0
"""After mail could not be committed, its sender is told to wait for so long."""

# --- mailboxes

MAIL_LIFETIME: Final = 30 * 86_400.0
"""Mail that nobody has fetched for so long is dropped; the operator's ``expiry`` changes it."""
MAIL_MESSAGES: Final = 50_000
"""Messages that wait for one account, all its devices together; the operator's ``messages``."""
MAIL_BYTES: Final = 256 * MIB
"""Bytes of their payloads; the operator's ``megabytes``."""
MAIL_OVERHEAD: Final = 128
"""What a message counts beside its payload: sender, ids, and its place in the indexes."""
MAIL_TOMBSTONES: Final = 14 * 86_400.0
"""For so long after mail could have expired, its id is known, so that a sender who heard no answer and tries again does
not make it wait twice: longer than holidays."""
MAIL_TOMBSTONES_KEPT: Final = 20_000
"""Ids remembered in one mailbox beside those of waiting mail; the oldest are forgotten first. Whoever receives knows
what they have even when we do not."""
MAIL_PAGE_BYTES: Final = 512 * KIB
"""Payloads in one page of mail: a quarter of the longest frame, encoded in about a millisecond."""
MAIL_BATCH: Final = 512
"""Rows that one piece of work in the database deletes; more is done in several."""
MAIL_SWEEP: Final = 600.0
"""Between two looks for what has expired."""

# --- keys

ONE_TIME_KEYS: Final = 200
"""One-time keys that the server keeps for one device: a day of new correspondents."""
KEYS_LOW: Final = 20
"""When so few are left the device hears of every further claim, to publish new ones."""
KEYS_SPENT: Final = 400
"""Keys handed out whose publication again (a repeated request) is recognised: twice what one device may have."""
CLAIMS_PER_SECOND: Final = 5.0
"""Keys that one user may claim, on average; `CLAIM_BURST` at once: a group of two hundred with several devices each."""
CLAIM_BURST: Final = 600.0
DEVICE_CLAIMS_PER_SECOND: Final = 1 / 60
"""One-time keys of one device handed out, on average and (`DEVICE_CLAIM_BURST`) at once; who comes then gets the
fallback key. So nobody can use them all up."""
DEVICE_CLAIM_BURST: Final = 60.0
ASKER_CLAIMS_PER_SECOND: Final = 1 / 600
"""The same for one user who asks and one device: sessions are made once, and healed sometimes."""
ASKER_CLAIM_BURST: Final = 5.0
CLAIM_TABLE: Final = 20_000
"""Users and devices whose claims are remembered."""
