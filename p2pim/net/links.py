"""What may become a channel: a connection over TLS or over QUIC, with the same life and the same methods."""

from __future__ import annotations

from p2pim.net.channel import TcpChannel
from p2pim.net.quic import QuicChannel

Link = TcpChannel | QuicChannel
