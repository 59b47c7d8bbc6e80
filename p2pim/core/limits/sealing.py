"""Keys, sessions and what is sealed in them."""

from __future__ import annotations

from typing import Final

ONE_TIME_KEYS_PUBLISHED: Final = 50
"""One-time keys of a device that the server should have; vodozemac's own bound on unpublished ones."""
FALLBACK_AGE: Final = 7 * 86_400.0
"""Seconds after which the fallback key is replaced, so that what it began does not stay openable for ever."""
SESSIONS_PER_LANE: Final = 4
"""Olm sessions kept with one device, of each of the two kinds: begun by both sides at once, and a few heals."""
ENDED_SESSIONS: Final = 64
"""Ids of dropped sessions kept per device, so that their first messages cannot begin them again."""
MESSAGE_KEYS_KEPT: Final = 40
"""Keys of skipped messages that vodozemac keeps in a session (its MAX_MESSAGE_KEYS). Mail that overtakes more than that
is asked for again instead of being opened, since opening it would make the mail before it unreadable."""
CHAINS_KEPT: Final = 5
"""Ratchet turns of the other side that vodozemac keeps in a session."""
HEAL_EVERY: Final = 60.0
"""Seconds between two sessions begun anew with one device because something could not be opened: whoever sends garbage
costs this device one key and one envelope a minute."""
HEALED_KEPT: Final = 4_096
"""Devices of which it is remembered when that was."""
ASKED_AGAIN: Final = 3
"""Times one message is asked for again, and sealed again for one device."""
ASKS_KEPT: Final = 4_096
"""Messages asked for, or sealed again, that are remembered."""
WAITING_SIGNALS: Final = 256
"""Signals to one device that wait for its keys; older ones are dropped, as all signals may be lost."""
DEVICE_LIST_AGE: Final = 300.0
"""Seconds for which a stranger's list of devices is believed; contacts' changes are told by the server."""
SAS_TIME: Final = 300.0
"""Seconds in which a comparison of short authentication strings must be over."""
SAS_RUNS: Final = 8
"""Comparisons under way at once."""
