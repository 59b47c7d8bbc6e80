"""The UDP socket, and the udp channel on it."""

from __future__ import annotations

from typing import Final

from p2pim.core.limits.units import KIB, MIB

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
"""Without an answer to what was sent: after this a path is doubted and a second one used as well."""
UDP_DEAD: Final = 15.0
"""And after this dead. RFC 7675 gives consent 30 s; people notice sooner."""
UDP_PROBE_AGAIN: Final = 1.5
"""Between heartbeats while one is unanswered."""
