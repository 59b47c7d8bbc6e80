"""Telling others that I am writing: those who are there, since a notice is of no use later, and is kept nowhere."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from p2pim.core.limits import GROUP_TYPING
from p2pim.errors import Offline, P2pimError
from p2pim.peer.account import Account
from p2pim.wire.signals import Typing


def tell_user(account: Account, user: str) -> None:
    """Tell ``user`` over their channels, or if they may know where I am through the server."""
    direct = account.routes.direct_devices(user)
    for device in direct or (account.routes.ways(user) if account.people.knows_me(user) else ()):
        account.routes.send(user, device, Typing())


def tell_group(account: Account, group: str) -> None:
    """Tell the members of ``#NAME`` that are there for all that is known.

    Of members who are no contacts that is found out by telling them: where the server says that a device is not there,
    it is not told again before it was heard from.

    :raises NoSuchGroup: I am in no group of this name.
    """
    members = account.groups.known.need(group.removeprefix("#")).members
    for member in members if len(members) <= GROUP_TYPING else ():
        if member.user != account.seals.sealer.me.user and not account.people.is_blocked(member.user):
            telling = Deferred.fromCoroutine(_tell_member(account, group, member.user))
            telling.addErrback(_not_told, account, member.user)


async def _tell_member(account: Account, group: str, user: str) -> None:
    await account.look_ups.ask_once(user)
    for device in account.routes.direct_devices(user) or account.routes.ways(user):
        account.routes.send(user, device, Typing(group), _NotThere(account, user, device))


def _not_told(failure: Failure, account: Account, user: str) -> None:
    failure.trap(P2pimError)
    account.journal.write("group", user, f"is not told who is writing: {failure.getErrorMessage()}")


class _NotThere:
    """Notes that a device is not there, when the server says so."""

    def __init__(self, account: Account, user: str, device: bytes) -> None:
        self._account = account
        self._user = user
        self._device = device

    def __call__(self, error: P2pimError) -> None:
        if isinstance(error, Offline):
            self._account.whereabouts.gone(self._user, self._device)
