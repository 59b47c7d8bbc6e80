"""Every bound in one place, with the reason for its size.

Whatever a stranger can make grow (a frame, a table, a queue, a wait) ends at a number on this page. Sizes are in bytes,
times in seconds unless a name says otherwise.
"""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

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
"""Bulk is cut into chunks of this size, so that a chat message waits for one chunk at most; larger writes were slower."""

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
PASSWORD_QUEUE: Final = 256
"""Sign-ins waiting for the password threads; further ones are told to come back."""
TOKEN_LIFETIME: Final = 90 * 86_400.0
"""A device that has not signed in for so long needs the password again."""

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

# --- channels

CANDIDATES: Final = 16
"""Candidates taken from one offer or answer; more are ignored."""
DIALS_PER_NEGOTIATION: Final = 6
"""Addresses dialled for one negotiation: a hostile offer cannot make a peer scan a network."""
NEGOTIATIONS: Final = 64
"""Negotiations at once per peer, and `NEGOTIATIONS_PER_USER` with one user."""
NEGOTIATIONS_PER_USER: Final = 4
NEGOTIATION_TIME: Final = 10.0
"""After this a negotiation without a channel has failed."""
DIRECT_RETRY: Final = 60.0
"""Between attempts at a direct channel while there is none but a conversation goes on."""
LAN_CONNECTS: Final = 64
"""Channels that ``--connect lan`` opens by itself."""
LAN_CONNECTS_AT_ONCE: Final = 8
CHANNELS_INCOMING_UNPROVED: Final = 64
"""Incoming connections on a peer's listener that have not proved themselves yet."""

# --- delivery

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

# --- transfers

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

# --- reconnecting

RECONNECT_FIRST: Final = 0.5
"""The first wait after a lost connection, with jitter; doubles up to `RECONNECT_MAX`."""
RECONNECT_MAX: Final = 30.0

# --- the P2P server

STUN_DATAGRAM: Final = 2 * KIB
"""The longest datagram read; with the 1,500 bytes of padding that RFC 5780 foresees a question is shorter."""
STUN_BATCH: Final = 64
"""Datagrams read by one call; more make no difference to the speed."""
STUN_BATCHES: Final = 16
"""Calls per wake-up, after which other descriptors and timers get their turn."""
STUN_RATE: Final = 100.0
"""Answers per second to one address (IPv6: /64) on average: 1,500 peers behind one NAT keep their bindings with it."""
STUN_BURST: Final = 300.0
"""Answers to one address at once: an office that comes back after a power cut."""
STUN_RATE_TABLE: Final = 65_536
"""Rows of the table of rates; addresses that fall on one row share its allowance. No flood from invented addresses can
exhaust them all: that would take `STUN_RATE` times as many questions per second, far more than one core reads."""
STUN_HEARD: Final = 30.0
"""For so long after a plain question of an address its tests without a cookie are answered; foreign tools take 10 s."""
STUN_COOKIE_SLOT: Final = 60.0
"""A cookie is good in the slot of time that it was made in and in the next one."""
STUN_SOCKET_BUFFER: Final = 4 * MIB
"""What the kernel may hold while this process does something else."""
