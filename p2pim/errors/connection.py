"""The connection itself: what cannot be understood, who is silent, who is too slow.

After a `WireError` the connection ends, since what follows cannot be understood.
"""

from __future__ import annotations

from p2pim.errors.base import P2pimError


class WireError(P2pimError):
    """The other side broke the protocol; the connection is closed with this reason."""

    code = "protocol-error"
    default = "The other side broke the protocol."


class FrameTooLong(WireError):
    """A frame is longer than its limit; nothing of it was kept."""

    code = "frame-too-long"
    default = "A frame is longer than this connection allows."


class BadMessage(WireError):
    """A frame is no message: unknown type, wrong field types, not MessagePack, nested too deep."""

    code = "bad-message"
    default = "A frame could not be read as a message."


class UnexpectedMessage(WireError):
    """A message that is known but has no place here, such as a request before the sign-in."""

    code = "unexpected-message"
    default = "A message came where it has no place."


class NotStun(WireError):
    """A datagram is not STUN at all."""

    code = "not-stun"
    default = "A datagram is not STUN."


class BadStun(WireError):
    """A datagram has STUN's header, but what follows is broken."""

    code = "bad-stun"
    default = "A STUN message is malformed."


class BadIntegrity(WireError):
    """A STUN message was not written by someone who has the key, or it was changed on its way."""

    code = "bad-integrity"
    default = "A STUN message does not prove that its sender has the key."


class HandshakeTimeout(WireError):
    """The other side connected and did not introduce itself in time."""

    code = "handshake-timeout"
    default = "Nothing was said in the time given for the introduction."


class HeartbeatTimeout(P2pimError):
    """Nothing was heard for too long; the connection is taken for dead."""

    code = "heartbeat-timeout"
    exit_status = 6
    default = "The other side has been silent for too long."


class TooSlow(P2pimError):
    """The other side does not read what is sent to it."""

    code = "too-slow"
    default = "The other side does not read what is sent to it."
