"""What the load generator says to a p2pim server."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.loadgen import TEXT, Connection
from benchmarks.server_client import device_of, token_of
from p2pim.wire.framing import pack_frame, pack_frames
from p2pim.wire.messages import (
    MESSAGE,
    PROTOCOL_VERSION,
    SIGNAL,
    Hello,
    Limits,
    Ping,
    Send,
    SignIn,
    Welcome,
    encode,
)
from p2pim.wire.signals import ChatMessage, Receipt, encode_signal

RECEIPT_MARKER = b"receipt of one.."
"""The message's id in each receipt; the id in the messages is another one, so that they are told apart."""


def p2pim_connections(names: Sequence[str]) -> list[Connection]:
    """What each of ``names``, who were seeded, says: a sign-in by token, then chat messages as of a peer."""
    chat = ChatMessage(id=bytes(16), seq=1, text=TEXT.decode(), sent_at=1_700_000_000_000)
    message, receipt = encode_signal(chat), encode_signal(Receipt([RECEIPT_MARKER], "delivered"))
    sample = Welcome(bytes(16), "x", "", None, 5.0, 30.0, Limits(1, 1, 1), bytes(32), [])
    welcome = encode(sample)[:2]  # the length of the array, and the tag
    made = []
    for index, name in enumerate(names):
        following, before = names[(index + 1) % len(names)], names[index - 1]
        sign_in = SignIn(name, device_of(name), "bench", token=token_of(name))
        made.append(
            Connection(
                [(pack_frames([encode(Hello(PROTOCOL_VERSION, "benchmark")), encode(sign_in)]), welcome)],
                pack_frame(encode(Send(1, following, device_of(following), MESSAGE, message))),
                pack_frame(encode(Send(2, before, device_of(before), SIGNAL, receipt))),
                pack_frame(encode(Ping())),
            )
        )
    return made
