"""The P2P server, and the peers' questions to it."""

from __future__ import annotations

from typing import Final

from p2pim.core.limits.units import KIB, MIB

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
