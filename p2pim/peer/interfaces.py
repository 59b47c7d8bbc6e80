"""What the parts of a peer ask of each other."""

from __future__ import annotations

from p2pim.net.interfaces import IChannel, IChannelUser

__all__ = ["IChannel", "IChannelUser"]
