"""What channels promise, and what they ask of whoever uses them."""

# ruff: noqa: N805 - methods of an interface have no self

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from p2pim.wire.signals import AnySignal, Signal


class IChannel(Interface):
    """One authenticated, encrypted, two-way link between this device and one other, of kind tcp, udp or relay."""

    kind: str = Attribute('"tcp", "udp" or "relay".')
    user: str = Attribute("The other side's user.")
    device: bytes = Attribute("The other side's device id.")
    address: str = Attribute("The other end's address; for a relay the server's.")
    local_address: str = Attribute("This end's address.")
    same_lan: bool = Attribute("Whether both ends are in one local network.")
    rtt: float | None = Attribute("Round-trip time in seconds, smoothed; None until measured.")
    sent: int = Attribute("Payload bytes sent (control and bulk).")
    received: int = Attribute("Payload bytes received.")
    since: float = Attribute("When it opened, in seconds since 1970.")

    def send(signal: Signal) -> None:
        """Send a control signal, ahead of any waiting bulk. Nothing happens on a closed channel."""

    def send_bulk(stream: int, pieces: list[bytes], digest: bytes) -> Deferred[None]:
        """Send one range on ``stream``, then its end with ``digest``.

        Fires when the last chunk has been handed to the transport, which is the time to bring the next range; fails
        with `ChannelClosed` when the channel ends first. Streams take turns, chunk by chunk.
        """

    def cancel_bulk(stream: int) -> None:
        """Drop what is still queued for ``stream``; its Deferred fails with `ChannelClosed`."""

    def ping() -> Deferred[float]:
        """Seconds to the other end and back. Fails with `ChannelClosed` or `TimedOut`."""

    def close(reason: str) -> None:
        """Tell the other side and end."""


class IChannelUser(Interface):
    """Who receives what comes over channels: one per peer."""

    def channel_opened(channel: IChannel) -> None:
        """``channel`` stands, proved at both ends."""

    def channel_closed(channel: IChannel, reason: str) -> None:
        """``channel`` ended; nothing more comes from it."""

    def signal_received(user: str, device: bytes, signal: AnySignal, channel: IChannel | None) -> None:
        """A signal, by ``channel`` or (None) through the server."""

    def bulk_received(channel: IChannel, stream: int, data: bytes) -> None:
        """A chunk of a range."""

    def bulk_ended(channel: IChannel, stream: int, digest: bytes) -> None:
        """The range on ``stream`` is complete."""
