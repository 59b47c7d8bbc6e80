"""What both ends of a connection keep to: frames, names, introductions, silence."""

from __future__ import annotations

from typing import Final

from p2pim.core.limits.units import KIB, MIB

# --- frames

CLIENT_FRAME: Final = 128 * KIB
"""The longest frame a server takes: a payload of 96 KiB and room for its addresses. Four bytes cannot claim more."""
SERVER_FRAME: Final = 2 * MIB
"""The longest frame a client takes: a Welcome with `CONTACTS` contacts of several devices each."""
UNAUTHENTICATED_FRAME: Final = 4 * KIB
"""Before the sign-in only Hello, SignIn and Register come, none of them longer: strangers get no large buffers."""
CONTROL_FRAME: Final = 128 * KIB
"""The longest control frame on a channel."""
BULK_CHUNK: Final = 64 * KIB
"""Bulk is cut into chunks of this size, so that a chat message waits for one chunk at most; larger writes were
slower."""

# --- text and names

USER_NAME: Final = 32
"""Characters in a user's name; long enough for people, short enough for a column."""
MESSAGE_TEXT: Final = 32 * KIB
"""Bytes (UTF-8) in one message; longer text is a file."""

# --- time for introductions and silence

HANDSHAKE: Final = 10.0
"""From connecting to being signed in, on either side; a connection that does not speak costs memory for so long."""
HEARTBEAT: Final = 5.0
"""Between a client's pings; several fit into `PATIENCE`, so one lost packet ends nothing."""
PATIENCE: Final = 30.0
"""Silence after which a connection or TCP channel is dead."""

# --- reconnecting

RECONNECT_FIRST: Final = 0.5
"""The first wait after a lost connection, with jitter; doubles up to `RECONNECT_MAX`."""
RECONNECT_MAX: Final = 30.0
