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

BUSY_WAIT: Final = 1.0
"""When the server could not forward a message: shorter than `REORDER_WAIT`, so that later ones do not overtake it."""
ARRIVALS: Final = 4_096
"""Sending devices whose order is remembered in memory; the longest silent are forgotten first."""
UNSTORED: Final = 4_096
"""Messages received and not yet committed; further ones are not confirmed, and so come again."""
LOOK_UP_FIRST: Final = 1.0
"""After a sign-in, until the presence of people who are no contacts and for whom messages wait is asked for again;
doubles up to `LOOK_UP_EVERY`. After a restart of the server everybody comes back within the first few."""
LOOK_UP_EVERY: Final = 30.0
LOOK_UPS_AT_ONCE: Final = 16
"""Users asked for in one such round."""
HISTORY_PAGE: Final = 1_000
"""Messages in one answer about the history."""

# --- a person's agent

CONTROL_LINE: Final = 1 * MIB
"""The longest request or answer on the agent's control socket: a message in JSON, every character escaped."""
CONTROL_ANSWER: Final = 2 * HISTORY_PAGE * MESSAGE_TEXT
"""The longest answer that a program takes from its agent: a full page of the history, every character escaped."""
CONTROL_CLIENTS: Final = 64
"""Programs on the control socket at once."""
CONTROL_CALLS: Final = 64
"""Requests under way per program."""
CONTROL_BACKLOG: Final = 8 * MIB
"""Bytes waiting for a program that does not read its events; then it is disconnected."""
JOURNAL_FILE: Final = 1 * MIB
"""The readable log is renamed aside at this size, and `JOURNAL_FILES` old ones are kept."""
JOURNAL_FILES: Final = 2
JOURNAL_LINES: Final = 10_000
"""Lines shown at once."""
PEOPLE: Final = 4_096
"""People whose presence is remembered; contacts are never forgotten."""

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

# --- reconnecting

RECONNECT_FIRST: Final = 0.5
"""The first wait after a lost connection, with jitter; doubles up to `RECONNECT_MAX`."""
RECONNECT_MAX: Final = 30.0

# --- connectivity checks

PAIRS: Final = 16
"""Remote endpoints checked in one negotiation; what an offer names beyond that is ignored."""
PEER_REFLEXIVE: Final = 8
"""Further endpoints from which valid checks may come."""
CHECK_PACE: Final = 0.01
"""Between two checks (RFC 8445's Ta is at least 5 ms): a negotiation stays below 100 datagrams a second."""
CHECKS_AT_ONCE: Final = 3
"""Checks of one negotiation that need not wait for each other: a machine's own address and what the world sees of it,
in both families, which of two of them will work is not known beforehand."""
CHECK_RETRY: Final = 0.1
"""Before a check is sent again; grows by 1.6 each time up to `CHECK_RETRY_MAX`. Short, because the first check often
dies in front of the other NAT, and small, because checks are."""
CHECK_RETRY_MAX: Final = 1.0
CHECKS_PER_PAIR: Final = 8
"""Checks of about 100 bytes that go to an endpoint that never answers, whoever named it; and as many responses, when
checks come from there."""
CHECKS_TRIGGERED: Final = 4
"""Checks beyond `CHECKS_PER_PAIR` that those may trigger: whoever was late must still find somebody who asks."""
CHECKS_LINGER: Final = 5.0
"""For so long after a negotiation the other side's checks are still answered."""
SILENT_HOST_BURST: Final = 48.0
"""Checks and responses for one user that go at once to one host that has not answered, over all negotiations and ports:
four attempts at a peer who is behind the worst of NATs. After that it is `SILENT_HOST_RATE` per second."""
SILENT_HOST_RATE: Final = 1.0
SILENT_HOSTS: Final = 1_024
"""Hosts for which that is counted."""
CHECK_RUNS: Final = 256
"""Negotiations whose checks are answered; of those that are over, the oldest are forgotten first."""
CHECKS_TIME: Final = 8.0
"""After this the rung has failed; the relay has been carrying the conversation all along."""
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
STUN_HEARD: Final = 300.0
"""For so long after a plain question an asker who knows no cookies may make the tests of RFC 5780; a tool that measures
how soon a NAT forgets waits about as long."""
STUN_UNPROVED_COST: Final = 5.0
"""So many answers such a test weighs: twenty per second and address at most."""
STUN_COOKIE_SLOT: Final = 60.0
"""A cookie is good in the slot of time that it was made in and in the next one."""
STUN_SOCKET_BUFFER: Final = 4 * MIB
"""What the kernel may hold while this process does something else."""

# --- gathering

STUN_RETRY: Final = 0.25
"""Before a question to the P2P server is asked again; doubles each time (RFC 8489 begins with 0.5 s; ours is near)."""
STUN_TRIES: Final = 6
"""Questions without an answer (about 16 s in all), after which nothing is asked for `DIRECT_RETRY`."""
STUN_TRIES_HOPED: Final = 3
"""Questions without an answer (1.75 s in all), after which UDP counts as blocked until one is answered after all."""
NAT_TEST_TRIES: Final = 4
"""Questions per NAT test; silence after the last (3.75 s in all) is taken for an answer that was filtered."""
STUN_ANSWER: Final = 512
"""Bytes of the longest answer that is looked at."""
REFLEXIVE_REFRESH: Final = 15.0
"""Between questions to the P2P server: NATs may forget a binding after 30 s (RFC 4787 asks for two minutes)."""
# --- the UDP socket and the udp channel

UDP_READS: Final = 16
"""Reads of the socket in one wake-up (each up to 64 KiB with receive offload); then others get their turn."""
SOCKET_RETRY: Final = 1.0
"""After this a UDP socket that broke is opened anew."""
UDP_SOCKET_BUFFER: Final = 4 * MIB
"""The kernel's buffers: its default of 208 KiB costs a third of the speed and loses packets."""
UDP_SEND_QUEUE: Final = 1 * MIB
"""Datagrams kept while the kernel's buffer is full. More are dropped: every user of UDP sends again what is lost."""
UDP_SEGMENTS: Final = 64
"""Datagrams that the kernel takes in one send."""
UDP_SEGMENTED_BYTES: Final = 65_000
"""And their bytes together."""
QUIC_WINDOW: Final = 16 * MIB
"""What the other side may send before it is read, per connection and per stream: one second at 1 Gbit/s and 100 ms."""
QUIC_BULK_BUFFER: Final = 512 * KIB
"""Bulk handed to QUIC and not yet sent. Without loss the congestion window grows without bound, so this is what bounds
a burst; 1 MiB gains 4 % on loopback and makes a slower link fluctuate."""
QUIC_EARLY: Final = 512 * KIB
"""Bulk kept for a connection that is not a channel yet: three round trips' worth of a young one."""
QUIC_EARLY_PARTS: Final = 1_024
QUIC_LANES: Final = 4
"""QUIC streams that carry bulk in one direction."""
QUIC_HANDSHAKES: Final = 64
"""Incoming connections at once that have not proved themselves."""
QUIC_EXPECTED: Final = 64
"""Addresses from which a connection is awaited."""
QUIC_RETRIES_PER_SECOND: Final = 100.0
"""Retry packets sent to strangers, `QUIC_RETRY_BURST` at once: each costs a MAC and one small datagram."""
QUIC_RETRY_BURST: Final = 200.0
QUIC_TOKEN_TIME: Final = 10.0
"""How long the address proved by a Retry stays proved."""
UDP_HEARTBEAT: Final = 5.0
"""Between heartbeats of a udp channel in use, at most."""
UDP_KEEPALIVE: Final = 15.0
"""Between heartbeats of an idle one, at most: NATs forget a path after 30 s, so one may be lost."""
UDP_IN_USE: Final = 60.0
"""A channel over which nothing of a person's has gone for so long is idle."""
UDP_DOUBTED: Final = 6.5
"""Silence after which a path is doubted and a second one used as well."""
UDP_DEAD: Final = 15.0
"""Silence after which a path is dead."""
UDP_PROBE_AGAIN: Final = 1.5
"""Between heartbeats while one is unanswered."""

# --- sealing

ONE_TIME_KEYS: Final = 50
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
