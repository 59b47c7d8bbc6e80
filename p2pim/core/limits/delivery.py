"""Messages on their way, and the history."""

from __future__ import annotations

from typing import Final

OUTBOX: Final = 10_000
"""Messages waiting for one user; then sending says so."""
UNACKNOWLEDGED: Final = 256
"""Messages sent and not yet acknowledged per user; the rest wait in the outbox."""
RESEND: Final = 5.0
"""Without a receipt for so long a message is sent again; the wait doubles up to `RESEND_MAX`."""
RESEND_MAX: Final = 60.0
REORDER_MESSAGES: Final = 64
"""Messages held per sending device until an earlier one arrives, and for `REORDER_WAIT` at most."""
REORDER_WAIT: Final = 3.0

BUSY_WAIT: Final = 1.0
"""When the server could not forward a message: shorter than `REORDER_WAIT`, so that later ones do not overtake it."""
UNSTORED: Final = 4_096
"""Messages received and not yet committed; with one more this device leaves until they are (`STORE_PROBE`)."""
STORE_PROBE: Final = 0.5
"""After a message that could not be stored, until it is tried whether something can be; doubles up to
`STORE_PROBE_MAX`."""
STORE_PROBE_MAX: Final = 2.0
"""A trial is one small write: often enough that messages flow again soon after there is room on the disk."""
LOOK_UP_FIRST: Final = 1.0
"""After a sign-in, until the presence of people who are no contacts and for whom messages wait is asked for again;
doubles up to `LOOK_UP_EVERY`. After a restart of the server everybody comes back within the first few."""
LOOK_UP_EVERY: Final = 30.0
LOOK_UPS_AT_ONCE: Final = 16
"""Users asked for in one such round."""
HISTORY_PAGE: Final = 1_000
"""Messages in one answer about the history."""
HISTORY_EXPORT: Final = 200
"""Messages of the history that an export holds in memory at a time: 6 MiB of text at the most."""
OVERTAKE: Final = 32
"""Copies on a slower way, or in the mailbox, that a later one may overtake: an Olm session keeps 40 message keys that
were skipped, and what needs an older one must be asked for again."""
MAIL_PAGE: Final = 256
"""Envelopes in one page of the mailbox; the next is asked for when these are on disk."""
MAILBOX_RETRY: Final = 2.0
"""After this a page that could not be had, or not be stored, is asked for again."""
RECEIPTS_REPEATED: Final = 60.0
"""Receipts sent by mail so shortly before the session ended go again in the next one: the server may have died before
it stored them. Their repetition is no news to anybody."""
RECEIPTS_KEPT: Final = 1_024
"""Receipts (of up to 256 ids) for which that is remembered."""
