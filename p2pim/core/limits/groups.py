"""Groups: their size, how often they change, and what a home keeps of their keys."""

from __future__ import annotations

from typing import Final

# --- at the server

GROUPS_PER_USER: Final = 256
"""Groups that one user may be in: each is told at every sign-in, in one frame."""
GROUP_MEMBERS: Final = 256
"""Members of one group: with a few devices each, what one message is copied to (see `GROUP_COPIES_PER_SECOND`)."""
GROUP_TOPIC: Final = 128
"""Characters of a group's topic."""
GROUP_CHANGES_PER_SECOND: Final = 0.5
"""Changes of groups that one user may make, 30 a minute on average and `GROUP_CHANGE_BURST` at once: each is told to
all members, and makes all of them renew their keys."""
GROUP_CHANGE_BURST: Final = 30.0
GROUP_COPIES_PER_SECOND: Final = 5_000.0
"""Copies that the server makes of one user's messages to groups, on average and (`GROUP_COPY_BURST`) at once: one
upload is multiplied by the devices of the members, so it is these that are bounded."""
GROUP_COPY_BURST: Final = 20_000.0
GROUP_ROSTERS: Final = 1_000
"""Groups whose members and devices the server keeps in memory; those used last."""
GROUP_QUEUE: Final = 64
"""Messages to one group that wait while its members are looked up; more are told to come again."""

# --- in a home

GROUP_ROTATE_MESSAGES: Final = 100
"""Messages that are sealed with one key of a group; so many at most are open to who gets hold of it."""
GROUP_ROTATE_AGE: Final = 7 * 86_400.0
"""Seconds after which a group's key is renewed though nobody has left."""
GROUP_KEYS_KEPT: Final = 64
"""Keys of mine for one group that can be given once more to who was to have them, the present one among them: what is
in mailboxes may have been sealed with an older one."""
GROUP_SESSIONS: Final = 256
"""Keys kept of one other device for one group; those that came first are dropped first."""
GROUP_WAITING_PER_DEVICE: Final = 256
"""Messages of one device kept until their key comes; then the oldest are dropped, since whoever sends garbage must not
fill the home with it."""
GROUP_WAITING: Final = 4_096
"""The same of all devices together."""
GROUP_KEY_ASKS: Final = 5
"""Times that one key is asked for."""
GROUP_KEY_ASK_EVERY: Final = 60.0
"""Seconds between two times of asking for, or giving once more, the same key."""
GROUP_SEEN: Final = 1_024
"""Places in one key's sequence whose messages are remembered, so that none is passed off as another: more than are
sealed with one key."""
GROUP_KEY_PATIENCE: Final = 2.0
"""Seconds that a message waits for its key before it is asked for: over a channel it may have overtaken it."""
GROUP_RECEIPT_WAIT: Final = 5.0
"""Seconds that the sender of a message to a group waits for the receipts of those who seem to be there, once the server
has it for everybody."""
GROUP_CONNECT: Final = 8
"""Members up to whom a message to a group tries for direct channels, as one to each of them would; in larger groups one
upload costs less than the negotiations."""
GROUP_RENEW_RETRY: Final = 5.0
"""Seconds after which a message that could not be sealed for a changed group is tried again."""
GROUP_ENVELOPES: Final = 64
"""Sealed messages to one group kept in memory; others are read from the disk when they go again."""
