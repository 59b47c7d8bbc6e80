"""What the server says without having been asked."""

from __future__ import annotations

from p2pim.peer.interfaces import ISessionUser
from p2pim.wire.groups import GroupChanged
from p2pim.wire.guests import GuestChanged, GuestSaid, GuestsOffered
from p2pim.wire.messages import (
    DevicesChanged,
    FromServer,
    Incoming,
    KeysLeft,
    MailWaiting,
    P2pServerChanged,
    PresenceChanged,
)
from p2pim.wire.store import StoredEnded


def push(user: ISessionUser, message: FromServer) -> bool:
    """Tell ``user`` what the server pushed; whether it was such a message."""
    if isinstance(message, Incoming):
        user.envelope_received(message)
    elif isinstance(message, KeysLeft) and not message.id:
        user.keys_left(message.left)
    elif isinstance(message, DevicesChanged):
        user.devices_changed(message.list)
    elif isinstance(message, MailWaiting):
        user.mail_waiting(message.count)
    elif isinstance(message, PresenceChanged):
        user.presence_changed(message.person)
    elif isinstance(message, GroupChanged):
        user.group_changed(message)
    elif isinstance(message, P2pServerChanged):
        user.p2p_server_changed(message.p2p_server)
    elif isinstance(message, StoredEnded):
        user.stored_ended(message.file, message.outcome)
    elif isinstance(message, GuestsOffered | GuestChanged | GuestSaid):
        user.guests_told(message)
    else:
        return False
    return True
