"""The classic text protocol: what its bytes are not, and what a server of it refuses."""

from __future__ import annotations

from p2pim.errors.base import P2pimError


class BadClassicLine(P2pimError):
    """Bytes that are no line of the classic protocol."""

    code = "bad-classic-line"
    default = "That is no line of the classic protocol."


class BadClassicName(BadClassicLine):
    """A login or logout whose name is none, though where to answer can be read.

    :ivar endpoint: what the line says of where its sender is, ``(host, port)``.
    :ivar reason: one of the reasons of ``Refuse``.
    """

    code = "bad-classic-name"
    exit_status = 2
    default = "A name has 1 to 32 characters, and no comma, semicolon, line end or NUL among them."

    def __init__(
        self, message: str = "", *, endpoint: tuple[str, int] = ("", 0), reason: str = "", retry_after: float = 0.0
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.endpoint = endpoint
        self.reason = reason


class BadClassicList(BadClassicLine):
    """What should be a user list is none."""

    code = "bad-classic-list"
    default = "What came is no user list of the classic protocol."


class ClassicRefused(P2pimError):
    """The classic server does not want this name."""

    code = "classic-refused"
    exit_status = 3
    default = "The server refused the name."


class NoSuchGuest(P2pimError):
    """There is no guest of that name at the classic gateway."""

    code = "no-such-guest"
    exit_status = 4
    default = "There is no such guest at this server now."


class NoGuests(P2pimError):
    """The server has no classic gateway, or does not let guests and its users meet; or this device did not ask to."""

    code = "no-guests"
    exit_status = 4
    default = "This server has no guests to meet."
