"""What goes wrong between a browser (or a program) and our pages."""

from __future__ import annotations

from p2pim.errors.base import P2pimError


class NotEntered(P2pimError):
    """The page was asked for without having been let in."""

    code = "not-entered"
    exit_status = 3
    default = "This browser has not been let in, or no more; open a fresh link with `p2pim web`."


class LinkSpent(P2pimError):
    """A one-time link was used twice, has expired, or never was one."""

    code = "link-spent"
    exit_status = 3
    default = "This link is no longer good: each opens the page once, within ten minutes. `p2pim web` makes a new one."


class ForeignRequest(P2pimError):
    """Another site, or a name that is not ours, stands in the request."""

    code = "foreign-request"
    exit_status = 4
    default = "This request comes from another page or under another name, and is refused."


class NoSuchPage(P2pimError):
    """Nothing is served there."""

    code = "no-such-page"
    exit_status = 2
    default = "There is nothing at this address."


class WrongVerb(P2pimError):
    """What is there is not asked for in this way."""

    code = "wrong-method"
    exit_status = 2
    default = "This address does not take that HTTP method."


class WrongType(P2pimError):
    """The body of a request is of another type than it must be."""

    code = "wrong-type"
    exit_status = 2
    default = "The body has to be JSON, and its Content-Type application/json."


class TooLarge(P2pimError):
    """The body of a request is too long."""

    code = "too-large"
    exit_status = 2
    default = "The request is too long."


class NoSuchDrop(P2pimError):
    """No files are being gathered under this id (any more)."""

    code = "no-such-drop"
    exit_status = 2
    default = "Nothing is being gathered under this id; begin again."
