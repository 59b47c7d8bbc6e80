"""What can go wrong, as the person who meets it should read it.

Every error carries a ``code`` (what goes over the wire and into ``--json`` output), the ``exit_status`` of the
command line (see ``docs/cli.md``), and a message that says what happened and what to do about it. A class whose
``default`` is set can be raised without arguments.

The code is the identity of an error: a server sends code and message, and `from_wire` rebuilds the class at the
other side, so that both ends speak of the same thing. An unknown code becomes a plain `P2pimError` with that code:
a newer server may know more errors than this client.
"""

from __future__ import annotations

from typing import ClassVar

_by_code: dict[str, type[P2pimError]] = {}


class P2pimError(Exception):
    """Anything p2pim reports. Subclasses set ``code``, ``exit_status`` and ``default``."""

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1
    default: ClassVar[str] = "Something went wrong."

    def __init__(self, message: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(message or self.default)
        self.retry_after = retry_after
        """Seconds after which the same request may be tried again; 0 when waiting does not help."""

    def __init_subclass__(cls) -> None:
        if "code" in vars(cls):
            _by_code[cls.code] = cls

    @property
    def message(self) -> str:
        """What happened and what to do, one line."""
        return str(self.args[0])


class UnknownRemoteError(P2pimError):
    """The other side named an error that this version does not know; ``wire_code`` keeps its name."""

    code = "unknown-error"

    def __init__(self, wire_code: str, message: str) -> None:
        super().__init__(f"{message} ({wire_code})")
        self.wire_code = wire_code


def from_wire(code: str, message: str, retry_after: float = 0.0) -> P2pimError:
    """The error that the other side reported as ``code`` with ``message``."""
    cls = _by_code.get(code)
    if cls is None or cls is UnknownRemoteError:
        return UnknownRemoteError(code, message)
    return cls(message, retry_after=retry_after)


# --- the wire: the connection ends, since what follows cannot be understood


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


class TooManyConnections(P2pimError):
    """This address holds as many connections as one address may."""

    code = "too-many-connections"
    default = "Too many connections from this address; close some and try again."


# --- sign-in


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


# --- requests


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


# --- routes and channels


class NoDirectPath(P2pimError):
    """No direct channel could be made; ``reasons`` tells for each rung why."""

    code = "no-direct-path"
    exit_status = 5
    default = "There is no direct path to this user."

    def __init__(self, message: str = "", *, reasons: tuple[tuple[str, str], ...] = (), retry_after: float = 0.0):
        super().__init__(message, retry_after=retry_after)
        self.reasons = reasons
        """(rung, reason) pairs, in the order of the ladder."""


class NoRoute(P2pimError):
    """The route asked for does not exist now."""

    code = "no-route"
    exit_status = 5
    default = "The route asked for is not there."


class ChannelProofFailed(P2pimError):
    """The other end of a new channel could not prove who it is."""

    code = "channel-proof-failed"
    default = "The other end of the channel could not prove who it is."


class ChannelClosed(P2pimError):
    """The channel ended while it was in use."""

    code = "channel-closed"
    exit_status = 5
    default = "The channel was closed."


class TimedOut(P2pimError):
    """Nothing came back in the time given."""

    code = "timed-out"
    exit_status = 6
    default = "There was no answer in time."


# --- transfers


class TransferError(P2pimError):
    """A transfer cannot go on."""

    code = "transfer-error"
    default = "The transfer failed."


class NoSuchTransfer(TransferError):
    """No transfer has this id (or more than one begins with it)."""

    code = "no-such-transfer"
    default = "There is no such transfer; `p2pim transfers` lists them."


class UnsafeName(TransferError):
    """A file name in an offer could not be made safe."""

    code = "unsafe-name"
    default = "The offer contains a file name that cannot be stored safely."


class NoSpace(TransferError):
    """The file does not fit on the disk."""

    code = "no-space"
    default = "There is not enough free space; make room and resume the transfer."


class QuotaExceeded(TransferError):
    """The file is larger than what this home accepts."""

    code = "quota-exceeded"
    default = "The file is larger than the quota allows."


class FileChanged(TransferError):
    """The file is no longer the one that was offered."""

    code = "file-changed"
    default = "The file changed while it was being sent; send it again."


class FileUnreadable(TransferError):
    """A file to be sent is missing or may not be read."""

    code = "file-unreadable"
    default = "The file cannot be read."


class ContentMismatch(TransferError):
    """What arrived is not what was sent: the hash differs."""

    code = "content-mismatch"
    default = "What arrived differs from what was sent."


# --- this machine


class BadConfig(P2pimError):
    """A configuration file, environment variable or option is wrong."""

    code = "bad-config"
    exit_status = 2
    default = "The configuration is wrong."


class BadP2pServer(P2pimError):
    """What should name a P2P server does not, or names one that cannot be found."""

    code = "bad-p2p-server"
    exit_status = 2
    default = "That is no P2P server; name one as HOST:PORT."


class Usage(P2pimError):
    """The command was called in a way it does not know."""

    code = "usage"
    exit_status = 2
    default = "Wrong usage."


class HomeLocked(P2pimError):
    """Another p2pim uses this home and does not answer on its socket."""

    code = "home-locked"
    default = "Another p2pim is using this home directory; stop it first."


class StorageError(P2pimError):
    """The database under the home or data directory cannot be used."""

    code = "storage-error"
    default = "The database cannot be used."


class SchemaTooNew(StorageError):
    """The database was written by a newer p2pim."""

    code = "schema-too-new"
    default = "This database was written by a newer p2pim; upgrade before using it."


class Interrupted(P2pimError):
    """Ctrl-C."""

    code = "interrupted"
    exit_status = 130
    default = "Interrupted."


# --- sealing


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


class BadKeys(P2pimError):
    """Keys that the server handed out are not signed by the device they are said to be of, or not its former ones."""

    code = "bad-keys"
    exit_status = 4
    default = "The keys that the server showed for this device are not its own; nothing was sent."


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


class NoSuchDevice(P2pimError):
    """No device of this account has that id (or more than one begins with it)."""

    code = "no-such-device"
    exit_status = 2
    default = "There is no such device; `p2pim devices` lists them."
