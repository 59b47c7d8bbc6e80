"""Device to device: what envelopes and channel control frames carry.

The same signals go by either route, so neither side needs to know which way one came. Each is a MessagePack array
``[tag, field, ...]``, checked while it is read, like `p2pim.wire.messages`.

Conversations: `ChatMessage`, `Receipt`, `Typing`, `ReadMark`, `Query`, `Reply`. Sealing: `Sealed` and what it may
hold. Negotiation of channels: `Offer`, `Answer`, `MoreCandidates`, `Decline`. On a channel alone: `Prove`, `Nominate`,
`ChannelPing`, `ChannelPong`, `Bye`. Transfers: `FileOffer`, `FileAnswer`, `RangeRequest`, `FileState`, `FileLeft`; the
bytes of a range are bulk, not signals (see `p2pim.wire.channel`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from p2pim.errors import BadMessage

MessageId = Annotated[bytes, Meta(min_length=16, max_length=16)]
"""A UUIDv7 made by the sender."""
TransferId = Annotated[bytes, Meta(min_length=16, max_length=16)]
NegotiationId = Annotated[bytes, Meta(min_length=16, max_length=16)]
Secret = Annotated[bytes, Meta(min_length=32, max_length=32)]
Fingerprint = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""SHA-256 of a certificate in DER."""
Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""BLAKE3, 256 bits."""
Text = Annotated[str, Meta(max_length=64 * 1024)]
Reason = Annotated[str, Meta(max_length=300)]
Offset = Annotated[int, Meta(ge=0, le=2**62)]


class Signal(Struct, frozen=True, array_like=True, gc=False):
    """Base of all signals."""


# --- conversations


class ChatMessage(Signal, frozen=True, tag=1):
    """One message. ``seq`` counts this device's messages to this user from 1, so that order can be restored."""

    id: MessageId
    seq: Annotated[int, Meta(ge=1, le=2**62)]
    text: Text
    sent_at: int
    """Milliseconds since 1970, by the sender's clock."""
    oldest: Annotated[int, Meta(ge=0, le=2**62)] = 0
    """The least ``seq`` that the sender still waits to see confirmed: nothing before it need be waited for."""
    conversation: Annotated[str, Meta(max_length=128)] = ""
    """Which one it belongs to: "" for that of sender and recipient, ``#NAME`` for a group; and in a copy for another
    device of the sender's own account the other user. ``seq`` counts within it."""


class Receipt(Signal, frozen=True, tag=2):
    """``state`` ("delivered": stored by this device; "read": seen by a person) of the messages ``ids``."""

    ids: Annotated[list[MessageId], Meta(max_length=256)]
    state: Annotated[str, Meta(max_length=16)]


class Typing(Signal, frozen=True, tag=3):
    """The person at this device is writing."""

    conversation: Annotated[str, Meta(max_length=128)] = ""


class ReadMark(Signal, frozen=True, tag=4):
    """To my own other devices: ``conversation`` (a user, or ``#NAME``) is read up to ``message``."""

    conversation: Annotated[str, Meta(max_length=128)]
    message: MessageId


class Query(Signal, frozen=True, tag=5):
    """A question of an application at this device to the one at the other; answered by `Reply` of the same number."""

    number: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    topic: Annotated[str, Meta(max_length=128)]
    body: Annotated[bytes, Meta(max_length=64 * 1024)]


class Reply(Signal, frozen=True, tag=6):
    """The answer to a `Query`; ``error`` instead of ``body`` when there is none."""

    number: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    body: Annotated[bytes, Meta(max_length=64 * 1024)] = b""
    error: Reason = ""


# --- sealing


class Sealed(Signal, frozen=True, tag=40):
    """Another signal, sealed for one device (Olm) or for a group (Megolm): the only thing an envelope carries.

    ``scheme``: 0 an Olm message that begins a session, 1 a further one, 2 a Megolm message. What is inside is an
    `Inner`.
    """

    scheme: Annotated[int, Meta(ge=0, le=2)]
    body: Annotated[bytes, Meta(max_length=80 * 1024)]
    sender_key: Annotated[bytes, Meta(max_length=32)] = b""
    """The sender's Curve25519 identity key (Olm)."""
    message: Annotated[bytes, Meta(max_length=16)] = b""
    """The id of the message in it, where it is one: so that one that cannot be opened can be asked for again."""
    session: Annotated[str, Meta(max_length=64)] = ""
    """Which Megolm session."""


class Inner(Signal, frozen=True, tag=41):
    """What is sealed: who sealed it for whom, so that it cannot be passed off as another's; and a signal.

    Ed25519 identity keys say it, which a holder of another device's Curve25519 key alone cannot claim. In a Megolm
    message the recipient is ``#NAME``, and the recipient's device and key are zeros.
    """

    sender: Annotated[str, Meta(max_length=128)]
    sender_device: Annotated[bytes, Meta(min_length=16, max_length=16)]
    sender_key: Annotated[bytes, Meta(min_length=32, max_length=32)]
    recipient: Annotated[str, Meta(max_length=128)]
    recipient_device: Annotated[bytes, Meta(min_length=16, max_length=16)]
    recipient_key: Annotated[bytes, Meta(min_length=32, max_length=32)]
    signal: Annotated[bytes, Meta(max_length=72 * 1024)]
    signature: Annotated[bytes, Meta(max_length=64)] = b""
    """The sender's identity signature (`p2pim.wire.keys.Identity`), until the recipient has answered in this session:
    so a first message can be opened without asking the server for its sender's keys."""


class AskAgain(Signal, frozen=True, tag=42):
    """These messages could not be opened here: seal and send them again, by the session in which this came."""

    messages: Annotated[list[MessageId], Meta(max_length=256)]
    reason: Reason = ""


class GroupKey(Signal, frozen=True, tag=43):
    """The key of a Megolm session of the sender's device for ``group``, from the first message on that the recipient
    may read: an exported session key, in base64. ``seq`` is that message's number."""

    group: Annotated[str, Meta(max_length=64)]
    session: Annotated[str, Meta(max_length=64)]
    key: Annotated[str, Meta(max_length=1024)]
    version: Annotated[int, Meta(ge=0, le=2**53)]
    seq: Annotated[int, Meta(ge=0, le=2**62)] = 0


class AskGroupKey(Signal, frozen=True, tag=44):
    """I am a member and have no key for this Megolm session of yours; ``messages`` wait for it."""

    group: Annotated[str, Meta(max_length=64)]
    session: Annotated[str, Meta(max_length=64)]


class Sas(Signal, frozen=True, tag=45):
    """A step of a comparison by short authentication string (``p2pim verify --sas``).

    ``step``: "start", "accept" (``value`` is the commitment), "key", "mac", "done" or "cancel" (``reason``).
    """

    run: Annotated[bytes, Meta(min_length=16, max_length=16)]
    step: Annotated[str, Meta(max_length=16)]
    value: Annotated[bytes, Meta(max_length=256)] = b""
    reason: Reason = ""


# --- negotiation of a channel


class Candidate(Struct, frozen=True, array_like=True, gc=False):
    """Where a side may be reached: ``kind`` is "host", "reflexive" or "mapped", ``transport`` "tcp" or "udp"."""

    kind: Annotated[str, Meta(max_length=16)]
    transport: Annotated[str, Meta(max_length=8)]
    host: Annotated[str, Meta(max_length=46)]
    port: Annotated[int, Meta(ge=1, le=65535)]
    priority: int = 0


CandidateList = Annotated[list[Candidate], Meta(max_length=64)]


class Offer(Signal, frozen=True, tag=10):
    """Let us make a channel. When two offers cross, the one with the greater ``tie_breaker`` stands."""

    negotiation: NegotiationId
    tie_breaker: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    fingerprint: Fingerprint
    secret: Secret
    candidates: CandidateList
    modes: Annotated[list[Annotated[str, Meta(max_length=8)]], Meta(max_length=8)]
    """What the offerer would take: any of "tcp", "udp", "relay"."""
    ticket: Annotated[bytes, Meta(max_length=64)] = b""
    """The answerer's ticket when a "relay" is offered."""
    mapping: Annotated[str, Meta(max_length=32)] = ""
    """How the sender's NAT maps (see `p2pim.core.gathering`), where known: so that each side can tell what is wrong."""
    more: bool = False
    """Whether `MoreCandidates` will follow."""


class Answer(Signal, frozen=True, tag=11):
    """Yes, and this is my half."""

    negotiation: NegotiationId
    fingerprint: Fingerprint
    secret: Secret
    candidates: CandidateList
    modes: Annotated[list[Annotated[str, Meta(max_length=8)]], Meta(max_length=8)]
    mapping: Annotated[str, Meta(max_length=32)] = ""
    more: bool = False


class MoreCandidates(Signal, frozen=True, tag=13):
    """Further addresses of the sender, found since its offer or answer; ``more``: and these are not the last."""

    negotiation: NegotiationId
    candidates: CandidateList
    mapping: Annotated[str, Meta(max_length=32)] = ""
    more: bool = False


class Decline(Signal, frozen=True, tag=12):
    """No channel, or not this one."""

    negotiation: NegotiationId
    reason: Reason


# --- on a channel alone


class Prove(Signal, frozen=True, tag=20):
    """First frame of each side: ``mac`` over the TLS session shows that the sender knows the negotiation's secrets."""

    negotiation: NegotiationId
    mac: Annotated[bytes, Meta(min_length=32, max_length=32)]


class Nominate(Signal, frozen=True, tag=21):
    """The offerer picks this one; every other connection of the negotiation is closed."""


class ChannelPing(Signal, frozen=True, tag=22):
    nonce: int


class ChannelPong(Signal, frozen=True, tag=23):
    nonce: int


class Bye(Signal, frozen=True, tag=24):
    """This channel is being closed on purpose; ``reason`` goes to the other side's log."""

    reason: Reason


# --- transfers


class FileOffer(Signal, frozen=True, tag=30):
    """A file or folder is there to be pulled. Sent again after every reconnect until it is answered.

    A folder is its manifest and then the bytes of its files, one after another in the manifest's order: to the transfer
    both are one stream of ``manifest_size + size`` bytes. A single file has no manifest.
    """

    transfer: TransferId
    name: Annotated[str, Meta(max_length=1024)]
    size: Offset
    files: Annotated[int, Meta(ge=0, le=10_000_000)]
    manifest_size: Annotated[int, Meta(ge=0, le=2**31)] = 0
    modified_ns: int = 0
    comment: Annotated[str, Meta(max_length=2000)] = ""
    folder: bool = False
    executable: bool = False
    """Whether a single file may be executed by its owner; in a folder the manifest says it for each file."""
    route: Annotated[str, Meta(max_length=8)] = "auto"
    """How the sender wants it pulled: "auto", "direct" or "relay"."""


class FileAnswer(Signal, frozen=True, tag=31):
    """``accepted`` or not. Refusals carry a ``reason`` as in the `disrupted` event."""

    transfer: TransferId
    accepted: bool
    reason: Reason = ""


class RangeRequest(Signal, frozen=True, tag=32):
    """Send bytes [``offset``, ``offset + length``) of the transfer's stream as bulk on ``stream``.

    ``digest`` is set on the first request after a break: the BLAKE3 of all bytes before ``offset`` as the receiver has
    them. The sender goes on only when its own bytes give the same, which is what decides that the content is the same.
    """

    transfer: TransferId
    stream: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    offset: Offset
    length: Annotated[int, Meta(ge=1, le=16 * 1024 * 1024)]
    digest: Digest | None = None


class FileState(Signal, frozen=True, tag=33):
    """A change that one side tells the other.

    ``state``: "paused", "resumed", "cancelled", "failed" (``reason`` says why), "completed" (``digest`` is the whole),
    "restart" (the sender's answer to a digest that differs: begin again at 0), "unknown" (no such transfer here) or
    "noted" (the answer to an end — a refusal, "cancelled", "failed", "completed" — which is repeated until it comes).
    """

    transfer: TransferId
    state: Annotated[str, Meta(max_length=16)]
    reason: Reason = ""
    digest: Digest | None = None


class FileLeft(Signal, frozen=True, tag=50):
    """A file or folder waits at the server, sealed, as `FileOffer` has it; sent when all of it is there.

    ``key`` opens it, ``digest`` is the BLAKE3 of the whole stream (manifest and content), ``expires`` says until when
    the server keeps it, in seconds since 1970.
    """

    transfer: TransferId
    file: Annotated[bytes, Meta(min_length=16, max_length=16)]
    key: Secret
    digest: Digest
    name: Annotated[str, Meta(max_length=1024)]
    size: Offset
    files: Annotated[int, Meta(ge=0, le=10_000_000)]
    manifest_size: Annotated[int, Meta(ge=0, le=2**31)] = 0
    modified_ns: int = 0
    comment: Annotated[str, Meta(max_length=2000)] = ""
    folder: bool = False
    executable: bool = False
    expires: float = 0.0

    def __repr__(self) -> str:
        return f"<FileLeft {self.transfer.hex()}>"


AnySignal = (
    ChatMessage | Receipt | Typing | Offer | Answer | MoreCandidates | Decline | Prove | Nominate | ChannelPing
    | ChannelPong | Bye | FileOffer | FileAnswer | RangeRequest | FileState | ReadMark | Query | Reply | Sealed | Inner
    | AskAgain | GroupKey | AskGroupKey | Sas | FileLeft
)  # fmt: skip

NEGOTIATION: Final = (Offer, Answer, MoreCandidates, Decline)
TRANSFER: Final = (FileOffer, FileAnswer, RangeRequest, FileState, FileLeft)
CHANNEL_ONLY: Final = (Prove, Nominate, ChannelPing, ChannelPong, Bye)

encode_signal: Callable[[Signal], bytes] = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[AnySignal] = msgspec.msgpack.Decoder(AnySignal)


def decode_signal(body: bytes) -> AnySignal:
    """The signal in an envelope's payload or a control frame.

    :raises BadMessage: it is none.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError) as error:
        raise BadMessage(f"A signal could not be read: {error}") from None
