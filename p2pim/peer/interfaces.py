"""What the parts of a peer ask of each other."""

# ruff: noqa: N805 - methods of an interface have no self

from __future__ import annotations

from zope.interface import Interface

from p2pim.net.interfaces import IChannel, IChannelUser
from p2pim.wire.groups import GroupChanged
from p2pim.wire.guests import GuestChanged, GuestSaid, GuestsOffered
from p2pim.wire.keys import DeviceList
from p2pim.wire.messages import Incoming, Person, Welcome

__all__ = ["IChannel", "IChannelUser", "ISessionUser"]


class ISessionUser(Interface):
    """Who hears what happens to a session."""

    def signed_in(welcome: Welcome) -> None:
        """The session stands, for the first time or again."""

    def interrupted(reason: str) -> None:
        """The connection ended; unless the session was never started, it will come back."""

    def reconnecting(reason: str) -> None:
        """Another attempt begins; ``reason`` is why the last one was needed."""

    def signed_out(reason: str, message: str) -> None:
        """It is over: ``reason`` is "replaced", "refused", "kicked" or "logout"."""

    def envelope_received(envelope: Incoming) -> None:
        """An envelope; its payload is a signal, not yet decoded."""

    def mail_waiting(count: int) -> None:
        """So much mail at least is in this device's mailbox."""

    def keys_left(left: int) -> None:
        """The server has but so many one-time keys of this device."""

    def devices_changed(devices: DeviceList) -> None:
        """The devices of a contact, or mine, changed."""

    def group_changed(change: GroupChanged) -> None:
        """A group of mine was changed, or is mine no more."""

    def stored_ended(file: bytes, outcome: str) -> None:
        """A file at the server's store has been "fetched", "rejected", "withdrawn", or has "expired"."""

    def guests_told(message: GuestsOffered | GuestChanged | GuestSaid) -> None:
        """Something about guests of the classic gateway, or something that one said."""

    def presence_changed(person: Person) -> None:
        """Someone came, went or changed."""

    def p2p_server_changed(told: str | None) -> None:
        """The server names another P2P server, as in `Welcome`, or none any more."""
