"""The classic text protocol: its gateway and its client."""

from __future__ import annotations

from typing import Final

from p2pim.core.limits.units import KIB, MIB

# --- the gateway

CLASSIC_GUESTS: Final = 1_000
"""Guests at once. Every login is told to all of them, and the list is made for everyone who asks."""
CLASSIC_GUESTS_PER_HOST: Final = 64
"""Guests of one host: a machine with many seats; one host cannot fill the list."""
CLASSIC_UNPROVED: Final = 256
"""Guests whose host has not fetched the list since they logged in: who invents source addresses cannot. Beyond it the
one that came first goes."""
CLASSIC_UNPROVED_TIME: Final = 600.0
"""Seconds of silence after which such a guest is gone."""
CLASSIC_UNPROVED_TOLD: Final = 4
"""Such guests of one host who are told who comes and goes: enough for clients that do not care for the list, too few to
make a flood of it for a host in whose name others have logged in."""
CLASSIC_EXPIRY: Final = 4 * 3_600.0
"""Seconds of silence after which a guest is gone who never answered "are you there", since old clients do not, and of
whom the network does not say that they are gone, since some firewalls do not."""
CLASSIC_ASK_AFTER: Final = 20.0
"""Seconds of silence after which a guest is asked whether they are there, and between two such questions."""
CLASSIC_ASKS: Final = 3
"""Questions without an answer after which a guest is gone who has answered before: one may be lost, hardly three."""
CLASSIC_ASK_AGAIN: Final = 1.0
"""Seconds after which is asked again where the network said that nobody is there: a second such word counts."""
CLASSIC_CONFLICT_WAIT: Final = 0.4
"""Seconds that a login under a name in use waits for the network's word on who has it: after a crash they come back at
another port."""
CLASSIC_CONFLICTS: Final = 64
"""Logins that wait so at once; further ones are refused at once."""
CLASSIC_LOGIN_RATE: Final = 4.0
"""Logins, logouts and unreadable datagrams of one host per second on average, and `CLASSIC_LOGIN_BURST` at once: an
office behind one address after a power cut, and the repeated logins of `CLASSIC_GUESTS_PER_HOST` guests."""
CLASSIC_LOGIN_BURST: Final = 60.0
CLASSIC_NEWS_RATE: Final = 20.0
"""New guests per second on average, and `CLASSIC_NEWS_BURST` at once, from wherever: each is a look into the database
and a datagram to everybody."""
CLASSIC_NEWS_BURST: Final = 200.0
CLASSIC_TALK_RATE: Final = 5.0
"""Talk lines of one host to the server's own users per second on average, and `CLASSIC_TALK_BURST` at once."""
CLASSIC_TALK_BURST: Final = 30.0
CLASSIC_RATE_TABLE: Final = 4_096
"""Rows of the tables of rates; hosts that fall on one row share its allowance."""
CLASSIC_READS: Final = 64
"""Datagrams read per wake-up, after which others get their turn."""
CLASSIC_SOCKET_BUFFER: Final = 1 * MIB
"""What the kernel may hold while this process does something else."""
CLASSIC_LISTS: Final = 64
"""Connections for the list at once, and `CLASSIC_LISTS_PER_HOST` of one host; further ones are closed."""
CLASSIC_LISTS_PER_HOST: Final = 16
CLASSIC_LIST_TIME: Final = 10.0
"""Seconds in which a list must have been read."""
CLASSIC_LOGINS_REMEMBERED: Final = 32
"""Logins of one host whose coding is remembered until they have fetched their list."""
CLASSIC_PORT_TRIES: Final = 16
"""Numbers tried when one is to be found that is free for both UDP and TCP."""
CLASSIC_RESIDENTS: Final = 128
"""Users of the server who are shown to guests at once: each needs a UDP port of its own, since a talk line does not
say to whom it goes."""
CLASSIC_TEXT: Final = 8 * KIB
"""Bytes (UTF-8) of one message between the two worlds: in UTF-16 it still fits into a datagram."""

# --- the client

CLASSIC_LOGIN_RETRY: Final = 1.0
"""Seconds before a login without an answer is sent again; doubles each time."""
CLASSIC_LOGIN_TIME: Final = 12.0
"""Seconds after which a server that has not answered does not."""
CLASSIC_LIST_BYTES: Final = 2 * MIB
"""The longest list that is read."""
CLASSIC_LIST_LINGER: Final = 1.0
"""Seconds after which a list that looks whole is one, though the server has not closed."""
CLASSIC_USERS: Final = 10_000
"""Users whom a client keeps in its list."""
