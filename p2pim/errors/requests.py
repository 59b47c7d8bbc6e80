"""What a server, or the person at the other side, answers to a request."""

from __future__ import annotations

from p2pim.errors.base import P2pimError


class NoSuchUser(P2pimError):
    """Nobody of that name has an account."""

    code = "no-such-user"
    exit_status = 4
    default = "There is no such user on this server."


class Blocked(P2pimError):
    """One of the two has blocked the other."""

    code = "blocked"
    exit_status = 4
    default = "You cannot reach this user."


class PeerRefused(P2pimError):
    """The other side said no."""

    code = "refused"
    exit_status = 4
    default = "The other side refused."


class Offline(P2pimError):
    """The recipient (or the named device of theirs) has no connection to the server now."""

    code = "offline"
    exit_status = 5
    default = "This user is not online."


class RecipientBusy(P2pimError):
    """The recipient's connection is backed up; the sender keeps its copy and tries again."""

    code = "recipient-busy"
    default = "The recipient reads too slowly at present; the message is kept and sent again."


class RateLimited(P2pimError):
    """Too many requests in a short time; ``retry_after`` says how long to wait."""

    code = "rate-limited"
    default = "Too many requests; wait a moment and try again."


class TooMany(P2pimError):
    """A list of yours has reached its bound."""

    code = "too-many"
    default = "The limit is reached; remove something first."


class DatabaseDown(P2pimError):
    """The server could not commit; nothing was acknowledged and the sender keeps its copy."""

    code = "database-down"
    default = "The server's database does not answer; try again in a moment."


class BadTicket(P2pimError):
    """A relay ticket is unknown, expired or used."""

    code = "bad-ticket"
    default = "This relay ticket is unknown, expired or already used."


class ServerStopping(P2pimError):
    """The server is going down; clients come back by themselves."""

    code = "server-stopping"
    default = "The server is stopping."
