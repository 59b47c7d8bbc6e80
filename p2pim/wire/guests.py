"""Guests of the classic gateway, and the server's own users who wish to meet them.

Guests speak the classic text protocol (`p2pim.wire.classic`): nothing proves who they are, and what is said to them and
by them is plain text, which the server and everybody on the way can read. Nothing of it can be mistaken for a message
of a user: it comes in messages of its own, never in an envelope, and a guest's name is never an account's.

The server says `GuestsOffered` to clients that have named `p2pim.wire.messages.GUESTS` among their features, and only
if its operator lets the two worlds meet. Only after that, and only if the person wishes it, does a client say
`MeetGuests`; until then it is told of no guest, and no guest of its user.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from p2pim.wire.fields import Label, Message, MessageId, Name, RequestId

GuestText = Annotated[str, Meta(min_length=1, max_length=8 * 1024)]
"""What is said between the two worlds."""

# --- client to server


class MeetGuests(Message, frozen=True, tag=90):
    """From now on (``on``) this device hears of guests, and guests of its user unless that is invisible; or no more.

    Answered by `Guests`, or `Failed` ("no-guests"). It ends with the session.
    """

    id: RequestId
    on: bool


class SayToGuest(Message, frozen=True, tag=91):
    """A text for the guest ``guest``, in plain text; answered by `Done` once it has gone out, or `Failed`.

    Whether it arrived nobody can say: a ``talk`` line is a datagram without a receipt.
    """

    id: RequestId
    guest: Name
    message: MessageId
    text: GuestText


# --- server to client


class GuestsOffered(Message, frozen=True, tag=92):
    """Whether this server lets guests and users meet: "apart" (not, or not any more), "shown" (users see guests), or
    "together" (guests see users, too, and they can write to each other)."""

    policy: Label


class Guests(Message, frozen=True, tag=93):
    """The answer to `MeetGuests`: the guests who are here now."""

    id: RequestId
    guests: list[Name]


class GuestChanged(Message, frozen=True, tag=94):
    """A guest came (``here``) or went."""

    guest: Name
    here: bool


class GuestSaid(Message, frozen=True, tag=95):
    """What a guest said to me; or, with ``mine``, what another device of mine said to them.

    ``at`` is when the server heard it, in seconds since 1970. There is no receipt, and no mailbox for it.
    """

    guest: Name
    message: MessageId
    text: GuestText
    at: float
    mine: bool = False
