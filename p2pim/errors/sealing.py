"""What can go wrong when something is sealed or opened."""

from __future__ import annotations

from p2pim.errors.base import P2pimError


class CannotOpen(P2pimError):
    """Something sealed could not be opened: it was changed, sealed for another state of this device, or is not ours."""

    code = "cannot-open"
    default = "A sealed message could not be opened."


class Replayed(CannotOpen):
    """It was opened before: its key is used up."""

    code = "replayed"
    default = "A sealed message came once more; it was opened before."


class NotMeant(CannotOpen):
    """It opens, but was sealed by another or for another than it claims: passed on by somebody."""

    code = "not-meant"
    default = "A sealed message names another sender or recipient than those it came between."


class NoSession(P2pimError):
    """There is no session with this device (yet)."""

    code = "no-session"
    default = "There is no session with this device yet."


class NoKeys(P2pimError):
    """None of the user's devices has published keys, so nothing can be sealed for them."""

    code = "no-keys"
    exit_status = 4
    default = "No device of this user has published keys yet; they must sign in once with a current p2pim."


class IdentityChanged(P2pimError):
    """A verified user's keys changed; nothing is sent until somebody has looked at it."""

    code = "identity-changed"
    exit_status = 4
    default = "The keys of this user changed since you verified them; compare again or accept: `p2pim verify`."


class VerificationFailed(P2pimError):
    """A comparison of short authentication strings did not come to its end, or found a difference."""

    code = "verification-failed"
    exit_status = 4
    default = "The comparison was not finished."
