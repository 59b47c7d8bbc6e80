"""A person's side: session, channels, delivery, transfers, and the API that applications import.

An application needs `Peer`, what it is made with (`PeerSettings`, `Trust`), what it gives (`SentMessage`,
`ChannelState`, `Transfer`, `TransferStatus`), and the events that `Peer.subscribe` hands out. Each is loaded when it is
asked for, so a program that only talks to an agent does not load a whole peer.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from p2pim.net.trust import Trust
    from p2pim.peer.api import Peer
    from p2pim.peer.events import (
        ChannelClosed,
        ChannelOpened,
        ConnectFailed,
        ContactAccepted,
        ContactRequested,
        Event,
        MessageReceived,
        PresenceChanged,
        ReceiptReceived,
        Reconnecting,
        SessionInterrupted,
        SignedIn,
        SignedOut,
        Typing,
        as_json,
    )
    from p2pim.peer.states import ChannelState, PeerSettings, SentMessage
    from p2pim.peer.transfer import Transfer
    from p2pim.peer.transfer_events import (
        TransferChanged,
        TransferCompleted,
        TransferDisrupted,
        TransferOffered,
        TransferProgress,
    )
    from p2pim.peer.transfer_status import TransferStatus

__all__ = [
    "ChannelClosed",
    "ChannelOpened",
    "ChannelState",
    "ConnectFailed",
    "ContactAccepted",
    "ContactRequested",
    "Event",
    "MessageReceived",
    "Peer",
    "PeerSettings",
    "PresenceChanged",
    "ReceiptReceived",
    "Reconnecting",
    "SentMessage",
    "SessionInterrupted",
    "SignedIn",
    "SignedOut",
    "Transfer",
    "TransferChanged",
    "TransferCompleted",
    "TransferDisrupted",
    "TransferOffered",
    "TransferProgress",
    "TransferStatus",
    "Trust",
    "Typing",
    "as_json",
]

_HOMES = {"Trust": "p2pim.net.trust", "Peer": "p2pim.peer.api", "ChannelState": "p2pim.peer.states",
          "PeerSettings": "p2pim.peer.states", "SentMessage": "p2pim.peer.states", "Transfer": "p2pim.peer.transfer",
          "TransferStatus": "p2pim.peer.transfer_status"}  # fmt: skip
"""Where each name is from; all others are events, those of transfers in a module of their own."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES.get(name) or _events_of(name)), name)
    return value


def _events_of(name: str) -> str:
    return "p2pim.peer.transfer_events" if name.startswith("Transfer") else "p2pim.peer.events"
