"""The part of the peer's interface that is about devices and keys."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from p2pim.core.names import canonical_name
from p2pim.errors import IdentityChanged, NoSuchDevice, NotSignedIn, P2pimError, ServerUnreachable, Usage
from p2pim.peer.account import Account
from p2pim.peer.events import rfc3339
from p2pim.peer.home_account import HomeAccount
from p2pim.wire import keys as k

NAME_LENGTH = 128


class KeyCalls(HomeAccount):
    """My devices, and comparing keys with others."""

    def _online(self) -> Account:
        if self._account is None:
            raise NotSignedIn
        if not self._account.people.connected:
            raise ServerUnreachable("There is no connection to the server now; p2pim keeps trying.")
        return self._account

    # --- my devices

    async def devices(self) -> list[dict[str, Any]]:
        """The devices of this account: id, name, when added and used last, whether it is this one and has keys."""
        account = self._online()
        user = self.identity()["user"]
        found = await account.session.request(lambda number: k.ListDevices(number, [user]))
        devices = found.lists[0].devices if isinstance(found, k.DeviceLists) and found.lists else []
        return [
            {
                "device": each.id.hex(),
                "name": each.name,
                "this": each.id == account.device,
                "added": rfc3339(each.added),
                "used": rfc3339(each.used) if each.used else None,
                "keys": each.identity is not None,
            }
            for each in devices
        ]

    async def rename_device(self, id: str, name: str) -> dict[str, Any]:
        """Call the device whose id begins with ``id`` so.

        :raises NoSuchDevice: there is none, or more than one.
        """
        name = " ".join(name.split())
        if not name or len(name) > NAME_LENGTH or not name.isprintable():
            raise Usage(f"A device's name has 1 to {NAME_LENGTH} printable characters.")
        device = await self._device(id)
        await self._online().session.request(lambda number: k.RenameDevice(number, bytes.fromhex(device), name))
        return {"device": device, "name": name}

    async def remove_device(self, id: str) -> dict[str, Any]:
        """End a device of mine: its sign-in, keys and mailbox.

        :raises NoSuchDevice: there is none, or more than one.
        """
        device = await self._device(id)
        if device == self.identity()["device"]:
            raise Usage("This is the device you are using; `p2pim logout` signs it out.")
        await self._online().session.request(lambda number: k.RemoveDevice(number, bytes.fromhex(device)))
        return {"device": device, "removed": True}

    async def _device(self, prefix: str) -> str:
        wanted = prefix.strip().lower()
        found = [each["device"] for each in await self.devices() if wanted and each["device"].startswith(wanted)]
        if len(found) != 1:
            which = "More than one device's id begins" if found else "No device's id begins"
            raise NoSuchDevice(f"{which} with {prefix!r}; `p2pim devices` lists them.")
        device: str = found[0]
        return device

    # --- others' keys

    async def verify(self, user: str, *, accept: bool = False, confirm: bool = False) -> dict[str, Any]:
        """The safety number with ``user`` and the devices it is over.

        :param accept: take the devices that appeared since ``user`` was verified, without having compared them.
        :param confirm: the number was compared with the one on the other side, and is the same.
        """
        account, user = self._online(), canonical_name(user)
        report = await account.verification.report(user)
        if accept or confirm:
            await account.verification.judge(user, verified=confirm)
            report = await account.verification.report(user)
        return report

    async def compare(self, user: str, show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Compare a short authentication string; ``show`` gets it, `match` says whether it is the same.

        :raises VerificationFailed: it came to nothing, and why.
        """
        account, user = self._online(), canonical_name(user)
        device = await account.verification.compare(user, show)
        return {"user": user, "device": device.hex(), "verified": True}

    def match(self, run: str, same: bool) -> None:
        """What both sides show in the comparison ``run`` is the same, or is not."""
        self._online().verification.match(bytes.fromhex(run), same)


async def check_not_changed(account: Account, user: str) -> None:
    """Look once more at the devices of a user who was verified.

    :raises IdentityChanged: there are keys among them that nobody has looked at.
    """
    if account.people.connected and any(each.verified for each in await account.seals.directory.pinned(user)):
        with contextlib.suppress(P2pimError):  # whoever cannot be written to now is told so by what follows
            await account.seals.ready(user)
    if account.seals.blocked_by_change(user):
        raise IdentityChanged(
            f"{user} has a device that was not there when you verified them, so nothing was sent: compare again with"
            f" `p2pim verify {user}`, or take it as it is with `p2pim verify {user} --accept`."
        )
