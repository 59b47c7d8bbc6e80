"""Getting an account and signing in to it."""

from __future__ import annotations

from p2pim.errors.base import P2pimError


class SignInError(P2pimError):
    """The sign-in was refused."""

    code = "sign-in-refused"
    exit_status = 3
    default = "The sign-in was refused."


class VersionTooOld(SignInError):
    """The client speaks a protocol version that the server no longer does."""

    code = "version-too-old"
    exit_status = 1
    default = "This client is too old for the server; upgrade p2pim."


class VersionTooNew(SignInError):
    """The client speaks a protocol version that the server does not know yet."""

    code = "version-too-new"
    exit_status = 1
    default = "The server is too old for this client; ask its operator to upgrade it."


class NoOperatorPassword(SignInError):
    """The operator's page asks for a password, and none was set."""

    code = "no-operator-password"
    default = (
        "No operator's password is set: set one with `p2pim admin --data DIR operator-password`, or make a one-time "
        "link with `p2pim admin --data DIR web`."
    )


class WrongPassword(SignInError):
    """The account exists, the password is another."""

    code = "wrong-password"
    default = "Wrong password."


class UnknownUser(SignInError):
    """There is no account of that name to sign in to."""

    code = "unknown-user"
    default = "There is no such account here; `p2pim register` makes one."


class BadToken(SignInError):
    """The device's token is expired or was withdrawn: the password is needed once more."""

    code = "bad-token"
    default = "This device is no longer signed in; run `p2pim login` again."


class AlreadySignedIn(SignInError):
    """The device is signed in elsewhere and the server's setting refuses a second time."""

    code = "already-signed-in"
    default = "This device is signed in already, and the server does not let a newer sign-in replace it."


class TooManyTries(SignInError):
    """Too many failed sign-ins from this address or for this account; ``retry_after`` says how long to wait."""

    code = "too-many-tries"
    default = "Too many failed sign-ins; wait a while and try again."


class ServerFull(SignInError):
    """The server holds as many sessions as its operator allows."""

    code = "server-full"
    exit_status = 1
    default = "The server is full; try again later."


class AccountDisabled(SignInError):
    """The operator switched this account off."""

    code = "account-disabled"
    default = "This account is disabled; ask the server's operator."


class NameTaken(SignInError):
    """The name is another's."""

    code = "name-taken"
    default = "This name is taken; choose another, or `p2pim login` if it is yours."


class BadName(SignInError):
    """The name has characters or a length that a user's name may not have."""

    code = "bad-name"
    exit_status = 2
    default = "A name has 1 to 32 letters, digits, dots, hyphens or underscores, and begins with a letter or digit."


class BadPassword(SignInError):
    """The new password is too short or too long."""

    code = "bad-password"
    exit_status = 2
    default = "A password has 6 to 256 characters."


class RegistrationClosed(SignInError):
    """The operator makes the accounts here."""

    code = "registration-closed"
    default = "Registration is closed on this server; ask its operator for an account."


class InviteNeeded(SignInError):
    """Registration needs an invitation, and none or a used one was shown."""

    code = "invite-needed"
    default = "Registration here needs an invitation; ask the server's operator, and give it with --invite."


class UntrustedServer(SignInError):
    """The server's certificate is neither pinned nor verified, or it is not the pinned one."""

    code = "untrusted-server"
    default = "The server's certificate could not be verified."


class NotSignedIn(P2pimError):
    """Nobody is signed in under this home, or there is no connection now."""

    code = "not-signed-in"
    exit_status = 3
    default = "Not signed in; run `p2pim login NAME@HOST` first."


class ServerUnreachable(P2pimError):
    """The server did not answer the call."""

    code = "server-unreachable"
    default = "The server cannot be reached."
