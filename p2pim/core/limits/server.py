"""The server: its connections, sign-ins, splices, tables and turns."""

from __future__ import annotations

from typing import Final

from p2pim.core.limits.units import KIB, MIB

# --- the server

CONNECTIONS: Final = 10_000
"""Connections in all, signed in or not; the operator's ``max_connections`` may lower it."""
CONNECTIONS_PER_ADDRESS: Final = 256
"""From one address, loopback excepted: an office behind one NAT fits, a flood does not."""
UNAUTHENTICATED: Final = 1_000
"""Connections that have not signed in yet, in all."""
SEND_BACKLOG: Final = 4 * MIB
"""Bytes waiting for one client that does not read; then envelopes to it are refused, so the sender keeps them."""
SEND_BACKLOG_SECONDS: Final = 30.0
"""A client that has not drained its backlog in this time is disconnected."""
REQUESTS_PER_SECOND: Final = 50.0
"""Requests that touch the database or other users, per session, on average; `REQUEST_BURST` at once."""
REQUEST_BURST: Final = 200.0
CONTACTS: Final = 1_000
"""Contacts in one list; presence costs the server work for each."""
EVERYONE_ROSTER: Final = 500
"""Sessions up to which roster = "everyone" shows everybody to everybody: its cost grows with the square of them."""
SIGN_IN_TRIES: Final = 5
"""Failed sign-ins of one address or one account that cost nothing; each further one doubles the wait."""
SIGN_IN_DELAY: Final = 1.0
"""The first wait after too many failures; it doubles up to `SIGN_IN_DELAY_MAX`."""
SIGN_IN_DELAY_MAX: Final = 900.0
SIGN_IN_TABLE: Final = 10_000
"""Addresses and accounts whose failures are remembered; the oldest are forgotten first."""
PASSWORD_SHORTEST: Final = 6
"""Characters of a new password; guessing is slowed down from the sixth try on."""
PASSWORD_LONGEST: Final = 256
"""More would only cost the hashing time."""
PASSWORD_QUEUE: Final = 256
"""Sign-ins waiting for the password threads; further ones are told to come back."""
TOKEN_LIFETIME: Final = 90 * 86_400.0
"""A device that has not signed in for so long needs the password again."""

# --- the server's own tables and turns

DEVICES: Final = 32
"""Devices that hold a token of one account; the one unused for longest is signed out for a new one."""
REGISTRATIONS_PER_ADDRESS: Final = 20.0
"""Accounts that one address (loopback excepted) makes at once; each costs a password hash. Then one every
`REGISTRATION_INTERVAL`."""
REGISTRATION_INTERVAL: Final = 60.0
SIGN_IN_FORGET: Final = 3_600.0
"""Failures older than this no longer count."""
INVITE_LIFETIME: Final = 7 * 86_400.0
"""An invitation that nobody used ends by itself."""
READ_PAUSE: Final = 256 * KIB
"""Output waiting for a client beyond which the server stops reading from it: it cannot make us hoard answers."""
CLOSE_WAIT: Final = 5.0
"""A connection that the server closes has this long to take leave; then it is cut."""
STOP_WAIT: Final = 2.0
"""At a shutdown all connections together have this long to take leave."""
POLL_EVENTS: Final = 1_024
"""Connections read in one turn of the server before what they said goes out: more would make the first ones wait."""
SWEEP: Final = 1.0
"""Between two looks at silence, handshakes, tickets and splices; so exact are those times."""
COUNTER_FLUSH: Final = 1.0
"""Between commits of the message counters; a server killed in between forgets as much."""
PRESENCE_DELAY: Final = 0.02
"""Changes of presence are collected for so long before anybody is told."""
PRESENCE_INTERVAL: Final = 1.0
"""One user's presence is told at most this often: flapping costs the contacts one message a second."""
KNOWN_NAMES: Final = 10_000
"""Names of users away whose existence is remembered, so that envelopes to them cost no query each."""
TOKEN_TOUCH: Final = 86_400.0
"""The use of a token is written down at most this often, so that most sign-ins write nothing."""
ADMIN_LINE: Final = 64 * KIB
"""The longest request on the operator's socket."""
ADMIN_CONNECTIONS: Final = 16
COMPLAINTS_PER_SECOND: Final = 20.0
"""Log lines about misbehaving strangers; the rest are counted and summed up, so that nobody fills the disk."""
BACKLOG: Final = 1_024
"""Connections that the kernel holds until they are accepted; a restart brings everybody back at once."""
REQUEST_TIME: Final = 15.0
"""A request that the server has not answered after this has failed."""
REQUESTS_WAITING: Final = 1_024
"""Requests of one client that wait for an answer."""
ENVELOPES_REMEMBERED: Final = 4_096
"""Envelopes whose sender is still told if the server could not forward them; the oldest are forgotten first."""

# --- splices

SPLICE_TICKET: Final = 30.0
"""How long a relay ticket is good."""
SPLICES_PENDING_PER_ACCOUNT: Final = 32
SPLICES_PER_ACCOUNT: Final = 64
"""Relayed channels at once, counted at the account that asked for them."""
SPLICES: Final = 2_000
SPLICE_IDLE: Final = 120.0
"""A splice over which nothing has gone for so long is closed: live channels send heartbeats."""
SPLICE_LIFETIME: Final = 24 * 3_600.0
SPLICE_HALF_CLOSED: Final = 60.0
"""After one end has finished, the other has this long."""
