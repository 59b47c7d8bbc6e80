"""Keys, sessions and what is sealed in them."""

from __future__ import annotations

from typing import Final

ONE_TIME_KEYS: Final = 50
"""One-time keys of a device that the server should have; vodozemac's own bound on unpublished ones."""
FALLBACK_AGE: Final = 7 * 86_400.0
"""Seconds after which the fallback key is replaced, so that what it began does not stay openable for ever."""
SESSIONS_PER_DEVICE: Final = 8
"""Olm sessions kept with one device: two kinds of mail, begun by both sides at once, and one heal each."""
ENDED_SESSIONS: Final = 64
"""Ids of dropped sessions kept per device, so that their first messages cannot begin them again."""
SESSION_BRANCHES: Final = 4
"""Earlier states kept of a session whose messages overtook others."""
MESSAGE_KEYS_KEPT: Final = 40
"""Keys of skipped messages that vodozemac keeps in a session (its MAX_MESSAGE_KEYS)."""
UNANSWERED_SEALS: Final = 1000
"""Messages in a session without an answer, after which a new one is begun: vodozemac skips 2,000 keys at most."""
HEALS: Final = 3
"""Sessions begun anew with one device at once because something could not be opened, and then one per `HEAL_EVERY`."""
HEAL_EVERY: Final = 60.0
"""Seconds. Whoever sends garbage costs this device a key and an envelope a minute."""
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
