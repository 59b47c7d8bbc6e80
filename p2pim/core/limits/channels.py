"""A peer's channels: how they are found, kept and lost."""

from __future__ import annotations

from typing import Final

CANDIDATES: Final = 16
"""Candidates taken from one offer or answer; more are ignored."""
DIALS_PER_NEGOTIATION: Final = 6
"""Addresses dialled for one negotiation: a hostile offer cannot make a peer scan a network."""
UDP_REMOTES: Final = 10
"""UDP addresses of one offer that get checks: a few interfaces in two families and what the world sees."""
NEGOTIATIONS: Final = 64
"""Negotiations at once per peer, and `NEGOTIATIONS_PER_USER` with one user."""
NEGOTIATIONS_PER_USER: Final = 4
NEGOTIATION_TIME: Final = 10.0
"""After this a negotiation without a channel has failed."""
DIRECT_RETRY: Final = 60.0
"""Between attempts at a direct channel while there is none but a conversation goes on."""
NETWORK_WATCH: Final = 5.0
"""Between two looks at this machine's interfaces: a change is noticed about as soon as the channels stall."""
DIRECT_RETRY_FIRST: Final = 2.0
"""After a direct channel in use was lost and an attempt to find another failed; doubles up to `DIRECT_RETRY`."""
DIRECT_STOOD: Final = 10.0
"""A direct channel that breaks sooner than this is not replaced at once."""
BULK_PATIENCE: Final = 1.5
"""What a transfer waits for a direct channel that is being made before it begins over a relay; it moves later."""
LAN_CONNECTS: Final = 64
"""Channels that ``--connect lan`` opens by itself."""
LAN_CONNECTS_AT_ONCE: Final = 8
CHANNELS_INCOMING_UNPROVED: Final = 64
"""Incoming connections on a peer's listener that have not proved themselves yet."""
CHANNELS_INCOMING_PER_ADDRESS: Final = 16
"""Of these, from one address: a single machine cannot keep the others out."""
OFFERS_PER_MINUTE: Final = 30.0
"""Offers of one user that are looked at: each may make this peer dial `DIALS_PER_NEGOTIATION` addresses."""
CHANNEL_PING: Final = 10.0
"""A ping over a channel that somebody waits for is given up after this."""
FIRST_PING: Final = 0.2
"""Who asks for a direct channel waits so long for its round-trip time before they are told without."""
CHANNEL_PINGS: Final = 64
"""Pings of one channel that wait for an answer."""
CHANNEL_CLOSING: Final = 2.0
"""How long a closed channel may take to end politely before its connection is cut."""
OFFLINE_PROBE: Final = 3.0
"""A channel to someone whom the server calls offline has this long to show that it lives."""
CHANNELS: Final = 1_000
"""Channels at once: each costs a connection and its buffers."""
USED_RECENTLY: Final = 300.0
"""A direct channel to someone is tried again and again for so long after the last word between us."""
USERS_IN_USE: Final = 256
"""Users for whom that is remembered."""
