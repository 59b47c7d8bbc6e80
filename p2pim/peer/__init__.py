"""A person's side: session, channels, delivery, transfers, and the API that applications import.

An application needs `Peer`, what it is made with (`PeerSettings`, `Trust`), what it gives (`SentMessage`,
`ChannelState`, `Transfer`, `TransferStatus`), and the events that `Peer.subscribe` hands out.
"""

from p2pim.net.trust import Trust
from p2pim.peer.api import Peer
from p2pim.peer.events import (
    ChannelClosed,
    ChannelOpened,
    ConnectFailed,
    Event,
    MessageReceived,
    PresenceChanged,
    ReceiptReceived,
    Reconnecting,
    SessionInterrupted,
    SignedIn,
    SignedOut,
    TransferCompleted,
    TransferDisrupted,
    TransferOffered,
    TransferProgress,
    Typing,
    as_json,
)
from p2pim.peer.states import ChannelState, PeerSettings, SentMessage
from p2pim.peer.transfer import Transfer, TransferStatus

__all__ = [
    "ChannelClosed",
    "ChannelOpened",
    "ChannelState",
    "ConnectFailed",
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
    "TransferCompleted",
    "TransferDisrupted",
    "TransferOffered",
    "TransferProgress",
    "TransferStatus",
    "Trust",
    "Typing",
    "as_json",
]
