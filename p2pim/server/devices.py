"""The devices of an account: listed to others, named and removed by their owner, and news of them.

A device stays until its owner removes it, or until `p2pim.core.limits.DEVICES` others have signed in later. Signing
out, even when the token is withdrawn, leaves its keys and its mail.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from p2pim.errors import P2pimError
from p2pim.server.names import canonical_user
from p2pim.server.sessions import Session
from p2pim.server.store import Store
from p2pim.server.users import Users
from p2pim.storage import keys
from p2pim.wire.keys import (
    DeviceList,
    DeviceLists,
    DevicesChanged,
    KnownDevice,
    ListDevices,
    RemoveDevice,
    RenameDevice,
)
from p2pim.wire.messages import Done, Message, encode

_log = Logger()

REMOVED = "This device was removed from the account; sign in with the password to add it again."


class Devices:
    """Answers `ListDevices`, `RenameDevice` and `RemoveDevice`."""

    def __init__(self, clock: IReactorTime, store: Store, users: Users) -> None:
        self._clock = clock
        self._store = store
        self._users = users
        self.moved: Callable[[str], None] = lambda user: None
        """Called when a device of a user has come or gone."""

    async def list(self, session: Session, message: ListDevices) -> Message:
        """All devices of the users named."""
        names = [canonical_user(name) for name in message.users]
        lists = await self._store.read(partial(keys.list_devices, users=names, asker=session.user.name))
        return DeviceLists(message.id, lists)

    async def rename(self, session: Session, message: RenameDevice) -> Message:
        """Call a device of one's own something else."""
        user = session.user.name
        await self._store.write(partial(keys.rename_device, user=user, device=message.device, name=message.name))
        present = self._users.directory.find(user, message.device)
        if present is not None:
            present.device_name = message.name
            self._users.announcer.changed(user)
        self.changed(user)
        return Done(message.id)

    async def remove(self, session: Session, message: RemoveDevice) -> Message:
        """End a device of one's own."""
        user = session.user.name
        await self._store.write(partial(keys.remove_device, user=user, device=message.device))
        self._store.revocations += 1
        present = self._users.directory.find(user, message.device)
        if present is not None:
            self._users.leave(present)
            # Later: when a device removes itself, the answer comes first.
            self._clock.callLater(0, present.client.sign_out, "removed", REMOVED)
        self.changed(user)
        self.moved(user)
        return Done(message.id)

    # --- news

    def changed(self, user: str) -> None:
        """Tell those who see the presence of ``user``, and their own devices, which devices there are now."""
        told = Deferred.fromCoroutine(self._tell(user))
        told.addErrback(lambda failure: _log.failure("telling of changed devices failed", failure))

    async def _tell(self, user: str) -> None:
        try:
            devices = await self._store.read(partial(keys.devices_of, user=user, own=True))
        except P2pimError as error:
            _log.error("changed devices of {user} could not be told: {reason}", user=user, reason=error.message)
            return
        directory = self._users.directory
        own = encode(DevicesChanged(DeviceList(user, devices)))
        for session in directory.of(user):
            session.client.send_frame(own)
        others = encode(DevicesChanged(DeviceList(user, [_for_others(device) for device in devices])))
        for viewer in self._users.announcer.graph.audience(user):
            for session in directory.of(viewer):
                session.client.send_frame(others)


def _for_others(device: KnownDevice) -> KnownDevice:
    return KnownDevice(device.id, device.name, device.identity, device.added)
