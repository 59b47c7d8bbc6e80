"""Client and server: every message of the server connection, as MessagePack arrays ``[tag, field, ...]``.

One table of types serves both directions; `decode_from_client` and `decode_from_server` accept only what belongs to
theirs. Fields are checked against their types as they are read (msgspec), so whatever gets past `decode_*` is well
formed; bounds on lengths are part of the types. Fields added at the end of a message in a later version are ignored by
older readers, and fields that have a default may be left out by older writers.

The life of a connection: the client sends `Hello` and, without waiting, `SignIn` or `Register`; the server answers
`Welcome`, or `Refused` and closes. Then requests, each with an ``id`` that its answer repeats, and pushed events.

An **envelope** (`Send`, `Incoming`) is opaque to the server but for its ``kind``: a MESSAGE is counted as an upload of
the sender and a download of the receiver, a SIGNAL (receipts, negotiation, transfer control, typing) is not. The server
answers an envelope only when it could not forward it (`Failed`); that it arrived is for the other device to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from p2pim.errors import BadMessage
from p2pim.wire.fields import (
    Address,
    DeviceId,
    Label,
    Message,
    Name,
    NoMessageId,
    P2pAddress,
    Password,
    Payload,
    RequestId,
    Token,
)
from p2pim.wire.groups import ChangeGroup, GroupChanged, Groups, GroupState, ListGroups, SendToGroup
from p2pim.wire.guests import GuestChanged, Guests, GuestSaid, GuestsOffered, MeetGuests, SayToGuest
from p2pim.wire.keys import (
    ClaimedKeys,
    ClaimKeys,
    DeviceLists,
    DevicesChanged,
    KeysLeft,
    ListDevices,
    PublishKeys,
    RemoveDevice,
    RenameDevice,
)
from p2pim.wire.mail import AckMail, FetchMail, Got, Mail, MailWaiting, Stored
from p2pim.wire.people import (
    AddContact,
    BlockUser,
    Device,
    Found,
    LookUp,
    Person,
    PresenceChanged,
    RemoveContact,
    SetStatus,
    WhoIsOnline,
)
from p2pim.wire.reports import DIRECT_REPORTS, DirectReport
from p2pim.wire.store import (
    AskStored,
    BulkReady,
    Chunk,
    Committed,
    DownloadOpened,
    DropStored,
    OpenDownload,
    OpenUpload,
    StoredEnded,
    StoredStates,
    UploadOpened,
    UseTicket,
)

__all__ = [
    "ALPN",
    "DIRECT_REPORTS",
    "FEATURES",
    "GUESTS",
    "MESSAGE",
    "OLDEST_VERSION",
    "P2P_SERVER_CHANGES",
    "PROTOCOL_VERSION",
    "SERVER_FEATURES",
    "SIGNAL",
    "AckMail",
    "AddContact",
    "Address",
    "BlockUser",
    "ChangeGroup",
    "ClaimKeys",
    "ClaimedKeys",
    "Device",
    "DeviceId",
    "DeviceLists",
    "DevicesChanged",
    "DirectReport",
    "Done",
    "Failed",
    "FetchMail",
    "Found",
    "FromClient",
    "FromServer",
    "Got",
    "GroupChanged",
    "GroupState",
    "Groups",
    "GuestChanged",
    "GuestSaid",
    "Guests",
    "GuestsOffered",
    "Hello",
    "Incoming",
    "KeysLeft",
    "Label",
    "Limits",
    "ListDevices",
    "ListGroups",
    "LookUp",
    "Mail",
    "MailWaiting",
    "MeetGuests",
    "Message",
    "Name",
    "NoMessageId",
    "OpenSplice",
    "P2pAddress",
    "P2pServerChanged",
    "Password",
    "Payload",
    "Person",
    "Ping",
    "Pong",
    "PresenceChanged",
    "PublishKeys",
    "Refused",
    "Register",
    "RemoveContact",
    "RemoveDevice",
    "RenameDevice",
    "RequestId",
    "SayToGuest",
    "Send",
    "SendToGroup",
    "SetStatus",
    "SignIn",
    "SignOut",
    "SignedOut",
    "SpliceTickets",
    "Stored",
    "Token",
    "Welcome",
    "WhoIsOnline",
    "decode_from_client",
    "decode_from_server",
    "encode",
    "encode_all",
]

PROTOCOL_VERSION: Final = 1
OLDEST_VERSION: Final = 1
ALPN: Final = b"p2pim/1"

# Kinds of envelope.
MESSAGE: Final = 0
SIGNAL: Final = 1

# What a client may say in `Hello` that it understands, beyond what every client of this version does.
P2P_SERVER_CHANGES: Final = "p2p-server-changes"
"""`P2pServerChanged`."""
GUESTS: Final = "guests"
"""`p2pim.wire.guests.GuestsOffered`, and what may follow it."""
FEATURES: Final = (P2P_SERVER_CHANGES, GUESTS)
"""All that the clients of this software understand."""
SERVER_FEATURES: Final = (DIRECT_REPORTS,)
"""What the servers of this software understand beyond what every server of this version does."""


# --- client to server


class Hello(Message, frozen=True, tag=1):
    """First of all: which protocol ``version`` I speak, and my ``software`` for the operator's eyes.

    A message that its reader does not know ends the connection, so what has been added since the first version is sent
    only to those who name it among their ``features``; features that nobody knows are passed over.
    """

    version: int
    software: Label = ""
    features: Annotated[tuple[Label, ...], Meta(max_length=64)] = ()


class SignIn(Message, frozen=True, tag=2):
    """Sign in by ``password``, or by the ``token`` that an earlier `Welcome` gave this device."""

    name: Name
    device: DeviceId
    device_name: Label
    password: Password | None = None
    token: Token | None = None
    status: Label = "online"


class Register(Message, frozen=True, tag=3):
    """Make the account ``name`` and sign this device in."""

    name: Name
    password: Password
    device: DeviceId
    device_name: Label
    invite: Label = ""


class Send(Message, frozen=True, tag=4):
    """An envelope for the device ``device`` of the user ``to``; ``id`` comes back in a `Failed` or `Stored`.

    With a ``message`` id it is mail (`p2pim.wire.mail`); without one it is lost when the device is not connected.
    """

    id: RequestId
    to: Name
    device: DeviceId
    kind: int
    payload: Payload
    message: NoMessageId = b""


class OpenSplice(Message, frozen=True, tag=11):
    """Two tickets for a relayed channel between me and ``device`` of ``user``; answered by `SpliceTickets`."""

    id: RequestId
    user: Name
    device: DeviceId


class SignOut(Message, frozen=True, tag=12):
    """I am leaving; with ``forget`` the device's token ends too."""

    forget: bool = False


# --- both ways


class Ping(Message, frozen=True, tag=20):
    """A heartbeat, or a measurement; answered at once by a `Pong` with the same ``nonce``."""

    nonce: int = 0


class Pong(Message, frozen=True, tag=21):
    nonce: int = 0


# --- server to client


class Limits(Message, frozen=True):
    """What the server allows this client."""

    frame: int
    payload: int
    contacts: int


class Welcome(Message, frozen=True, tag=30):
    """Signed in. ``address`` is mine as the server sees it, ``token`` signs this device in next time."""

    session: bytes
    user: Name
    address: Address
    p2p_server: P2pAddress | None
    """The P2P server to use, if any; see `p2pim.core.p2p_choice`."""
    heartbeat: float
    """Seconds between the client's pings."""
    patience: float
    """Seconds of silence after which either side gives up."""
    limits: Limits
    token: Token
    contacts: list[Person]
    software: Label = ""
    keys_left: int = -1
    """How many one-time keys of this device the server has; -1 when it does not even know the device's identity."""
    mail: int = 0
    """How much mail waits."""
    features: Annotated[tuple[Label, ...], Meta(max_length=64)] = ()
    """What the server understands beyond the first version, as in `Hello`: it closes a connection that brings anything
    else that is new."""


class Refused(Message, frozen=True, tag=31):
    """No sign-in; ``code`` and ``message`` as in `p2pim.errors`. The server closes after it."""

    code: Label
    message: str
    retry_after: float = 0.0


class Done(Message, frozen=True, tag=32):
    """The request ``id`` is done."""

    id: RequestId


class Failed(Message, frozen=True, tag=33):
    """The request or envelope ``id`` was not carried out."""

    id: RequestId
    code: Label
    message: str
    retry_after: float = 0.0


class SpliceTickets(Message, frozen=True, tag=35):
    """``mine`` joins me to whoever shows ``theirs``; each is good once, for ``seconds``."""

    id: RequestId
    mine: bytes
    theirs: bytes
    seconds: float


class Incoming(Message, frozen=True, tag=36):
    """An envelope from ``device`` of ``sender``."""

    sender: Name
    device: DeviceId
    kind: int
    payload: Payload
    message: NoMessageId = b""
    """Where it is set, `Got` is expected once the envelope's content is stored."""
    group: Label = ""


class SignedOut(Message, frozen=True, tag=38):
    """The session ends: replaced, kicked, disabled, too-slow, stopping. Only "stopping" is worth coming back after."""

    reason: Label
    message: str


class P2pServerChanged(Message, frozen=True, tag=40):
    """From now on the P2P server to use is this one, as in `Welcome`; for clients with `P2P_SERVER_CHANGES`."""

    p2p_server: P2pAddress | None


FromClient = (
    Hello | SignIn | Register | Send | SetStatus | AddContact | RemoveContact | BlockUser | LookUp | WhoIsOnline
    | OpenSplice | SignOut | Ping | Pong | PublishKeys | ClaimKeys | ListDevices | RenameDevice | RemoveDevice | Got
    | FetchMail | AckMail | ChangeGroup | ListGroups | SendToGroup | OpenUpload | OpenDownload | DropStored | UseTicket
    | Chunk | AskStored | DirectReport | MeetGuests | SayToGuest
)  # fmt: skip
FromServer = (
    Welcome | Refused | Done | Failed | Found | SpliceTickets | Incoming | PresenceChanged | SignedOut | Ping | Pong
    | KeysLeft | ClaimedKeys | DeviceLists | DevicesChanged | Stored | Mail | MailWaiting | GroupState | Groups
    | GroupChanged | P2pServerChanged | UploadOpened | DownloadOpened | BulkReady | Committed | Chunk | StoredStates
    | StoredEnded | GuestsOffered | Guests | GuestChanged | GuestSaid
)  # fmt: skip

_encoder = msgspec.msgpack.Encoder()
encode: Callable[[Message], bytes] = _encoder.encode
"""The body of a frame that carries this message."""

_client_decoder: msgspec.msgpack.Decoder[FromClient] = msgspec.msgpack.Decoder(FromClient)
_server_decoder: msgspec.msgpack.Decoder[FromServer] = msgspec.msgpack.Decoder(FromServer)


def decode_from_client(body: bytes) -> FromClient:
    """The message in a frame that a client sent.

    :raises BadMessage: it is none: unknown type, wrong types, trailing bytes, nested too deep.
    """
    try:
        return _client_decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError) as error:
        raise BadMessage(f"A frame could not be read as a message: {error}") from None


def decode_from_server(body: bytes) -> FromServer:
    """The message in a frame that a server sent.

    :raises BadMessage: as for `decode_from_client`.
    """
    try:
        return _server_decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError) as error:
        raise BadMessage(f"A frame could not be read as a message: {error}") from None


def encode_all(messages: Sequence[Message]) -> list[bytes]:
    """The bodies of several frames."""
    return [encode(message) for message in messages]
